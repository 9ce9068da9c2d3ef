"""How the documents of one query stand between the stages of a cascade."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request

LARGEST = float(np.finfo(np.float64).max)


@dataclasses.dataclass(frozen=True)
class Standing:
    """What is known of one query's documents; a stage makes a new one of it. N documents, by their index."""

    request: Request
    order: NDArray[np.int64]
    """Those that are left, best first: in groups of those that one stage scored last, the latest stage first."""
    nothing: NDArray[np.int64]
    """Those to which a stage gave -inf."""
    raw: NDArray[np.float64]
    """[N], what the stage that scored it last says of each."""
    stage: NDArray[np.int64]
    """[N], the number of that stage, -1 for the caller's scores."""
    candidates: int
    """How many of `order` the next stage gets."""
    kept: int | None
    """What the last stage passed said about how many to keep."""
    last: Ranking
    """The ranking of the last stage that ran, or of the caller's scores."""
    records: tuple[Mapping[str, Any], ...] = ()
    """What became of each stage so far."""
    parts: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """The details of the rankings of the stages that ran, by their names."""

    @classmethod
    def first(cls, request: Request) -> Standing:
        """Return where the documents stand before any stage: by the caller's scores, or else as they came."""
        count = len(request.documents)
        raw = np.arange(0.0, -count, -1.0) if request.scores is None else request.scores
        last = Ranking.from_scores(raw)
        return cls(request, last.indices, np.empty(0, np.int64), raw, np.full(count, -1), count, None, last)

    def given(self) -> Request:
        """Return what the next stage is to rank; in the order so far, so that its ties keep that."""
        picked = self._picked()
        documents, ids, scores = self.request.documents, self.request.ids, self.request.scores
        return Request(
            self.request.query,
            [documents[i] for i in picked.tolist()] if isinstance(documents, list) else documents[picked],
            None if ids is None else [ids[i] for i in picked.tolist()],
            None if scores is None and self.stage.max() < 0 else self.raw[picked],
        )

    def _picked(self) -> NDArray[np.int64]:
        """Return the candidates: of the first stage that runs in the caller's order, later in the order so far."""
        picked = self.order[: self.candidates]
        return np.sort(picked) if self.stage.max() < 0 else picked

    def ranked(self, number: int, ranking: Ranking) -> Standing:
        """Return where the documents stand after this stage gave this ranking of its candidates.

        Those that it left out of its ranking are left out from here on; those with -inf are no candidates any more.
        """
        picked = self._picked()
        indices = picked[ranking.indices]
        raw, stage = self.raw.copy(), self.stage.copy()
        raw[indices], stage[indices] = ranking.scores, number
        seen = indices[ranking.scores > -np.inf]
        return dataclasses.replace(
            self,
            order=np.concatenate([seen, self.order[self.candidates :]]),
            nothing=np.concatenate([self.nothing, indices[len(seen) :]]),
            raw=raw,
            stage=stage,
            candidates=len(seen),
            last=Ranking(indices, ranking.scores),
        )

    def of_candidates(self) -> Ranking:
        """Return the candidates of the next stage with their scores so far."""
        indices = self.order[: self.candidates]
        return Ranking(indices, self.raw[indices])

    def passed(self, kept: int | None, record: Mapping[str, Any], details: Mapping[str, Any] | None) -> Standing:
        """Return where the documents stand when a stage is done with: run, with these details, or skipped."""
        parts = self.parts if details is None else {**self.parts, record["name"]: details}
        candidates = self.candidates if kept is None else min(self.candidates, kept)
        return dataclasses.replace(self, candidates=candidates, kept=kept, records=(*self.records, record), parts=parts)

    def ranking(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return all documents that are left, best first, and scores that never increase."""
        empty = self.raw[self.order] == -np.inf  # by the caller's scores
        alive = self.order[~empty]
        dead = np.sort(np.concatenate([self.nothing, self.order[empty]]))
        scores = joined(self.raw[alive], self.stage[alive])
        return np.concatenate([alive, dead]), np.concatenate([scores, np.full(len(dead), -np.inf)])


def joined(raw: NDArray[np.float64], stage: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return scores that never increase, of documents in groups by `stage`; in a group `raw` does not increase.

    The first group keeps its scores. To the scores of each further one a constant is added that puts its best document
    1 below the lowest finite score before it, or further where the floats lie further apart. Scores that differ in a
    group still differ afterwards, by the next float if rounding made them one.
    """
    scores = raw.copy()
    begins = [*(np.flatnonzero(np.diff(stage)) + 1).tolist(), len(raw)]
    for begin, end in itertools.pairwise(begins):
        before = scores[:begin][np.isfinite(scores[:begin])]
        lowest = float(before[-1]) if len(before) else 0.0
        scores[begin:end] = _below(lowest, raw[begin:end])
    return scores


def _below(lowest: float, raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return these scores, none of them -inf, moved so that the first is the next one below `lowest`."""
    finite = raw[np.isfinite(raw)]
    infinite = _step(float(finite[0]), 1) if len(finite) else 0.0  # they stand first: 1 above the best of the others
    values = np.where(np.isinf(raw), infinite, raw)
    with np.errstate(over="ignore"):  # what is out of a float's reach is clipped
        moved: NDArray[np.float64] = np.maximum(_step(lowest, -1) + (values - values[0]), -LARGEST)
    lower = raw[1:] < raw[:-1]
    if (lower & (moved[1:] >= moved[:-1])).any():
        for i, further in enumerate(lower.tolist(), 1):
            moved[i] = min(moved[i], np.nextafter(moved[i - 1], -LARGEST)) if further else moved[i - 1]
    return moved


def _step(score: float, direction: int) -> float:
    """Return the score that is 1 further, or two floats further where these lie wider apart than 1."""
    return min(max(score + direction * max(1.0, 2 * math.ulp(score)), -LARGEST), LARGEST)
