"""QuotaReranker: the contract, the rule as a loop, what a source is, places that the quota holds for."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, rerankers
from rank_plugins.pipelines.quotas import QuotaReranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import QUERY, HashEncoder, RerankerContract


def by_text(documents):
    """Return an id for each text, so that a text has the same source wherever it stands."""
    return [f"{str(text)[:1]}#{i}" for i, text in enumerate(documents)]


class TestContract(RerankerContract):
    """The contract with ids: documents that begin with the same letter have one source."""

    pointwise = alike = False

    @pytest.fixture
    def reranker(self):
        """Return MaxSim with one document for each letter first."""
        return rerankers.load("rank-quotas", reranker=MaxSimReranker(HashEncoder(64)), per_source=1)

    def rank(self, reranker, query, documents, top_k=None):
        """Pass ids, which tell the source."""
        return list(reranker.rerank(query, documents, top_k=top_k, ids=by_text(documents)))

    async def rank_async(self, reranker, query, documents, top_k=None):
        """Pass ids, which tell the source."""
        return list(await reranker.rerank_async(query, documents, top_k=top_k, ids=by_text(documents)))


class TestContractOfDropping(TestContract):
    """The contract where documents over the quota are left out."""

    complete = False

    @pytest.fixture
    def reranker(self):
        """Return MaxSim with one document for each letter."""
        return rerankers.load("rank-quotas", reranker=MaxSimReranker(HashEncoder(64)), per_source=1, drop=True)


PROBLEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 3).map(float) | st.just(-math.inf)), min_size=1)


def ranked(rows, top_k=None, **options):
    ids, scores = [f"{source}#{i}" for i, (source, _) in enumerate(rows)], [score for _, score in rows]
    return QuotaReranker(**options).rerank("q", ["text"] * len(rows), ids=ids, scores=scores, top_k=top_k)


@settings(deadline=None)
@given(PROBLEMS, st.integers(1, 3), st.none() | st.integers(1, 6), st.booleans(), st.integers(1, 9))
def test_it_is_the_rule(rows, per_source, within, drop, top_k):
    """At most so many of a source in the first places; the others in their order; what has no score last."""
    inside, over, after = [], [], []
    for i in sorted(range(len(rows)), key=lambda i: -rows[i][1]):
        source, score = rows[i]
        if score == -math.inf:
            continue
        if within is not None and len(inside) == within:
            after.append(i)
        elif sum(rows[j][0] == source for j in inside) < per_source:
            inside.append(i)
        else:
            over.append(i)
    rest = sorted(after if drop else over + after, key=lambda i: (-rows[i][1], i))
    nothing = [i for i, (_, score) in enumerate(rows) if score == -math.inf]
    options = {"per_source": per_source, "within": within, "drop": drop}
    ranking = ranked(rows, **options)
    assert ranking.indices.tolist() == inside + rest + nothing
    assert ranking.scores[: len(inside)].tolist() == [rows[i][1] for i in inside]
    assert len({rows[i][1] - score for i, score in ranking if i in rest}) <= 1
    assert ranking.details["over_quota"] == over
    assert ranking.details["relevance"] == [rows[i][1] for i in ranking.indices.tolist()]
    assert list(ranked(rows, top_k, **options)) == list(ranking)[:top_k]


@settings(deadline=None)
@given(PROBLEMS, st.randoms())
def test_permuting_the_documents_permutes_the_ranking(rows, random):
    """Where scores are distinct, nothing else decides."""
    rows = [(source, score + i / 64) for i, (source, score) in enumerate(rows)]
    order = random.sample(range(len(rows)), len(rows))
    turned = [(order[i], score) for i, score in ranked([rows[i] for i in order])]
    expected = list(ranked(rows))
    assert [pair for pair in turned if pair[1] > -math.inf] == [pair for pair in expected if pair[1] > -math.inf]
    assert {i for i, _ in turned} == {i for i, _ in expected}


@pytest.mark.parametrize(
    "source",
    [
        "/",
        {"one/1": "x", "one/2": "x", "two/1": "y"},
        lambda name: name[:3],
    ],
)
def test_what_a_source_is(source):
    """Text before a separator, a dict, a function."""
    reranker = QuotaReranker(per_source=1, source=source, drop=True)
    ranking = reranker.rerank("q", ["a", "b", "c"], ids=["one/1", "one/2", "two/1"], scores=[3, 2, 1])
    assert ranking.indices.tolist() == [0, 2]


def test_an_id_without_the_separator_is_its_own_source():
    ranking = QuotaReranker(per_source=1, drop=True).rerank("q", ["a"] * 3, ids=["a", "b", "a#2"], scores=[3, 2, 1])
    assert ranking.indices.tolist() == [0, 1]


def test_scores_are_those_of_the_reranker_inside():
    inside = MaxSimReranker(HashEncoder(64))
    texts = ["blood pressure", "aspirin blood pressure", "wind"]
    plain = dict(inside.rerank(QUERY, texts))
    ranking = QuotaReranker(inside, per_source=1).rerank(QUERY, texts, ids=["a#1", "a#2", "b"])
    assert list(ranking) == [(1, plain[1]), (2, plain[2]), (0, plain[2] - 1)]
    assert "maxsim" in ranking.details["parts"]["MaxSimReranker"]["timings"]


def test_options_are_json():
    options = json.loads('{"per_source": 1, "source": {"x": "s", "y": "s"}, "within": 10, "drop": true}')
    ranking = rerankers.load("rank-quotas", **options).rerank("q", ["a", "b"], ids=["x", "y"], scores=[1, 2])
    assert list(ranking) == [(1, 2.0)]


def test_ids_are_needed():
    with pytest.raises(InputError, match="ids: expected the documents' ids"):
        QuotaReranker().rerank("q", ["a"], scores=[1])
    with pytest.raises(InputError, match="source: expected the source of every id, got none of 'y'"):
        QuotaReranker(source={"x": 1}).rerank("q", ["a", "b"], ids=["x", "y"], scores=np.ones(2))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"per_source": 0}, InputError),
        ({"within": 0}, InputError),
        ({"source": ""}, InputError),
        ({"source": 7}, InputTypeError),
        ({"per_source": 1.5}, InputTypeError),
    ],
)
def test_wrong_options(options, error):
    with pytest.raises(error, match=next(iter(options))):
        QuotaReranker(**options)
