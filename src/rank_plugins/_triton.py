"""The fused MaxSim kernel for GPUs, in Triton; rank_plugins.torch decides when it runs.

One program scores one query against one document. It keeps a tile of similarities in registers, folds each block of
document tokens into it by the maximum, and writes one number: the Q x D matrix never exists in memory. Programs of the
same document are neighbours in the grid, so that a document comes from memory once and from the cache for every
further query. There are no atomics: the same input gives the same bits.
"""
# mypy: allow-untyped-calls, allow-untyped-decorators, allow-untyped-defs, allow-incomplete-defs
# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LARGEST_GRID = 2**31 - 1


@triton.jit
def _tile(values, rows, inside, first, K: tl.constexpr, BLOCK_K: tl.constexpr):
    """Load columns first..first+BLOCK_K of `rows`; zeros beyond column K and where a row is not `inside`."""
    columns = first + tl.arange(0, BLOCK_K)
    mask = inside[:, None]
    if K % BLOCK_K != 0:
        mask = mask & (columns[None, :] < K)
    return tl.load(values + rows[:, None] * K + columns[None, :], mask=mask, other=0)


@triton.jit
def _similarities(
    queries, query_rows, query_inside, values, rows, inside, scales,
    K: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Return float32 [BLOCK_D, BLOCK_Q] dot products; -inf where no document token is, so that it never wins."""
    integer: tl.constexpr = values.dtype.element_ty == tl.int8
    dots = tl.zeros((rows.shape[0], query_rows.shape[0]), tl.int32 if integer else tl.float32)
    for first in range(0, K, BLOCK_K):
        document = _tile(values, rows, inside, first, K, BLOCK_K)
        query = _tile(queries, query_rows, query_inside, first, K, BLOCK_K)
        dots = tl.dot(document, tl.trans(query), dots, input_precision=PRECISION, out_dtype=dots.dtype)
    similarities = dots.to(tl.float32)
    if scales is not None:
        similarities *= tl.load(scales + rows, mask=inside, other=0.0)[:, None]
    return tl.where(inside[:, None], similarities, float("-inf"))


@triton.jit
def _maxsim_kernel(
    queries, query_offsets, query_scales, values, starts, tokens, scales,
    scores, best_tokens, M, stride,
    K: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) % M
    n = (tl.program_id(0) // M).to(tl.int64)
    first_query = tl.load(query_offsets + m)
    Q = (tl.load(query_offsets + m + 1) - first_query).to(tl.int32)
    start = tl.load(starts + n)
    D = tl.load(tokens + n).to(tl.int32)
    score = tl.full((), 0.0, tl.float64)  # as the native core, whose sums over query tokens are in double
    for query_block in range(0, Q, BLOCK_Q):
        query_inside = query_block + tl.arange(0, BLOCK_Q) < Q
        query_rows = first_query + query_block + tl.arange(0, BLOCK_Q)
        # Elementwise per row of the block, and over the rows once at the end: no exchange between threads in the loop.
        best = tl.full((BLOCK_D, BLOCK_Q), float("-inf"), tl.float32)
        best_row = tl.zeros((BLOCK_D, BLOCK_Q), tl.int32)
        for block in range(0, D, BLOCK_D):
            row = block + tl.arange(0, BLOCK_D)
            similarities = _similarities(
                queries, query_rows, query_inside, values, start + row, row < D, scales, K, BLOCK_K, PRECISION
            )
            if best_tokens is not None:
                best_row = tl.where(similarities > best, row[:, None], best_row)
            best = tl.maximum(best, similarities)
        largest = tl.max(best, axis=0)
        if best_tokens is not None:
            first = tl.min(tl.where(best == largest[None, :], best_row, 2147483647), axis=0)
            tl.store(best_tokens + query_rows * stride + n, first, mask=query_inside)
        terms = largest.to(tl.float64)
        if query_scales is not None:
            terms *= tl.load(query_scales + query_rows, mask=query_inside, other=0.0).to(tl.float64)
        score += tl.sum(tl.where(query_inside, terms, 0.0), axis=0)
    # A query scale of zero times -inf would be no number.
    tl.store(scores + m.to(tl.int64) * stride + n, tl.where(D > 0, score, float("-inf")).to(tl.float32))


def blocks(K: int, longest_query: int, dtype: torch.dtype) -> dict[str, int | str]:
    """Return the shapes of the kernel's tiles, and how it multiplies float32."""
    # Whole rows where they fit: the query then stays on chip. float32 has no exact matrix instruction, so its operands
    # are in registers: with pieces of 128 the compiler spills kilobytes per thread, with 32 nothing.
    widest = 32 if dtype == torch.float32 else 128
    return {
        "K": K,
        "BLOCK_Q": min(64, max(16, triton.next_power_of_2(longest_query))),
        "BLOCK_D": 64,  # rows of one Hopper matrix instruction
        "BLOCK_K": min(widest, max(32, triton.next_power_of_2(K))),
        # "ieee" multiplies in float32. The other choices round to TF32 or bfloat16 first, and what they drop is more
        # than the error bound of float32 allows for small K.
        "PRECISION": "ieee",
    }


def maxsim(
    queries: Tensor,
    query_offsets: Tensor,
    values: Tensor,
    starts: Tensor,
    tokens: Tensor,
    *,
    query_scales: Tensor | None,
    scales: Tensor | None,
    longest_query: int,
    scores: Tensor,
    best_tokens: Tensor | None,
) -> None:
    """Write scores float32 [M, N], and the arg max int32 [Tq, N] where `best_tokens` is given.

    The other arguments are those of rank_plugins.torch.ragged_maxsim, checked, contiguous and on one device;
    `longest_query` is the largest number of tokens of a query. On equal similarities the first token is the arg max.
    """
    M, N, K = len(query_offsets) - 1, len(starts), values.shape[1]
    options = blocks(K, longest_query, values.dtype)
    most = max(1, LARGEST_GRID // M)
    with torch.cuda.device_of(values):  # Triton launches on the current device
        for n in range(0, N, most):
            _maxsim_kernel[(M * min(most, N - n),)](
                queries, query_offsets, query_scales, values, starts[n:], tokens[n:], scales,
                scores[:, n:], None if best_tokens is None else best_tokens[:, n:], M, N, **options,
                enable_fp_fusion=True,  # Triton 3.9 warns where this is left open
            )  # fmt: skip
