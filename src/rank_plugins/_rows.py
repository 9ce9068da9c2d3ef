"""Rows: arrays or tensors of token vectors of any type, checked where they enter.

Shapes: T tokens, K dimension.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import float_array, half_array, is_tensor, scale_array, whole_number
from rank_plugins.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from rank_plugins.codebook import Codebook

DTYPES = ("float32", "float16", "bfloat16", "int8", "binary")
CODECS = ("residual1", "residual2", "residual4", "pq")  # dtypes of rows that only their codebook can read
STORED_AS = {"uint16": "bfloat16", "uint8": "binary"}  # what NumPy's own types cannot say


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """The rows that documents are made of; selections of documents share them."""

    segments: tuple[Any, ...]  # arrays [rows, width], or tensors
    dtype: str
    dim: int
    scales: tuple[NDArray[np.float32], ...] | None = None  # int8 and codes only: one array [rows] per segment
    codebook: Codebook | None = None  # of codes

    @property
    def tensors(self) -> bool:
        """Whether the rows are torch tensors."""
        return bool(self.segments) and is_tensor(self.segments[0])


def checked_rows(
    values: Any, what: str, dtype: str | None = None, scales: ArrayLike | None = None, dim: int | None = None
) -> Rows:
    """Check one array or tensor [T, K] of any type and return it as rows; see TokenEmbeddings for the errors."""
    if is_tensor(values):
        return _tensor_rows(values, what, scales)
    array: NDArray[Any] = np.asarray(values)
    stored = dtype or STORED_AS.get(array.dtype.name, array.dtype.name)
    if dtype is not None and (dtype not in DTYPES or STORED_AS.get(array.dtype.name, array.dtype.name) != dtype):
        raise InputTypeError(
            f"dtype: expected one of {', '.join(DTYPES)} that fits the values (uint16 for bfloat16, uint8 for binary),"
            f" got {dtype!r} for values of {array.dtype.name}; quantize.quantize converts"
        )
    if array.dtype.name in STORED_AS and dtype is None:
        raise InputTypeError(
            f"{what}: got dtype {array.dtype.name}, which may mean anything; pass dtype={stored!r} if it holds that"
        )
    if (scales is not None) != (stored == "int8"):
        raise InputError(f"scales: expected them for int8 and only there, got values of {stored}")
    if dim is not None and stored != "binary":
        raise InputError(f"dim: expected it for binary only, got {dim} for values of {stored}")
    if stored in ("float16", "bfloat16"):
        array = half_array(array, what, "[T, K]")
    elif stored in ("int8", "binary"):
        if array.ndim != 2:
            raise InputError(f"{what}: expected 2 axes, got shape {array.shape}")
        array = np.ascontiguousarray(array)
    else:
        array = float_array(values, what, "[T, K]")
        stored = "float32"
    check_dimension(array.shape[1], what)
    width = _check_bits(array, what, dim) if stored == "binary" else array.shape[1]
    kept = None if scales is None else (read_only(scale_array(scales, "scales", len(array))),)
    return Rows((read_only(array),), stored, width, kept)


def _tensor_rows(values: Any, what: str, scales: Any) -> Rows:
    from rank_plugins.torch import check_values

    stored = str(values.dtype).removeprefix("torch.")
    if values.ndim != 2:
        raise InputError(f"{what}: expected 2 axes [T, K], got shape {tuple(values.shape)}")
    check_dimension(values.shape[1], what)
    if stored == "float64":
        values, stored = values.float(), "float32"
    if stored not in ("float32", "float16", "bfloat16", "int8"):
        raise InputTypeError(f"{what}: expected a tensor of float32, float16, bfloat16 or int8, got {values.dtype}")
    if (scales is not None) != (stored == "int8"):
        raise InputError(f"scales: expected them for int8 and only there, got values of {stored}")
    if stored != "int8":
        check_values(values, what)
        return Rows((values,), stored, values.shape[1])
    if not is_tensor(scales) or scales.shape != (len(values),):
        raise InputError(f"scales: expected a tensor of shape ({len(values)},), got {getattr(scales, 'shape', scales)}")
    check_values(scales, "scales")
    return Rows((values,), stored, values.shape[1], (scales,))


def _check_bits(array: NDArray[Any], what: str, dim: int | None) -> int:
    """Return the dimension of binary values; bits behind it must be zero, since kernels compare whole bytes."""
    width: int = array.shape[1]
    if dim is None:
        return 8 * width
    bits: int = whole_number(dim, "dim", 1)
    if (bits + 7) // 8 != width:
        raise InputError(f"dim: expected {8 * width - 7} ... {8 * width} for {width} bytes per token, got {dim}")
    if bits % 8 and (array[:, -1] & (0xFF >> bits % 8)).any():
        raise InputError(
            f"{what}: expected the {8 * width - bits} bits behind dimension {bits} to be 0, as numpy.packbits"
            " leaves them"
        )
    return bits


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_dimension(dim: int, what: str) -> None:
    """Refuse vectors without dimensions."""
    if dim < 1:
        raise InputError(f"{what}: expected at least 1 dimension, got {dim}")


def check_alike(part: Rows, first: Rows, i: int) -> None:
    """Refuse a document that is not of the kind that the first one is."""
    if part.dtype != first.dtype or part.tensors != first.tensors:
        raise InputTypeError(
            f"documents[{i}]: expected {first.dtype} {'tensors' if first.tensors else 'arrays'} as documents[0] is,"
            f" got a {part.dtype} {'tensor' if part.tensors else 'array'}; convert them to one type"
        )
    if part.tensors and part.segments[0].device != first.segments[0].device:
        raise InputError(
            f"documents[{i}]: expected device {first.segments[0].device} as documents[0] has,"
            f" got {part.segments[0].device}; move them to one device"
        )
