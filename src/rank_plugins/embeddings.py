"""TokenEmbeddings: the token vectors of many documents, ragged, without padding.

Shapes: N documents, D tokens of one document, T tokens in all, K dimension.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import float_array, int_array, is_tensor, on_cpu
from rank_plugins._rows import Rows, check_alike, check_dimension, checked_rows, read_only
from rank_plugins.errors import InputError, InputTypeError


class TokenEmbeddings:
    """Token embeddings of N documents, each an array [D, K] of its own length.

    The elements are of one type, `dtype`:

    | dtype      | an array holds                                              |
    |------------|-------------------------------------------------------------|
    | float32    | float32 [D, K]                                              |
    | float16    | float16 [D, K]                                              |
    | bfloat16   | uint16 [D, K], the bits; ml_dtypes.bfloat16 is accepted too |
    | int8       | int8 [D, K] with one float32 scale per token                |
    | binary     | uint8 [D, ceil(K / 8)], a bit per dimension as numpy.packbits orders them, set where positive |
    | a codec's  | uint8 [D, row_bytes] with one float32 scale per token, made by codebook.Codebook.encode       |

    Inside, a document is (segment, start, tokens): rows `start` to `start + tokens` of one of several
    arrays, so documents may lie scattered and a selection of them copies nothing. Values are checked
    once, here, and are read-only afterwards. The caller's arrays are used without a copy where they are
    contiguous: do not change them while the embeddings live. Torch tensors stay tensors, on their device.
    """

    __slots__ = ("_addresses", "_bounds", "_rows", "_segment", "_starts", "_tokens")

    def __init__(
        self,
        values: ArrayLike,
        offsets: ArrayLike,
        *,
        dtype: str | None = None,
        scales: ArrayLike | None = None,
        dim: int | None = None,
    ) -> None:
        """Document i is values[offsets[i]:offsets[i + 1]].

        Args:
            values: float32, float16 or bfloat16 [T, K], int8 [T, K] or bits uint8 [T, ceil(K / 8)]; float64 is
                converted to float32. A torch tensor of floats or int8 is kept as it is.
            offsets: int [N + 1], starting at 0, never decreasing, ending at T.
            dtype: what `values` holds where its own type does not say: "bfloat16" for uint16, "binary" for uint8.
            scales: float [T], for int8 alone: a token is its int8 values times its scale.
            dim: K, for binary alone; without it every bit counts.

        Raises:
            InputError: a wrong shape, decreasing or incomplete offsets, values that are not finite.
            InputTypeError: another dtype.

        """
        rows = checked_rows(values, "values", dtype, scales, dim)
        count = len(rows.segments[0])
        bounds = int_array(offsets, "offsets")
        if bounds.size == 0 or bounds[0] != 0 or bounds[-1] != count:
            ends = "no elements" if bounds.size == 0 else f"{bounds[0]} ... {bounds[-1]}"
            raise InputError(f"offsets: expected 0 ... {count} (the rows of values), got {ends}")
        tokens = np.diff(bounds)
        if tokens.size and tokens.min() < 0:
            i = int(np.argmax(tokens < 0))
            raise InputError(f"offsets: expected never to decrease, got {bounds[i]} then {bounds[i + 1]} at [{i}]")
        self._set(rows, np.zeros(len(tokens), np.int64), bounds[:-1], tokens)

    def _set(
        self,
        rows: Rows,
        segment: NDArray[np.int64],
        starts: NDArray[np.int64],
        tokens: NDArray[np.int64],
        bounds: NDArray[np.float32] | None = None,
    ) -> None:
        self._rows, self._segment, self._starts, self._tokens = rows, segment, starts, read_only(tokens)
        # Of int8 made by quantize(): the largest distance of a token to its source, and its largest length, [N, 2].
        self._bounds = bounds
        self._addresses: tuple[NDArray[np.uintp], NDArray[np.uintp] | None] | None = None

    @classmethod
    def _of(cls, *parts: Any) -> TokenEmbeddings:
        self = cls.__new__(cls)
        self._set(*parts)
        return self

    @classmethod
    def from_list(cls, arrays: Sequence[ArrayLike]) -> TokenEmbeddings:
        """One array [D, K] of floats per document; D may be 0 and K is the same everywhere.

        Where all are float16, or all bfloat16, they stay so; otherwise they become float32. Nothing is copied
        unless it is converted. Tensors stay tensors; they are all on one device.

        Raises:
            InputError: a wrong shape, different K, values that are not finite.
            InputTypeError: not a sequence of float arrays.

        """
        if isinstance(arrays, (str, bytes)) or not isinstance(arrays, Sequence):
            raise InputTypeError(f"documents: expected a list of arrays [D, K], got {type(arrays).__name__}")
        types = {getattr(array, "dtype", None) for array in arrays}
        names = {str(kind).removeprefix("torch.") for kind in types}
        if names in ({"float16"}, {"bfloat16"}) or any(map(is_tensor, arrays)):
            parts = [checked_rows(array, f"documents[{i}]") for i, array in enumerate(arrays)]
            for i, part in enumerate(parts):
                check_alike(part, parts[0], i)
            return cls._of_segments([part.segments[0] for part in parts], parts[0].dtype)
        return cls._of_segments([float_array(array, f"documents[{i}]", "[D, K]") for i, array in enumerate(arrays)])

    @classmethod
    def _of_segments(cls, segments: Sequence[Any], dtype: str = "float32") -> TokenEmbeddings:
        """One document per segment [D, K], each checked for itself."""
        dim = segments[0].shape[1] if len(segments) else 0
        for i, array in enumerate(segments):
            if array.shape[1] != dim or not dim:
                check_dimension(array.shape[1], f"documents[{i}]")
                raise InputError(f"documents[{i}]: expected {dim} dimensions as documents[0] has, got {array.shape[1]}")
        count = len(segments)
        tokens = np.fromiter(map(len, segments), np.int64, count)
        views = tuple(array if is_tensor(array) else read_only(array) for array in segments)
        rows = Rows(views, dtype, dim)
        return cls._of(rows, np.arange(count), np.zeros(count, np.int64), tokens)

    @classmethod
    def from_padded(
        cls, values: ArrayLike, lengths: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> TokenEmbeddings:
        """Take padded token embeddings [N, D, K]; without `lengths` and `mask` every row counts.

        Args:
            values: float [N, D, K], an array or a tensor.
            lengths: int [N], the tokens of each document, which come first.
            mask: bool or 0/1 [N, D], true where a row is a token; rows in between may be left out.

        Raises:
            InputError: a wrong shape, a length outside 0 ... D, both `lengths` and `mask`.
            InputTypeError: another dtype.

        """
        array: Any = values if is_tensor(values) else np.asarray(values)
        if array.ndim != 3:
            raise InputError(f"values: expected 3 axes [N, D, K], got shape {tuple(array.shape)}")
        count, width, dim = array.shape
        check_dimension(dim, "values")
        if lengths is not None and mask is not None:
            raise InputError("from_padded: expected lengths or mask, got both; pass one of them")
        if mask is not None:
            keep = _mask(on_cpu(mask), (count, width))
            offsets = np.concatenate(([0], np.cumsum(keep.sum(axis=1))))
            return cls(array[mask.bool() if is_tensor(mask) else keep], offsets)  # type: ignore[union-attr]
        tokens = np.full(count, width, np.int64) if lengths is None else int_array(on_cpu(lengths), "lengths")
        if tokens.shape != (count,):
            raise InputError(f"lengths: expected {count} of them (the documents of values), got {tokens.size}")
        if tokens.size and (tokens.min() < 0 or tokens.max() > width):
            i = int(np.argmax((tokens < 0) | (tokens > width)))
            raise InputError(f"lengths: expected 0 ... {width} (the rows of a document), got {tokens[i]} at [{i}]")
        if tokens.size and tokens.min() < width:  # padding may hold anything: only the tokens are checked
            return cls.from_list([array[i, :length] for i, length in enumerate(tokens.tolist())])
        rows = checked_rows(array.reshape(count * width, dim), "values")
        return cls._of(rows, np.zeros(count, np.int64), np.arange(count) * width, tokens)

    @property
    def dim(self) -> int:
        """K, the dimension of every vector; 0 only for an empty list of documents."""
        return self._rows.dim

    @property
    def dtype(self) -> str:
        """The type of the elements: float32, float16, bfloat16, int8, binary or the name of a codec."""
        return self._rows.dtype

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The number of tokens of each document, int64 [N], read-only."""
        return self._tokens

    @property
    def scales(self) -> NDArray[np.float32] | None:
        """float32 [T], the scale of every token in the order of the documents, for int8 and codes; otherwise None."""
        if self._rows.scales is None or not self._rows.segments:
            return None if self._rows.scales is None else np.empty(0, np.float32)
        return self._joined(self._rows.scales)

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self._document(i) for i in range(len(self)))

    def __repr__(self) -> str:
        return f"TokenEmbeddings({len(self)} documents, {int(self._tokens.sum())} tokens, {self.dim} x {self.dtype})"

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> TokenEmbeddings: ...
    def __getitem__(
        self, index: int | np.integer[Any] | slice | Sequence[int] | NDArray[Any]
    ) -> NDArray[Any] | TokenEmbeddings:
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
        bounds = None if self._bounds is None else self._bounds[chosen]
        parts = (self._segment[chosen], self._starts[chosen], self._tokens[chosen], bounds)
        return TokenEmbeddings._of(self._rows, *parts)

    def _document(self, i: int) -> NDArray[Any]:
        start = int(self._starts[i])
        rows: NDArray[Any] = self._rows.segments[self._segment[i]][start : start + int(self._tokens[i])]
        return rows

    def contiguous(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return (values [T, K], offsets int64 [N + 1]); copies only when the documents do not lie in order.

        `values` is as the arrays of the documents are; for int8 and codes the scales are `.scales`.
        """
        offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(self._tokens)))
        if not self._rows.segments:
            return np.empty((0, self.dim), np.float32), offsets
        return self._joined(self._rows.segments), offsets

    def _joined(self, segments: Sequence[Any]) -> NDArray[Any]:
        """Return the documents' parts of `segments`, which lie as the rows do, one after another."""
        starts, tokens = self._starts, self._tokens
        if len(segments) == 1 and len(self) and np.array_equal(starts[1:] - starts[:-1], tokens[:-1]):
            whole: NDArray[Any] = segments[0][int(starts[0]) : int(starts[-1] + tokens[-1])]
            return whole
        places = zip(self._segment.tolist(), starts.tolist(), tokens.tolist(), strict=True)
        parts = [segments[0][:0], *(segments[segment][start : start + count] for segment, start, count in places)]
        if self._rows.tensors:
            import torch

            return torch.cat(parts)  # type: ignore[return-value]
        return np.concatenate(parts)


def _mask(mask: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.shape != shape:
        raise InputError(f"mask: expected shape {shape} (the documents and rows of values), got {array.shape}")
    if array.dtype.kind not in "biu" or not np.isin(array, (0, 1)).all():
        raise InputTypeError(f"mask: expected bool or 0 and 1, got dtype {array.dtype.name}")
    return array.astype(bool)
