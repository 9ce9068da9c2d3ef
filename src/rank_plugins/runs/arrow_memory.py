"""The structures of Arrow's C data and C stream interfaces, and the memory behind them, by ctypes."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError

P = ctypes.POINTER


class Schema(ctypes.Structure):
    """The type of a column, or of all of them."""

    format: bytes
    name: bytes | None
    n_children: int
    children: Any
    dictionary: Any
    release: Any


class Array(ctypes.Structure):
    """The memory of a column's rows, or of all columns' rows."""

    length: int
    null_count: int
    offset: int
    n_buffers: int
    buffers: Any
    children: Any
    dictionary: Any
    release: Any


class Stream(ctypes.Structure):
    """Batches of rows, one after another."""

    get_schema: Any
    get_next: Any
    get_last_error: Any


Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", P(P(Schema))),
    ("dictionary", P(Schema)),
    ("release", ctypes.CFUNCTYPE(None, P(Schema))),
    ("private_data", ctypes.c_void_p),
]
Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", P(ctypes.c_void_p)),
    ("children", P(P(Array))),
    ("dictionary", P(Array)),
    ("release", ctypes.CFUNCTYPE(None, P(Array))),
    ("private_data", ctypes.c_void_p),
]
Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, P(Stream), P(Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, P(Stream), P(Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, P(Stream))),
    ("release", ctypes.CFUNCTYPE(None, P(Stream))),
    ("private_data", ctypes.c_void_p),
]


class Batch:
    """Owns the memory of a batch: gives it back when the last array over it is gone."""

    def __init__(self) -> None:
        self.array = Array()

    def __del__(self) -> None:
        if self.array.release:
            self.array.release(self.array)

    def view(self, address: int | None, dtype: Any, count: int) -> NDArray[Any]:
        """Return `count` elements at an address, without a copy."""
        size = count * np.dtype(dtype).itemsize
        if not size or not address:
            return np.empty(0, dtype)
        memory = (ctypes.c_char * size).from_address(address)
        memory.owner = self
        array = np.frombuffer(memory, dtype)
        array.flags.writeable = False
        return array


class Part(NamedTuple):
    """A column in one batch."""

    batch: Batch
    schema: Schema
    array: Array
    offset: int
    """The first row that counts."""
    length: int
    where: str
    """What to call the column in messages."""

    def buffer(self, i: int, dtype: Any, count: int) -> NDArray[Any]:
        """Return the first `count` elements of buffer i."""
        return self.batch.view(self.array.buffers[i], dtype, count)

    def rows(self, dtype: Any) -> NDArray[Any]:
        """Return the rows of a column of a fixed width."""
        return self.buffer(1, dtype, self.offset + self.length)[self.offset :]


def part_of(batch: Batch, schema: Schema, array: Array, first: int, length: int, where: str, before: int = 0) -> Part:
    """Return rows of a column from `first` on, `before` of the table's rows behind other batches.

    Raises:
        InputError: a null.

    """
    part = Part(batch, schema, array, array.offset + first, length, where)
    if schema.format == b"n" and length:
        raise InputError(f"{where}: expected no nulls, got nothing else")
    if array.null_count and length and array.n_buffers and array.buffers[0]:
        bits = part.buffer(0, np.uint8, (part.offset + length + 7) // 8)
        valid = np.unpackbits(bits, bitorder="little")[part.offset : part.offset + length]
        if not valid.all():
            raise InputError(
                f"{where}: expected no nulls, got {int((valid == 0).sum())}, the first in row"
                f" {before + int(valid.argmin())}; drop or fill them"
            )
    return part


def stream_of(capsule: object) -> Stream:
    """Return the stream of a capsule, which owns it and must outlive it."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Stream.from_address(pointer(capsule, b"arrow_array_stream"))


def check(code: int, stream: Stream, what: str) -> None:
    """Refuse a stream that failed.

    Raises:
        InputError: it did.

    """
    if code:
        message = (stream.get_last_error(stream) or b"no message").decode(errors="replace")
        raise InputError(f"{what}: its Arrow stream failed with code {code}: {message}")
