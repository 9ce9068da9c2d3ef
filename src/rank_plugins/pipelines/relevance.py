"""What rerankers that rearrange documents begin with: their relevance, by the caller's scores or another reranker."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError
from rank_plugins.fusion import norms
from rank_plugins.fusion.arguments import checked_norms
from rank_plugins.pipelines.normalised import TURNED
from rank_plugins.pipelines.similarity import Floats, Integers
from rank_plugins.pipelines.standing import joined
from rank_plugins.pipelines.wrapper import Wrapper
from rank_plugins.rerankers.fusion import side_by_side
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request

Norm: TypeAlias = "str | Callable[..., Any]"
Arranged: TypeAlias = tuple[Integers, Floats, dict[str, Any]]
"""Documents by their places in a Scored, best first; scores that never increase; what else is to stand in `details`."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """What is known of one query's documents before they are rearranged."""

    indices: Integers
    """Documents with a score, ascending; those that a reranker left out are not among them."""
    relevance: Floats
    """Their scores, finite."""
    nothing: Integers
    """Documents that have nothing to score, ascending."""
    details: dict[str, Any]
    """What `details` of the ranking begins with."""

    @classmethod
    def of(cls, request: Request, scores: Floats, details: dict[str, Any]) -> Scored:
        """Take scores, float64 [N], NaN for documents that are left out.

        Raises:
            InputError: a score of +inf.

        """
        if (scores == np.inf).any():
            raise InputError(f"scores: expected finite ones, or -inf, got inf at [{int(np.argmax(scores))}]")
        documents = request.documents
        if isinstance(documents, TokenEmbeddings):
            empty = documents.tokens == 0
        else:
            empty = np.fromiter((not text.strip() for text in documents), bool, len(documents))
        dead = (scores == -np.inf) | (empty & ~np.isnan(scores))
        indices = np.flatnonzero(~dead & ~np.isnan(scores))
        return cls(indices, scores[indices], np.flatnonzero(dead), details)


class Rearranging(Wrapper):
    """A reranker that gives documents other places than their relevance alone would."""

    def _scored(self, requests: Sequence[Request]) -> list[Scored]:
        """Return the relevance of all documents: the caller's scores, or what the reranker inside says."""
        scores = [request.scores for request in requests]
        details: list[dict[str, Any]] = [{"timings": {}} for _ in requests]
        if any(one is None for one in scores):
            rankings, details = self._inner(requests)
            scores = [row(ranking, len(request.documents)) for ranking, request in zip(rankings, requests, strict=True)]
        return [
            Scored.of(request, one, known)
            for request, one, known in zip(requests, scores, details, strict=True)
            if one is not None
        ]

    def _full(self, known: Scored, arranged: Arranged, top_k: int | None, start: float) -> Ranking:
        """Return the ranking of a query, whose arranging began at `start`: the arranged documents, then the empty."""
        places, scores, details = arranged
        indices = np.concatenate([known.indices[places], known.nothing])
        empty = np.full(len(known.nothing), -np.inf)
        ranking = Ranking(indices[:top_k], np.concatenate([scores, empty])[:top_k], known.details | details)
        ranking.details["relevance"] = np.concatenate([known.relevance[places], empty])[:top_k].tolist()
        ranking.details["timings"]["arranging"] = time.perf_counter() - start
        return ranking


def row(ranking: Ranking, count: int) -> Floats:
    """Return the score of each of `count` documents, NaN for those that the ranking does not have."""
    scores = np.full(count, np.nan)
    scores[ranking.indices] = ranking.scores
    return scores


def behind(relevance: Floats, first: Integers, last: Integers) -> tuple[Integers, Floats]:
    """Return documents in two groups, each best first, and scores that never increase.

    The first group keeps its scores; so does the second where no score of it is above the first group's lowest, and
    otherwise it gets a constant that puts its best document 1 below that.
    """
    order = np.concatenate([first, last])
    scores = relevance[order]
    if (np.diff(scores) > 0).any():
        scores = joined(scores, np.repeat([0, 1], [len(first), len(last)]))
    return order, scores


def normaliser(norm: Norm) -> norms.Norm:
    """Return the normaliser of that name, or that a function is.

    Raises:
        InputError: an unknown one, or one that turns the order.
        InputTypeError: another type.

    """
    (found,) = checked_norms(norm, 1)
    if found.name in TURNED:
        raise InputError(f"norm: expected one that keeps the order, got {norm!r}, which gives the best the lowest")
    return found


def scaled(relevance: Floats, norm: norms.Norm) -> Floats:
    """Return the scores of one list, in any order, on the normaliser's scale.

    Raises:
        InputError: that gives something that is not finite.

    """
    if not len(relevance):
        return relevance
    order = np.argsort(-relevance, kind="stable")
    lists, _ = side_by_side([[(order, relevance[order])]], [len(order)], 1)
    values = np.empty(len(order))
    values[order] = norm.values(lists)
    if not np.isfinite(values).all():
        raise InputError(f"norm {norm.name!r}: expected finite values, got {values[~np.isfinite(values)][0]}")
    return values
