"""MMRReranker: maximal marginal relevance."""

from __future__ import annotations

import numpy as np

from rank_plugins.pipelines.greedy import Gains, Greedy
from rank_plugins.pipelines.similarity import Floats, Integers


class MMRReranker(Greedy):
    """Ranks documents by relevance, less what is already said by those above (Carbonell and Goldstein, SIGIR 1998).

    One after the other, that document is taken whose value
        trade_off * relevance - (1 - trade_off) * similarity to the most similar document above
    is largest, the first of equals. The value is its score; it never increases, since similarities below 0 count as 0.
    Relevance is that of the request's `scores`, or without them of the reranker inside, on a common scale: from 0 for
    the worst document to 1 for the best. Documents that have nothing to score stand last with -inf.

    `details` of a ranking has "relevance", what came in, parallel to the indices; "timings" in seconds of the whole
    call; and "parts", the details of the reranker inside where it ranked.
    """

    def _gains(self, relevance: Floats, count: int) -> Gains:  # noqa: ARG002 - as many as there are
        return _Marginal(relevance, self.trade_off)


class _Marginal(Gains):
    """Relevance less the largest similarity to what is chosen."""

    def __init__(self, relevance: Floats, trade_off: float) -> None:
        self._worth, self._price = trade_off * relevance, 1 - trade_off
        self._closest = np.zeros(len(relevance))
        self.values = self._worth.copy()

    def compare(self, step: int, others: Integers, similarities: Floats) -> None:  # noqa: ARG002 - all steps are alike
        """Keep the largest similarity."""
        self._closest[others] = np.maximum(self._closest[others], similarities)
        self.values[others] = self._worth[others] - self._price * self._closest[others]

    def choose(self, step: int, i: int) -> None:
        """Nothing more is to be known."""
