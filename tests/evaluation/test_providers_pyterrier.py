"""Metrics for PyTerrier: its experiment passes frames to ir_measures, which is what these tests do."""

from __future__ import annotations

import pytest

from rank_plugins.errors import InputError
from rank_plugins.evaluation import evaluate

ir_measures = pytest.importorskip("ir_measures")
pandas = pytest.importorskip("pandas")

from rank_plugins.evaluation.providers import pyterrier  # noqa: E402 - after importorskip

QRELS = {"1": {"d1": 2, "d3": 1}, "2": {"d2": 1}, "4": {"d9": 1}}
RUN = {"1": {"d1": 0.5, "d2": 0.7, "d3": 0.5}, "2": {"d2": 1.5}, "3": {"d1": 1.0}}
METRICS = "ndcg@10 RBP_residual(p=0.5) f@5 ap(norm='min')@2"


def experiment(eval_metrics, results=RUN, qrels=QRELS):
    """Do as pt.Experiment: results with its columns, renamed to those of ir_measures; means of the values by query."""
    rows = [
        {"qid": q, "docid": i, "docno": d, "rank": i, "score": s, "query": f"text of {q}"}
        for q, row in results.items()
        for i, (d, s) in enumerate(row.items())
    ]
    judged = [{"qid": q, "docno": d, "label": g, "iteration": "0"} for q, row in qrels.items() for d, g in row.items()]
    names = {"qid": "query_id", "docno": "doc_id", "label": "relevance"}
    columns = ["qid", "docid", "docno", "rank", "score", "query"]
    found: dict[str, dict[str, float]] = {}
    for metric in ir_measures.iter_calc(
        eval_metrics,
        pandas.DataFrame(judged).rename(columns=names),
        pandas.DataFrame(rows, columns=columns).rename(columns=names),
    ):
        found.setdefault(str(metric.measure), {})[metric.query_id] = metric.value
    return found


def test_values_are_those_of_evaluate():
    assert experiment(pyterrier.measures(METRICS)) == evaluate(QRELS, RUN, METRICS).per_query


def test_beside_measures_of_ir_measures():
    found = experiment(
        [*pyterrier.measures("rbp_residual"), ir_measures.nDCG @ 10, *ir_measures.parse_trec_measure("map")]
    )
    assert found["nDCG@10"] == pytest.approx(evaluate(QRELS, RUN, "ndcg@10").per_query["ndcg@10"])
    assert set(found) == {"rbp_residual", "nDCG@10", "AP"}


def test_measures_of_ir_measures_by_our_provider():
    from rank_plugins.evaluation.providers import ir_measures as ours

    ours.register()
    try:
        found = experiment([ir_measures.RR @ 10, ir_measures.P @ 1])
    finally:
        ours.unregister()
    # by name: ir_measures computes in the order of a set, which is another one in each process
    expected = evaluate(QRELS, RUN, "rr@10 p@1").per_query
    assert found == {"RR@10": expected["rr@10"], "P@1": expected["p@1"]}


def test_callables_and_settings():
    def found_at_all(ranks):
        return (ranks.n > 0).astype(float)

    assert experiment(pyterrier.measures(found_at_all)) == {"found_at_all": {"1": 1.0, "2": 1.0, "4": 0.0}}
    strict = experiment(pyterrier.measures("p@5", relevance_level=2))
    assert strict == evaluate(QRELS, RUN, "p@5", relevance_level=2).per_query


def test_a_batch_without_results_or_judgments():
    measures = pyterrier.measures("rbp_residual")
    assert experiment(measures, results={}) == {"rbp_residual": {"1": 1.0, "2": 1.0, "4": 1.0}}
    empty = pandas.DataFrame([], columns=["query_id", "doc_id", "relevance"])
    run = pandas.DataFrame([("1", "d1", 1.0)], columns=["query_id", "doc_id", "score"])
    assert list(ir_measures.iter_calc(measures, empty, run)) == []


def test_what_is_not_averaged_is_refused():
    with pytest.raises(InputError, match="PyTerrier averages all"):
        pyterrier.measures("ndcg@10 num_ret")
