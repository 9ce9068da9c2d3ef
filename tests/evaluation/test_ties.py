"""ties="average": the expected value over every order of equal scores, found by going through all of them."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from rank_plugins.errors import InputError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.names import parse


def small(chance, grades=(-1, 0, 1, 2, 3)):
    """Return judgments and a list of up to seven documents in few groups of equal scores."""
    pool = list("abcdefghij")
    qrels = {document: chance.choice(grades) for document in chance.sample(pool, chance.randint(1, 8))}
    levels = chance.choice([1, 2, 3, 7])
    run = {document: float(chance.randrange(levels)) for document in chance.sample(pool, chance.randint(0, 7))}
    return qrels, run


@pytest.mark.parametrize("level", [1, 2])
def test_is_the_mean_over_all_orders(level):
    chance = oracle.generator()
    drawn = [small(chance) for _ in range(60)]
    qrels = {f"q{i}": judged for i, (judged, _) in enumerate(drawn)}
    run = {f"q{i}": scores for i, (_, scores) in enumerate(drawn)}
    found = evaluate(qrels, run, list(oracle.MEASURES), ties="average", relevance_level=level).per_query
    for name, measure in oracle.MEASURES.items():
        expected = {q: oracle.mean_over_orders(measure, run[q], qrels[q], level) for q in qrels}
        assert found[name] == pytest.approx(expected, abs=1e-12), f"{name}, seed {oracle.SEED}"


@pytest.mark.parametrize("name", ["ndcg@5", "ndcg"])
def test_equals_scikit_learn(name):
    ndcg_score = pytest.importorskip("sklearn.metrics").ndcg_score
    chance = np.random.default_rng(oracle.SEED)
    k = 5 if "@" in name else None
    for _ in range(40):
        grades, scores = chance.integers(0, 4, 30), chance.integers(0, 6, 30)
        grades[0] = 1
        documents = [f"d{i}" for i in range(30)]
        found = evaluate(
            {"q": dict(zip(documents, grades.tolist(), strict=True))},
            {"q": dict(zip(documents, scores.astype(float).tolist(), strict=True))},
            name,
            ties="average",
        )
        assert found[name] == pytest.approx(ndcg_score([grades], [scores], k=k), abs=1e-12)


def test_without_ties_nothing_changes():
    qrels, run = oracle.cases(100, oracle.generator(), (-1, 0, 1, 2, 3))
    run = {query: {d: float(-i) for i, d in enumerate(oracle.order(scores))} for query, scores in run.items()}
    names = [metric.name for metric in parse([*oracle.MEASURES, "all_trec"]) if metric.averages_ties]
    plain, averaged = evaluate(qrels, run, names), evaluate(qrels, run, names, ties="average")
    np.testing.assert_allclose(plain.values, averaged.values, rtol=0, atol=1e-12)


def test_large_groups():
    # One relevant document among a thousand equal ones stands anywhere: the mean of 1/i is the harmonic number / 1000.
    run = {"q": {f"d{i}": 1.0 for i in range(1000)}}
    found = evaluate({"q": {"d7": 1}}, run, "rr ap p@10 success@10 rr@10", ties="average")
    harmonic = sum(1 / i for i in range(1, 1001)) / 1000
    assert found["rr"] == pytest.approx(harmonic)
    assert found["ap"] == pytest.approx(harmonic)
    assert found["p@10"] == pytest.approx(0.001)
    assert found["success@10"] == pytest.approx(0.01)
    assert found["rr@10"] == pytest.approx(sum(1 / i for i in range(1, 11)) / 1000)


def test_lies_between_best_and_worst():
    chance = oracle.generator()
    drawn = [small(chance, (0, 1)) for _ in range(100)]
    qrels = {f"q{i}": judged for i, (judged, _) in enumerate(drawn)}
    run = {f"q{i}": scores for i, (_, scores) in enumerate(drawn)}
    names = "p@3 r@3 f1@3 success@3 rr ap ap@4 ndcg ndcg@3 rbp rprec"
    worst, mean, best = (evaluate(qrels, run, names, ties=ties).values for ties in ("worst", "average", "best"))
    assert (worst <= mean + 1e-12).all()
    assert (mean <= best + 1e-12).all()
    assert (worst < best).any(axis=1).all()


@pytest.mark.parametrize("name", ["bpref", "infAP", "binG", "IPrec@0.1", "11pt_avg", "ERR(max_grade=1)", "Compat", "G"])
def test_other_metrics_are_refused(name):
    with pytest.raises(InputError, match="average"):
        evaluate({"q": {"a": 1}}, {"q": {"a": 1.0}}, name, ties="average")


def test_a_callable_is_refused():
    with pytest.raises(InputError, match="average"):
        evaluate({"q": {"a": 1}}, {"q": {"a": 1.0}}, lambda table: table.n * 0.0, ties="average")
