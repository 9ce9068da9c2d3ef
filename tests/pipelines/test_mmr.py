"""MMRReranker: the contract, the published definition as a double loop, all orders of few documents, ties, options."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, rerankers
from rank_plugins.pipelines import Cascade
from rank_plugins.pipelines.mmr import MMRReranker
from rank_plugins.pipelines.similarity import Matrix
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract


class TestContract(RerankerContract):
    """The contract with token embeddings, which tell relevance and similarity."""

    pointwise = alike = False

    @pytest.fixture
    def reranker(self):
        """Return MMR over MaxSim."""
        return rerankers.load("rank-mmr", encoder=HashEncoder(64))


class TestContractOfSingleVectors(TestContract):
    """The contract with one vector per document."""

    @pytest.fixture
    def reranker(self):
        """Return MMR with a MaxSimReranker of its own."""
        return rerankers.load("rank-mmr", reranker=MaxSimReranker(HashEncoder(64)), similarity="single", trade_off=0.9)


class TestContractOfShingles(TestContract):
    """The contract with words that documents share."""

    @pytest.fixture
    def reranker(self):
        """Return MMR that compares words."""
        return rerankers.load("rank-mmr", encoder=HashEncoder(64), similarity="shingles")


def marginal(relevance, similarity, trade_off, chosen, i):
    """Return the value of document i beside those chosen, as it is defined."""
    closest = max((similarity[i][j] for j in chosen), default=0.0)
    return trade_off * relevance[i] - (1 - trade_off) * max(closest, 0.0)


def by_double_loop(relevance, similarity, trade_off):
    """Return (index, value) of all documents in the order of Carbonell and Goldstein, the first of equals first."""
    low, high = min(relevance), max(relevance)
    scaled = [(value - low) / (high - low) if high > low else 1.0 for value in relevance]
    ranking = []
    while len(ranking) < len(relevance):
        chosen = [i for i, _ in ranking]
        left = [i for i in range(len(relevance)) if i not in chosen]
        values = [marginal(scaled, similarity, trade_off, chosen, i) for i in left]
        best = max(range(len(left)), key=lambda place: values[place])
        ranking.append((left[best], values[best]))
    return ranking


@st.composite
def problems(draw):
    """Draw relevances and a symmetric matrix, with many ties."""
    n = draw(st.integers(1, 9))
    relevance = draw(st.lists(st.integers(-4, 4).map(float), min_size=n, max_size=n))
    entry = st.integers(-8, 8).map(lambda value: value / 8)
    matrix = np.eye(n)
    for i, j in itertools.combinations(range(n), 2):
        matrix[i, j] = matrix[j, i] = draw(entry)
    return relevance, matrix, draw(st.integers(0, 8)) / 8


def mmr(relevance, matrix, trade_off, top_k=None):
    texts = [f"text {i}" for i in range(len(relevance))]
    return MMRReranker(similarity=matrix, trade_off=trade_off).rerank("q", texts, scores=relevance, top_k=top_k)


@settings(deadline=None)
@given(problems())
def test_it_is_the_definition(problem):
    """The same order, ties included, and the same values."""
    expected = by_double_loop(*problem)
    found = list(mmr(*problem))
    assert [i for i, _ in found] == [i for i, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=1e-12)


@settings(deadline=None)
@given(problems(), st.integers(1, 4))
def test_comparing_only_what_may_win_changes_nothing(problem, at_once):
    """However few documents are compared at a time, the ranking is the same, to the bit."""
    expected = list(mmr(*problem))
    before = Matrix.at_once
    try:
        Matrix.at_once = at_once
        assert list(mmr(*problem)) == expected
    finally:
        Matrix.at_once = before


def test_most_documents_are_never_compared(rng):
    """With ten of a hundred asked for, the low ones meet few of those chosen."""
    asked = []

    class Seen(Matrix):
        at_once = 4

        def row(self, i, others, least=-np.inf):
            asked.extend((i, j) for j in others.tolist())
            return super().row(i, others, least)

    reranker = MMRReranker(similarity=np.clip(rng.random((100, 100)) * 0.4, 0, 1))
    reranker._similarities = lambda *_: Seen(np.full((100, 100), 0.3) + 0.7 * np.eye(100))
    ranking = reranker.rerank("q", [f"t{i}" for i in range(100)], scores=rng.random(100).tolist(), top_k=10)
    assert len(ranking) == 10
    assert len(set(asked)) == len(asked) < 500


@settings(deadline=None)
@given(problems(), st.integers(1, 9))
def test_values_never_increase_and_top_k_is_a_prefix(problem, top_k):
    everything = list(mmr(*problem))
    values = [value for _, value in everything]
    assert values == sorted(values, reverse=True)
    assert list(mmr(*problem, top_k)) == everything[:top_k]


@pytest.mark.parametrize("seed", range(8))
def test_no_order_has_larger_values_from_the_first(seed):
    """Of all orders of five documents, the values of this one are the largest where two first differ."""
    rng = np.random.default_rng(seed)
    relevance, matrix = [0.0, 1.0, *rng.random(3).tolist()], np.eye(5)
    for i, j in itertools.combinations(range(5), 2):
        matrix[i, j] = matrix[j, i] = rng.uniform(0, 1)
    orders = itertools.permutations(range(5))
    best = max(orders, key=lambda order: [marginal(relevance, matrix, 0.4, order[:t], order[t]) for t in range(5)])
    assert mmr(relevance, matrix, 0.4).indices.tolist() == list(best)


@settings(deadline=None)
@given(problems(), st.randoms())
def test_permuting_the_documents_permutes_the_ranking(problem, random):
    """Where relevances and similarities are distinct, nothing else decides."""
    relevance, matrix, trade_off = problem
    n = len(relevance)
    matrix = matrix + 1e-3 * np.add.outer(np.sqrt(range(2, n + 2)), np.sqrt(range(2, n + 2)))
    relevance = [value + 1e-3 * i * 2**0.5 for i, value in enumerate(relevance)]
    order = random.sample(range(n), n)
    expected = [(i, pytest.approx(value, abs=1e-12)) for i, value in mmr(relevance, matrix, trade_off)]
    turned = mmr([relevance[i] for i in order], matrix[np.ix_(order, order)], trade_off)
    assert [(order[i], value) for i, value in turned] == expected or trade_off == 0  # then the best is a tie of all


def test_the_trade_off():
    """1 is relevance alone; 0 is the best document, then what is unlike it; between, copies fall."""
    texts = ["blood pressure aspirin", "blood pressure aspirin", "blood tea", "wind"]
    encoder = HashEncoder(64)
    plain = MaxSimReranker(encoder).rerank("blood pressure", texts)
    assert MMRReranker(encoder=encoder, trade_off=1).rerank("blood pressure", texts).indices.tolist() == [0, 1, 2, 3]
    assert plain.indices.tolist() == [0, 1, 2, 3]
    assert MMRReranker(encoder=encoder, trade_off=0.5).rerank("blood pressure", texts).indices.tolist()[:2] == [0, 2]
    assert MMRReranker(encoder=encoder, trade_off=0).rerank("blood pressure", texts).indices.tolist()[-1] == 1


def test_norms_make_scores_comparable():
    """Min-max makes any scale one; "none" takes scores as they are; one list of equal scores counts as 1."""
    scores, matrix = [0.3, 0.2, 0.1], np.eye(3)
    scaled = MMRReranker(similarity=matrix).rerank("q", ["a", "b", "c"], scores=[v * 1000 - 7 for v in scores])
    assert scaled.scores == pytest.approx([0.7, 0.35, 0.0])
    plain = MMRReranker(similarity=matrix, norm="none").rerank("q", ["a", "b", "c"], scores=scores)
    assert plain.scores == pytest.approx([0.21, 0.14, 0.07])
    assert MMRReranker(similarity=[[1]]).rerank("q", ["a"], scores=[-3]).scores.tolist() == [0.7]
    with pytest.raises(InputError, match="expected one that keeps the order"):
        MMRReranker(norm="minmax_inverted")
    with pytest.raises(InputError, match="expected finite values"):
        MMRReranker(similarity=matrix, norm=lambda values: values * np.inf).rerank("q", ["a", "b", "c"], scores=scores)


def test_documents_that_have_no_score_stand_last():
    """By the first stage, or without content, whatever it said of them; inf is no score."""
    ranking = MMRReranker(similarity="shingles").rerank("q", ["a", "", "b", "c"], scores=[-np.inf, 9, 1, 2])
    assert list(ranking) == [(3, 0.7), (2, 0.0), (0, -np.inf), (1, -np.inf)]
    assert ranking.details["relevance"] == [2, 1, -np.inf, -np.inf]
    nothing = MMRReranker(similarity="shingles").rerank("q", ["", " "], scores=[1, 2], top_k=1)
    assert list(nothing) == [(0, -np.inf)]
    with pytest.raises(InputError, match="got inf at .1."):
        MMRReranker(similarity="shingles").rerank("q", ["a", "b"], scores=[1, np.inf])


def test_documents_that_the_reranker_leaves_out_stay_out():
    cut = rerankers.load("rank-near-duplicates", reranker=MaxSimReranker(HashEncoder(64)))
    ranking = MMRReranker(cut, encoder=HashEncoder(64)).rerank(QUERY, DOCUMENTS)
    assert sorted(ranking.indices.tolist()) == [0, 1, 2, 3, 5]


def test_options_are_json():
    options = json.loads('{"reranker": "rank-maxsim", "trade_off": 0.6, "similarity": "single", "norm": "zmuv"}')
    assert isinstance(rerankers.load("rank-mmr", **options), MMRReranker)
    stages = [{"reranker": MaxSimReranker(HashEncoder(64)), "keep": 4}, {"name": "rank-mmr", "similarity": "shingles"}]
    ranking = Cascade(stages).rerank(QUERY, DOCUMENTS)
    assert ranking.indices.tolist()[:2] == [2, 0]
    assert ranking.details["stage"][:4] == ["rank-mmr"] * 4


@pytest.mark.parametrize(("trade_off", "error"), [(-0.1, InputError), (1.1, InputError), ("much", InputTypeError)])
def test_a_trade_off_is_a_share(trade_off, error):
    with pytest.raises(error, match="trade_off"):
        MMRReranker(trade_off=trade_off)
