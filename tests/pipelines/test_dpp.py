"""DPPReranker: the contract, greedy choice by determinants, all orders of few documents, copies, no inner product."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import TokenEmbeddings, rerankers
from rank_plugins.pipelines.dpp import LEAST_NEW, DPPReranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder, RerankerContract


class TestContract(RerankerContract):
    """The contract with token embeddings."""

    pointwise = alike = False

    @pytest.fixture
    def reranker(self):
        """Return a DPP over MaxSim."""
        return rerankers.load("rank-dpp", encoder=HashEncoder(64))


class TestContractOfSingleVectors(TestContract):
    """The contract with one vector per document."""

    @pytest.fixture
    def reranker(self):
        """Return a DPP with a MaxSimReranker of its own."""
        return rerankers.load("rank-dpp", reranker=MaxSimReranker(HashEncoder(64)), similarity="single", trade_off=0.9)


def dpp(relevance, matrix, trade_off=0.7, top_k=None, **options):
    texts = [f"text {i}" for i in range(len(relevance))]
    reranker = DPPReranker(similarity=matrix, trade_off=trade_off, **options)
    return reranker.rerank("q", texts, scores=relevance, top_k=top_k)


def worth(relevance, matrix, trade_off, chosen):
    """Return the objective of a set, by its determinant."""
    if not chosen:
        return 0.0
    chosen = list(chosen)
    sign, logarithm = np.linalg.slogdet(matrix[np.ix_(chosen, chosen)])
    assert sign > 0
    return trade_off * sum(relevance[i] for i in chosen) + (1 - trade_off) * logarithm


def draw(rng, n, dim):
    """Return relevances from 0 to 1 and the cosines of random vectors."""
    vectors = rng.standard_normal((n, dim))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    relevance = rng.random(n)
    relevance[:2] = 0, 1  # min-max leaves them as they are
    matrix = vectors @ vectors.T
    np.fill_diagonal(matrix, 1)
    return relevance.tolist(), matrix


def by_determinants(relevance, matrix, trade_off):
    """Return (index, gain) by the definition: the document whose set has the largest objective, one after the other."""
    ranking = []
    while len(ranking) < len(relevance):
        chosen = [i for i, _ in ranking]
        base = worth(relevance, matrix, trade_off, chosen)
        left = [i for i in range(len(relevance)) if i not in chosen]
        gains = [worth(relevance, matrix, trade_off, [*chosen, i]) - base for i in left]
        best = int(np.argmax(gains))
        ranking.append((left[best], gains[best]))
    return ranking


@pytest.mark.parametrize("trade_off", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("n", [2, 7, 20])
def test_it_is_the_greedy_choice_by_determinants(rng, n, trade_off):
    relevance, matrix = draw(rng, n, 32)
    expected, found = by_determinants(relevance, matrix, trade_off), list(dpp(relevance, matrix, trade_off))
    assert [i for i, _ in found] == [i for i, _ in expected]
    assert [gain for _, gain in found] == pytest.approx([gain for _, gain in expected], abs=1e-9)


def test_it_is_the_kernel_of_the_paper(rng):
    """Gains are those of log det diag(q) S diag(q), times 1 - trade_off."""
    relevance, matrix = draw(rng, 8, 16)
    theta = 0.6
    q = np.exp(np.array(relevance) * theta / (2 * (1 - theta)))
    kernel = q[:, None] * matrix * q
    ranking = dpp(relevance, matrix, theta)
    order = ranking.indices.tolist()
    totals = [np.linalg.slogdet(kernel[np.ix_(order[:t], order[:t])])[1] for t in range(1, 9)]
    assert np.cumsum(ranking.scores) == pytest.approx((1 - theta) * np.array(totals), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_order_has_larger_gains_from_the_first(seed):
    """Of all orders of five documents, the gains of this one are the largest where two first differ."""
    relevance, matrix = draw(np.random.default_rng(seed), 5, 6)

    def gains(order):
        totals = [worth(relevance, matrix, 0.6, order[:t]) for t in range(6)]
        return [round(gain, 8) for gain in np.diff(totals)]

    best = max(itertools.permutations(range(5)), key=gains)
    assert dpp(relevance, matrix, 0.6).indices.tolist() == list(best)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6), st.integers(0, 8).map(lambda v: v / 8))
def test_gains_never_increase_and_top_k_is_a_prefix(n, dim, seed, trade_off):
    """Also where vectors are more than dimensions, and matrices no inner products."""
    rng = np.random.default_rng(seed)
    relevance, matrix = draw(rng, n, dim) if n > 1 else ([0.5], np.ones((1, 1)))
    noise = rng.normal(0, 0.1 * (seed % 3), (n, n))
    matrix = np.clip(matrix + noise + noise.T, -1, 1)
    everything = list(dpp(relevance, matrix, trade_off))
    assert sorted(i for i, _ in everything) == list(range(n))
    gains = [gain for _, gain in everything]
    assert gains == sorted(gains, reverse=True)
    assert list(dpp(relevance, matrix, trade_off, top_k=3)) == everything[:3]


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6), st.randoms())
def test_permuting_the_documents_permutes_the_ranking(n, seed, random):
    """Where relevances are distinct, nothing else decides."""
    relevance, matrix = draw(np.random.default_rng(seed), n, 24)
    order = random.sample(range(n), n)
    turned = dpp([relevance[i] for i in order], matrix[np.ix_(order, order)])
    expected = dpp(relevance, matrix)
    assert [order[i] for i in turned.indices.tolist()] == expected.indices.tolist()
    assert turned.scores == pytest.approx(expected.scores, abs=1e-9)


def test_what_is_explained_follows_by_relevance():
    """Copies and what lies in the span of those above count as new by a millionth."""
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    ranking = dpp([1.0, 0.9, 0.3, 0.8, 0.0, 0.8], vectors @ vectors.T, 0.5)
    assert ranking.indices.tolist() == [0, 1, 4, 3, 5, 2]
    floor = 0.5 * np.log(LEAST_NEW)
    assert ranking.scores == pytest.approx([0.5, 0.45, 0.0, 0.4 + floor, 0.4 + floor, 0.15 + floor])


def test_a_document_that_counts_for_nothing_changes_nothing_below(rng):
    """A copy that relevance alone brings in between leaves the gains of the others as they were."""
    relevance, matrix = draw(rng, 6, 12)
    places = [0, 1, 2, 3, 4, 5, 1]
    copied = dpp([relevance[i] for i in places], matrix[np.ix_(places, places)], 0.9999)
    plain = dpp(relevance, matrix, 0.9999)
    assert 6 in copied.indices.tolist()[:5]
    assert {i: gain for i, gain in copied if i != 6} == pytest.approx(dict(plain))


def test_equal_documents_keep_their_order(rng):
    """However they lie among others: rounding does not tell copies apart."""
    vectors = rng.standard_normal((5, 40))
    places = [0, 1, 2, 1, 3, 1, 4, 2, 1]
    rows = vectors[places] / np.linalg.norm(vectors[places], axis=1)[:, None]
    embedded = np.asarray(rows, np.float32)[:, None, :]
    documents = TokenEmbeddings.from_padded(embedded)
    for similarity in ("single", "maxsim"):
        order = DPPReranker(similarity=similarity, trade_off=0.3).rerank("q", documents, scores=[1.0] * 9).indices
        for copies in ([1, 3, 5, 8], [2, 7]):
            assert [i for i in order.tolist() if i in copies] == copies


def test_the_set_counts_where_mmr_sees_pairs():
    """A document between two that were chosen is explained by both together, and falls behind one that is not."""
    a, b = np.eye(3)[:2]
    between, apart = (a + b) / 2**0.5, np.array([0.72, 0, (1 - 0.72**2) ** 0.5])
    vectors = np.array([a, b, between, apart])
    assert (vectors @ vectors.T)[2, :2].max() < (vectors @ vectors.T)[3, :2].max()
    scores = [1.0, 1.0, 0.0, 0.0]
    assert dpp(scores, vectors @ vectors.T).indices.tolist() == [0, 1, 3, 2]
    mmr = rerankers.load("rank-mmr", similarity=vectors @ vectors.T).rerank("q", list("abcd"), scores=scores)
    assert mmr.indices.tolist() == [0, 1, 2, 3]
