"""Columns of anything with `__arrow_c_stream__` (pandas, polars, pyarrow, DuckDB, ...), read from its memory by ctypes.

The layouts are those of the Arrow C data and C stream interfaces; pyarrow is not needed. Text is not copied where it
comes in one piece.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputTypeError
from rank_plugins.runs.arrow_memory import Batch, Part, Schema, Stream, check, part_of, stream_of
from rank_plugins.runs.build import Picked, build, pick
from rank_plugins.runs.ids import Ids
from rank_plugins.runs.run import Qrels, Run

NUMBERS = {
    "c": np.int8, "C": np.uint8, "s": np.int16, "S": np.uint16, "i": np.int32, "I": np.uint32, "l": np.int64,
    "L": np.uint64, "e": np.float16, "f": np.float32, "g": np.float64,
}  # fmt: skip
TEXTS = {"u": ("str", np.int32), "U": ("str", np.int64), "z": ("bytes", np.int32), "Z": ("bytes", np.int64)}
VIEWS = {"vu": "str", "vz": "bytes"}
VIEW = np.dtype([("length", "<i4"), ("prefix", "<i4"), ("buffer", "<i4"), ("offset", "<i4")])
INLINE = 12  # bytes of text that lie in the view itself
DECIMAL = np.dtype([("low", "<i8"), ("high", "<i8")])
FORMATS = {
    "b": "bool",
    "e": "float16",
    "f": "float32",
    "g": "float64",
    "u": "text",
    "U": "text",
    "vu": "text",
    "n": "null",
}


def from_arrow(table: Any, kind: str, what: str, *, name: str | None = None, duplicates: str = "error") -> Run | Qrels:
    """Build a run or qrels of the columns of a table, which are found by their names.

    Raises:
        InputError: a column is missing or has nulls, NaN, or a document twice in a query.
        InputTypeError: columns of types that are no ids or no numbers.

    """
    capsule = table.__arrow_c_stream__()  # owns the stream: it must live until the last batch is here
    stream = stream_of(capsule)
    schema = Schema()
    check(stream.get_schema(stream, schema), stream, what)
    try:
        picked, parts = _read(stream, schema, kind, what)
        values = [numbers(part) for part in parts[2]]
        return build(
            kind,
            joined([ids(part) for part in parts[0]]),
            joined([ids(part) for part in parts[1]]),
            np.concatenate(values) if values else np.empty(0),
            name=name,
            duplicates=duplicates,
            subtopics=joined([ids(part) for part in parts[3]]) if picked.subtopic else None,
            ranked=picked.value is None,
        )
    finally:
        schema.release(schema)


def ids(part: Part) -> Ids:
    """Return a column as ids.

    Raises:
        InputTypeError: a type that is no id.

    """
    form = part.schema.format.decode()
    if part.schema.dictionary:
        values = part.array.dictionary.contents
        known = part_of(part.batch, part.schema.dictionary.contents, values, 0, values.length, part.where)
        return ids(known).take(part.rows(NUMBERS[form]).astype(np.int64))
    if form in VIEWS:
        return _viewed(part, VIEWS[form])
    if form in TEXTS:
        kind, dtype = TEXTS[form]
        ends = part.buffer(1, dtype, part.offset + part.length + 1)[part.offset :].astype(np.int64)
        text = part.buffer(2, np.uint8, int(ends[-1]) if len(ends) else 0)
        return Ids(kind, None, text, ends[:-1], np.diff(ends))
    if form not in NUMBERS or form in "efg":
        raise InputTypeError(f"{part.where}: expected ids that are text, bytes or whole numbers, got {_named(form)}")
    return Ids.from_array(part.rows(NUMBERS[form]), part.where)


def numbers(part: Part) -> NDArray[np.float64]:
    """Return a column as numbers.

    Raises:
        InputTypeError: a type that is no number.

    """
    form = part.schema.format.decode()
    if form in NUMBERS and not part.schema.dictionary:
        return part.rows(NUMBERS[form]).astype(np.float64)
    if form == "b":
        bits = part.buffer(1, np.uint8, (part.offset + part.length + 7) // 8)
        return np.unpackbits(bits, bitorder="little")[part.offset : part.offset + part.length].astype(np.float64)
    digits = form[2:].split(",") if form.startswith("d:") else []
    if digits and digits[2:] in ([], ["128"]):
        halves = part.rows(DECIMAL)
        if (halves["high"] != halves["low"] >> 63).any():
            raise InputTypeError(f"{part.where}: expected numbers, got decimals beyond 64 bits; cast it to float64")
        return np.asarray(halves["low"] / 10.0 ** int(digits[1]))
    raise InputTypeError(f"{part.where}: expected numbers, got {_named(form)}; cast it to float64")


def joined(parts: list[Ids]) -> Ids:
    """Return the ids of several parts of a column as one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Ids.from_list([])
    if parts[0].kind == "int":
        return Ids("int", np.concatenate([part.numbers for part in parts]))
    shifts = np.cumsum([0, *(len(part.text) for part in parts)]).tolist()
    starts = np.concatenate([part.starts + shift for part, shift in zip(parts, shifts, strict=False)])
    text = np.concatenate([part.text for part in parts])
    return Ids(parts[0].kind, None, text, starts, np.concatenate([part.lengths for part in parts]))


def _read(stream: Stream, schema: Schema, kind: str, what: str) -> tuple[Picked, list[list[Part]]]:
    """Return which columns matter, and for each of query, document, number and subtopic its parts."""
    if schema.format != b"+s":
        raise InputTypeError(f"{what}: expected a table with columns, got {_named(schema.format.decode())}")
    fields = [schema.children[i].contents for i in range(schema.n_children)]
    names = [(field.name or b"").decode() for field in fields]
    picked = pick(names, kind, what)
    wanted = [picked.query, picked.document, picked.value or picked.rank, picked.subtopic]
    parts: list[list[Part]] = [[] for _ in wanted]
    before = 0
    while True:
        batch = Batch()
        check(stream.get_next(stream, batch.array), stream, what)
        if not batch.array.release:  # the end
            return picked, parts
        for found, name in zip(parts, wanted, strict=True):
            if name is not None:
                place = names.index(name)
                child = batch.array.children[place].contents
                where = f"{what}: column {name!r}"
                found.append(
                    part_of(batch, fields[place], child, batch.array.offset, batch.array.length, where, before)
                )
        before += batch.array.length


def _viewed(part: Part, kind: str) -> Ids:
    """Return text that lies in views of 16 bytes: itself where it is short, or else where it is."""
    views = part.rows(VIEW)
    chunks = part.array.n_buffers - 3
    sizes = part.buffer(part.array.n_buffers - 1, np.int64, chunks)
    lengths = views["length"].astype(np.int64)
    starts = np.arange(part.length, dtype=np.int64) * VIEW.itemsize + 4
    text = views.view(np.uint8)
    if chunks:
        far = lengths > INLINE
        bases = len(text) + np.cumsum([0, *sizes.tolist()])
        starts[far] = bases[views["buffer"][far]] + views["offset"][far]
        text = np.concatenate([text, *(part.buffer(2 + i, np.uint8, int(size)) for i, size in enumerate(sizes))])
    return Ids(kind, None, text, starts, lengths)


def _named(form: str) -> str:
    return f"Arrow type {form!r}{f' ({FORMATS[form]})' if form in FORMATS else ''}"
