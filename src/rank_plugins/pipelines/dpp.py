"""DPPReranker: greedy MAP inference for a determinantal point process."""

from __future__ import annotations

import numpy as np

from rank_plugins.pipelines.greedy import Gains, Greedy
from rank_plugins.pipelines.similarity import Floats, Integers

LEAST_NEW = 1e-6
"""The share of a document that is new counts as at least this: less is rounding, of similarities and of their sums."""


class DPPReranker(Greedy):
    """Ranks documents so that the first ones span as much as they can (Chen, Zhang and Zhou, NeurIPS 2018).

    The set Y of the documents so far is worth
        trade_off * (sum of their relevances) + (1 - trade_off) * log det of their similarities S_Y,
    which is (1 - trade_off) times the log-determinant of the kernel diag(q) S diag(q) with
    q = exp(relevance * trade_off / (2 (1 - trade_off))). One after the other, that document is taken which adds most,
    the first of equals; what it adds is its score, which never increases. The determinant sees what several documents
    say together, where MMR sees one at a time.

    A document that those above it explain up to a millionth, a copy of one of them or one that comes when all
    dimensions are spanned, counts as new by that millionth, so that such documents follow in order of relevance. That
    also ends what a similarity which is no inner product (MaxSim need not be one) would make negative.

    Relevance and `details` are as in `MMRReranker`. Documents that have nothing to score stand last with -inf.
    """

    def _gains(self, relevance: Floats, count: int) -> Gains:
        return _LogDeterminant(relevance, self.trade_off, count)


class _LogDeterminant(Gains):
    """Relevance and the logarithm of what is new, from the rows of a Cholesky factor that grows by one a step."""

    def __init__(self, relevance: Floats, trade_off: float, count: int) -> None:
        self._worth, self._price = trade_off * relevance, 1 - trade_off
        self._new = np.ones(len(relevance))  # det S_(Y + i) / det S_Y
        self._factor = np.zeros((len(relevance), count))
        self._roots = np.zeros(count)  # of what was new in each chosen one; 0 where that was nothing
        self._chosen = np.zeros(count, np.int64)
        self.values = self._worth.copy()

    def compare(self, step: int, others: Integers, similarities: Floats) -> None:
        """Take from what is new the part that lies along the chosen one."""
        if self._roots[step]:
            before = np.einsum("ij,j->i", self._factor[others, :step], self._factor[self._chosen[step], :step])
            along = (similarities - before) / self._roots[step]
            self._factor[others, step] = along
            self._new[others] -= along**2
            logarithms = np.log(np.maximum(self._new[others], LEAST_NEW))
            self.values[others] = self._worth[others] + self._price * logarithms

    def choose(self, step: int, i: int) -> None:
        """Keep what was new in the one chosen."""
        self._chosen[step] = i
        self._roots[step] = np.sqrt(self._new[i]) if self._new[i] > LEAST_NEW else 0.0
