"""Ranking: what every reranker returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins.errors import InputError


class Ranking:
    """Documents in order, best first: indices into the caller's list and their scores.

    Iterating yields pairs (index, score) of Python int and float. A document that has nothing to score
    stands last with -inf.
    """

    __slots__ = ("details", "indices", "scores")

    indices: NDArray[np.int64]
    """Positions in the caller's list, int64 [n], each at most once."""
    scores: NDArray[np.float64]
    """Never increasing, float64 [n]; the scale is the reranker's."""
    details: dict[str, Any]
    """What else is known of the request, such as "timings" in seconds."""

    def __init__(self, indices: ArrayLike, scores: ArrayLike, details: Mapping[str, Any] | None = None) -> None:
        """Hold a ranking that is already in order.

        Raises:
            InputError: lengths that differ, an index twice, scores that increase or are NaN.

        """
        self.indices = np.array(indices, np.int64)
        self.scores = np.array(scores, np.float64)
        self.details = dict(details or {})
        if self.indices.shape != self.scores.shape or self.indices.ndim != 1:
            raise InputError(f"Ranking: expected [n] and [n], got {self.indices.shape} and {self.scores.shape}")
        if len(np.unique(self.indices)) != len(self.indices):
            raise InputError("Ranking: expected each index once, got one twice")
        if not (self.scores[:-1] >= self.scores[1:]).all() or np.isnan(self.scores).any():
            raise InputError("Ranking: expected scores that never increase, got an increase or NaN")
        self.indices.flags.writeable = self.scores.flags.writeable = False

    @classmethod
    def from_scores(
        cls, scores: ArrayLike, top_k: int | None = None, details: Mapping[str, Any] | None = None
    ) -> Ranking:
        """Rank documents 0 ... N - 1 by their scores [N], highest first; ties keep the input order.

        Raises:
            InputError: a score is NaN.

        """
        values = np.asarray(scores, np.float64)
        order = np.argsort(-values, kind="stable")[:top_k]
        return cls(order, values[order], details)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(self.indices.tolist(), self.scores.tolist(), strict=True)

    def __repr__(self) -> str:
        shown = ", ".join(f"({i}, {score:.4g})" for i, score in list(self)[:3])
        return f"Ranking([{shown}{', ...' if len(self) > 3 else ''}], n={len(self)})"
