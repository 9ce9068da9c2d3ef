"""The metrics against their definitions, against ranx and ir_measures, and against laws that hold for any run."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError
from rank_plugins.evaluation import JudgedRanks, evaluate, metrics
from rank_plugins.evaluation.metrics.accumulate import DEEP, log2
from rank_plugins.evaluation.names import parse

MEASURES = oracle.MEASURES | oracle.RANKED_ONLY

QRELS = {"q1": {"a": 3, "b": 0, "c": 2, "d": 1, "e": 1, "f": 2}, "q2": {"a": 1, "x": 1, "y": 0}}
RUN = {
    "q1": {"b": 0.9, "c": 0.8, "u": 0.7, "a": 0.6, "d": 0.5, "v": 0.4, "e": 0.3},
    "q2": {"z": 3.0, "x": 2.0, "y": 1.0},
}

# ranx 0.3.21: evaluate(Qrels(QRELS), Run(RUN), name, return_mean=False), for rbp with grades of 0 and 1
RANX = {
    "dcg@5": [2.940741988597636, 0.6309297535714575],
    "dcg": [3.2740753219309693, 0.6309297535714575],
    "dcg_burges@5": [5.294377974462666, 0.6309297535714575],
    "ndcg_burges@5": [0.4722772073732965, 0.38685280723454163],
    "ndcg_burges": [0.5020117175556897, 0.38685280723454163],
    "ndcg@5": [0.48372329033330985, 0.38685280723454163],
    "ndcg@5-l2": [0.4853586793596861, 0.0],
    "f1@3": [0.25, 0.4],
    "f1": [0.6666666666666666, 0.4],
    "hits@5": [3.0, 1.0],
    "hit_rate@1": [0.0, 0.0],
    "precision@5": [0.6, 0.2],
    "precision@5-l2": [0.4, 0.0],
    "recall@5": [0.6, 0.5],
    "mrr@1": [0.0, 0.0],
    "map@3": [0.1, 0.25],
    "map-l2": [0.3333333333333333, 0.0],
    "r-precision": [0.6, 0.5],
    "rbp.80": [0.3967488, 0.15999999999999998],
    "rbp.95": [0.16784865703125013, 0.04750000000000004],
}
# ir_measures 0.4.3 with cwl-eval 1.0.12: [m.value for m in ir_measures.iter_calc([name], QRELS, RUN)]
IR_MEASURES = {
    "RBP(rel=1)": [0.39674879999999996, 0.15999999999999995],
    "RBP(p=0.5,rel=1)": [0.3515625, 0.25],
    "Judged@4": [0.75, 0.6666666666666666],
    "Judged": [0.7142857142857143, 0.6666666666666666],
    "Compat": [0.43906770292513947, 0.3040496407576747],
    "Compat(p=0.8)": [0.3738259181142923, 0.27544910179640725],
    "Compat(normalize=False)": [0.4143978570497897, 0.2719836400817996],
    "Accuracy": [0.33333333333333337, 0.5],
    "Accuracy@4": [0.25, 0.5],
    "RR@2": [0.5, 0.5],
    "SetF(beta=2.0)": [0.7058823529411765, 0.4285714285714286],
    "nDCG(gains={1:5,2:1})@5": [0.3683305817486602, 0.38685280723454163],
    "P(rel=2)@4": [0.5, 0.0],
}
# The same, where a Perl program of its own rounds to five digits and takes 4 as the highest grade.
GDEVAL = {"ERR(max_grade=4)@5": [0.18833, 0.03125], "nDCG(dcg='exp-log2')@5": [0.47228, 0.38685]}


def per_query(name, qrels=QRELS, run=RUN, **options):
    return list(evaluate(qrels, run, name, **options).per_query[name].values())


@pytest.mark.parametrize("level", [1, 2])
def test_follows_the_definition(level):
    qrels, run = oracle.cases(250, oracle.generator(), (-1, 0, 1, 2, 3))
    run["q3"], run["q4"] = {}, {"unjudged": 1.0}
    found = evaluate(qrels, run, list(MEASURES), relevance_level=level).per_query
    for name, measure in MEASURES.items():
        expected = oracle.values(measure, qrels, run, level)
        assert found[name] == pytest.approx(expected, abs=1e-12), f"{name}, seed {oracle.SEED}"


@pytest.mark.parametrize("name", RANX)
def test_equals_ranx(name):
    assert per_query(name) == pytest.approx(RANX[name], abs=1e-12)


@pytest.mark.parametrize("name", IR_MEASURES)
def test_equals_ir_measures(name):
    assert per_query(name) == pytest.approx(IR_MEASURES[name], abs=1e-12)


@pytest.mark.parametrize("name", GDEVAL)
def test_equals_gdeval(name):
    assert per_query(name) == pytest.approx(GDEVAL[name], abs=5e-6)


def test_interpolated_precision_of_trec_eval_9_and_10():
    # Three relevant documents, found at ranks 1, 3 and 6: recall 0.2 is 0.6 of a document, 0.4 is 1.2.
    qrels = {"q": {"a": 1, "c": 1, "f": 1}}
    run = {"q": {document: -place for place, document in enumerate("abcdef")}}
    at = {name: per_query(name, qrels, run) for name in ("IPrec@0.2", "IPrec@0.4", "IPrec(compat=9)@0.4")}
    assert at == {"IPrec@0.2": [1.0], "IPrec@0.4": [1.0], "IPrec(compat=9)@0.4": [2 / 3]}
    assert per_query("IPrec@0.4", qrels, run, compat="trec_eval9") == [2 / 3]
    assert per_query("11pt_avg", qrels, run) == pytest.approx([(5 + 4 * 2 / 3 + 2 / 2) / 11])
    assert per_query("11pt_avg", qrels, run, compat="trec_eval9") == pytest.approx([(4 + 4 * 2 / 3 + 3 / 2) / 11])


def test_half_a_document_counts_as_one():
    # Recall 0.5 of five relevant documents is the third, at rank 4; the second is at rank 2.
    qrels = {"q": {"a": 1, "b": 1, "d": 1, "y": 1, "z": 1}}
    run = {"q": {document: -place for place, document in enumerate("abcd")}}
    assert per_query("IPrec@0.5", qrels, run) == [3 / 4]
    assert per_query("IPrec@0.4", qrels, run) == [1.0]


def test_logarithms_are_those_of_the_c_library():
    for start in (2, DEEP - 1000, 10 * DEEP):
        numbers = range(start, start + 200_000)
        assert log2(np.array(numbers)).tolist() == [math.log2(number) for number in numbers]


def test_bpref_without_judged_nonrelevant_documents():
    # ranx gives 0 or NaN here; trec_eval, and we, find nothing above any relevant document.
    assert per_query("bpref", {"q": {"a": 1, "b": 1}}, {"q": {"x": 2.0, "a": 1.0}}) == [0.5]


def test_documents_pooled_but_not_judged_count_as_neither():
    # ranx counts grades below 0 as judged and not relevant, and gives 0.25.
    qrels = {"q": {"a": -1, "b": -2, "c": 1, "d": 0}}
    assert per_query("bpref", qrels, {"q": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}}) == [1.0]


def test_err_depends_on_the_highest_grade():
    qrels, run = {"q": {"a": 3, "b": 1}}, {"q": {"a": 2.0, "b": 1.0}}
    assert per_query("ERR(max_grade=3)", qrels, run) == pytest.approx([7 / 8 + 1 / 8 * 1 / 8 / 2])
    assert per_query("ERR(max_grade=4)", qrels, run) == pytest.approx([7 / 16 + 9 / 16 * 1 / 16 / 2])
    with pytest.raises(InputError, match="at most max_grade=2, got 3"):
        per_query("ERR(max_grade=2)", qrels, run)
    with pytest.raises(InputError, match="at most max_grade=2, got 3"):
        per_query("RBP(max_grade=2)", qrels, run)


def test_rbp_and_its_residual_bracket_the_truth():
    # a relevant, b not judged, c not relevant: the residual is what b and everything below c could add.
    qrels, run = {"q": {"a": 1, "c": 0}}, {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}
    assert per_query("RBP(p=0.5)", qrels, run) == [0.5]
    assert per_query("RBP_residual(p=0.5)", qrels, run) == [0.25 + 0.125]


def test_utility():
    # Two of three relevant documents returned among five.
    qrels = {"q": {"a": 1, "b": 1, "c": 1}}
    run = {"q": dict.fromkeys("abxyz", 1.0)}
    assert per_query("utility", qrels, run) == [2 - 3]
    assert per_query("utility.1,-0.5,-2,0", qrels, run) == [2 - 1.5 - 2]
    assert per_query("utility(d=0.1,docs=100)", qrels, run) == pytest.approx([2 - 3 + 0.1 * 94])
    with pytest.raises(InputError, match="docs="):
        per_query("utility(d=0.1)", qrels, run)


def test_grades_may_be_real_numbers():
    qrels, run = {"q": {"a": 0.5, "b": 1.5, "c": -0.5}}, {"q": {"a": 3.0, "c": 2.0, "b": 1.0}}
    assert per_query("ndcg", qrels, run) == pytest.approx([(0.5 + 1.5 / 2) / (1.5 + 0.5 / math.log2(3))])
    assert per_query("p@3", qrels, run) == [1 / 3]
    assert per_query("Compat", qrels, run) == per_query("Compat", {"q": {"a": 1, "b": 2}}, run)
    assert per_query("G", qrels, run) == pytest.approx(
        [(0.5 / math.log2(2 + 1.5 - 0.5) + 1.5 / math.log2(2 + 1.5 + 1 + 1 - 2)) / 2]
    )


def test_a_custom_metric_reads_the_table():
    def half_life(table: JudgedRanks) -> np.ndarray:
        return np.bincount(table.qidx, table.hit * 0.5**table.rank, len(table.n))

    assert per_query("rbp(p=0.5)") == list(evaluate(QRELS, RUN, half_life).per_query["half_life"].values())


def test_judged_only_of_one_metric_equals_that_of_all():
    qrels, run = oracle.cases(80, oracle.generator(3), (0, 1, 2))
    for ties in ("id_desc", "average"):
        for name in ("ap", "ndcg@5", "p@3"):
            own = per_query(
                f"{name.split('@')[0]}(judged_only=True)" + name[len(name.split("@")[0]) :], qrels, run, ties=ties
            )
            assert own == per_query(name, qrels, run, ties=ties, judged_only=True)


def test_metrics_share_work_without_changing_it():
    qrels, run = oracle.cases(40, oracle.generator(5), (0, 1, 2))
    names = list(MEASURES)
    together = evaluate(qrels, run, names).per_query
    assert together == {name: evaluate(qrels, run, name).per_query[name] for name in names}
    assert together == evaluate(qrels, run, names[::-1]).per_query


def test_every_metric_stands_empty_lists():
    names = [
        metric.name for metric in parse("all_trec unj judged@5 err(max_grade=3) rbp rbp_residual compat accuracy@3")
    ]
    found = evaluate({"q": {"a": 1}, "none": {"a": 0}}, {"q": {}}, names)
    unlike = {"num_q": 1.0, "num_rel": 1.0, "ideal_dcg": 1.0, "rbp_residual": 1.0}
    assert {name: found.per_query[name]["q"] for name in names} == {name: unlike.get(name, 0.0) for name in names}
    assert np.isfinite(found.values).all()


def test_functions_take_the_table_themselves():
    table = JudgedRanks(
        ["q"],
        np.array([4]),
        np.array([0, 0]),
        np.array([1, 3]),
        np.array([2.0, 0.0]),
        np.array([0, 3]),
        np.array([2.0, 1, 0]),
    )
    assert metrics.average_precision(table).tolist() == [0.5]
    assert metrics.ndcg(table, 2).tolist() == [2 / (2 + 1 / math.log2(3))]


documents = st.text("abcdefgh", min_size=1, max_size=2)
qrels_of_one = st.dictionaries(documents, st.integers(-1, 3), min_size=1)
run_of_one = st.dictionaries(documents, st.integers(-5, 5).map(float))
BOUNDED = [name for name in MEASURES if name.split("@")[0].split("(")[0] not in ("DCG", "IDCG", "Hits")]


@settings(max_examples=150, deadline=None)
@given(qrels_of_one, run_of_one)
def test_values_lie_between_0_and_1_and_best_and_worst_around(qrels, run):
    names = [*BOUNDED, "bpref", "infAP", "binG", "IPrec@0.3", "11pt_avg", "SetF", "SetAP", "Rprec_mult@0.4"]
    found = {ties: evaluate({"q": qrels}, {"q": run}, names, ties=ties).mean for ties in ("worst", "id_desc", "best")}
    for name in names:
        worst, here, best = (found[ties][name] for ties in ("worst", "id_desc", "best"))
        assert -1e-12 <= here <= 1 + 1e-12, name
        # More grades than two, or documents that are not judged, have several orders that are best for something.
        if name in ("P@5", "R@5", "Success@3", "RR", "RR@3", "AP", "AP@4", "Rprec", "F@5") and set(qrels.values()) <= {
            0,
            1,
        }:
            assert worst - 1e-12 <= here <= best + 1e-12, name


@settings(max_examples=100, deadline=None)
@given(qrels_of_one, run_of_one, st.randoms())
def test_order_of_entries_and_scale_of_scores_change_nothing(qrels, run, chance):
    mixed = list(run.items())
    chance.shuffle(mixed)
    judged = list(qrels.items())
    chance.shuffle(judged)
    names = list(MEASURES)
    plain = evaluate({"q": qrels, "r": {"a": 1}}, {"q": run, "r": {"a": 1.0}}, names)
    other = evaluate({"r": {"a": 1}, "q": dict(judged)}, {"r": {"a": 1.0}, "q": dict(mixed)}, names)
    grown = evaluate({"q": qrels}, {"q": {d: math.exp(s) for d, s in run.items()}}, names)
    for name in names:
        assert plain.per_query[name] == other.per_query[name], name
        assert plain.per_query[name]["q"] == grown.per_query[name]["q"], name


@given(qrels_of_one, run_of_one, st.integers(1, 12))
def test_precision_times_depth_is_recall_times_relevant(qrels, run, k):
    found = evaluate({"q": qrels}, {"q": run}, f"p@{k} r@{k} hits@{k} num_rel")
    assert found[f"p@{k}"] * k == pytest.approx(found[f"hits@{k}"])
    assert found[f"r@{k}"] * found["num_rel"] == pytest.approx(found[f"hits@{k}"])


@given(qrels_of_one, run_of_one, st.integers(1, 6))
def test_documents_below_the_cutoff_do_not_matter(qrels, run, k):
    top = {document: run[document] for document in oracle.order(run)[:k]}
    names = [f"{name}@{k}" for name in ("p", "r", "success", "rr", "ap", "ndcg", "rbp", "err(max_grade=3)", "unj")]
    assert evaluate({"q": qrels}, {"q": run}, names).mean == evaluate({"q": qrels}, {"q": top}, names).mean
