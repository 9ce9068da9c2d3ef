"""TokenEmbeddings: the token vectors of many documents, ragged, without padding.

Shapes: N documents, D tokens of one document, T tokens in all, K dimension.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import float_array, int_array
from rank_plugins.errors import InputError, InputTypeError


class TokenEmbeddings:
    """Token embeddings of N documents, each an array [D, K] of its own length.

    Inside, a document is (segment, start, tokens): rows `start` to `start + tokens` of one of several
    arrays, so documents may lie scattered and a selection of them copies nothing. Values are checked
    once, here, and are read-only afterwards. The caller's arrays are used without a copy where they are
    contiguous float32: do not change them while the embeddings live.
    """

    __slots__ = ("_addresses", "_dim", "_segment", "_segments", "_starts", "_tokens")

    def __init__(self, values: ArrayLike, offsets: ArrayLike) -> None:
        """Document i is values[offsets[i]:offsets[i + 1]].

        Args:
            values: float [T, K]; float16 and float64 are converted to float32.
            offsets: int [N + 1], starting at 0, never decreasing, ending at T.

        Raises:
            InputError: a wrong shape, decreasing or incomplete offsets, values that are not finite.
            InputTypeError: another dtype.

        """
        array = float_array(values, "values", "[T, K]")
        bounds = int_array(offsets, "offsets")
        _check_dim(array.shape[1], "values")
        if bounds.size == 0 or bounds[0] != 0 or bounds[-1] != len(array):
            ends = "no elements" if bounds.size == 0 else f"{bounds[0]} ... {bounds[-1]}"
            raise InputError(f"offsets: expected 0 ... {len(array)} (the rows of values), got {ends}")
        tokens = np.diff(bounds)
        if tokens.size and tokens.min() < 0:
            i = int(np.argmax(tokens < 0))
            raise InputError(f"offsets: expected never to decrease, got {bounds[i]} then {bounds[i + 1]} at [{i}]")
        self._set((array,), np.zeros(len(tokens), np.int64), bounds[:-1], tokens, array.shape[1])

    def _set(
        self,
        segments: tuple[NDArray[np.float32], ...],
        segment: NDArray[np.int64],
        starts: NDArray[np.int64],
        tokens: NDArray[np.int64],
        dim: int,
    ) -> None:
        self._segments = tuple(_read_only(array) for array in segments)
        self._segment, self._starts, self._tokens = segment, starts, _read_only(tokens)
        self._dim = dim
        self._addresses: NDArray[np.uintp] | None = None

    @classmethod
    def _of(cls, *parts: Any) -> TokenEmbeddings:
        self = cls.__new__(cls)
        self._set(*parts)
        return self

    @classmethod
    def from_list(cls, arrays: Sequence[ArrayLike]) -> TokenEmbeddings:
        """One array [D, K] per document; D may be 0 and K is the same everywhere. Float32 is not copied.

        Raises:
            InputError: a wrong shape, different K, values that are not finite.
            InputTypeError: not a sequence of float arrays.

        """
        if isinstance(arrays, (str, bytes)) or not isinstance(arrays, Sequence):
            raise InputTypeError(f"documents: expected a list of arrays [D, K], got {type(arrays).__name__}")
        segments = tuple(float_array(array, f"documents[{i}]", "[D, K]") for i, array in enumerate(arrays))
        dim = segments[0].shape[1] if segments else 0
        for i, array in enumerate(segments):
            _check_dim(array.shape[1], f"documents[{i}]")
            if array.shape[1] != dim:
                raise InputError(f"documents[{i}]: expected {dim} dimensions as documents[0] has, got {array.shape[1]}")
        count = len(segments)
        tokens = np.fromiter((len(array) for array in segments), np.int64, count)
        return cls._of(segments, np.arange(count), np.zeros(count, np.int64), tokens, dim)

    @classmethod
    def from_padded(
        cls, values: ArrayLike, lengths: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> TokenEmbeddings:
        """Take padded token embeddings [N, D, K]; without `lengths` and `mask` every row counts.

        Args:
            values: float [N, D, K].
            lengths: int [N], the tokens of each document, which come first.
            mask: bool or 0/1 [N, D], true where a row is a token; rows in between may be left out.

        Raises:
            InputError: a wrong shape, a length outside 0 ... D, both `lengths` and `mask`.
            InputTypeError: another dtype.

        """
        array = np.asarray(values)
        if array.ndim != 3:
            raise InputError(f"values: expected 3 axes [N, D, K], got shape {array.shape}")
        count, width, dim = array.shape
        _check_dim(dim, "values")
        if lengths is not None and mask is not None:
            raise InputError("from_padded: expected lengths or mask, got both; pass one of them")
        if mask is not None:
            keep = _mask(mask, (count, width))
            offsets = np.concatenate(([0], np.cumsum(keep.sum(axis=1))))
            return cls(array[keep], offsets)
        tokens = np.full(count, width, np.int64) if lengths is None else int_array(lengths, "lengths")
        if tokens.shape != (count,):
            raise InputError(f"lengths: expected {count} of them (the documents of values), got {tokens.size}")
        if tokens.size and (tokens.min() < 0 or tokens.max() > width):
            i = int(np.argmax((tokens < 0) | (tokens > width)))
            raise InputError(f"lengths: expected 0 ... {width} (the rows of a document), got {tokens[i]} at [{i}]")
        if tokens.size and tokens.min() < width:  # padding may hold anything: only the tokens are checked
            return cls.from_list([array[i, :length] for i, length in enumerate(tokens.tolist())])
        rows = float_array(array, "values", "[N, D, K]").reshape(count * width, dim)
        return cls._of((rows,), np.zeros(count, np.int64), np.arange(count) * width, tokens, dim)

    @property
    def dim(self) -> int:
        """K, the dimension of every vector; 0 only for an empty list of documents."""
        return self._dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return np.dtype(np.float32)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The number of tokens of each document, int64 [N], read-only."""
        return self._tokens

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self._document(i) for i in range(len(self)))

    def __repr__(self) -> str:
        return f"TokenEmbeddings({len(self)} documents, {int(self._tokens.sum())} tokens, {self._dim} x {self.dtype})"

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> TokenEmbeddings: ...
    def __getitem__(
        self, index: int | np.integer[Any] | slice | Sequence[int] | NDArray[Any]
    ) -> NDArray[np.float32] | TokenEmbeddings:
        """Return one document as array [D, K] (read-only), or a selection of documents; nothing is copied.

        Raises:
            IndexError: an index out of range.
            InputTypeError: neither an int, a slice, whole numbers nor a bool mask [N].

        """
        if isinstance(index, slice):
            chosen = np.arange(len(self))[index]
        elif isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"index: expected -{len(self)} ... {len(self) - 1} (the documents), got {index}")
            return self._document(int(index) % len(self))
        else:
            indices = np.asarray(index)
            if indices.dtype.kind != "b":
                indices = int_array(indices, "index")
            chosen = np.arange(len(self))[indices]
        parts = (self._segment[chosen], self._starts[chosen], self._tokens[chosen])
        return TokenEmbeddings._of(self._segments, *parts, self._dim)

    def _document(self, i: int) -> NDArray[np.float32]:
        start = int(self._starts[i])
        rows: NDArray[np.float32] = self._segments[self._segment[i]][start : start + int(self._tokens[i])]
        return rows

    def contiguous(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (values [T, K], offsets int64 [N + 1]); copies only when the documents do not lie in order."""
        offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(self._tokens)))
        if len(self._segments) == 1 and len(self) and np.array_equal(self._starts, self._starts[0] + offsets[:-1]):
            start = int(self._starts[0])
            return self._segments[0][start : start + int(offsets[-1])], offsets
        documents = [np.empty((0, self._dim), np.float32), *self]
        return np.concatenate(documents), offsets


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _check_dim(dim: int, what: str) -> None:
    if dim < 1:
        raise InputError(f"{what}: expected at least 1 dimension, got {dim}")


def _mask(mask: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.shape != shape:
        raise InputError(f"mask: expected shape {shape} (the documents and rows of values), got {array.shape}")
    if array.dtype.kind not in "biu" or not np.isin(array, (0, 1)).all():
        raise InputTypeError(f"mask: expected bool or 0 and 1, got dtype {array.dtype.name}")
    return array.astype(bool)
