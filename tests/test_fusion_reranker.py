"""FusionReranker: the contract, ranks that equal scores share, the first stage, batches, details."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rank_plugins import InputError, InputTypeError, rerankers
from rank_plugins.fusion import fuse
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.fusion import FusionReranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import QUERY, HashEncoder, RerankerContract


class Overlap(Reranker):
    """Counts the words of the query in a document, -inf without words."""

    def __init__(self):
        self.calls, self.closed, self.seen = 0, False, []

    def _rank(self, requests, top_k):
        self.calls += 1
        self.seen += [
            (request.ids, None if request.scores is None else request.scores.tolist()) for request in requests
        ]
        return [Ranking.from_scores([self._score(r.query, d) for d in r.documents], top_k) for r in requests]

    @staticmethod
    def _score(query, document):
        words = document.lower().split()
        return sum(word in query.lower().split() for word in words) if words else -math.inf

    def close(self):
        self.closed = True


class Fixed(Reranker):
    """Gives the scores it was made with, by text; a text it does not know is not returned."""

    def __init__(self, scores):
        self.scores = scores

    def _rank(self, requests, top_k):
        rankings = []
        for request in requests:
            known = [(i, self.scores[d]) for i, d in enumerate(request.documents) if d in self.scores]
            known.sort(key=lambda pair: -pair[1])
            rankings.append(Ranking([i for i, _ in known], [s for _, s in known]))
        return rankings


def parts():
    return [MaxSimReranker(HashEncoder(64)), Overlap()]


class TestContract(RerankerContract):
    """The contract with two rerankers under reciprocal rank fusion."""

    pointwise = False

    @pytest.fixture
    def reranker(self):
        """Return a fusion of MaxSim and word overlap."""
        return rerankers.load("rank-fusion", rerankers=parts())


class TestContractOfSums(TestContract):
    """The contract with normalised scores."""

    @pytest.fixture
    def reranker(self):
        """Return a weighted sum."""
        return rerankers.load("rank-fusion", rerankers=parts(), method="sum", norm="zmuv", weights=[0.7, 0.3])


class TestContractOfCondorcet(TestContract):
    """The contract where documents meet in pairs."""

    @pytest.fixture
    def reranker(self):
        """Return a Copeland fusion."""
        return rerankers.load("rank-fusion", rerankers=parts(), method="condorcet")


def test_the_fusion_is_that_of_fuse():
    """Without equal scores, the ranking is what `fuse` makes of the parts' rankings."""
    a, b = Fixed({"x": 3.0, "y": 2.0, "z": 1.0}), Fixed({"y": 0.9, "x": 0.1})
    ranking = FusionReranker([a, b], method="sum", weights=[1, 0.5]).rerank("q", ["x", "y", "z"])
    expected = fuse([[(0, 3.0), (1, 2.0), (2, 1.0)], [(1, 0.9), (0, 0.1)]], "sum", weights=[1, 0.5])
    assert dict(ranking) == dict(expected)


def test_equal_scores_share_a_rank():
    """Two documents alike to every part get one score, wherever they stand."""
    a = Fixed({"x": 1.0, "y": 1.0, "z": 0.5})
    assert list(FusionReranker([a]).rerank("q", ["z", "y", "x"])) == [(1, 1 / 61), (2, 1 / 61), (0, 1 / 63)]


def test_a_document_that_one_part_leaves_out_is_fused_from_the_others():
    """Missing in one ranking is no reason to be lost."""
    a, b = Fixed({"x": 1.0}), Fixed({"y": 1.0})
    assert list(FusionReranker([a, b]).rerank("q", ["y", "x"])) == [(0, 1 / 61), (1, 1 / 61)]
    assert list(FusionReranker([a, b]).rerank("q", ["nobody", "x"])) == [(1, 1 / 61), (0, -math.inf)]


def test_the_first_stage_is_one_more_list():
    """Its scores are fused last in the order of weights; documents without content stay last all the same."""
    a = Fixed({"x": 2.0, "y": 1.0, "": -math.inf})
    fused = FusionReranker([a], first_stage=True, method="sum", weights=[1, 3])
    ranking = fused.rerank("q", ["x", "", "y"], scores=[0.0, 9.0, 9.0])
    assert list(ranking) == [(2, 3.0), (0, 1.0), (1, -math.inf)]
    assert ranking.details["contributions"]["first_stage"] == [3.0, 0.0, 3.0]
    with pytest.raises(InputError, match="first_stage=True"):
        fused.rerank("q", ["x"])


def test_a_batch_is_one_call_of_each_part():
    """Requests are ranked together, with ids and first-stage scores handed on, and not mixed."""
    overlap = Overlap()
    fused = FusionReranker([overlap, MaxSimReranker(HashEncoder())], method="sum")
    documents = [["aspirin", "wind"], [], ["blood", "pressure of blood", "tea"]]
    ids = [["1", "2"], [], ["3", "4", "5"]]
    scores = [[0.2, 0.1], [], [3.0, 2.0, 1.0]]
    together = fused.rerank_batch([QUERY, "", "blood"], documents, ids=ids, scores=scores)
    assert overlap.calls == 1
    assert overlap.seen == [(ids[0], scores[0]), (ids[2], scores[2])]
    assert [list(ranking) for ranking in together] == [
        list(fused.rerank(QUERY, documents[0])), [], list(fused.rerank("blood", documents[2]))
    ]  # fmt: skip


def test_details_name_every_part():
    """Timings, contributions that add up to the score, and the parts' own details; equal names are numbered."""
    fused = FusionReranker([Overlap(), Overlap(), MaxSimReranker(HashEncoder())], weights=[1, 2, 3])
    ranking = fused.rerank(QUERY, ["aspirin", "blood pressure", "tea"], top_k=2)
    assert fused.names == ["Overlap", "Overlap 2", "MaxSimReranker"]
    assert list(ranking.details["timings"]) == [*fused.names, "fusion"]
    assert "maxsim" in ranking.details["parts"]["MaxSimReranker"]["timings"]
    columns = [ranking.details["contributions"][name] for name in fused.names]
    assert np.sum(columns, axis=0) == pytest.approx(ranking.scores, rel=1e-14)


def test_close_closes_what_was_made_here():
    """A reranker that the caller made stays open."""
    overlap = Overlap()
    with FusionReranker([overlap, "rank-maxsim"]) as fused:
        assert isinstance(fused._own[0], MaxSimReranker)
    assert not overlap.closed


def test_permuting_the_documents_permutes_the_fusion():
    """Fusion is not pointwise, so its permutation proof is over many orders of documents with equal scores."""
    texts = ["aspirin blood", "blood aspirin", "tea", "pressure", "effects of aspirin", "wind tunnel drag"]
    fused = FusionReranker(parts())
    expected = {texts[i]: score for i, score in fused.rerank(QUERY, texts)}
    rng = np.random.default_rng(0)
    for _ in range(20):
        order = rng.permutation(len(texts)).tolist()
        turned = [texts[i] for i in order]
        assert {turned[i]: pytest.approx(score) for i, score in fused.rerank(QUERY, turned)} == expected


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"rerankers": []}, InputError, "at least one"),
        ({"rerankers": "rank-maxsim"}, InputTypeError, "list of names"),
        ({"rerankers": [7]}, InputTypeError, r"rerankers\[0\]"),
        ({"rerankers": ["rank-maxsin"]}, InputError, "did you mean 'rank-maxsim'"),
        ({"rerankers": [Overlap()], "method": "rff"}, InputError, "did you mean .*'rrf'"),
        ({"rerankers": [Overlap()], "weights": [1, 2]}, InputError, "one per list"),
        ({"rerankers": [Overlap()], "K": 60}, InputTypeError, "did you mean 'k'"),
    ],
)
def test_wrong_options_are_refused(options, error, text):
    """What cannot be fused is said before any model loads."""
    with pytest.raises(error, match=text):
        rerankers.load("rank-fusion", **options)
