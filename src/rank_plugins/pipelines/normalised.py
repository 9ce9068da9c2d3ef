"""NormalisedReranker: the scores of each ranking on a common scale, by the normalisers of fusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.arguments import checked_norms
from rank_plugins.pipelines.wrapper import Wrapper
from rank_plugins.rerankers.fusion import side_by_side
from rank_plugins.rerankers.parts import Part
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request

TURNED = ("minmax_inverted",)  # gives the best document the lowest value
ROUNDING = 1e-12  # by how much neighbours may rise, of the largest value, before it is more than rounding


class NormalisedReranker(Wrapper):
    """Ranks as another reranker does, with the scores of each ranking normalised: its order stays.

    A score depends on the other documents of the list, unless the norm is "atan" or "sigmoid". Documents that have
    nothing to score keep -inf and do not count. `details` of a ranking has "raw", the reranker's own scores, parallel
    to the ranking's indices; "timings" in seconds; and "parts", the details of the reranker's own ranking.
    """

    def __init__(self, reranker: Part, norm: str | Callable[..., Any] = "minmax", **parameters: Any) -> None:
        """Choose the reranker and the normaliser; no model is loaded before documents are ranked.

        Args:
            reranker: a name, a dict of a "name" and options, or a Reranker.
            norm: one of those of `rank_plugins.fuse` that keep the order, such as "minmax", "zmuv", "sum" or "sigmoid",
                or a function of one list's scores, best first, that does not turn their order.
            parameters: those of the norm, such as constant=1.0.

        Raises:
            InputError: an unknown norm, one that turns the order, or an unknown reranker.
            InputTypeError: another type, or an unknown parameter.

        """
        super().__init__(reranker)
        (self._norm,) = checked_norms(norm, 1)
        if self._norm.name in TURNED:
            raise InputError(f"norm: expected one that keeps the order, got {norm!r}, which gives the best the lowest")
        wrong = [name for name in parameters if name not in self._norm.parameters]
        if wrong:
            takes = ", ".join(self._norm.parameters) or "none"
            raise InputTypeError(
                f"norm {self._norm.name!r}: unknown parameter {wrong[0]!r}; its parameters are: {takes}"
            )
        self._parameters = parameters

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        rankings, details = self._inner(requests)
        columns = [[(ranking.indices, ranking.scores) for ranking in rankings]]
        lists, _ = side_by_side(columns, [len(request.documents) for request in requests], 1)
        values = np.asarray(self._norm.values(lists, **self._parameters), np.float64)
        result = []
        for i, (ranking, known) in enumerate(zip(rankings, details, strict=True)):
            scores = np.full(len(ranking), -np.inf)
            part = values[lists.segments[i] : lists.segments[i + 1]]
            scores[: len(part)] = self._falling(part)
            known["raw"] = ranking.scores[:top_k].tolist()
            result.append(Ranking(ranking.indices[:top_k], scores[:top_k], known))
        return result

    def _falling(self, values: Any) -> Any:
        """Return values of a list, best first, without what rounding makes rise.

        Raises:
            InputError: they rise by more, or are infinite.

        """
        if not np.isfinite(values).all():
            raise InputError(f"norm {self._norm.name!r}: expected finite values, got {values.tolist()[:5]}")
        lowest = np.minimum.accumulate(values)
        if len(values) and (values - lowest).max() > ROUNDING * np.abs(values).max():
            raise InputError(
                f"norm {self._norm.name!r}: expected values that never rise down a ranking, got {values.tolist()[:5]};"
                " a norm must keep the order"
            )
        return lowest
