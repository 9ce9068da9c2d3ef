"""Lists from Python objects, and their order, in Python and NumPy: where the C core does not read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.lists import Floats, Integers, Lists
from rank_plugins.runs import Run

Row = tuple[list[Any], "Iterable[Any] | None"]
"""The documents of a list and their scores; None for bare ids, which stand best first."""
Rows = Callable[[Any], Row]


def gather(runs: Sequence[Any], queries: Sequence[Any], higher: Sequence[bool]) -> tuple[Lists, list[Any]]:
    """Return the lists of `queries` and the ids of all documents; see `gathering.gather`."""
    readers = [_reader(run, j) for j, run in enumerate(runs)]
    rows: list[list[Any]] = []
    flat: list[Any] = []
    for query in queries:
        for read, _ in readers:
            documents, values = read(query)
            rows.append(documents)
            flat += range(len(documents), 0, -1) if values is None else values
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    score = _numbers(flat, lengths, rows, queries)
    for j, better in enumerate(higher):
        if not better:
            np.negative(score, out=score, where=np.repeat(np.arange(len(rows)) % len(runs) == j, lengths))
    absent = score == -np.inf
    if absent.any():
        rows, lengths = _present(rows, lengths, absent)
        score = score[~absent]
    if queries[0] is None:
        _check_once(rows)
    names, code, unions = _coded(rows, len(runs))
    check_kinds(names, "document ids")
    segments = np.concatenate([[0], np.cumsum(lengths)])
    lists = _ordered(len(runs), segments, code, score, unions, [scored for _, scored in readers], names)
    return lists, names


def _coded(rows: list[list[Any]], m: int) -> tuple[list[Any], Integers, Integers]:
    """Return the documents of all unions, the document of each entry int64 [E], and the unions int64 [Nq + 1]."""
    names: list[Any] = []
    codes: list[int] = []
    unions = [0]
    for first in range(0, len(rows), m):
        union: dict[Any, int] = {}
        base = unions[-1]
        for documents in rows[first : first + m]:
            codes += [union.setdefault(document, base + len(union)) for document in documents]
        names += union
        unions.append(base + len(union))
    return names, np.array(codes, np.int64), np.array(unions, np.int64)


def _present(rows: list[list[Any]], lengths: Integers, absent: Any) -> tuple[list[list[Any]], Integers]:
    """Return the rows without the entries of `absent` bool [E], and their lengths."""
    ends = np.cumsum(lengths).tolist()
    kept = []
    for row, end in zip(rows, ends, strict=True):
        gone = absent[end - len(row) : end].tolist()
        kept.append([document for document, left_out in zip(row, gone, strict=True) if not left_out])
    return kept, np.fromiter(map(len, kept), np.int64, len(kept))


def check_kinds(ids: Sequence[Any], what: str) -> None:
    """Refuse ids that are not all str, all int or all bytes.

    Raises:
        InputTypeError: several types, or another one.

    """
    kinds = {
        next((kind for kind in (str, bytes, int) if issubclass(one, kind)), int if issubclass(one, np.integer) else one)
        for one in set(map(type, ids))
    }
    if len(kinds) > 1 or not kinds <= {str, bytes, int}:
        shown = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputTypeError(f"{what}: expected ids that are all str, all int or all bytes in all lists, got {shown}")


def _reader(run: Any, j: int) -> tuple[Rows, bool]:
    """Return a function from a query to its row, and whether the run has scores."""
    if isinstance(run, Run):
        return _run_reader(run), not run.ranked_only
    if isinstance(run, Mapping):
        return lambda query: _mapped(run.get(query, {}), j, query), True
    return _pairs(run, j)


def _mapped(row: Any, j: int, query: Any) -> Row:
    if not isinstance(row, Mapping):
        raise InputTypeError(
            f"runs[{j}]: expected {{query: {{document: score}}}}, got {type(row).__name__} for query {query!r}"
        )
    return list(row), row.values()


def _run_reader(run: Run) -> Rows:
    offsets = run.offsets

    def read(query: Any) -> Row:
        i = run.rows.get(query)
        if i is None:
            return [], None if run.ranked_only else []
        start, end = int(offsets[i]), int(offsets[i + 1])
        documents = run.documents.take(np.arange(start, end)).tolist()
        return documents, None if run.ranked_only else run.scores[start:end].tolist()

    return read


def _pairs(items: Sequence[Any], j: int) -> tuple[Rows, bool]:
    """Return the reader of one list, of pairs (document, score) or of documents."""
    pairs = [isinstance(item, (tuple, list)) for item in items]
    if not any(pairs):
        documents, values = list(items), None
    elif all(pairs) and all(len(item) == 2 for item in items):
        documents, values = [item[0] for item in items], [item[1] for item in items]
    else:
        raise InputTypeError(f"runs[{j}]: expected pairs (document, score) or ids, got both or other lengths")
    try:
        set(documents)
    except TypeError as error:
        raise InputTypeError(f"runs[{j}]: expected ids that are str, int or bytes, got one that is {error}") from None
    return lambda _: (documents, values), values is not None or not documents


def _check_once(rows: list[list[Any]]) -> None:
    """Refuse a document that stands twice in the list of the one query."""
    for j, documents in enumerate(rows):
        if len(set(documents)) < len(documents):
            twice = next(document for document, times in Counter(documents).items() if times > 1)
            raise InputError(f"runs[{j}]: expected every document once, got {twice!r} twice; remove one")


def _numbers(flat: list[Any], lengths: Integers, rows: list[list[Any]], queries: Sequence[Any]) -> Floats:
    """Return the scores of all entries as float64 [E]."""
    plain = {*map(type, flat)} <= {float, int, np.float32, np.float64}
    try:
        array = np.array(flat if plain else [_number(value) for value in flat], np.float64)
    except OverflowError:
        plain = False
    wrong = -1 if plain else next((i for i, value in enumerate(flat) if _number(value) is None), -1)
    if wrong >= 0:
        raise InputTypeError(
            f"expected scores that are numbers, got {type(flat[wrong]).__name__} {flat[wrong]!r}"
            f" {_place(wrong, lengths, rows, queries)}"
        )
    bad = np.isnan(array)
    if bad.any():
        place = _place(int(bad.argmax()), lengths, rows, queries)
        raise InputError(f"expected scores that are numbers, got NaN {place}; remove or repair it")
    return array


def _number(value: Any) -> float | None:
    """Return a score as float: of any number, an array or tensor without dimensions included; None for the rest."""
    if isinstance(value, np.generic) and not isinstance(value, (np.floating, np.integer, np.bool_)):
        return None
    dimensions: int = getattr(value, "ndim", 0)
    if dimensions or not hasattr(type(value), "__float__"):
        return None
    try:
        return float(value)
    except Exception:  # noqa: BLE001 - whatever the caller's class raises
        return None


def _place(entry: int, lengths: Integers, rows: list[list[Any]], queries: Sequence[Any]) -> str:
    """Say which document of which list of which query an entry is."""
    ends = np.cumsum(lengths)
    row = int(np.searchsorted(ends, entry, "right"))
    query, j = divmod(row, len(rows) // len(queries))
    document = rows[row][entry - int(ends[row] - lengths[row])]
    return f"for document {document!r} in runs[{j}]{_of(queries[query])}"


def _of(query: Any) -> str:
    return "" if query is None else f" of query {query!r}"


def _ordered(
    m: int, segments: Integers, code: Integers, score: Floats, unions: Integers, scored: list[bool], names: list[Any]
) -> Lists:
    """Return Lists whose entries stand best first: by score, then by id, descending."""
    segment = np.repeat(np.arange(len(segments) - 1), np.diff(segments))
    same = segment[1:] == segment[:-1]
    if (same & (score[1:] > score[:-1])).any():
        order = np.lexsort((-score, segment))
        code, score = code[order], score[order]
    code = _by_id(code, same & (score[1:] == score[:-1]), names)
    rank = np.arange(1, len(code) + 1) - segments[segment]
    return Lists(m, segments, code, rank, score, unions, scored, complete=True)


def _by_id(codes: Integers, joined: Any, names: list[Any]) -> Integers:
    """Return codes with equals by id, the larger first; `joined` bool [n - 1] marks each that equals its successor."""
    if not joined.any():
        return codes
    edges = np.flatnonzero(np.diff(np.concatenate([[False], joined, [False]]).astype(np.int8))).tolist()
    result = codes.tolist()
    for start, last in zip(edges[::2], edges[1::2], strict=True):
        if last == start + 1:
            if names[result[start]] < names[result[last]]:
                result[start], result[last] = result[last], result[start]
        else:
            result[start : last + 1] = sorted(result[start : last + 1], key=names.__getitem__, reverse=True)
    return np.array(result, np.int64)


def order(
    names: list[Any], unions: Integers, scores: Floats, tiebreak: Integers, top: int | None
) -> tuple[Integers, Integers]:
    """Return the codes of each query's documents, best first, and where each query begins; see `gathering.finish`."""
    top = None if top is None else min(top, len(scores))
    query = np.repeat(np.arange(len(unions) - 1), np.diff(unions))
    kept = ~np.isnan(scores)
    if top is not None:
        kept &= scores >= np.repeat(_thresholds(scores, unions, top), np.diff(unions))
    codes = np.flatnonzero(kept)
    order = codes[np.lexsort((tiebreak[codes], -scores[codes], query[codes]))]
    keys = scores[order], tiebreak[order], query[order]
    order = _by_id(order, np.logical_and.reduce([key[1:] == key[:-1] for key in keys]), names)
    begins = np.concatenate([[0], np.cumsum(np.bincount(query[order], minlength=len(unions) - 1))]).astype(np.int64)
    if top is not None and len(order):
        order = order[np.arange(len(order)) - begins[query[order]] < top]
        begins = np.concatenate([[0], np.cumsum(np.minimum(np.diff(begins), top))])
    return order, begins


def _thresholds(scores: Floats, unions: Integers, top: int) -> Floats:
    """Return the top-th largest score of each query, float64 [Nq]; -inf where there are fewer."""
    thresholds = np.full(len(unions) - 1, -np.inf)
    for i in np.flatnonzero(np.diff(unions) > top):
        row = -scores[unions[i] : unions[i + 1]]  # NaN sort last
        thresholds[i] = -np.partition(row, top - 1)[top - 1]
    return np.where(np.isnan(thresholds), -np.inf, thresholds)
