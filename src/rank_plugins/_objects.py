"""The calls into the C core that walk Python's dicts and lists; see `_columns.WALKS` for where it can.

C only reads what no code of others can change meanwhile, and says where it stopped: the callers then look for
themselves, in Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._arrays import ffi, lib
from rank_plugins._columns import TIES, found_pointers, pointer

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import Found


def walk_judged(
    qrels: Mapping[Any, Any],
    run: Mapping[Any, Any],
    query_ids: list[Any],
    offsets: NDArray[np.int64],
    n: NDArray[np.int64],
    grades: NDArray[np.float64],
    found: Found,
    *,
    ties: str,
    single: bool,
    nan_last: bool,
) -> int:
    """Look up the judged documents in dicts of dicts; return the query that C cannot read, or -1."""
    if not (isinstance(qrels, dict) and isinstance(run, dict) and query_ids):
        return 0
    try:
        longest = max(map(len, run.values()), default=0)
    except TypeError:  # something that is no dict
        return 0
    judgments = int(np.diff(offsets).max(initial=0))
    scratch = np.empty(lib.rp_judged_bytes(judgments, longest) // 8 + longest, np.int64)
    pointers = found_pointers(found)
    return int(
        lib.rp_py_judged(
            *map(_object, (qrels, run, query_ids)),
            pointer("int64_t", offsets),
            TIES.get(ties, 0),
            single,
            nan_last,
            pointer("int64_t", scratch, writable=True),
            judgments,
            longest,
            pointer("int64_t", n, writable=True),
            pointer("double", grades, writable=True),
            pointers[0],
        )
    )


def count_entries(runs: list[Any], queries: list[Any] | None) -> tuple[int, int] | None:
    """Return how many entries the lists have in all, and those of a query at most; None where C cannot read them."""
    most = ffi.new("int64_t *")
    entries = lib.rp_py_entries(_object(runs), ffi.NULL if queries is None else _object(queries), most)
    return None if entries < 0 else (entries, most[0])


def gather_objects(
    runs: list[Any], queries: list[Any] | None, higher: Sequence[bool], scored: Sequence[bool]
) -> tuple[list[Any], dict[str, NDArray[Any]]] | None:
    """Return the ids of all documents and the columns of fusion.lists.Lists, by name; None where C cannot read it.

    Args:
        runs: dicts {query: {document: score}}; or without queries lists of pairs (document, score) or of documents.
        queries: the queries to read.
        higher: for each run whether higher scores are better.
        scored: for each list whether it has scores.

    """
    counted = count_entries(runs, queries)
    if counted is None:
        return None
    entries, most = counted
    lists = len(runs) * (1 if queries is None else len(queries))
    segments, unions = 4 * entries, 4 * entries + lists + 1  # where the columns behind the first four begin
    end = unions + lists // len(runs) + 1
    room = np.empty(end + lib.rp_gather_bytes(most) // 8, np.int64)
    at = ffi.from_buffer("int64_t[]", room)
    score = ffi.cast("double *", at + 2 * entries)
    columns = ffi.new("rp_lists_t *", (at + segments, at, at + entries, score, at + unions, at + 3 * entries))
    names: list[Any] = []
    objects = _object(runs), ffi.NULL if queries is None else _object(queries)
    rules = bytes(higher), bytes(scored), at + end, most, entries
    if lib.rp_py_gather(*objects, *rules, _object(names), columns) >= 0:
        return None
    kept = int(room[unions - 1])
    return names, {
        "segments": room[segments:unions],
        "code": room[:kept],
        "rank": room[entries : entries + kept],
        "score": room[2 * entries : 2 * entries + kept].view(np.float64),
        "unions": room[unions:end],
        "best": room[3 * entries : 3 * entries + len(names)],
    }


def finish_objects(
    names: list[Any],
    unions: NDArray[np.int64],
    scores: NDArray[np.float64],
    tiebreak: NDArray[np.int64],
    top: int | None,
    queries: list[Any] | None = None,
    out: Any = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the codes of each query's documents, best first, and where each query begins [Nq + 1].

    Documents stand by score, then by the smaller tiebreak, then by the larger id; NaN drops one. They are put into
    `out`: {document: score} of each query into a dict, or without queries pairs into a list.
    """
    count, documents = len(unions) - 1, len(names)
    most = documents if count == 1 else int(np.diff(unions).max(initial=0))
    room = np.empty(documents + count + 1 + 5 * most, np.int64)
    order = ffi.from_buffer("int64_t[]", room, require_writable=True)
    begins = order + documents
    failed = lib.rp_py_finish(
        _object(names),
        ffi.from_buffer("int64_t[]", unions),
        count,
        ffi.from_buffer("double[]", scores),
        ffi.from_buffer("int64_t[]", tiebreak),
        documents if top is None else min(top, documents),
        begins + count + 1,
        most,
        order,
        begins,
        ffi.NULL if queries is None else _object(queries),
        ffi.NULL if out is None else _object(out),
    )
    if failed:
        raise MemoryError
    return room[: begins[count]], room[documents : documents + count + 1]


def fuse_objects(
    runs: list[Any],
    queries: list[Any] | None,
    higher: bytes,
    scored: bytes,
    points: NDArray[np.float64],
    most: int,
    top: int | None,
    out: Any,
) -> bool:
    """Fuse by points for ranks; return whether C could read the lists, else `out` holds a part.

    Args:
        runs: as for `gather_objects`.
        queries: as for `gather_objects`.
        higher: a byte for each run, whether higher scores are better.
        scored: a byte for each list, whether it has scores.
        points: float64 [m, depth]: what a list gives the document of each rank.
        most: entries of a query at most.
        top: how many documents to keep of a query; None keeps all.
        out: as for `finish_objects`.

    """
    objects = _object(runs), ffi.NULL if queries is None else _object(queries)
    scratch = ffi.from_buffer(np.empty(lib.rp_gather_bytes(most) // 8, np.int64))
    limit = most if top is None else min(top, most)
    rules = higher, scored, ffi.from_buffer("double[]", points), points.shape[1], limit
    return bool(lib.rp_py_fuse(*objects, *rules, scratch, most, _object(out)) < 0)


def _object(item: Any) -> Any:
    return ffi.cast("void *", id(item))
