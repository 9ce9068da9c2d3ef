"""Choosing documents one by one, each for what it adds to those chosen before."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np

from rank_plugins import _deadline
from rank_plugins.errors import InputError
from rank_plugins.fusion.arguments import number
from rank_plugins.pipelines.comparing import Comparing
from rank_plugins.pipelines.relevance import Arranged, Norm, Scored, normaliser, scaled
from rank_plugins.pipelines.similarity import Floats, Integers, Similarities
from rank_plugins.rerankers.parts import Part

CHOSEN = np.iinfo(np.int64).max


class Gains(abc.ABC):
    """What each document would add to those chosen so far. It never rises as more are chosen."""

    values: Floats
    """[N], the gain of each document beside those that it was compared with; -inf once it is chosen."""

    @abc.abstractmethod
    def compare(self, step: int, others: Integers, similarities: Floats) -> None:
        """Take into account how similar others are to the document chosen in this step; steps come in order."""

    @abc.abstractmethod
    def choose(self, step: int, i: int) -> None:
        """Take into account that document i is the one chosen in this step; it was compared with all before."""


def greedily(gains: Gains, similarities: Similarities, count: int) -> tuple[Integers, Floats]:
    """Return `count` documents in the order of choice, and their gains at that time, which never increase.

    The next one is always that of the largest gain, the first of equals. As gains never rise, one that is too low
    beside some of those chosen need not be compared with the others (Minoux 1978); the choice is the same.
    """
    compared = np.zeros(len(gains.values), np.int64)
    order: list[int] = []
    scores: list[float] = []
    while len(order) < count:
        best = int(np.argmax(gains.values))
        if compared[best] < len(order):
            _deadline.check()
            behind = np.flatnonzero(compared < len(order))
            if similarities.at_once is not None:
                behind = behind[np.argsort(-gains.values[behind], kind="stable")[: similarities.at_once]]
            for step in range(int(compared[behind].min()), len(order)):
                others = behind[compared[behind] <= step]
                gains.compare(step, others, similarities.row(order[step], others))
            compared[behind] = len(order)
        else:
            scores.append(float(gains.values[best]))
            gains.choose(len(order), best)
            gains.values[best] = -np.inf
            order.append(best)
            compared[best] = CHOSEN
    return np.array(order, np.int64), np.array(scores)


class Greedy(Comparing):
    """A reranker that chooses greedily, for relevance and for what is new. A subclass implements `_gains`."""

    def __init__(
        self,
        reranker: Part = "rank-maxsim",
        *,
        trade_off: float = 0.7,
        norm: Norm = "minmax",
        similarity: str | Callable[..., Any] | Any = "maxsim",
        encoder: Any = None,
        store: Any = None,
        threads: int | None = None,
    ) -> None:
        """Choose what relevance and similarity are; no model is loaded before documents are ranked.

        Args:
            reranker: gives the relevance of requests without `scores`: a name, a dict of a "name" and options, or a
                Reranker.
            trade_off: from 1, relevance alone, to 0, similarity alone.
            norm: makes scores comparable with similarities, by query: one of those of `rank_plugins.fuse` that keep
                the order, or a function of one list's scores, best first.
            similarity: "maxsim", "single", "shingles" or the caller's own; see `Comparing`.
            encoder: what makes the embeddings that are compared; see `Comparing`.
            store: where these embeddings are kept; see `Comparing`.
            threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.

        Raises:
            InputError: a trade_off outside 0 to 1, an unknown norm, similarity or reranker.
            InputTypeError: another type, or an unknown option.

        """
        super().__init__(reranker, similarity=similarity, encoder=encoder, store=store, threads=threads)
        self.trade_off = number(trade_off, "trade_off")
        if not 0 <= self.trade_off <= 1:
            raise InputError(f"trade_off: expected a number from 0 to 1, got {trade_off!r}")
        self._norm = normaliser(norm)

    @abc.abstractmethod
    def _gains(self, relevance: Floats, count: int) -> Gains:
        """Return what documents of this relevance, normalised, would add; `count` of them will be chosen."""

    def _arranged(self, known: Scored, similarities: Similarities, count: int) -> Arranged:
        gains = self._gains(scaled(known.relevance, self._norm), count)
        return *greedily(gains, similarities, count), {}
