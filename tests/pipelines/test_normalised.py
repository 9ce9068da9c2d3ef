"""NormalisedReranker: the contract, every norm by its formula, order and -inf kept, what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, rerankers
from rank_plugins.evaluation.calibrators import Platt
from rank_plugins.pipelines.normalised import NormalisedReranker
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract


class Fixed(Reranker):
    """Gives the scores that are written in the documents."""

    def _rank(self, requests, top_k):
        return [Ranking.from_scores([float(text) for text in r.documents], top_k) for r in requests]


class TestContract(RerankerContract):
    """The contract."""

    pointwise = False

    @pytest.fixture(params=["minmax", "rank"])
    def reranker(self, request):
        """Return MaxSim with a norm."""
        return rerankers.load("rank-normalised", reranker=MaxSimReranker(HashEncoder(64)), norm=request.param)


def ranked(norm, scores, **parameters):
    return NormalisedReranker(Fixed(), norm, **parameters).rerank("q", [str(score) for score in scores])


FORMULAS = {
    "none": lambda s: s,
    "minmax": lambda s: (s - s.min()) / (s.max() - s.min()),
    "max": lambda s: s / s.max(),
    "sum": lambda s: (s - s.min()) / (s - s.min()).sum(),
    "zmuv": lambda s: (s - s.mean()) / s.std(),
    "dbsf": lambda s: (s - s.mean() + 3 * s.std(ddof=1)) / (6 * s.std(ddof=1)),
    "l2": lambda s: s / np.linalg.norm(s),
    "rank": lambda s: 1 - np.arange(len(s)) / len(s),
    "borda": lambda s: 1 - np.arange(len(s)) / len(s),
    "atan": lambda s: 0.5 + np.arctan(s) / np.pi,
    "sigmoid": lambda s: 1 / (1 + np.exp(-s)),
}


@pytest.mark.parametrize("norm", FORMULAS)
def test_each_norm_is_its_formula(norm):
    """Over what has a score; the rest stays last with -inf."""
    ranking = ranked(norm, [0.5, -math.inf, 3.0, -1.25, 2.0, -math.inf])
    known = np.array([3.0, 2.0, 0.5, -1.25])
    assert ranking.indices.tolist() == [2, 4, 0, 3, 1, 5]
    assert ranking.scores[:4].tolist() == pytest.approx(FORMULAS[norm](known).tolist())
    assert ranking.scores[4:].tolist() == [-math.inf] * 2
    assert ranking.details["raw"] == [3.0, 2.0, 0.5, -1.25, -math.inf, -math.inf]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from(sorted(set(FORMULAS) - {"max"})))
def test_the_order_stays(scores, norm):
    """Whatever rounding does, and equal scores stay equal."""
    ranking, plain = ranked(norm, scores), Fixed().rerank("q", [str(score) for score in scores])
    assert ranking.indices.tolist() == plain.indices.tolist()
    equal = np.diff(plain.scores) == 0
    assert (np.diff(ranking.scores)[equal] == 0).all()


def test_a_list_of_one_and_lists_without_a_score():
    """A lone document gets the norm's constant; no score is no score."""
    assert list(ranked("minmax", [7.0])) == [(0, 1.0)]
    assert list(ranked("minmax", [7.0, 7.0], constant=0.5)) == [(0, 0.5), (1, 0.5)]
    assert list(ranked("zmuv", [-math.inf, -math.inf])) == [(0, -math.inf), (1, -math.inf)]


def test_a_batch_is_normalised_list_by_list():
    """Lists do not see each other, and top_k cuts what was normalised whole."""
    made = NormalisedReranker(Fixed())
    rankings = made.rerank_batch(["a", "b"], [["1", "3", "2"], ["10", "-inf", "20"]], top_k=2)
    assert [list(ranking) for ranking in rankings] == [[(1, 1.0), (2, 0.5)], [(2, 1.0), (0, 0.0)]]
    assert rankings[0].details["raw"] == [3.0, 2.0]
    assert list(rankings[0].details["parts"]) == ["Fixed"]
    assert json.dumps([ranking.details for ranking in rankings])


def test_a_function_is_a_norm():
    """Such as a calibrator; one that turns the order is refused."""
    assert ranked(Platt(1.0, 0.0), [0.0, -math.inf]).scores.tolist() == [0.5, -math.inf]
    with pytest.raises(InputError, match="keep the order"):
        ranked(np.negative, [1.0, 2.0])


def test_a_function_gives_finite_values():
    """Else a document that was scored would stand among those that were not."""
    with pytest.raises(InputError, match="finite"):
        NormalisedReranker(MaxSimReranker(HashEncoder(32)), lambda scores: [-math.inf for _ in scores]).rerank(
            QUERY, DOCUMENTS
        )


def test_what_is_refused():
    """Norms that turn the order, unknown names and parameters, and scores that a norm cannot take."""
    with pytest.raises(InputError, match="keeps the order"):
        NormalisedReranker(Fixed(), "minmax_inverted")
    with pytest.raises(InputError, match="minmax"):
        NormalisedReranker(Fixed(), "minimax")
    with pytest.raises(InputTypeError, match="constant"):
        NormalisedReranker(Fixed(), "minmax", konstant=1)
    with pytest.raises(InputError, match="positive"):
        ranked("max", [-1.0, -2.0])
