"""The scores of chosen queries of a run, in columns: all that abstention and calibration read of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation._choice import choice
from rank_plugins.runs import Run
from rank_plugins.runs.convert import as_run


@dataclass(frozen=True)
class Scored:
    """Lists of scores; those of query i are scores[offsets[i]] to scores[offsets[i + 1]], in the run's order."""

    queries: list[Any]
    offsets: NDArray[np.int64]
    scores: NDArray[np.float64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each list [Nq]."""
        return np.diff(self.offsets)

    @property
    def qidx(self) -> NDArray[np.int64]:
        """The list of each score [T]."""
        return np.repeat(np.arange(len(self.queries)), self.lengths)

    @property
    def tops(self) -> NDArray[np.float64]:
        """The highest score of each list [Nq]; -inf where it is empty."""
        best = np.full(len(self.queries), -np.inf)
        filled = self.lengths > 0
        if filled.any():
            best[filled] = np.maximum.reduceat(self.scores, self.offsets[:-1][filled])
        return best

    def descending(self) -> NDArray[np.float64]:
        """Return the scores with each list in order, highest first [T]."""
        return self.scores[np.lexsort((-self.scores, self.qidx))]


def scored(run: Any, queries: Iterable[Any] | None = None, absent: str = "empty") -> Scored:
    """Return the scores of `queries` (None: all of the run, in its order).

    Args:
        run: as `evaluate` takes it.
        queries: query ids.
        absent: queries that the run lacks have empty lists ("empty"), or are an "error".

    Raises:
        InputError: a query twice or, where asked, absent; NaN; lists of bare ids.
        InputTypeError: a run that is none.

    """
    choice(absent, ("error", "empty"), "absent")
    run = with_scores(run)
    have = run.rows if isinstance(run, Run) else run
    names = list(have) if queries is None else _unique(queries)
    unknown = [query for query in names if query not in have]
    if unknown and absent == "error":
        raise InputError(
            f"queries: expected queries of the run, {len(unknown)} of {len(names)} are not there, {unknown[0]!r} first;"
            ' correct the ids, or pass absent="empty" if the system returned nothing for them'
        )
    found = Scored(names, *(_gathered(run, names) if isinstance(run, Run) else _walked(run, names)))
    bad = np.flatnonzero(np.isnan(found.scores))
    if bad.size:
        query = names[int(np.searchsorted(found.offsets, bad[0], "right")) - 1]
        raise InputError(f"run: expected numbers, got NaN in query {query!r} ({bad.size} such); remove or repair them")
    return found


def with_scores(run: Any) -> Run | dict[Any, dict[Any, float]]:
    """Return what `as_run` does.

    Raises:
        InputError: lists of bare ids, whose scores are only ranks.
        InputTypeError: a run that is none.

    """
    found = as_run(run)
    if isinstance(found, Run) and found.ranked_only:
        raise InputError("run: expected scores, got lists of bare ids; a threshold or a probability needs scores")
    return found


def _unique(queries: Iterable[Any]) -> list[Any]:
    if isinstance(queries, (str, bytes)):
        raise InputTypeError(f"queries: expected a list of query ids, got one {type(queries).__name__} {queries!r}")
    names = list(queries)
    seen: set[Any] = set()
    for query in names:
        if query in seen:
            raise InputError(f"queries: expected every query once, got {query!r} twice")
        seen.add(query)
    return names


def _gathered(run: Run, names: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    places = np.array([run.rows.get(query, -1) for query in names], np.int64)
    lengths = np.where(places < 0, 0, np.diff(run.offsets, append=run.offsets[-1])[places])
    offsets = np.r_[0, np.cumsum(lengths)]
    entries = np.arange(offsets[-1]) + np.repeat(run.offsets[:-1][places] - offsets[:-1], lengths) if len(names) else []
    return offsets, run.scores[np.asarray(entries, np.int64)]


def _walked(run: Mapping[Any, Any], names: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    lists = [run.get(query, {}) for query in names]
    for query, row in zip(names, lists, strict=True):
        if not isinstance(row, Mapping):
            raise InputTypeError(
                f"run: expected {{query: {{document: score}}}}, got {type(row).__name__} for query {query!r}"
            )
    offsets = np.cumsum([0, *map(len, lists)])
    try:
        values = itertools.chain.from_iterable(row.values() for row in lists)
        return offsets, np.fromiter(values, np.float64, int(offsets[-1]))
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"run: expected scores that are numbers ({error})") from None
