"""Our provider inside the real ir_measures, against ir_measures' own providers on the same ranking."""

from __future__ import annotations

import math
import shutil

import pytest
from oracle import cases, generator, order

ir_measures = pytest.importorskip("ir_measures")
from ir_measures import (  # noqa: E402 - after importorskip
    AP,
    ERR,
    RBP,
    RR,
    Bpref,
    Compat,
    IPrec,
    Judged,
    NumQ,
    NumRel,
    NumRelRet,
    NumRet,
    P,
    R,
    Rprec,
    SetAP,
    SetF,
    SetP,
    SetR,
    SetRelP,
    Success,
    alpha_nDCG,
    infAP,
    nDCG,
)

from rank_plugins.errors import InputError  # noqa: E402
from rank_plugins.evaluation.providers import ir_measures as ours  # noqa: E402

# pytrec_eval's; SetR takes no judged_only, NumRel no other level there.
TREC_EVAL = [
    *(measure @ k for measure in (P, R, Success, AP, nDCG) for k in (1, 5, 10, 100)),
    *(AP, RR, Rprec, Bpref, infAP, nDCG, SetP, SetR, SetAP, SetRelP, SetF, SetF(beta=2.0)),
    *(IPrec @ 0.0, IPrec @ 0.1, IPrec @ 0.5, IPrec @ 1.0, IPrec(judged_only=True) @ 0.3),
    *(P(rel=2) @ 5, AP(rel=2), RR(rel=2), Rprec(rel=2), Bpref(rel=2), infAP(rel=2), SetF(rel=2), Success(rel=3) @ 5),
    *(P(judged_only=True) @ 5, AP(judged_only=True), RR(judged_only=True), nDCG(judged_only=True) @ 10),
    *(nDCG(gains={1: 2, 3: 10}) @ 10, NumRet, NumRelRet, NumRet(rel=2), NumRel, NumQ),
]


@pytest.fixture
def registered():
    """Have ir_measures use our provider, in this test only."""
    yield ours.register()
    ours.unregister()


@pytest.fixture(scope="module")
def data():
    """Return judgments and a run without ties, in trec_eval's order, with ids that Perl takes too."""
    qrels, run = cases(60, generator(), range(4))
    ranked = {q[1:]: {d: float(len(row) - i) for i, d in enumerate(order(row))} for q, row in run.items()}
    return {q[1:]: row for q, row in qrels.items()}, ranked


def per_query(provider, measures, qrels, run):
    return {(metric.query_id, metric.measure): metric.value for metric in provider.iter_calc(measures, qrels, run)}


@pytest.mark.parametrize("measure", TREC_EVAL, ids=str)
def test_equals_its_pytrec_eval_provider(measure, data):
    theirs = per_query(ir_measures.pytrec_eval, [measure], *data)
    wanted = {key: 0.0 if math.isnan(value) else value for key, value in theirs.items()}  # IPrec of an empty list
    assert per_query(ours.Provider(), [measure], *data) == pytest.approx(wanted, abs=1e-12)
    aggregator = measure.aggregator()
    for value in wanted.values():
        aggregator.add(value)
    assert ours.Provider().calc_aggregate([measure], *data)[measure] == pytest.approx(aggregator.result(), abs=1e-9)


@pytest.mark.parametrize(
    ("provider", "measure"),
    [
        ("msmarco", RR @ 10),
        ("msmarco", RR(rel=2) @ 3),
        ("cwl_eval", RBP(rel=1)),
        ("cwl_eval", RBP(rel=2, p=0.5)),
        ("compat", Compat),
        ("compat", Compat(p=0.8, normalize=False)),
        ("judged", Judged @ 5),
    ],
    ids=str,
)
def test_equals_its_other_providers(provider, measure, data):
    theirs = ir_measures.providers.registry[provider]
    if not theirs.is_available():
        pytest.skip(f"{provider} is not installed")
    assert per_query(ours.Provider(), [measure], *data) == pytest.approx(per_query(theirs, [measure], *data), abs=1e-12)


@pytest.mark.skipif(shutil.which("perl") is None, reason="gdeval needs Perl")
def test_pitfall_perl_is_not_needed_and_gives_the_same_five_decimals(data):
    measures = [nDCG(dcg="exp-log2") @ 10, ERR @ 20]
    theirs = per_query(ir_measures.gdeval, measures, *data)
    assert per_query(ours.Provider(), measures, *data) == pytest.approx(theirs, abs=6e-6)


def test_pitfall_all_measures_see_one_order_of_equal_scores(registered):
    """ir_measures' own RR and RR@10 come from two providers, which order ties differently."""
    qrels, run = {"q": {"a": 1, "b": 0}}, {"q": {"a": 1.0, "b": 1.0}}
    ours.unregister()
    mixed = ir_measures.calc_aggregate([RR, RR @ 10], qrels, run)
    assert mixed[RR] != mixed[RR @ 10]
    ours.register()
    assert ir_measures.calc_aggregate([RR, RR @ 10], qrels, run) == {RR: 0.5, RR @ 10: 0.5}


def test_scores_that_only_float64_tells_apart():
    run = {"q": {"a": 1.0 + 1e-9, "b": 1.0}}
    assert ours.Provider().calc_aggregate([RR], {"q": {"a": 1}}, run) == {RR: 1.0}


def test_takes_data_frames_named_tuples_and_generators(data, registered):
    pandas = pytest.importorskip("pandas")
    qrels, run = data
    judgments = [ir_measures.Qrel(q, d, g) for q, row in qrels.items() for d, g in row.items()]
    scores = [ir_measures.ScoredDoc(q, d, s) for q, row in run.items() for d, s in row.items()]
    measures = [nDCG @ 10, RR @ 10, NumRet]
    wanted = ir_measures.calc(measures, qrels, run)
    frames = pandas.DataFrame(judgments), pandas.DataFrame(scores)
    for given in (frames, (judgments, scores), (iter(judgments), iter(scores))):
        found = ir_measures.calc(measures, *given)
        assert found.aggregated == wanted.aggregated
        assert sorted(found.per_query, key=str) == sorted(wanted.per_query, key=str)


def test_an_evaluator_serves_several_runs(data, registered):
    qrels, run = data
    evaluator = ir_measures.evaluator([nDCG @ 10], qrels)
    best = {q: {d: float(g) for d, g in row.items()} for q, row in qrels.items()}
    assert evaluator.calc_aggregate(best)[nDCG @ 10] > evaluator.calc_aggregate(run)[nDCG @ 10]
    assert evaluator.calc_aggregate(run) == ir_measures.calc_aggregate([nDCG @ 10], qrels, run)


def test_what_it_lacks_goes_to_the_others(registered):
    pytest.importorskip("pyndeval")
    qrels = [ir_measures.Qrel("q", "a", 1, "1"), ir_measures.Qrel("q", "b", 1, "2")]
    found = ir_measures.calc_aggregate([alpha_nDCG @ 5, R @ 1], qrels, {"q": {"a": 2.0, "b": 1.0}})
    assert found == {alpha_nDCG @ 5: pytest.approx(1.0), R @ 1: 0.5}


def test_measures_defined_at_run_time_stay_theirs(registered):
    pytest.importorskip("pandas")
    custom = ir_measures.define_byquery(lambda qrels, run: 7.0, name="P", support_cutoff=True)
    assert ir_measures.calc_aggregate([custom @ 5], {"q": {"a": 1}}, {"q": {"a": 1.0}}) == {custom @ 5: 7.0}


def test_registering_is_idempotent_and_reversible():
    chain = list(ir_measures.DefaultPipeline.providers)
    ours.register()
    ours.register()
    assert [p.NAME for p in ir_measures.DefaultPipeline.providers].count("rank_plugins") == 1
    assert ir_measures.providers.registry["rank_plugins"].supports(nDCG @ 10)
    assert [p.NAME for p in ir_measures.DefaultPipeline.providers][:2] == ["runtime", "rank_plugins"]
    ours.unregister()
    assert ir_measures.DefaultPipeline.providers == chain
    assert "rank_plugins" not in ir_measures.providers.registry
    ours.unregister()


def test_graded_rbp_has_no_scale_there_and_stays_theirs():
    assert not ours.Provider().supports(RBP)
    assert ours.Provider().supports(RBP(rel=2))
    with pytest.raises(InputError, match="RBP with rel"):
        ours.Provider().calc_aggregate([RBP], {"q": {"a": 3}}, {"q": {"a": 1.0}})


def test_queries_that_the_run_lacks_count_and_nothing_at_all_is_no_error():
    provider, qrels = ours.Provider(), {"q1": {"a": 1}, "q2": {"b": 1, "c": 1}}
    measures = [nDCG @ 10, NumRel]
    assert provider.calc_aggregate(measures, qrels, {"q1": {"a": 1.0}}) == {nDCG @ 10: 0.5, NumRel: 3.0}
    for empty in ({}, [], iter([])):
        assert provider.calc_aggregate([nDCG @ 10], qrels, empty) == {nDCG @ 10: 0.0}
    assert list(provider.iter_calc([nDCG @ 10], {}, {"q1": {"a": 1.0}})) == []


def test_grades_beyond_the_scale_of_err_are_refused():
    with pytest.raises(InputError, match="max_grade=4, got 5"):
        ours.Provider().calc_aggregate([ERR @ 10], {"q": {"a": 5}}, {"q": {"a": 1.0}})
