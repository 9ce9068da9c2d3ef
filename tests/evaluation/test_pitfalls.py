"""What users of evaluation run into elsewhere, each with the guard that stands against it here."""

import copy
import math
import random

import numpy as np
import pytest

from rank_plugins.datasets import drop_identical_ids
from rank_plugins.errors import InputError
from rank_plugins.evaluation import compare, evaluate
from rank_plugins.evaluation.abstention import false_evidence_rate
from rank_plugins.evaluation.calibration import ece
from rank_plugins.evaluation.names import parse
from rank_plugins.evaluation.statistics import randomization_test
from rank_plugins.runs import Run, read

QRELS = {"q1": {"a": 1, "b": 2}, "q2": {"c": 1}, "q3": {"d": 1}}
RUN = {"q1": {"x": 3.0, "a": 2.0, "b": 1.0}, "q2": {"c": 5.0, "y": 4.0}, "q3": {"z": 2.0, "d": 1.0}}


def test_pitfall_01_dict_order_pairs_nothing():
    """Queries are paired by id, never by their place in the dicts."""
    turned = {query: dict(reversed(RUN[query].items())) for query in reversed(RUN)}
    assert evaluate(QRELS, turned, "rr").per_query["rr"] == evaluate(QRELS, RUN, "rr").per_query["rr"]


def test_pitfall_02_single_precision_makes_ties():
    """Scores are compared in float64; that a difference was lost elsewhere shows in the bounds."""
    qrels, run = {"q": {"a": 1}}, {"q": {"a": 1.0 + 1e-9, "b": 1.0}}
    assert evaluate(qrels, run, "rr")["rr"] == 1.0
    assert evaluate(qrels, run, "rr", score_dtype="float32")["rr"] == 0.5
    bounds = [
        evaluate(qrels, run, "rr", score_dtype="float32", ties=ties)["rr"] for ties in ("worst", "average", "best")
    ]
    assert bounds == [0.5, 0.75, 1.0]


def test_pitfall_03_ranks_that_contradict_scores_are_told(tmp_path):
    """Only scores count; a file whose ranks say otherwise is probably not what its writer meant."""
    path = tmp_path / "run.trec"
    path.write_text("".join(f"q Q0 d{i} {i} {i}.0 tag\n" for i in range(1, 9)))
    with pytest.warns(UserWarning, match="rank"):
        read(path)


def test_pitfall_04_the_mean_says_over_which_queries():
    """One set of queries for all metrics, and what is missing is named."""
    run = {query: RUN[query] for query in ("q1", "q2")} | {"q9": {"a": 1.0}}
    result = evaluate(QRELS, run, "ndcg@10 rr")
    assert (result.n, result.absent, result.ignored) == (3, ["q3"], ["q9"])
    assert set(result.per_query["ndcg@10"]) == set(result.per_query["rr"]) == set(QRELS)


@pytest.mark.parametrize("level", [1, 2])
def test_pitfall_05_only_negative_judgments_end_and_are_told(level):
    """pytrec_eval can run for ever here."""
    qrels = {"graded": {"a": 2}, "q": {"a": -1, "b": -2}}
    result = evaluate(qrels, {"graded": {"a": 1.0}, "q": {"a": 1.0}}, "ndcg ndcg_rel G ndcg@10", relevance_level=level)
    assert result.no_relevant == ["q"]
    assert set(result.values[:, 1]) == {0.0}


def test_pitfall_06_reciprocal_rank_has_a_cut_off():
    """One tie rule for RR and RR@k: they are equal where the rank is within k."""
    tied = {"q": dict.fromkeys(["a", "b", "c"], 1.0)}
    result = evaluate({"q": {"a": 1}}, tied, "rr rr@10 rr@2")
    assert (result["rr"], result["rr@10"], result["rr@2"]) == (1 / 3, 1 / 3, 0.0)


def test_pitfall_07_denominators_have_names():
    """AP by R or by min(k, R); recall, capped recall and success are three metrics."""
    qrels, run = {"q": dict.fromkeys("abcd", 1)}, {"q": {"a": 3.0, "x": 2.0}}
    result = evaluate(qrels, run, ["AP@2", "AP(norm='min')@2", "R@2", "R_cap@2", "Success@2"])
    assert list(result.mean.values()) == [1 / 4, 1 / 2, 1 / 4, 1 / 2, 1.0]


def test_pitfall_08_gains_are_named_and_the_highest_grade_is_asked_for():
    """Linear by default as in trec_eval; exponential by name; ERR does not guess the highest grade."""
    linear, exponential = evaluate(QRELS, RUN, ["nDCG@10", "nDCG(dcg='exp-log2')@10"]).mean.values()
    assert linear != exponential
    with pytest.raises(InputError, match="max_grade"):
        evaluate(QRELS, RUN, "ERR@10")


def test_pitfall_09_ndcg_ignores_the_relevance_level():
    """As in trec_eval; binary metrics heed it."""
    one, two = (evaluate(QRELS, RUN, "ndcg@10 P@2", relevance_level=level) for level in (1, 2))
    assert one["ndcg@10"] == two["ndcg@10"]
    assert one["P@2"] > two["P@2"]


def test_pitfall_10_numbers_of_numpy_whole_ids_and_real_grades():
    """None of them is refused, and no grade is truncated."""
    qrels = {1: {10: np.int64(1), 11: 0.9}, 2: {12: np.float32(0.5)}}
    run = {1: {10: np.float32(1), 11: np.float64(2)}, 2: {12: np.int32(1)}}
    assert evaluate(qrels, run, "ndcg@1", relevance_level=0.5).per_query["ndcg@1"] == {1: 0.9, 2: 1.0}


def test_pitfall_11_a_query_that_finds_itself_is_told():
    """ArguAna's and Quora's queries are documents, too."""
    run = {f"d{i}": {f"d{(i + j) % 4}": -float(j) for j in range(4)} for i in range(4)}
    qrels = {query: {"d0": 1} for query in run}
    for given in (run, Run.from_dict(run)):
        with pytest.warns(UserWarning, match="own id"):
            evaluate(qrels, given, "rr")
    without = drop_identical_ids(run)
    assert not any(query in row for query, row in without.items())


def test_pitfall_16_runs_stay_as_they_are_and_there_may_be_many():
    """Nothing is removed from the caller's run, and a comparison does not end at 26."""
    before = copy.deepcopy(RUN)
    evaluate({"q1": {"a": 1}}, RUN, "rr", judged_only=True, missing="skip")
    assert before == RUN
    rng = random.Random(0)
    runs = {f"run {i}": {q: {d: rng.random() for d in row} for q, row in RUN.items()} for i in range(30)}
    result = compare(QRELS, runs, "rr", resamples=100)
    assert len(result.differences) == 30 * 29 / 2
    assert "run 29" in str(result)


def test_pitfall_16_the_same_seed_gives_the_same_p():
    rng = np.random.default_rng(0)
    a, b = rng.random(40), rng.random(40)
    assert randomization_test(a, b, seed=3).p == randomization_test(a, b, seed=3).p


def test_pitfall_17_p_is_never_zero_and_comes_with_its_size():
    better = np.linspace(0.5, 1, 200)
    test = randomization_test(better - 0.4, better, resamples=1000, seed=0)
    assert test.p >= 1 / 1001
    difference = compare(QRELS, {"a": RUN, "b": {q: {d: -s for d, s in r.items()} for q, r in RUN.items()}}, "rr")
    assert {"mean", "low", "high", "effect_size", "p_corrected"} <= set(difference.to_dict()["differences"][0])


def test_pitfall_18_names_need_no_interpreter():
    """`R` alone has a meaning, and nothing is evaluated as Python."""
    assert evaluate(QRELS, RUN, "R")["R"] == 1.0
    with pytest.raises(InputError):
        parse("P(rel=__import__('os').getcwd())@5")


def test_pitfall_19_a_missing_topic_does_not_end_it_and_rbp_is_a_number():
    result = evaluate(QRELS, {"q1": RUN["q1"]}, ["rr", "RBP(p=0.8)", "IPrec@0.1", "IPrec(compat=9)@0.1"])
    assert result.absent == ["q2", "q3"]
    assert not np.isnan(result.values).any()


def test_pitfall_20_odd_lines(tmp_path):
    """More columns, tabs, and ids that begin with # are data."""
    path = tmp_path / "run.trec"
    path.write_text("#1 Q0 #d 1 2.0 tag more\n#1 Q0\te 2 1.0 tag more\n")
    assert read(path, "run").to_dict() == {"#1": {"#d": 2.0, "e": 1.0}}
    spaced = Run.from_dict({"q": {"a document": 1.0}})
    with pytest.raises(InputError, match="JSON"):
        spaced.save(tmp_path / "spaced.trec")
    spaced.save(tmp_path / "spaced.jsonl")
    assert read(tmp_path / "spaced.jsonl").to_dict() == spaced.to_dict()


def test_pitfall_21_rates_come_with_n_and_logits_are_no_probabilities():
    run = {f"q{i}": {"a": 0.1} for i in range(60)}
    rate = false_evidence_rate(run, list(run), 0.5)
    assert (rate.rate, rate.n) == (0.0, 60)
    assert rate.upper == pytest.approx(1 - 0.05 ** (1 / 60), rel=1e-9)
    with pytest.raises(InputError, match="probabilit"):
        ece([2.5, -1.0], [1, 0])
    assert math.isfinite(ece([0.9, 0.1], [1, 0]))
