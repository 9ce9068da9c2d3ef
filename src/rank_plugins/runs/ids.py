"""Ids: a column of document ids, text or whole numbers, in memory that C can read."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins import _columns
from rank_plugins.errors import InputError, InputTypeError

Id: TypeAlias = "str | int | bytes"


class Ids:
    """T ids of one kind, "str", "int" or "bytes"; immutable.

    Text lies as UTF-8 in one buffer, id i at `starts[i]`, `lengths[i]` bytes long; whole numbers are int64.
    """

    def __init__(
        self,
        kind: str,
        numbers: NDArray[np.int64] | None = None,
        text: NDArray[np.uint8] | None = None,
        starts: NDArray[np.int64] | None = None,
        lengths: NDArray[np.int64] | None = None,
    ) -> None:
        """Hold columns that fit together; see `from_list`, `from_array` and `from_text`."""
        self.kind = kind
        empty = np.empty(0, np.int64)
        self.numbers = empty if numbers is None else numbers
        self.text = np.empty(0, np.uint8) if text is None else text
        self.starts = empty if starts is None else starts
        self.lengths = empty if lengths is None else lengths

    @classmethod
    def from_list(cls, ids: Sequence[Id], what: str = "document ids") -> Ids:
        """Hold the ids of a list, all of one type.

        Raises:
            InputTypeError: ids of several types, or of one that is no id.
            InputError: a whole number beyond 64 bits.

        """
        types = set(map(type, ids))
        if not types or types == {str}:
            return cls._joined("str", [_utf8(i) for i in ids])  # type: ignore[arg-type]
        if all(issubclass(t, str) for t in types):
            return cls._joined("str", [_utf8(str(i)) for i in ids])
        if types == {bytes}:
            return cls._joined("bytes", ids)  # type: ignore[arg-type]
        if all(issubclass(t, (int, np.integer)) and t is not bool for t in types):
            try:
                return cls("int", np.array(ids, np.int64))
            except OverflowError:
                raise InputError(f"{what}: expected whole numbers of 64 bits, got a larger one; pass text") from None
        names = ", ".join(sorted(t.__name__ for t in types))
        raise InputTypeError(f"{what}: expected ids that are all str, all int or all bytes, got {names}")

    @classmethod
    def from_array(cls, ids: NDArray[Any], what: str = "document ids") -> Ids:
        """Hold the ids of a one-dimensional array of whole numbers, text ('<U'), bytes ('S') or objects.

        Raises:
            InputTypeError: another dtype.
            InputError: another number of axes.

        """
        if ids.ndim != 1:
            raise InputError(f"{what}: expected 1 axis [T], got shape {ids.shape}")
        if ids.dtype.kind in "iu":
            if ids.dtype == np.uint64 and ids.size and int(ids.max()) > np.iinfo(np.int64).max:
                raise InputError(f"{what}: expected whole numbers of 64 bits with a sign, got {int(ids.max())}")
            return cls("int", ids.astype(np.int64))
        if ids.dtype.kind in "US":
            return cls._from_fixed(ids)
        if ids.dtype.kind in "OT":
            return cls.from_list(ids.tolist(), what)
        raise InputTypeError(f"{what}: expected whole numbers, text or bytes, got dtype {ids.dtype.name}")

    @classmethod
    def from_text(cls, text: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Ids:
        """Hold ids that lie in `text`, valid UTF-8, without copying it."""
        return cls("str", None, text, starts, lengths)

    @classmethod
    def _joined(cls, kind: str, items: Sequence[bytes]) -> Ids:
        lengths = np.fromiter(map(len, items), np.int64, len(items))
        text = np.frombuffer(b"".join(items), np.uint8)
        return cls(kind, None, text, np.cumsum(lengths) - lengths, lengths)

    @classmethod
    def _from_fixed(cls, ids: NDArray[Any]) -> Ids:
        """Hold strings of a fixed width: NumPy pads them with NUL."""
        kind = "bytes"
        if ids.dtype.kind == "U":
            kind = "str"
            try:
                ids = np.char.encode(ids, "utf-8") if ids.size else np.empty(0, "S1")
            except UnicodeEncodeError:  # a lone surrogate
                return cls.from_list(ids.tolist())
        width = max(ids.dtype.itemsize, 1)
        starts = np.arange(len(ids), dtype=np.int64) * width
        text = np.ascontiguousarray(ids).view(np.uint8).reshape(-1)
        return cls(kind, None, text, starts, np.char.str_len(ids).astype(np.int64))

    def __len__(self) -> int:
        return len(self.numbers) if self.kind == "int" else len(self.starts)

    def __getitem__(self, i: int) -> Id:
        if self.kind == "int":
            return int(self.numbers[i])
        return self.take(np.array([i])).tolist()[0]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Ids(kind={self.kind!r}, {len(self)} of them)"

    def take(self, indices: NDArray[np.int64]) -> Ids:
        """Return the ids at `indices` int64 [n], over the same text."""
        if self.kind == "int":
            return Ids("int", self.numbers[indices])
        return Ids(self.kind, None, self.text, self.starts[indices], self.lengths[indices])

    def tolist(self) -> list[Any]:
        """Return the ids as Python objects."""
        if self.kind == "int":
            return list(self.numbers.tolist())
        text = self.text.data
        places = zip(self.starts.tolist(), (self.starts + self.lengths).tolist(), strict=True)
        if self.kind == "bytes":
            return [bytes(text[start:end]) for start, end in places]
        return [str(text[start:end], "utf-8", "surrogatepass") for start, end in places]

    def differs_from_previous(self) -> NDArray[np.bool_]:
        """Return for each id but the first whether it is another than the one before, bool [T - 1]."""
        if self.kind == "int":
            return np.not_equal(self.numbers[1:], self.numbers[:-1])
        return _columns.differs_from_previous(self.text, self.starts, self.lengths)

    @functools.cached_property
    def keys(self) -> NDArray[np.uint64]:
        """A number of 64 bits for each id, equal where ids are equal; needs the C core."""
        if self.kind == "int":
            return self.numbers.view(np.uint64)
        return _columns.hashes(self.text, self.starts, self.lengths)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
