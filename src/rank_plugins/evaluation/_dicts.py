"""Finds the judged documents of a run of dicts, and their ranks, where no C core can: with Python and NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.ranks import Found

Dicts = Mapping[Any, Mapping[Any, Any]]


def look_up_dicts(
    qrels: Dicts,
    run: Dicts,
    query_ids: list[Any],
    offsets: NDArray[np.int64],
    *,
    ties: str,
    single: bool,
    nan_last: bool,
) -> tuple[NDArray[np.int64], NDArray[np.float64], Found]:
    """Return the list lengths, all grades (highest of a query first) and what was found.

    Args:
        qrels: {query: {document: grade}}.
        run: {query: {document: score}}; a query may be absent.
        query_ids: the queries to look up, Nq.
        offsets: where the judgments of each begin [Nq + 1].
        ties: whose ranks to give, of "id_asc", "input" or "id_desc" (any other).
        single: whether scores are rounded to float32.
        nan_last: whether NaN counts as -inf and is no error.

    Raises:
        InputError: NaN.
        InputTypeError: scores or grades that are no numbers, or ids of other types in run and qrels.

    """
    grades = _grades(qrels, query_ids, offsets)
    found = Found.empty(len(query_ids), len(grades))
    n = np.zeros(len(query_ids), np.int64)
    rows: list[NDArray[np.int64]] = []
    values = grades.tolist()
    retrieved: list[float] = []
    for i, query in enumerate(query_ids):
        if query not in run:
            continue
        judged, listed = qrels[query], run[query]
        scores = _scores(listed, query, single=single, nan_last=nan_last)
        n[i] = len(scores)
        if not len(scores):
            continue
        check_kinds(next(iter(judged)), next(iter(listed)), query)
        both = [document for document in judged if document in listed]
        if both:
            start = int(offsets[i])
            retrieved += [g for g, d in zip(values[start : start + len(judged)], judged, strict=True) if d in listed]
            rows.append(_ranked(both, listed, scores, ties, rounded=single or nan_last))
            found.counts[i] = len(both)
    _fill(found, offsets, rows, retrieved)
    order = np.lexsort((-grades, np.repeat(np.arange(len(query_ids)), np.diff(offsets))))
    return n, grades[order], found


def check_kinds(judged: Any, listed: Any, query: Any) -> None:
    """Refuse ids that cannot be equal because their types differ.

    Raises:
        InputTypeError: they differ.

    """
    if type(judged) is type(listed):
        return
    kinds = [next((kind for kind in (str, bytes) if isinstance(item, kind)), int) for item in (judged, listed)]
    if kinds[0] is not kinds[1]:
        raise InputTypeError(
            f"evaluate: expected document ids of one type in qrels and run, got {type(judged).__name__} {judged!r} and"
            f" {type(listed).__name__} {listed!r} for query {query!r}; convert one of them"
        )


def _grades(qrels: Dicts, query_ids: list[Any], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return all grades, in the order of the dicts."""
    for query in query_ids:
        if not isinstance(qrels[query], Mapping):
            raise _refused("qrels", qrels[query], query)
    grades = _floats(chain.from_iterable(qrels[query].values() for query in query_ids), int(offsets[-1]))
    if grades is None or np.isnan(grades).any():
        for query in query_ids:
            values = _floats(qrels[query].values(), len(qrels[query]))
            if values is None or np.isnan(values).any():
                raise _refused("qrels", qrels[query], query)
    return np.empty(0) if grades is None else grades


def _scores(listed: Any, query: Any, *, single: bool, nan_last: bool) -> NDArray[np.float64]:
    scores = _floats(listed.values(), len(listed)) if isinstance(listed, Mapping) else None
    if scores is None:
        raise _refused("run", listed, query)
    bad = np.isnan(scores)
    if bad.any():
        if not nan_last or any(value is None for value in listed.values()):
            raise _refused("run", listed, query)
        scores[bad] = -np.inf
    if single:
        with np.errstate(over="ignore"):
            return scores.astype(np.float32).astype(np.float64)
    return scores


def _floats(values: Iterable[Any], count: int) -> NDArray[np.float64] | None:
    """Return numbers as an array; None where one is none. NumPy takes None for NaN."""
    try:
        return np.fromiter(map(_not_text, values) if count < 2 else values, np.float64, count)
    except (TypeError, ValueError):
        return None


def _not_text(value: Any) -> Any:
    if isinstance(value, (str, bytes)):
        raise TypeError
    return value


def _refused(what: str, row: Any, query: Any) -> InputError | InputTypeError:
    """Return the error about the first entry of a query that is no number."""
    if not isinstance(row, Mapping):
        return InputTypeError(f"{what}: expected {{document: number}} for query {query!r}, got {type(row).__name__}")
    for document, value in row.items():
        where = f"document {document!r} of query {query!r}"
        values = None if value is None else _floats([value], 1)
        if values is None:
            return InputTypeError(f"{what}: expected numbers, got {type(value).__name__} {value!r} for {where}")
        if np.isnan(values[0]):
            hint = '; remove it, or pass nan="last"' if what == "run" else "; remove it"
            return InputError(f"{what}: expected numbers, got NaN for {where}{hint}")
    return InputError(f"{what}: query {query!r} changed while it was read")


def _ranked(
    both: list[Any], listed: Mapping[Any, Any], scores: NDArray[np.float64], ties: str, *, rounded: bool
) -> NDArray[np.int64]:
    """Return rank, `above` and `tied` of the judged documents [3, J], as they stand in `both`."""
    if rounded:
        at = dict(zip(listed, scores.tolist(), strict=True))
        mine = np.array([at[document] for document in both])
    else:
        mine = np.fromiter((listed[document] for document in both), np.float64, len(both))
    ordered = np.sort(scores)
    upto = ordered.searchsorted(mine, "right")
    above, tied = len(scores) - upto, upto - ordered.searchsorted(mine)
    before = np.zeros(len(both), np.int64)
    if tied.max() > 1:
        documents = list(listed)
        places: dict[float, dict[Any, int]] = {}
        for i in np.flatnonzero(tied > 1).tolist():
            score = float(mine[i])
            if score not in places:
                group = [documents[k] for k in np.flatnonzero(scores == score).tolist()]
                if ties != "input":
                    group.sort(reverse=ties != "id_asc")
                places[score] = {document: place for place, document in enumerate(group)}
            before[i] = places[score][both[i]]
    return np.stack([above + 1 + before, above, tied])


def _fill(found: Found, offsets: NDArray[np.int64], rows: list[NDArray[np.int64]], grades: list[float]) -> None:
    """Write the rows of all queries, each query's by rank, from its offset on."""
    if not rows:
        return
    rank, above, tied = np.concatenate(rows, axis=1)
    query = np.repeat(np.arange(len(found.counts)), found.counts)
    order = np.lexsort((rank, query))
    first = np.cumsum(found.counts) - found.counts
    at = np.arange(len(query)) + (offsets[:-1] - first)[query]
    found.rank[at], found.above[at], found.tied[at] = rank[order], above[order], tied[order]
    found.grade[at] = np.array(grades)[order]
