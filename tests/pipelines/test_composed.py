"""Rerankers made of rerankers made of rerankers: what holds for one holds for all that can be built."""

from __future__ import annotations

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rank_plugins import rerankers
from rank_plugins.evaluation.calibrators import Isotonic, Platt
from rank_plugins.pipelines import Cascade, ScoreCache
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder

ENCODERS = {dim: HashEncoder(dim) for dim in (24, 40)}
WORDS = [f"word{i}" for i in range(14)]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=5, unique=True).map(" ".join), min_size=1, max_size=9)
RULES = [
    {"cut": "largest-gap", "least": 2},
    {"cut": "mass", "temperature": 2},
    {"cut": "tokens", "budget": 20},
    {"cut": "threshold", "at": 0.2},
]
GATES = [
    {"gate": "top-gap", "below": 0.3},
    {"gate": "query-words", "above": 1},
    {"any": [{"gate": "entropy", "above": 0.5}, {"not": {"gate": "top-score", "below": 1}}]},
]
CALIBRATORS = [Platt(2.0, -1.0).to_dict(), Isotonic((-99.0, 0.6, 1.5, 99.0), (0.05, 0.2, 0.3, 0.9)).to_dict()]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a cache that all examples share."""
    with ScoreCache(tmp_path_factory.mktemp("composed") / "scores.sqlite") as made:
        yield made


@st.composite
def options(draw, inner):
    """Draw what `load` takes for a reranker around others."""
    names = [
        "rank-cut", "rank-normalised", "rank-calibrated", "rank-mmr", "rank-dpp", "rank-near-duplicates", "rank-quotas",
        "rank-fusion", "rank-cascade", "rank-cascade",
    ]  # fmt: skip
    name = draw(st.sampled_from(names))
    if name == "rank-fusion":
        several = draw(st.lists(inner, min_size=1, max_size=2))
        weights = [1.0, 0.37][: len(several)]  # so that two lists that contradict each other tie nothing
        return {"name": name, "rerankers": several, "method": "sum", "norm": "minmax", "weights": weights}
    if name == "rank-cascade":
        stages = [
            {
                "reranker": one,
                "keep": draw(st.one_of(st.none(), st.integers(1, 9), st.sampled_from(RULES))),
                "when": draw(st.sampled_from([None, None, *GATES])) if i else None,
            }
            for i, one in enumerate(draw(st.lists(inner, min_size=1, max_size=3)))
        ]
        return {"name": name, "stages": stages, "budget": draw(st.sampled_from([None, 600.0]))}
    more = {
        "rank-cut": {"cut": draw(st.sampled_from(RULES))},
        "rank-calibrated": {
            "calibrator": draw(st.sampled_from(CALIBRATORS)),
            "threshold": draw(st.sampled_from([None, 0.1])),
        },
        "rank-mmr": {"encoder": ENCODERS[24]},
        "rank-dpp": {"encoder": ENCODERS[24]},
        "rank-quotas": {"per_source": 2, "source": "-"},
    }
    return {"name": name, "reranker": draw(inner)} | more.get(name, {})


LEAVES = st.sampled_from([*(MaxSimReranker(encoder) for encoder in ENCODERS.values()), "cached"])
TREES = st.recursive(LEAVES, options, max_leaves=5)


def made(tree, cache):
    """Return the reranker of a tree."""

    def filled(one):
        if one == "cached":
            return {"name": "rank-cached", "reranker": MaxSimReranker(ENCODERS[40]), "cache": cache}
        if isinstance(one, dict):
            return {key: filled(value) for key, value in one.items()}
        return [filled(part) for part in one] if isinstance(one, list) else one

    found = filled(tree)
    return rerankers.load(**found) if isinstance(found, dict) else found


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES, TEXTS, TEXTS, st.integers(1, 9), st.randoms(use_true_random=False))
def test_what_is_composed_keeps_the_contract(cache, tree, texts, others, top_k, random):
    """Order, -inf last, prefixes, batches, details, and the input's order where nothing is tied."""
    reranker, query = made(tree, cache), " ".join(WORDS[:3])
    ids = [f"{i % 3}-{i}" for i in range(len(texts))]
    ranking = reranker.rerank(query, texts, ids=ids)
    indices, scores = ranking.indices.tolist(), ranking.scores.tolist()
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(range(len(texts)))
    assert scores == sorted(scores, reverse=True)
    assert all((score == -math.inf) == (not texts[i].strip()) for i, score in ranking)
    json.dumps(ranking.details)
    assert list(reranker.rerank(query, texts, ids=ids, top_k=top_k)) == list(ranking)[:top_k]
    rows = [[f"{i % 3}-{i}" for i in range(len(row))] for row in (others, [], texts)]
    batch = reranker.rerank_batch([query, query, query], [others, [], texts], ids=rows)
    assert list(batch[2]) == list(ranking)
    assert len(batch[1]) == 0
    plain = [MaxSimReranker(encoder).rerank(query, texts).scores.tolist() for encoder in ENCODERS.values()]
    if all(len(set(row)) == len(row) for row in plain):  # an outer one may hide that two were tied
        turned = random.sample(range(len(texts)), len(texts))
        other = reranker.rerank(query, [texts[i] for i in turned], ids=[ids[i] for i in turned])
        assert [turned[i] for i in other.indices] == indices


def test_sixteen_threads(cache):
    """One of everything, asked at once by more threads than there are cores."""
    tree = {
        "name": "rank-calibrated",
        "calibrator": CALIBRATORS[1],
        "reranker": {
            "name": "rank-cascade",
            "budget": 600.0,
            "stages": [
                {"reranker": "cached", "keep": {"cut": "largest-gap", "least": 5}},
                {"reranker": {"name": "rank-mmr", "encoder": ENCODERS[24]}, "keep": 4, "when": GATES[2]},
                {"reranker": {"name": "rank-fusion", "rerankers": ["cached", MaxSimReranker(ENCODERS[24])]}},
            ],
        },
    }
    reranker, start = made(tree, cache), threading.Barrier(16)
    texts = [[" ".join(WORDS[i : i + n % 4 + 1]) for i in range(10)] for n in range(8)]
    expected = [list(made(tree, cache).rerank("word1 word4", row)) for row in texts]

    def ask(thread):
        start.wait(60)
        return [list(reranker.rerank("word1 word4", texts[(n + thread) % 8])) for n in range(8)]

    with ThreadPoolExecutor(16) as pool:
        for thread, found in enumerate(pool.map(ask, range(16))):
            assert found == [expected[(n + thread) % 8] for n in range(8)]


def test_a_cascade_of_one_stage_is_that_stage():
    """Nothing is moved, dropped or turned."""
    plain = MaxSimReranker(ENCODERS[24])
    texts = ["word1 word2", "", "word3", "word1"]
    assert list(Cascade([Cascade([plain])]).rerank("word1", texts)) == list(plain.rerank("word1", texts))
