"""Names of metrics: every way of writing one that other tools have, and what is answered to one that nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.metrics.aliases import ALIASES, trec_eval_names
from rank_plugins.evaluation.metrics.catalogue import DEFINITIONS
from rank_plugins.evaluation.names import Metric, parse, split

QRELS = {
    "1": {"a": 3, "b": 0, "c": 2, "d": 1, "e": 1, "f": 2, "g": -1},
    "2": {"a": 1, "x": 1, "y": 0},
    "3": {"h": 2, "i": 1, "j": 0, "k": 1},
}
RUN = {
    "1": {"b": 0.9, "c": 0.8, "u": 0.7, "a": 0.6, "g": 0.55, "d": 0.5, "v": 0.4, "e": 0.3},
    "2": {"z": 3.0, "x": 2.0, "y": 1.0},
    "3": {"k": 5.0, "j": 4.0, "h": 3.0, "w": 2.0, "i": 1.0},
}

SAME = {
    "nDCG@5": "ndcg@5 NDCG@5 ndcg_cut_5 ndcg_cut.5 ndcg_at_5 nDCG(cutoff=5) nDCG(dcg='log2')@5 nDCG(dcg=log2)@5",
    "nDCG": "ndcg NDCG()",
    "nDCG(dcg='exp-log2')@5": "ndcg_burges@5 nDCG(dcg=exp-log2)@5 nDCG(gains={1:1,2:3,3:7})@5 ndcg_burges_at_5",
    "nDCG(gains={1:3.5,2:9})": "ndcg.1=3.5,2=9.0",
    "nDCG(rel=2)@5": "ndcg@5-l2",
    "AP": "map MAP ap average_precision",
    "AP@5": "map@5 map_cut_5 map_cut.5 MAP@5 map_at_5",
    "AP(rel=2)@5": "map@5-l2",
    "RR": "mrr recip_rank MRR reciprocal_rank",
    "RR@2": "mrr@2 rr@2 mrr_at_2",
    "P@2": "precision@2 P_2 P.2 Precision@2 precision_at_2",
    "P(rel=2)@2": "precision@2-l2 P(rel=2)@2 P(rel=2,cutoff=2)",
    "SetP": "P precision set_P",
    "SetR": "R recall set_recall",
    "SetP(relative=True)": "SetRelP set_relative_P RelP relative_P@1000",
    "SetF": "set_F SetF(beta=1.0)",
    "F": "f1 F(beta=1)",
    "SetF(beta=2)": "set_F.2.0 set_F_2",
    "SetAP": "set_map",
    "R@2": "recall@2 recall_2 recall.2 r@2",
    "RelP@2": "R_cap@2 relative_P_2 rcap@2",
    "Success@1": "hit_rate@1 success_1 success@1 hitrate@1",
    "F@3": "f1@3 F(beta=1)@3",
    "Hits@3": "hits@3",
    "Rprec": "RPrec r-precision R-prec Rprec_mult@1.0",
    "Bpref": "bpref BPref",
    "IPrec@0.1": "iprec_at_recall_0.10 iprec_at_recall.0.1 IPrec(recall=0.1) IPrec(compat=10)@0.1",
    "IPrec(compat=9)@0.5": "IPrec(compat='9')@0.5 IPrec(compat='trec_eval9')@0.5",
    "Rprec_mult@0.4": "Rprec_mult_0.40 Rprec_mult.0.4",
    "RBP": "rbp RBP(p=0.8) rbp.80",
    "RBP(p=0.95,rel=2)": "rbp.95-l2",
    "RBP_residual": "rbp_resid",
    "Unjudged@5": "unj_5 unj@5 unjudged@5",
    "NumRet": "num_ret",
    "NumRelRet": "num_rel_ret NumRet(rel=1)",
    "NumRel(rel=2)": "NumRel(rel=2.0)",
    "utility(a=2,b=-1,c=-0.5,d=0)": "utility.2,-1,-0.5,0",
    "DCG(dcg='exp-log2')@3": "dcg_burges@3",
    "IDCG": "ideal_dcg",
}


@pytest.mark.parametrize(("name", "others"), SAME.items(), ids=list(SAME))
def test_ways_of_writing_the_same(name, others):
    expected = evaluate(QRELS, RUN, name)
    assert expected.values.any()
    for other in split(others):
        found = evaluate(QRELS, RUN, other)
        assert found.metrics == [other]
        np.testing.assert_array_equal(found.values, expected.values, err_msg=other)
        assert found.mean[other] == expected.mean[name]


def test_each_name_is_kept_as_it_was_written():
    names = ["nDCG@10", "ap", "P(rel=2)@5", "ndcg_cut.10", "map@100-l2", "nDCG(gains={0: 0, 1: 1}, dcg='exp-log2')@10"]
    assert [metric.name for metric in parse(names)] == names
    assert [metric.name for metric in parse(", ".join(names))] == names
    assert [metric.name for metric in parse(" \n ".join(names))] == names


def test_a_list_of_cutoffs_is_several_metrics():
    assert [metric.name for metric in parse("map,ndcg_cut.5,10,100 P_5,10")] == [
        "map", "ndcg_cut_5", "ndcg_cut_10", "ndcg_cut_100", "P_5", "P_10",
    ]  # fmt: skip
    assert [metric.name for metric in parse("iprec_at_recall.0.1,.25")] == [
        "iprec_at_recall_0.10",
        "iprec_at_recall_0.25",
    ]
    found = evaluate(QRELS, RUN, "ndcg_cut.2,3 ndcg@2 ndcg@3")
    assert found["ndcg_cut_2"] == found["ndcg@2"] != found["ndcg@3"] == found["ndcg_cut_3"]


def test_a_family_without_values_has_those_of_trec_eval():
    assert trec_eval_names("P") == [f"P_{k}" for k in (5, 10, 15, 20, 30, 100, 200, 500, 1000)]
    assert trec_eval_names("success") == ["success_1", "success_5", "success_10"]
    assert trec_eval_names("ndcg_cut.5,10") == ["ndcg_cut_5", "ndcg_cut_10"]
    assert trec_eval_names("map") == ["map"]
    assert [metric.name for metric in parse("Rprec_mult")] == [f"Rprec_mult_{x / 5:.2f}" for x in range(1, 11)]
    assert len(parse("iprec_at_recall")) == 11


@pytest.mark.parametrize("nickname", ["official", "set", "all_trec"])
def test_nicknames_are_those_of_pytrec_eval(nickname):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    theirs = set(pytrec_eval.RelevanceEvaluator(QRELS, {nickname}).evaluate(RUN)["2"]) - {"runid", "relstring"}
    ours = {metric.name for metric in parse(nickname)}
    assert ours - theirs == ({"dcg", "ideal_dcg"} if nickname == "all_trec" else set())  # new in trec_eval 10
    assert theirs <= ours
    assert ours == set(trec_eval_names(nickname))


def test_geometric_means():
    found = evaluate(QRELS, RUN, "gm_map gm_ndcg_cut_5 map ndcg@5")
    for name, plain in (("gm_map", "map"), ("gm_ndcg_cut_5", "ndcg@5")):
        values = np.array(list(found.per_query[plain].values()))
        assert found[name] == pytest.approx(np.exp(np.log(values).mean()))
        assert found.per_query[name] == found.per_query[plain]
    assert parse("gm_map")[0].aggregate == "gm"


def test_counts_are_summed():
    assert evaluate(QRELS, RUN, "num_q num_ret num_rel num_rel_ret num_nonrel_judged_ret").mean == {
        "num_q": 3, "num_ret": 16, "num_rel": 10, "num_rel_ret": 8, "num_nonrel_judged_ret": 3,
    }  # fmt: skip


def test_every_name_has_a_metric_and_every_metric_a_name():
    assert {name for name, _ in ALIASES.values()} == set(DEFINITIONS)
    for alias, (canonical, fixed) in ALIASES.items():
        assert set(fixed) <= set(DEFINITIONS[canonical].parameters), alias


def test_names_of_ir_measures():
    ir_measures = pytest.importorskip("ir_measures")
    texts = [
        "nDCG@5", "nDCG(dcg='exp-log2')@5", "nDCG(gains={1:5,2:1})", "P(rel=2)@2", "RR@2", "AP", "AP(rel=2)@3", "R@2",
        "Rprec", "Bpref", "infAP", "IPrec@0.1", "Judged@3", "SetP", "SetRelP", "SetF(beta=2.0)", "SetAP", "Success@1",
        "RBP(p=0.9,rel=1)", "NumQ", "NumRet", "NumRet(rel=1)", "NumRel", "Accuracy", "Compat(p=0.8)",
        "AP(judged_only=True)",
    ]  # fmt: skip
    objects = [ir_measures.parse_measure(text) for text in texts]
    by_object, by_text = evaluate(QRELS, RUN, objects), evaluate(QRELS, RUN, [str(measure) for measure in objects])
    assert by_object.metrics == [str(measure) for measure in objects] == by_text.metrics
    np.testing.assert_array_equal(by_object.values, by_text.values)


def test_ir_measures_computes_the_same():
    ir_measures = pytest.importorskip("ir_measures")
    pytest.importorskip("pytrec_eval")
    texts = "nDCG@5 nDCG P(rel=2)@2 RR RR@2 AP AP@3 R@2 Rprec Bpref infAP Judged@3 SetP SetR SetAP Success@1"
    measures = [ir_measures.parse_measure(text) for text in [*texts.split(), "Accuracy", "Compat"]]
    qrels = {query: {d: g for d, g in judged.items() if g >= 0} for query, judged in QRELS.items()}
    found = evaluate(qrels, RUN, measures)
    for query, measure, value in ir_measures.iter_calc(measures, qrels, RUN):
        assert found.per_query[str(measure)][query] == pytest.approx(value, abs=1e-12), measure


def test_metric_objects_and_callables():
    def answered(table):
        return (table.n > 0).astype(float)

    named = Metric("always", lambda table: np.ones(len(table.n)), aggregate="sum")
    found = evaluate(QRELS, RUN, ["ap", answered, named, parse("rr")[0]])
    assert found.metrics == ["ap", "answered", "always", "rr"]
    assert found["answered"] == 1
    assert found["always"] == 3
    assert evaluate(QRELS, RUN, answered).metrics == ["answered"]


def test_the_same_name_twice_is_one_metric():
    assert [metric.name for metric in parse("ap official ap map")] == ["ap", *trec_eval_names("official")]
    with pytest.raises(InputError, match="two callables named '<lambda>'; wrap one as Metric"):
        parse([lambda table: table.n, lambda table: table.R])


WRONG = {
    "ndgc@10": "unknown metric 'ndgc' in 'ndgc@10'; did you mean nDCG",
    "recal@5": "did you mean R",
    "zzzzzz": "expected one of P, R, ",
    "bpref@10": "Bpref takes no cut-off, got @10",
    "gm_num_q": "averaged behind gm_",
    "IPrec": "IPrec needs recall, got none; write for example IPrec@0.5",
    "Rprec_mult()": "needs multiple",
    "IPrec@2": "recall: expected a number from 0 to 1, got 2",
    "ERR@20": "ERR needs max_grade, got none; write for example ERR",
    "P@0": "cutoff: expected a whole number of at least 1, got 0",
    "P@2.5": "cutoff: expected a whole number of at least 1, got 2.5",
    "P@ten": "cutoff: expected a whole number of at least 1, got 'ten'",
    "P@": "cutoff: expected a whole number",
    "P(cutoff=5)@5": "cutoff once",
    "P(rell=2)@5": "P takes cutoff, rel, judged_only, got 'rell'; did you mean rel",
    "P(rel='high')@5": "rel: expected a finite number, got 'high'",
    "P(2)@5": "parameters as name=value",
    "P(rel=1,rel=2)@5": "each once",
    "P@5)": "name(parameter=value)@cutoff",
    "RBP(p=1)": "p: expected a number between 0 and 1, got 1",
    "RBP(rel=1,max_grade=3)": "rel (binary gain) or max_grade",
    "Judged(rel=2)@5": "Judged takes cutoff, judged_only, got 'rel'",
    "nDCG(dcg='ln')": "dcg: expected 'log2' or 'exp-log2', got 'ln'",
    "nDCG(gains=3)": "gains: expected a dict",
    "AP(norm='max')@5": "norm: expected 'R' or 'min'",
    "Compat(normalize=1)": "normalize: expected True or False",
    "F(beta=-1)@5": "beta: expected a number above 0",
    "IPrec(compat=8)@0.5": "compat: expected 9 or 10, got 8",
    "hole@10": "Unjudged@10",
    "ap,10": "unknown metric '10'",
    "P_5, 10": "unknown metric '10'",
    "": "at least one",
}


@pytest.mark.parametrize(("name", "answer"), WRONG.items(), ids=list(WRONG))
def test_what_cannot_be_is_said(name, answer):
    with pytest.raises(InputError) as raised:
        parse(name)
    assert answer in str(raised.value)


def test_compat_is_checked():
    with pytest.raises(InputError, match="compat: expected 9 or 10, got 'trec_eval8'"):
        parse("ap", compat="trec_eval8")


@pytest.mark.parametrize("thing", [3, None, b"ap", {"ap": 1}, ["ap", 3]], ids=str)
def test_what_is_no_metric_is_refused(thing):
    with pytest.raises(InputTypeError, match="metrics: expected a str"):
        parse(thing)
