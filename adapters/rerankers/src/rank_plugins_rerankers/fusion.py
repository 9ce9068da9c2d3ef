"""Rankers of rerankers as rerankers of rank_plugins, so that `Reranker("rank-fusion", rankers=[...])` can take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rank_plugins import rerankers as ours
from rank_plugins.errors import InputTypeError
from rank_plugins.rerankers.reranker import Request
from rank_plugins_rerankers.host import BaseRanker


def to_rerankers(rankers: object) -> list[str | ours.Reranker]:
    """Return names and rerankers for `rank_plugins.rerankers.load("rank-fusion", rerankers=...)`.

    Args:
        rankers: names of rank_plugins, its rerankers, or rankers of rerankers, which are wrapped.

    Raises:
        InputTypeError: anything else.

    """
    if isinstance(rankers, (str, bytes)) or not isinstance(rankers, Sequence):
        raise InputTypeError(f"rankers: expected a list of names or rankers, got {type(rankers).__name__}")
    return [_reranker(one, f"rankers[{i}]") for i, one in enumerate(rankers)]


def _reranker(one: Any, where: str) -> str | ours.Reranker:
    inner = getattr(one, "reranker", one)  # a MaxSimRanker holds one of ours
    if isinstance(inner, (str, ours.Reranker)):
        return inner
    if isinstance(one, BaseRanker):
        return HostReranker(one)
    raise InputTypeError(f"{where}: expected a name, a Reranker of rank_plugins or a ranker, got {type(one).__name__}")


class HostReranker(ours.Reranker):
    """A ranker of rerankers behind the interface of rank_plugins. It ranks text, one query at a time.

    Empty texts score -inf and never reach it. Where it gives ranks and no scores, n, n - 1, ..., 1 stand for them.
    """

    def __init__(self, ranker: Any) -> None:
        """Hold the ranker, which stays the caller's to close."""
        self.ranker = ranker

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[ours.Ranking]:
        return [self._one(request, top_k) for request in requests]

    def _one(self, request: Request, top_k: int | None) -> ours.Ranking:
        if not isinstance(request.query, str) or not isinstance(request.documents, list):
            raise InputTypeError(f"{type(self.ranker).__name__}: expected query and documents as text, got embeddings")
        filled = [i for i, text in enumerate(request.documents) if text.strip()]
        pairs: list[tuple[int, float]] = []
        if filled:
            results = self.ranker.rank(request.query, [request.documents[i] for i in filled], doc_ids=filled)
            scored = results.has_scores and all(result.score is not None for result in results)
            pairs = [
                (result.doc_id, float(result.score if scored else len(filled) - place))
                for place, result in enumerate(results)
            ]
        pairs.sort(key=lambda pair: (-pair[1], pair[0]))  # ties keep the input order
        empty = [i for i, text in enumerate(request.documents) if not text.strip()]
        kept = [*pairs, *((i, float("-inf")) for i in empty)][:top_k]
        return ours.Ranking([i for i, _ in kept], [score for _, score in kept])
