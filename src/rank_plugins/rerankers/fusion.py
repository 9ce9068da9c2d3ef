"""FusionReranker: several rerankers rank the documents, and their rankings are fused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.lists import Floats, Integers, Lists
from rank_plugins.fusion.plan import plan
from rank_plugins.fusion.trained import Trained
from rank_plugins.rerankers.parts import Part, part, part_name, ranked
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker

FIRST_STAGE = "first_stage"


class FusionReranker(Reranker):
    """Ranks documents with several rerankers and fuses the rankings; see `rank_plugins.fusion.fuse`.

    Documents that a reranker scores alike share a rank, so that equal texts get equal scores. A document that a
    reranker gives -inf, or does not return, is missing from its ranking; one that all of them give -inf stands last
    with -inf. `details` of a ranking has "timings" in seconds of the whole call, by part; "contributions" to the
    scores, by part, parallel to the ranking's indices; and "parts", the details of the parts' own rankings.
    """

    def __init__(
        self,
        rerankers: Sequence[Part],
        *,
        method: str | Trained | Callable[..., Any] = "rrf",
        weights: Sequence[float] | None = None,
        norm: Any = None,
        missing: str | float | None = None,
        first_stage: bool = False,
        **parameters: Any,
    ) -> None:
        """Choose the rerankers and how they are fused; no model is loaded before documents are ranked.

        Args:
            rerankers: names that `rank_plugins.rerankers.load` takes, dicts of a "name" and that reranker's options
                (which JSON can hold: {"name": "rank-maxsim", "score": "mean"}), or rerankers.
            method: as in `fuse`.
            weights: one per reranker, and one more for the first stage if it takes part.
            norm: as in `fuse`.
            missing: as in `fuse`.
            first_stage: fuse the first stage's scores too, as the last list; each request must have them.
            parameters: those of the method and the norm, such as k=60.

        Raises:
            InputError: no reranker, an unknown name, or what `fuse` refuses.
            InputTypeError: another type, or an unknown parameter.

        """
        if isinstance(rerankers, (str, bytes)) or not isinstance(rerankers, Sequence):
            raise InputTypeError(f"rerankers: expected a list of names or rerankers, got {type(rerankers).__name__}")
        if not rerankers:
            raise InputError("rerankers: expected at least one, got none")
        self.first_stage = bool(first_stage)
        count = len(rerankers) + self.first_stage
        self._plan = plan(count, method, weights=weights, norm=norm, missing=missing, parameters=parameters)
        self._rerankers: list[Reranker] = []
        self._own: list[Reranker] = []
        for i, one in enumerate(rerankers):
            made = part(one, f"rerankers[{i}]")
            self._own += [made] if made is not one else []
            self._rerankers.append(made)
        named = [part_name(one) for one in rerankers]
        self.names = [
            f"{name} {named[:i].count(name) + 1}" if name in named[:i] else name for i, name in enumerate(named)
        ]
        """What the parts are called in `details`."""
        self.names += [FIRST_STAGE] if self.first_stage else []

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        timings: dict[str, float] = {}
        parts = []
        for name, reranker in zip(self.names, self._rerankers, strict=False):
            start = time.perf_counter()
            parts.append(ranked(reranker, requests))
            timings[name] = time.perf_counter() - start
        start = time.perf_counter()
        columns = [[(ranking.indices, ranking.scores) for ranking in rankings] for rankings in parts]
        if self.first_stage:
            columns.append([_first_stage(request) for request in requests])
        sizes = [len(request.documents) for request in requests]
        lists, hopeless = side_by_side(columns, sizes, len(parts))
        scores = self._plan.scores(lists)
        scores = np.where(np.isnan(scores) | hopeless, -np.inf, scores)
        brought = self._plan.contributions(lists)
        timings["fusion"] = time.perf_counter() - start
        rankings = []
        for i, (first, last) in enumerate(zip(lists.unions.tolist(), lists.unions[1:].tolist(), strict=False)):
            ranking = Ranking.from_scores(scores[first:last], top_k, {"timings": dict(timings)})
            details = [rankings_of[i].details for rankings_of in parts]
            ranking.details["parts"] = dict(zip(self.names, details, strict=False))
            if brought is not None:
                rows = brought[:, first:last][:, ranking.indices].tolist()
                ranking.details["contributions"] = dict(zip(self.names, rows, strict=True))
            rankings.append(ranking)
        return rankings

    def warm_up(self) -> None:
        """Load the models of all rerankers."""
        for reranker in self._rerankers:
            reranker.warm_up()

    def close(self) -> None:
        """Close the rerankers that were made here from names."""
        for reranker in self._own:
            reranker.close()


def _first_stage(request: Request) -> tuple[Integers, Floats]:
    """Return the documents of a request by their first-stage scores, and these."""
    if request.scores is None:
        raise InputError("scores: expected the first stage's scores, because first_stage=True, got none")
    order = np.argsort(-request.scores, kind="stable")
    return order, request.scores[order]


def side_by_side(
    columns: Sequence[Sequence[tuple[Integers, Floats]]], sizes: Sequence[int], judges: int
) -> tuple[Lists, NDArray[np.bool_]]:
    """Return rankings as Lists in which every document of a request is in the union, at its index.

    Args:
        columns: for each part and request the indices and scores of its documents, best first.
        sizes: how many documents each request has.
        judges: how many of the parts are rerankers; they come first.

    Returns:
        The lists, and whether all rerankers gave a document -inf, bool [U].

    """
    unions = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    refused = np.zeros(int(unions[-1]), np.int64)
    codes, scores, ranks, lengths = [], [], [], [0]
    for i, first in enumerate(unions[:-1].tolist()):
        for j, rankings in enumerate(columns):
            indices, values = rankings[i]
            there = values > -np.inf
            if j < judges:
                refused[first + indices[~there]] += 1
            indices, values = indices[there], values[there]
            codes.append(first + indices)
            scores.append(values)
            begins = np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
            ranks.append(np.maximum.accumulate(np.where(begins, np.arange(len(values)), 0)) + 1)
            lengths.append(len(values))
    lists = Lists(
        len(columns), np.cumsum(lengths), np.concatenate(codes), np.concatenate(ranks), np.concatenate(scores), unions,
        [True] * len(columns),
    )  # fmt: skip
    return lists, refused == judges
