"""The calls into the C core over columns of ids and numbers; without the core NumPy and Python do the same.

Everything here expects checked input: C trusts what it is given.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins._arrays import ffi, lib

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import Found
    from rank_plugins.runs.ids import Ids
    from rank_plugins.runs.run import Qrels, Run
    from rank_plugins.runs.scan import Layout

TextColumns: TypeAlias = (
    "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]"
)
NATIVE = lib is not None
WALKS = NATIVE and sys.implementation.name == "cpython" and bool(lib.rp_py_walks())
"""Whether C walks dicts and lists."""
TIES = {"id_desc": 0, "id_asc": 1, "input": 2}  # as RP_TIES_... of the C core; other policies start from the first


def pointer(kind: str, array: NDArray[Any] | None, *, writable: bool = False) -> Any:
    """Return a C pointer to the first element of a contiguous array of the C type `kind`; NULL for None."""
    if array is None:
        return ffi.NULL
    return ffi.from_buffer(f"{kind}[]", array, require_writable=writable)


def text_of(ids: Ids) -> tuple[Any, Any, Any]:
    """Return C pointers to the text of ids, where each begins and how long it is; NULL for whole numbers."""
    if ids.kind == "int":
        return ffi.NULL, ffi.NULL, ffi.NULL
    return pointer("uint8_t", ids.text), pointer("int64_t", ids.starts), pointer("int64_t", ids.lengths)


def hashes(text: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash of 64 bits for each id."""
    keys = np.empty(len(starts), np.uint64)
    lib.rp_hash(
        pointer("uint8_t", text),
        pointer("int64_t", starts),
        pointer("int64_t", lengths),
        len(starts),
        pointer("uint64_t", keys, writable=True),
    )
    return keys


def first_duplicate(offsets: NDArray[np.int64], ids: Ids) -> int:
    """Return the entry that repeats a document of its query, the first such, or -1."""
    if not NATIVE:
        return _first_duplicate(offsets.tolist(), ids.tolist())
    longest = int(np.diff(offsets).max(initial=0))
    scratch = np.empty(table_size(longest), np.int64)
    return int(
        lib.rp_first_duplicate(
            pointer("int64_t", offsets),
            len(offsets) - 1,
            pointer("uint64_t", ids.keys),
            *text_of(ids),
            pointer("int64_t", scratch, writable=True),
        )
    )


class JudgedSearch:
    """Looks up the judged documents of a range of queries in a run, both in columns; threads may share it."""

    def __init__(
        self,
        qrels: Qrels,
        run: Run,
        judged_rows: NDArray[np.int64],
        run_rows: NDArray[np.int64],
        offsets: NDArray[np.int64],
        n: NDArray[np.int64],
        grades: NDArray[np.float64],
        found: Found,
        *,
        ties: str,
        single: bool,
    ) -> None:
        """Prepare the search for queries that are the rows judged_rows [Nq] of qrels and run_rows [Nq] of run.

        What is found is written to n [Nq], and from offsets[i] on to grades and found.
        """
        self._run = _column_pointers(run.offsets, run.documents, run.scores)
        self._qrels = _column_pointers(qrels.offsets, qrels.documents, qrels.grades)
        self._rows = pointer("int64_t", judged_rows), pointer("int64_t", run_rows)
        self._offsets = pointer("int64_t", offsets)
        self._rule = TIES.get(ties, 0), single
        self._found = found_pointers(found)
        self._out = pointer("int64_t", n, writable=True), pointer("double", grades, writable=True), self._found[0]
        self._judgments = int(np.diff(offsets).max(initial=0))
        self._bytes = lib.rp_judged_bytes(self._judgments, int(np.diff(run.offsets).max(initial=0)))

    def __call__(self, part: tuple[int, int]) -> None:
        """Search for the queries part[0] to part[1]; releases the GIL meanwhile."""
        scratch = np.empty(self._bytes // 8, np.int64)
        room = pointer("int64_t", scratch, writable=True)
        rows, out = (*self._rows, *part, self._offsets, *self._rule), (room, self._judgments, *self._out)
        lib.rp_judged_columns(self._run[0], self._qrels[0], *rows, *out)


def ranks_at(scores: NDArray[np.float64], unions: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of each of the documents `codes`, ascending, among its query's, unions[i] to unions[i + 1].

    Of equal scores the first stands first; NaN is no score, and such a document's rank is 0.
    """
    ranks = np.empty(len(codes), np.int64)
    lib.rp_ranks_at(
        pointer("double", scores),
        pointer("int64_t", unions),
        len(unions) - 1,
        pointer("int64_t", codes),
        len(codes),
        pointer("int64_t", ranks, writable=True),
    )
    return ranks


def _column_pointers(offsets: NDArray[np.int64], ids: Ids, values: NDArray[np.float64]) -> tuple[Any, ...]:
    """Return an rp_columns_t, and what must live as long."""
    kept = (pointer("int64_t", offsets), pointer("uint64_t", ids.keys), *text_of(ids), pointer("double", values))
    return ffi.new("rp_columns_t *", kept), kept


def found_pointers(found: Found) -> tuple[Any, ...]:
    """Return an rp_found_t, and what must live as long."""
    kept = (
        pointer("int64_t", found.counts, writable=True),
        pointer("int64_t", found.rank, writable=True),
        pointer("double", found.grade, writable=True),
        pointer("int64_t", found.above, writable=True),
        pointer("int64_t", found.tied, writable=True),
    )
    return ffi.new("rp_found_t *", kept), kept


def table_size(longest: int) -> int:
    """Return how many int64 a hash table for `longest` ids takes: as the C core counts, at most a quarter is full."""
    return 16 if longest <= 4 else 4 << (longest - 1).bit_length()


def differs_from_previous(
    text: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return for each id but the first whether it is another than the one before, bool [T - 1]."""
    count = max(len(starts) - 1, 0)
    if not NATIVE:
        whole, ends = text.tobytes(), (starts + lengths).tolist()
        items = [whole[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]
        return np.fromiter((a != b for a, b in pairwise(items)), np.bool_, count)
    differs = np.empty(count, np.bool_)
    if count:
        lib.rp_differs(
            pointer("uint8_t", text),
            pointer("int64_t", starts),
            pointer("int64_t", lengths),
            len(starts),
            pointer("uint8_t", differs.view(np.uint8), writable=True),
        )
    return differs


def _first_duplicate(offsets: Sequence[int], ids: Sequence[Any]) -> int:
    for start, end in pairwise(offsets):
        if len(set(ids[start:end])) == end - start:
            continue
        seen: set[Any] = set()
        for i in range(start, end):
            if ids[i] in seen:
                return i
            seen.add(ids[i])
    return -1


def text_lines(text: NDArray[np.uint8]) -> int:
    """Return the most rows that a table in text can have; needs the C core."""
    return int(lib.rp_text_lines(pointer("uint8_t", text), len(text)))


def text_rows(
    text: NDArray[np.uint8], part: tuple[int, int], layout: Layout, columns: TextColumns, rows: tuple[int, int]
) -> tuple[int, int, int]:
    """Read the lines of bytes part[0] to part[1] into rows[0] to rows[1] - 1 of columns; needs the C core.

    Columns are starts and lengths of texts int64 [texts, T], numbers and ranks float64 [T], and pairs (row of this
    part, start) int64 [T, 2] of numbers that are left out. Returns the number of rows, or what is wrong with a line
    (one of RP_TEXT_* of the C core), where the reading stopped, and how many numbers are left out.
    """
    starts, lengths, numbers, ranks, hard = columns
    at, found, table = ffi.new("size_t *", part[0]), ffi.new("rp_rows_t *"), ffi.new("rp_table_t *")
    found.starts = pointer("int64_t", starts, writable=True) + rows[0]
    found.lengths = pointer("int64_t", lengths, writable=True) + rows[0]
    found.numbers = pointer("double", numbers, writable=True) + rows[0]
    found.ranks = pointer("double", ranks, writable=True) + rows[0]
    found.hard = pointer("int64_t", hard, writable=True) + 2 * rows[0]
    found.stride = len(numbers)
    table.tabs, table.number, table.rank = layout.tabs, layout.number, layout.rank
    table.texts, table.text = len(layout.texts), list(layout.texts)
    table.fewest, table.most = layout.fewest, layout.most
    count = int(lib.rp_text_rows(table, pointer("uint8_t", text), part[1], at, rows[1] - rows[0], found))
    return count, int(at[0]), int(found.hards)
