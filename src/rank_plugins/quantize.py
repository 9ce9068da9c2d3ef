"""quantize and dequantize: token embeddings in fewer bytes, and back.

| dtype    | bytes per token | what is kept                                                                        |
|----------|-----------------|-------------------------------------------------------------------------------------|
| float32  | 4 K             | everything                                                                          |
| float16  | 2 K             | 11 bits of precision, up to 65,504                                                  |
| bfloat16 | 2 K             | 8 bits of precision, the range of float32                                           |
| int8     | K + 4           | round(value / scale), with scale = max |value| / 127 per token                      |
| binary   | K / 8           | the signs: +1 / sqrt(K) where positive, -1 / sqrt(K) elsewhere, a vector of length 1 |

What takes fewer bits by learning from a sample is in rank_plugins.codebook.

Shapes: N documents, T tokens in all, K dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._arrays import to_float16
from rank_plugins._rows import CODECS, DTYPES, Rows
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError

TOKENS_AT_ONCE = 1 << 15  # bounds the memory of a conversion beside its result
TINY = np.finfo(np.float32).tiny
TOO_LARGE_FOR_FLOAT16 = 65520  # rounds to infinity
ROUNDING = 1 + 1e-4  # more than a length computed in float32 can lose


def quantize(embeddings: TokenEmbeddings, dtype: str) -> TokenEmbeddings:
    """Return the embeddings in another type: float32, float16, bfloat16, int8 or binary (see the module).

    int8 remembers how far its tokens lie from their source, which `maxsim_top_k` screens with.

    Raises:
        InputError: a value that float16 cannot hold.
        InputTypeError: an unknown dtype, that of a codec, tensors, not TokenEmbeddings.

    """
    if dtype in CODECS:
        raise InputTypeError(
            f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}, which needs a codebook; use"
            f" rank_plugins.codebook: Codebook.fit(sample, {dtype!r}).encode(embeddings)"
        )
    if dtype not in DTYPES:
        raise InputTypeError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    return requantized(embeddings, dtype, screen=True)


def requantized(embeddings: TokenEmbeddings, dtype: str, *, screen: bool) -> TokenEmbeddings:
    """Do what `quantize` does, for a known dtype; int8 without `screen` is half the work and screens nothing."""
    check_arrays(embeddings)
    if embeddings.dtype == dtype:
        return embeddings
    if not embeddings.dim:  # an empty list, which has no dimension either
        nothing = np.empty(0, np.int64)
        return TokenEmbeddings._of(Rows((), dtype, 0, () if dtype == "int8" else None), nothing, nothing, nothing)
    total = int(embeddings.tokens.sum())
    dim = embeddings.dim
    width, storage = stored(dtype, dim)
    values = np.empty((total, width), storage)
    scales = np.empty(total, np.float32) if dtype == "int8" else None
    bounds = np.zeros((len(embeddings), 2), np.float32) if scales is not None and screen else None
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(embeddings.tokens)))
    for first, last in blocks(offsets):
        part = slice(int(offsets[first]), int(offsets[last]))
        source = float32_rows(embeddings[first:last])
        values[part], scale = converted(source, dtype)
        if scales is not None and scale is not None:
            scales[part] = scale
        if bounds is not None and scale is not None:
            kept = values[part] * scale[:, None]
            bounds[first:last, 0] = _largest_norms(source - kept, offsets[first : last + 1])
            bounds[first:last, 1] = _largest_norms(kept, offsets[first : last + 1])
    result = TokenEmbeddings(values, offsets, dtype=dtype, scales=scales, dim=dim if dtype == "binary" else None)
    result._bounds = bounds
    return result


def dequantize(embeddings: TokenEmbeddings) -> TokenEmbeddings:
    """Return the embeddings as float32 (see the module, or rank_plugins.codebook, for what a stored value means).

    Raises:
        InputTypeError: tensors, not TokenEmbeddings.

    """
    return quantize(embeddings, "float32")


def stored(dtype: str, dim: int) -> tuple[int, type[Any]]:
    """Return the elements of a stored row of `dim` dimensions, and their NumPy type."""
    storage = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16, "int8": np.int8}
    return ((dim + 7) // 8, np.uint8) if dtype == "binary" else (dim, storage[dtype])


def converted(values: NDArray[np.float32], dtype: str) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Return float32 [T, K] as stored rows of `dtype`, and for int8 the scales [T].

    Raises:
        InputError: a value that float16 cannot hold.

    """
    if dtype == "float16":
        flat = values.reshape(-1)
        if not np.vdot(flat, flat) < 4e9:  # otherwise no value can be that large; this is the fast way to know
            largest = np.abs(flat).max()
            if largest >= TOO_LARGE_FOR_FLOAT16:
                raise InputError(f"float16: expected values of at most 65504, got {largest:g}; use bfloat16 or int8")
        return to_float16(values), None
    if dtype == "bfloat16":  # to the nearest, ties to even
        bits = np.ascontiguousarray(values).view(np.uint32)
        return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype(np.uint16), None
    if dtype == "int8":
        divisors = scales = np.maximum.reduce(np.abs(values), axis=1) / np.float32(127)
        if np.minimum.reduce(scales, initial=1) < TINY:  # a quotient by less could overflow: it counts as 0
            small = scales < TINY
            scales, divisors = np.where(small, np.float32(0), scales), np.where(small, np.float32(1), scales)
        quotients = values / divisors[:, None]
        return np.rint(quotients, out=quotients).astype(np.int8), scales
    if dtype == "binary":
        return np.packbits(values > 0, axis=1), None
    return values, None


def widened(
    values: NDArray[Any], dtype: str, dim: int, scales: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return stored rows as float32 [T, K]; without scales int8 and binary give whole numbers and +-1."""
    if dtype == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    if dtype == "binary":
        return np.unpackbits(values, axis=1, count=dim).astype(np.float32) * np.float32(2) - np.float32(1)
    wide = values.astype(np.float32, copy=False)
    return wide if scales is None else wide * scales[:, None]


def float32_rows(embeddings: TokenEmbeddings) -> NDArray[np.float32]:
    """Return every token as float32 [T, K]."""
    values, _ = embeddings.contiguous()
    codebook = embeddings._rows.codebook
    if codebook is not None:
        return codebook.decode(values, embeddings.scales)
    wide = widened(values, embeddings.dtype, embeddings.dim, embeddings.scales)
    return wide / np.float32(np.sqrt(embeddings.dim)) if embeddings.dtype == "binary" else wide


def check_arrays(embeddings: TokenEmbeddings) -> None:
    """Refuse what is not a TokenEmbeddings of arrays."""
    if not isinstance(embeddings, TokenEmbeddings):
        raise InputTypeError(f"embeddings: expected TokenEmbeddings, got {type(embeddings).__name__}")
    if embeddings._rows.tensors:
        raise InputTypeError("embeddings: expected arrays, got tensors; convert tensors with torch's own .to()")


def blocks(offsets: NDArray[np.int64], tokens: int | None = None) -> list[tuple[int, int]]:
    """Cut documents into runs (first, last) of about `tokens` tokens; None: TOKENS_AT_ONCE."""
    size = tokens or TOKENS_AT_ONCE
    marks = np.arange(0, int(offsets[-1]) + size, size)
    cuts = np.unique(np.concatenate(([0], np.searchsorted(offsets, marks), [len(offsets) - 1])))
    cuts = cuts[cuts < len(offsets)]
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))


def _largest_norms(vectors: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return for each document, rows offsets[i] ... offsets[i + 1] less offsets[0], its tokens' largest length."""
    result = np.zeros(len(offsets) - 1, np.float32)
    full = np.diff(offsets) > 0
    if full.any():
        norms = np.linalg.norm(vectors, axis=1)
        result[full] = np.maximum.reduceat(norms, offsets[:-1][full] - offsets[0])
    return result * np.float32(ROUNDING)
