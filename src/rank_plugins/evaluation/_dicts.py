"""Finds the judged documents of a run of dicts, and their ranks, where no C core can: with Python and NumPy."""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.ranks import Found

Dicts = Mapping[Any, Mapping[Any, Any]]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PART = 1 << 18  # scores that are looked at together


def look_up_dicts(
    qrels: Dicts,
    run: Dicts,
    query_ids: list[Any],
    offsets: Ints,
    *,
    ties: str,
    single: bool,
    nan_last: bool,
) -> tuple[Ints, Floats, Found]:
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
        InputError: NaN, infinite grades, or numbers too large for float64.
        InputTypeError: scores or grades that are no numbers, or ids of other types in run and qrels.

    """
    judged = [qrels[query] for query in query_ids]
    lists = [run.get(query, {}) for query in query_ids]
    grades = _floats(judged, "qrels", query_ids)
    if len(grades) != offsets[-1]:
        raise InputError("qrels: expected dicts that stay as they are, got one that changed while it was read")
    if not np.isfinite(grades).all():
        _refuse("qrels", judged, query_ids, nan_last=False)
    for query, wanted, listed in zip(query_ids, judged, lists, strict=True):
        if not isinstance(listed, Mapping):
            raise _no_dict("run", listed, query)
        if listed:
            for document in {type(name): name for name in wanted}.values():
                check_kinds(document, next(iter(listed)), query)
    n = np.fromiter(map(len, lists), np.int64, len(lists))
    ends = np.cumsum(n)
    parts = []
    first = 0
    while first < len(lists):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + PART, "right")))
        scores = _scores(lists[first:last], query_ids[first:last], single=single, nan_last=nan_last)
        rows, columns = _ranked(judged[first:last], lists[first:last], scores, ties, single=single)
        parts.append(np.concatenate([(rows + offsets[first])[None], columns]))
        first = last
    found = _found(parts, grades, offsets)
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


def _floats(rows: Sequence[Any], what: str, queries: Sequence[Any]) -> Floats:
    """Return the numbers of dicts, one after the other. `struct` is the fastest that reads them, and takes no text."""
    values = np.empty(sum(map(len, rows)))
    at = 0
    try:
        for row in rows:
            struct.pack_into(f"{len(row)}d", values.data, at, *row.values())
            at += 8 * len(row)
    except (struct.error, AttributeError):
        _refuse(what, rows, queries, nan_last=True)
    return values


def _scores(lists: Sequence[Any], queries: Sequence[Any], *, single: bool, nan_last: bool) -> Floats:
    scores = _floats(lists, "run", queries)
    bad = np.isnan(scores)
    if bad.any():
        if not nan_last:
            _refuse("run", lists, queries, nan_last=False)
        scores[bad] = -np.inf
    return _rounded(scores) if single else scores


def _rounded(scores: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return scores.astype(np.float32).astype(np.float64)


def _no_dict(what: str, row: Any, query: Any) -> InputTypeError:
    return InputTypeError(f"{what}: expected {{document: number}} for query {query!r}, got {type(row).__name__}")


def _refuse(what: str, rows: Sequence[Any], queries: Sequence[Any], *, nan_last: bool) -> None:
    """Raise the error about the first number of some queries that cannot be taken."""
    for query, row in zip(queries, rows, strict=True):
        if not isinstance(row, Mapping):
            raise _no_dict(what, row, query)
        for document, value in row.items():
            where = f"document {document!r} of query {query!r}"
            try:
                number = struct.unpack("d", struct.pack("d", value))[0]
            except struct.error:
                if isinstance(value, (int, np.integer)):
                    raise InputError(f"{what}: expected numbers of float64, got a larger one for {where}") from None
                got = f"{type(value).__name__} {value!r}"
                raise InputTypeError(f"{what}: expected numbers, got {got} for {where}") from None
            if np.isnan(number) and not nan_last:
                hint = '; remove it, or pass nan="last"' if what == "run" else "; remove it"
                raise InputError(f"{what}: expected numbers, got NaN for {where}{hint}")
            if what == "qrels" and np.isinf(number):
                raise InputError(f"{what}: expected finite grades, got {number} for {where}")
    raise InputError(f"{what}: expected dicts that stay as they are, got one that changed while it was read")


def _ranked(
    judged: Sequence[Any], lists: Sequence[Any], scores: Floats, ties: str, *, single: bool
) -> tuple[Ints, Ints]:
    """Return which judgments of some queries were retrieved [J], and their rank, `above` and `tied` [3, J]."""
    got: list[Any] = []
    for wanted, listed in zip(judged, lists, strict=True):
        got.extend(map(listed.get, wanted))
    rows = np.flatnonzero(np.fromiter(map(operator.is_not, got, repeat(None)), np.bool_, len(got)))
    sizes = np.fromiter(map(len, judged), np.int64, len(judged))
    query = np.repeat(np.arange(len(judged)), sizes)[rows]
    mine = np.fromiter((value for value in got if value is not None), np.float64, len(rows))
    mine[np.isnan(mine)] = -np.inf
    mine = -_rounded(mine) if single else -mine
    keys = -scores  # lists that are best first, as most are, ascend
    ends = np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)))
    starts = np.r_[0, ends][:-1]
    rising = np.r_[keys[1:] >= keys[:-1], True]
    rising[ends[ends > starts] - 1] = True
    shuffled = set(np.searchsorted(ends, np.flatnonzero(~rising), "right").tolist())
    for i in shuffled:
        keys[starts[i] : ends[i]].sort()
    low = _bisected(keys, mine, starts[query], ends[query])
    above, tied = low - starts[query], np.ones(len(rows), np.int64)
    equal = np.flatnonzero(keys[np.minimum(low + 1, ends[query] - 1)] == mine)
    high = _bisected(keys, np.nextafter(mine[equal], np.inf), low[equal], ends[query[equal]])
    high[mine[equal] == np.inf] = ends[query[equal]][mine[equal] == np.inf]
    tied[equal] = high - low[equal]
    rank = above + 1
    first = np.cumsum(sizes) - sizes
    last, places = -1, _Places({}, None, ties)
    for row in np.flatnonzero(tied > 1).tolist():
        if query[row] != last:
            last = int(query[row])
            part = scores[starts[last] : ends[last]]
            places, names = _Places(lists[last], part if last in shuffled else None, ties), list(judged[last])
        document = names[rows[row] - first[last]]
        rank[row] += places.of(document, int(above[row]), int(tied[row]))
    return rows, np.stack([rank, above, tied])


class _Places:
    """Where documents of one list stand among those of the same score."""

    def __init__(self, listed: Mapping[Any, Any], scores: Floats | None, ties: str) -> None:
        """Hold a list with its scores; None for scores: it is best first."""
        self.documents = list(listed)
        if scores is not None:
            self.documents = [self.documents[i] for i in np.argsort(-scores, kind="stable").tolist()]
        self.ties = ties
        self.groups: dict[int, dict[Any, int]] = {}

    def of(self, document: Any, above: int, tied: int) -> int:
        """Return the place of a document, from 0, in the group of `tied` that begins behind `above` others."""
        if above not in self.groups:
            group = self.documents[above : above + tied]
            if self.ties != "input":
                try:
                    group.sort(reverse=self.ties != "id_asc")
                except TypeError:
                    names = ", ".join(sorted({type(name).__name__ for name in group}))
                    raise InputTypeError(
                        f"run: expected document ids that are all str, all int or all bytes in a query, got {names}:"
                        f" {', '.join(map(repr, group[:3]))}"
                    ) from None
            self.groups[above] = {name: place for place, name in enumerate(group)}
        return self.groups[above][document]


def _bisected(keys: Floats, wanted: Floats, low: Ints, high: Ints) -> Ints:
    """Return for each wanted number the first of keys[low] to keys[high], which ascend, that is not below it."""
    low, high = low.copy(), high.copy()
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        below = (low < high) & (keys[np.minimum(middle, len(keys) - 1)] < wanted)
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low


def _found(parts: list[Ints], grades: Floats, offsets: Ints) -> Found:
    """Return the rows of all queries, each query's by rank, from its offset on."""
    found = Found.empty(len(offsets) - 1, len(grades))
    rows, rank, above, tied = np.concatenate(parts, axis=1)
    query = np.searchsorted(offsets, rows, "right") - 1
    found.counts[:] = np.bincount(query, minlength=len(found.counts))
    order = np.lexsort((rank, query))
    first = np.cumsum(found.counts) - found.counts
    at = np.arange(len(query)) + (offsets[:-1] - first)[query]
    found.rank[at], found.above[at], found.tied[at] = rank[order], above[order], tied[order]
    found.grade[at] = grades[rows[order]]
    return found
