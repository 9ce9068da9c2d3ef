"""Queries that are themselves documents (ArguAna, Quora): each finds itself, and must not count."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from rank_plugins.runs.ids import Ids
from rank_plugins.runs.run import Run

SAMPLE = 500  # lists that are looked at first
MANY = 0.1  # of the queries: that often, a query's own id does not come first by chance


def identical_ids(run: Run | dict[Any, dict[Any, float]]) -> list[Any]:
    """Return the queries in whose lists is a document of the query's own id.

    Equal ids may be chance, where queries and documents are both numbered from 1.
    """
    if isinstance(run, Run):
        rows = _own(run)
        return [run.queries[i] for i in np.searchsorted(run.offsets, rows, "right") - 1]
    return [query for query, row in run.items() if query in row]


@overload
def drop_identical_ids(run: Run, queries: Iterable[Any] | None = None) -> Run: ...
@overload
def drop_identical_ids(
    run: dict[Any, dict[Any, float]], queries: Iterable[Any] | None = None
) -> dict[Any, dict[Any, float]]: ...
def drop_identical_ids(
    run: Run | dict[Any, dict[Any, float]], queries: Iterable[Any] | None = None
) -> Run | dict[Any, dict[Any, float]]:
    """Return the run without the documents that have the id of their query, as the kind that it came.

    Args:
        run: a Run, or {query: {document: score}}; it is not changed.
        queries: only in the lists of these; None: in all.

    """
    wanted = None if queries is None else set(queries)
    if not isinstance(run, Run):
        return {
            query: {
                name: score for name, score in row.items() if name != query or not (wanted is None or query in wanted)
            }
            for query, row in run.items()
        }
    rows = _own(run)
    places = np.searchsorted(run.offsets, rows, "right") - 1
    if wanted is not None:
        kept = np.array([run.queries[place] in wanted for place in places.tolist()], bool)
        rows, places = rows[kept], places[kept]
    order = np.delete(np.arange(len(run.scores)), rows)
    counts = np.diff(run.offsets) - np.bincount(places, minlength=len(run))
    offsets = np.r_[0, np.cumsum(counts)]
    scores = np.repeat(offsets[1:], counts) - np.arange(len(order)) if run.ranked_only else run.scores[order]
    return Run(run.queries, offsets, run.documents.take(order), scores, name=run.name, ranked_only=run.ranked_only)


def warn_of_identical_ids(run: Run | dict[Any, dict[Any, float]]) -> None:
    """Warn where more than a tenth of the queries have a document of their own id first in their list.

    Only lists that begin with it are seen, as those of nearly all runs do, so that this costs next to nothing.
    """
    if isinstance(run, Run):
        full = np.flatnonzero(np.diff(run.offsets))
        if not _begin_with_own(run, full[:: max(1, len(full) // SAMPLE)]):
            return
        own_lists = (run.scores[run.offsets[i] : run.offsets[i + 1]] for i in _begin_with_own(run, full))
        found = sum(scores[0] == scores.max() for scores in own_lists)
    else:
        own = [query for query, row in run.items() if row and next(iter(row)) == query]
        try:
            found = sum(run[query][query] == max(run[query].values()) for query in own)
        except TypeError:  # something is no number: whoever reads the scores says which
            return
    if found > MANY * len(run):
        warnings.warn(
            f"run: {found} of {len(run)} queries have a document of their own id first in their list; where"
            " queries are documents (ArguAna, Quora), leave these out with datasets.drop_identical_ids(run)",
            stacklevel=4,
        )


def _begin_with_own(run: Run, places: NDArray[np.int64]) -> list[int]:
    """Return those of the queries at `places` whose lists begin with a document of their own id."""
    firsts = run.documents.take(run.offsets[places]).tolist()
    return [place for place, first in zip(places.tolist(), firsts, strict=True) if run.queries[place] == first]


def _own(run: Run) -> NDArray[np.int64]:
    """Return the rows whose document has the id of their query."""
    queries, documents = Ids.from_list(run.queries), run.documents
    if queries.kind != documents.kind:
        return np.empty(0, np.int64)
    of_row = np.repeat(np.arange(len(run)), np.diff(run.offsets))
    if queries.kind == "int":
        return np.flatnonzero(queries.numbers[of_row] == documents.numbers)
    lengths = queries.lengths[of_row]
    rows = np.flatnonzero(lengths == documents.lengths)
    for i in range(int(lengths.max(initial=0))):  # byte by byte; few ids are equal for long
        long = documents.lengths[rows] > i
        same = np.ones(len(rows), bool)
        mine, own = documents.starts[rows[long]] + i, queries.starts[of_row[rows[long]]] + i
        same[long] = documents.text[mine] == queries.text[own]
        rows = rows[same]
    return rows
