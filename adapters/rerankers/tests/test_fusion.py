"""`Reranker("rank-fusion", rankers=[...])`: the contract, and rankers of three kinds fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

from rerankers import Document
from rerankers.models.ranker import BaseRanker
from rerankers.results import RankedResults, Result
from rerankers.utils import prep_docs

from rank_plugins import rerankers as core
from rank_plugins.errors import InputTypeError
from rank_plugins.fusion import fuse
from rank_plugins.testing import HashEncoder, RerankerContract
from rank_plugins_rerankers import MaxSimRanker, Reranker

TEXTS = ["green tea leaves", "the red apple", "an apple pie", "a red apple tree", ""]
QUERY = "red apple"


class WordCount(BaseRanker):
    """A ranker as the host's own are written: it counts the words of the query."""

    ranking_type = "pointwise"

    def __init__(self, scores: bool = True) -> None:
        self.scores = scores
        self.asked: list[list[str]] = []

    def score(self, query: str, doc: str) -> float:
        return float(sum(word in query.lower().split() for word in doc.lower().split()))

    def rank(self, query: str, docs: Any, doc_ids: Any = None, metadata: Any = None) -> RankedResults:
        documents = prep_docs(docs, doc_ids, metadata)
        self.asked.append([document.text for document in documents])
        ordered = sorted(documents, key=lambda document: -self.score(query, document.text))
        results = [
            Result(document, score=self.score(query, document.text) if self.scores else None, rank=place)
            for place, document in enumerate(ordered, start=1)
        ]
        return RankedResults(results, query, has_scores=self.scores)


class TestContract(RerankerContract):
    """A fusion of ours and of a ranker of the host, as users of rerankers call it."""

    nothing = -1e9
    pointwise = False
    test_top_k_below_one_is_refused = None  # the host cuts afterwards, by RankedResults.top_k

    @pytest.fixture
    def reranker(self) -> Any:
        """Return the ranker of the host's factory."""
        ours = Reranker("rank-maxsim", verbose=0, encoder=HashEncoder(64))
        return Reranker("rank-fusion", verbose=0, rankers=[ours, WordCount()], method="sum")

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Rank by the host's call; ids are positions."""
        results = reranker.rank(query, documents)
        return [(result.doc_id, result.score) for result in (results.top_k(top_k) if top_k else results)]

    async def rank_async(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Rank by the host's coroutine."""
        results = await reranker.rank_async(query, documents)
        return [(result.doc_id, result.score) for result in (results.top_k(top_k) if top_k else results)]


def test_names_ours_and_the_hosts_are_fused() -> None:
    """A name, a reranker of the core, a ranker made here and one of the host; results are the host's own."""
    maxsim = core.load("rank-maxsim", encoder=HashEncoder(64))
    made = Reranker("rank-maxsim", verbose=0, encoder=HashEncoder(64))
    ranker = Reranker("rank-fusion", verbose=0, rankers=["rank-maxsim", maxsim, made, WordCount()])
    assert isinstance(ranker, MaxSimRanker)
    names = ["rank-maxsim", "MaxSimReranker", "MaxSimReranker 2", "HostReranker"]
    assert ranker.reranker.names == names
    documents = [Document(text, doc_id=name) for text, name in zip(TEXTS[:2], "ab", strict=True)]
    results = Reranker("rank-fusion", verbose=0, rankers=[maxsim, WordCount()]).rank(QUERY, documents)
    assert isinstance(results, RankedResults)
    assert [(result.doc_id, result.text) for result in results] == [("b", TEXTS[1]), ("a", TEXTS[0])]


def test_scores_of_the_hosts_rankers_are_fused() -> None:
    """What a ranker of the host scores is what `fuse` gets; an empty text never reaches it and stands last."""
    counts = WordCount()
    ranker = Reranker("rank-fusion", verbose=0, rankers=[counts], method="sum", norm="none", weights=[2])
    results = ranker.rank(QUERY, TEXTS)
    assert [(result.doc_id, result.score) for result in results] == [(1, 4.0), (3, 4.0), (2, 2.0), (0, 0.0), (4, -1e9)]
    assert counts.asked == [TEXTS[:4]]


def test_a_ranker_without_scores_is_fused_by_its_ranks() -> None:
    """A listwise ranker gives ranks only."""
    ranker = Reranker("rank-fusion", verbose=0, rankers=[WordCount(scores=False)])
    results = ranker.rank(QUERY, TEXTS[:4])
    assert [(result.doc_id, result.score) for result in results] == fuse([[1, 3, 2, 0]])


@pytest.mark.parametrize("rankers", ["rank-maxsim", 7, [7]])
def test_what_is_no_ranker_is_refused(rankers: object) -> None:
    """The error says what may stand there."""
    with pytest.raises(InputTypeError, match="rankers"):
        Reranker("rank-fusion", verbose=0, rankers=rankers)


def test_embeddings_do_not_reach_the_hosts_rankers() -> None:
    """A ranker of the host takes text only, and the error says so."""
    encoder = HashEncoder(8)
    fused = Reranker("rank-fusion", verbose=0, rankers=[WordCount()]).reranker
    with pytest.raises(InputTypeError, match="WordCount: expected query and documents as text"):
        fused.rerank(QUERY, encoder.encode_documents(TEXTS[:2]))
