"""Columns of anything with `__dataframe__`, the data frame interchange protocol, where there is no Arrow stream."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs.arrow import joined
from rank_plugins.runs.build import build, pick
from rank_plugins.runs.ids import Ids
from rank_plugins.runs.run import Qrels, Run

INT, UINT, FLOAT, BOOL, STRING, CATEGORICAL = 0, 1, 2, 20, 21, 23  # the protocol's kinds of columns
LETTERS = {INT: "i", UINT: "u", FLOAT: "f", BOOL: "u"}
CPU = 1  # as DLPack counts devices


def from_interchange(
    table: Any, kind: str, what: str, *, name: str | None = None, duplicates: str = "error"
) -> Run | Qrels:
    """Build a run or qrels of the columns of a table, which are found by their names.

    Raises:
        InputError: a column is missing or has nulls, NaN, or a document twice in a query.
        InputTypeError: columns of types that are no ids or no numbers, or that lie on another device.

    """
    frame = table.__dataframe__()
    names = list(frame.column_names())
    picked = pick(names, kind, what)

    def parts(column: str) -> list[Ids | NDArray[Any]]:
        chunks = frame.get_column_by_name(column).get_chunks()
        return [_values(chunk, f"{what}: column {column!r}") for chunk in chunks]

    def ids(column: str) -> Ids:
        found = parts(column)
        return joined([part if isinstance(part, Ids) else Ids.from_array(part, f"{what}: {column}") for part in found])

    value = str(picked.value or picked.rank)
    numbers = [part for part in parts(value) if not isinstance(part, Ids)]
    if len(numbers) != len(parts(value)):
        raise InputTypeError(f"{what}: column {value!r}: expected numbers, got text")
    return build(
        kind,
        ids(picked.query),
        ids(picked.document),
        np.concatenate([*numbers, np.empty(0)]),
        name=name,
        duplicates=duplicates,
        subtopics=ids(picked.subtopic) if picked.subtopic else None,
        ranked=picked.value is None,
    )


def _values(column: Any, where: str) -> Ids | NDArray[Any]:
    """Return a copy of a column: text as ids, numbers as an array."""
    if column.null_count:
        raise InputError(f"{where}: expected no nulls, got {column.null_count}; drop or fill them")
    kind, bits = int(column.dtype[0]), int(column.dtype[1])
    buffers, first, last = column.get_buffers(), column.offset, column.offset + column.size()
    if kind == STRING:
        buffer, dtype = buffers["offsets"]
        ends = _copied(buffer, f"i{dtype[1] // 8}", last + 1, where)[first:].astype(np.int64)
        text = _copied(buffers["data"][0], "u1", int(ends[-1]), where)
        return Ids.from_text(text, ends[:-1], np.diff(ends))
    if kind == CATEGORICAL:
        codes = _copied(buffers["data"][0], f"{'u' if column.dtype[2] in 'CSIL' else 'i'}{bits // 8}", last, where)
        known = _values(column.describe_categorical["categories"], where)
        places = codes[first:].astype(np.int64)
        return known.take(places) if isinstance(known, Ids) else np.asarray(known[places])
    if kind not in LETTERS or bits % 8:
        raise InputTypeError(f"{where}: expected text or numbers, got a column of kind {column.dtype[0]}")
    return _copied(buffers["data"][0], f"{LETTERS[kind]}{bits // 8}", last, where)[first:]


def _copied(buffer: Any, dtype: str, count: int, where: str) -> NDArray[Any]:
    if int(buffer.__dlpack_device__()[0]) != CPU:
        raise InputTypeError(f"{where}: expected memory of the CPU, got another device's; move the table there first")
    size = count * np.dtype(dtype).itemsize
    return np.frombuffer(ctypes.string_at(buffer.ptr, size), dtype) if size else np.empty(0, dtype)
