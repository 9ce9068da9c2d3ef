"""Every metric that pytrec_eval knows, on thousands of random queries, equal to the last bit."""

from __future__ import annotations

import math

import oracle
import pytest

from rank_plugins.evaluation import evaluate

pytrec_eval = pytest.importorskip("pytrec_eval")

GRADES = {"binary": (0, 1), "graded": (0, 1, 2, 3), "unjudged": (-2, -1, 0, 1, 2)}
CUTOFFS = "1,5,10,100"
MEASURES = (
    f"map gm_map ndcg recip_rank Rprec bpref gm_bpref infAP set_P set_recall set_F set_map set_relative_P utility binG"
    f" num_q num_ret num_rel num_rel_ret num_nonrel_judged_ret ndcg_rel Rndcg G iprec_at_recall 11pt_avg Rprec_mult"
    f" ndcg_cut.{CUTOFFS} map_cut.{CUTOFFS} P.{CUTOFFS} recall.{CUTOFFS} success.{CUTOFFS} relative_P.{CUTOFFS}"
).split()
CASES = 1000  # of each of the 12 combinations below


@pytest.mark.parametrize("judged_only", [False, True], ids=["all", "judged-only"])
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("grades", GRADES.values(), ids=GRADES)
@pytest.mark.parametrize("single", [False, True], ids=["order", "float32"])
def test_equals_pytrec_eval(grades, level, judged_only, single):
    qrels, run = oracle.cases(CASES, oracle.generator(), grades)
    # pytrec_eval compares scores as float32: it gets our own order, or both compare so.
    fed = run if single else {query: _places(scores) for query, scores in run.items()}
    reference = pytrec_eval.RelevanceEvaluator(qrels, set(MEASURES), level, judged_only).evaluate(fed)
    found = evaluate(
        qrels,
        run,
        MEASURES,
        relevance_level=level,
        judged_only=judged_only,
        score_dtype="float32" if single else "float64",
        compat="trec_eval9",
    )
    assert set(found.per_query) == set(reference["q0"])
    wrong = []
    for name, values in found.per_query.items():
        for query, value in values.items():
            expected = reference[query][name]
            if math.isnan(expected):  # precision of an empty list, 0 / 0
                assert value == 0, (name, query)
                continue
            ours = math.log(max(value, 1e-5)) if name.startswith("gm_") else value
            if ours != expected:
                wrong.append((name, query, ours, expected))
    assert not wrong, f"seed {oracle.SEED}: {len(wrong)} differ, {wrong[:5]}"


def test_a_deep_list():
    # From rank 1620 on, NumPy's vector logarithm is not always that of the C library.
    documents = [f"d{i:05}" for i in range(8000)]
    qrels = {"q": {document: int(document[-1]) % 4 for document in documents}}
    run = {"q": {document: -float(place) for place, document in enumerate(documents)}}
    names = ["ndcg", "map", "binG", "Rndcg", "ndcg_rel", "G", "bpref", "infAP"]
    reference = pytrec_eval.RelevanceEvaluator(qrels, set(names)).evaluate(run)["q"]
    assert evaluate(qrels, run, names).mean == {name: reference[name] for name in names}


def _places(scores):
    ranking = oracle.order(scores)
    return {document: float(len(ranking) - place) for place, document in enumerate(ranking)}
