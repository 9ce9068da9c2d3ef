"""MaxSim of packed torch tensors: chooses the fused kernel or plain torch, and gives both one gradient."""

from __future__ import annotations

import bisect
import functools
import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from rank_plugins._checks import LARGEST, whole_number
from rank_plugins._extras import importable, require
from rank_plugins.errors import InputError, InputTypeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.autograd.function import once_differentiable
else:
    torch = require("torch")
    Tensor = torch.Tensor
    once_differentiable = torch.autograd.function.once_differentiable

FUSED = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
DTYPES = (*FUSED, torch.float64)
CPU_CHUNK = 2**20  # what the caches hold: larger is several times slower
DEVICE_CHUNK = 2**26
EXACT_INT8 = 1024  # so many products of int8 are at most 2^24 together: their sum is exact in float32


def check_values(tensor: Tensor, what: str) -> None:
    """Refuse values that are NaN, infinite or beyond 1e15. One pass over the tensor, and one wait for its device.

    Raises:
        InputError: there is such a value; the message names the first.

    """
    if tensor.dtype == torch.int8 or not tensor.numel():
        return
    least, most = torch.aminmax(tensor.detach())  # NaN, if there is one
    if bool((least >= -LARGEST) & (most <= LARGEST)):
        return
    bad = (~(tensor.detach().abs() <= LARGEST)).nonzero()
    place = bad[0].tolist()
    raise InputError(
        f"{what}: expected finite values of at most {LARGEST:g}, got {tensor[tuple(place)].item():g} at {place}"
        f" ({len(bad)} such of {tensor.numel()}); remove or repair them"
    )


def ragged_maxsim(
    queries: Tensor,
    query_offsets: Tensor,
    values: Tensor,
    starts: Tensor,
    tokens: Tensor,
    *,
    scales: Tensor | None = None,
    query_scales: Tensor | None = None,
    chunk_elements: int | None = None,
) -> Tensor:
    """Score M packed queries against N ragged documents.

    score[m, n] = sum over i in query m of query_scales[i] * max over j in document n of scales[j] * <q_i, d_j>

    Products are summed in float32 (int8: exactly), the terms of a score in float64 (MPS: float32). Gradients flow to
    `queries` and `values`, to the first maximum where several are equal; they are summed in float32, on CUDA in an
    order that varies unless torch.use_deterministic_algorithms is on.

    Args:
        queries: [Tq, K] float32, float16, bfloat16, float64 or int8.
        query_offsets: int64 [M + 1] from 0 to Tq; best on the CPU, where reading it waits for nothing.
        values: [T, K], device and dtype of `queries`. Copied if not contiguous.
        starts: int64 [N], the first row of each document in `values`.
        tokens: int64 [N], its number of rows; 0 gives -inf. The caller has checked 0 <= start <= start + tokens <= T.
        scales: float32 [T], int8 only; None means 1.
        query_scales: float32 [Tq], int8 only; None means 1.
        chunk_elements: numbers that the plain path may hold at a time beside the inputs; one pair may exceed it.
            None: 2^20 on a CPU, 2^26 elsewhere.

    Returns:
        float32 [M, N] (float64 for float64) on the device of `values`.

    Raises:
        InputError: shapes or devices that do not fit, a query without tokens.
        InputTypeError: another dtype.

    """
    _check_pair(queries, values)
    for name, scale, rows in (("scales", scales, values), ("query_scales", query_scales, queries)):
        _check_scales(name, scale, rows)
    for name, index in (("query_offsets", query_offsets), ("starts", starts), ("tokens", tokens)):
        if index.dtype != torch.int64 or index.ndim != 1:
            raise InputTypeError(f"{name}: expected int64 of 1 axis, got {index.dtype} {list(index.shape)}")
    if len(starts) != len(tokens):
        raise InputError(f"tokens: expected one per start, {len(starts)}, got {len(tokens)}")
    budget = chunk_budget(chunk_elements, values.device)
    ragged = _Ragged(_offsets(query_offsets, len(queries)), starts, tokens, scales, query_scales, budget)
    if torch.is_grad_enabled() and (queries.requires_grad or values.requires_grad):
        scores: Tensor = _Differentiable.apply(queries, values, ragged)  # type: ignore[no-untyped-call]
        return scores
    return _score(queries, values, ragged, arg_max=False)[0]


class _Ragged(NamedTuple):
    """What describes packed queries and documents beside their values."""

    offsets: list[int]
    starts: Tensor
    tokens: Tensor
    scales: Tensor | None
    query_scales: Tensor | None
    budget: int

    @property
    def lengths(self) -> list[int]:
        return [stop - start for start, stop in itertools.pairwise(self.offsets)]


class _Differentiable(torch.autograd.Function):
    """A score depends on the arg max pairs alone: d score / d q_i = d_best(i), and d score / d d_j = sum of its q_i."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, values: Tensor, ragged: _Ragged) -> Tensor:
        scores, best = _score(queries, values, ragged, arg_max=True)
        ctx.save_for_backward(queries, values, best)
        ctx.ragged = ragged
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        queries, values, best = ctx.saved_tensors
        grad_queries, grad_values = _gradients(
            gradient, queries, values, best, ctx.ragged, needed=ctx.needs_input_grad[:2]
        )
        return grad_queries, grad_values, None


def _gradients(
    gradient: Tensor, queries: Tensor, values: Tensor, best: Tensor, ragged: _Ragged, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of queries [Tq, K] and values [T, K] from that of the scores [M, N]."""
    wide = torch.promote_types(values.dtype, torch.float32)
    grad_queries = torch.zeros_like(queries, dtype=wide) if needed[0] else None
    grad_values = torch.zeros_like(values, dtype=wide) if needed[1] else None
    device, (Tq, K), N = values.device, queries.shape, len(ragged.starts)
    starts, tokens = ragged.starts.to(device), ragged.tokens.to(device)
    query_of = torch.repeat_interleave(torch.tensor(ragged.lengths)).to(device)
    gradient = gradient.to(wide).masked_fill(tokens == 0, 0)  # a score of -inf does not move
    pairs = max(1, ragged.budget // (2 * K))
    block, most = min(Tq, pairs), max(1, pairs // Tq)
    if len(values):
        for i, n in itertools.product(range(0, Tq, block), range(0, N, most)):
            some, each = slice(i, i + block), slice(n, n + most)
            weight = gradient[query_of[some], each]
            rows = (starts[each] + best[some, each]).clamp(max=len(values) - 1)  # an empty document may start at T
            if grad_queries is not None:
                grad_queries[some] += torch.bmm(weight[:, None], values[rows].to(wide))[:, 0]
            if grad_values is not None:
                terms = weight[..., None] * queries[some, None].to(wide)
                grad_values.index_add_(0, rows.flatten(), terms.flatten(0, 1))
    return (
        None if grad_queries is None else grad_queries.to(queries.dtype),
        None if grad_values is None else grad_values.to(values.dtype),
    )


def _score(queries: Tensor, values: Tensor, ragged: _Ragged, *, arg_max: bool) -> tuple[Tensor, Tensor | None]:
    """Return scores [M, N] and, if wanted, the arg max int32 [Tq, N] as a position within the document."""
    queries, values = queries.contiguous(), values.contiguous()
    shape = (len(ragged.offsets) - 1, len(ragged.starts))
    dtype = torch.promote_types(values.dtype, torch.float32)
    scores = torch.empty(shape, dtype=dtype, device=values.device)
    best = torch.empty(len(queries), shape[1], dtype=torch.int32, device=values.device) if arg_max else None
    if _has_kernel(values.device) and values.dtype in FUSED:
        _launch(queries, values, ragged, scores, best)
    else:
        with torch.autocast(values.device.type, enabled=False):  # a training loop may have asked for half precision
            _plain(queries, values, ragged, scores, best)
    return scores, best


@functools.cache
def _has_kernel(device: torch.device) -> bool:
    if not importable("triton"):
        return False
    if os.environ.get("TRITON_INTERPRET") == "1":
        return True
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _launch(queries: Tensor, values: Tensor, ragged: _Ragged, scores: Tensor, best: Tensor | None) -> None:
    from rank_plugins import _triton

    if values.dtype == torch.bfloat16 and not values.is_cuda:  # Triton's interpreter has no bfloat16
        queries, values = queries.float(), values.float()

    def here(tensor: Tensor) -> Tensor:
        return tensor.to(values.device, non_blocking=True).contiguous()  # otherwise the host waits for the stream

    _triton.maxsim(
        queries,
        here(torch.tensor(ragged.offsets)),
        values,
        here(ragged.starts),
        here(ragged.tokens),
        query_scales=None if ragged.query_scales is None else here(ragged.query_scales),
        scales=None if ragged.scales is None else here(ragged.scales),
        longest_query=max(ragged.lengths),
        scores=scores,
        best_tokens=best,
    )


def _plain(queries: Tensor, values: Tensor, ragged: _Ragged, scores: Tensor, best: Tensor | None) -> None:
    """Fill `scores`, and `best` if given, from groups of documents of similar length."""
    scores.fill_(-torch.inf)  # documents without tokens are in no group
    if best is not None:
        best.zero_()
    starts, tokens = ragged.starts.cpu(), ragged.tokens.cpu()
    converted = 0 if values.dtype == scores.dtype else values.shape[1]
    longest = max(1, int(tokens.max())) if len(tokens) else 1
    for first, last in runs(ragged.lengths, max(1, ragged.budget // (2 * longest))):
        rows = slice(ragged.offsets[first], ragged.offsets[last])
        Q = rows.stop - rows.start
        for chosen, width in _groups(tokens, values.shape[1] + converted + Q + 2, 4 * Q, ragged.budget):
            # A shorter document repeats its last token, which changes no maximum: nothing to mask.
            within = torch.minimum(torch.arange(width), tokens[chosen, None] - 1)
            index = (starts[chosen, None] + within).flatten().to(values.device)
            similarities = _dots(queries[rows], values[index], scores.dtype)
            if ragged.scales is not None:
                similarities *= ragged.scales[index]
            similarities = similarities.view(Q, len(chosen), width)
            place = chosen.to(values.device)
            if best is None:
                largest = similarities.amax(-1)
            else:
                largest, argument = similarities.max(-1)
                best[rows, place] = argument.to(torch.int32)
            scores[first:last, place] = _sums(largest, ragged, first, last).to(scores.dtype)


def _dots(queries: Tensor, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the dot products [Q, R] of queries [Q, K] and values [R, K], summed in `dtype`, exactly for int8."""
    if values.dtype != torch.int8 or values.shape[1] <= EXACT_INT8:
        return queries.to(dtype) @ values.to(dtype).T
    dots = torch.zeros(len(queries), len(values), dtype=torch.int32, device=values.device)
    for k in range(0, values.shape[1], EXACT_INT8):
        piece = slice(k, k + EXACT_INT8)
        dots += (queries[:, piece].to(dtype) @ values[:, piece].to(dtype).T).to(torch.int32)
    return dots.to(dtype)


def _sums(largest: Tensor, ragged: _Ragged, first: int, last: int) -> Tensor:
    """Sum the maxima [Q, n] of queries first ... last - 1 over each query's tokens: [last - first, n]."""
    exact = largest.dtype if largest.device.type == "mps" else torch.float64  # MPS has no float64
    if ragged.query_scales is not None:
        scales = ragged.query_scales[ragged.offsets[first] : ragged.offsets[last], None]
        largest = largest.to(exact) * scales.to(exact)
    return torch.stack([part.sum(0, dtype=exact) for part in torch.split(largest, ragged.lengths[first:last])])


def runs(sizes: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Cut into runs (first, last) of at most `most` together, each of at least one."""
    first, total = 0, 0
    for last, size in enumerate(sizes):
        total += size
        if total > most and last > first:
            yield first, last
            first, total = last, size
    if sizes:
        yield first, len(sizes)


def _groups(tokens: Tensor, per_token: int, per_document: int, budget: int) -> Iterator[tuple[Tensor, int]]:
    """Yield (documents, longest) of similar length, which padded to the longest cost at most `budget` numbers.

    A document that costs more is a group of its own; one without tokens is in no group.
    """
    order = torch.argsort(tokens, stable=True)
    lengths = tokens[order].tolist()
    first = bisect.bisect_right(lengths, 0)
    while first < len(lengths):
        last = first + 1
        while last < len(lengths) and (last + 1 - first) * (lengths[last] * per_token + per_document) <= budget:
            last += 1
        yield order[first:last], lengths[last - 1]
        first = last


def chunk_budget(chunk_elements: int | None, device: torch.device) -> int:
    """Return how many numbers a step may hold beside the inputs; None means what suits `device`."""
    if chunk_elements is None:
        return CPU_CHUNK if device.type == "cpu" else DEVICE_CHUNK
    return whole_number(chunk_elements, "chunk_elements", 1)


def _check_pair(queries: Tensor, values: Tensor) -> None:
    for name, tensor, shape in (("queries", queries, "[Tq, K]"), ("values", values, "[T, K]")):
        if tensor.dtype not in DTYPES:
            names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            raise InputTypeError(f"{name}: expected dtype {names}, got {tensor.dtype}; convert it with .float()")
        if tensor.ndim != 2 or not tensor.shape[1]:
            raise InputError(f"{name}: expected 2 axes {shape}, K at least 1, got shape {list(tensor.shape)}")
    if queries.dtype != values.dtype:
        raise InputTypeError(
            f"queries: expected the dtype of the documents, {values.dtype}, got {queries.dtype};"
            " convert the queries with .to(documents.dtype), or quantize them as the documents were"
        )
    if queries.device != values.device:
        raise InputError(
            f"queries: expected the device of the documents, {values.device}, got {queries.device};"
            " move the queries with .to(documents.device)"
        )
    if queries.shape[1] != values.shape[1]:
        raise InputError(
            f"values: expected {queries.shape[1]} dimensions as the queries have, got {values.shape[1]};"
            " encode both with the same encoder"
        )


def _check_scales(name: str, scales: Tensor | None, values: Tensor) -> None:
    if scales is None:
        return
    if values.dtype != torch.int8 or scales.dtype != torch.float32:
        raise InputTypeError(f"{name}: expected float32 beside int8 values, got {scales.dtype} beside {values.dtype}")
    if scales.shape != values.shape[:1] or scales.device != values.device:
        raise InputError(
            f"{name}: expected shape [{len(values)}] on {values.device}, one per token,"
            f" got {list(scales.shape)} on {scales.device}"
        )


def _offsets(query_offsets: Tensor, total: int) -> list[int]:
    offsets: list[int] = query_offsets.tolist()
    if not offsets or offsets[0] != 0 or offsets[-1] != total:
        raise InputError(
            f"query_offsets: expected to run from 0 to {total}, the query tokens, got {offsets[:1]} to {offsets[-1:]}"
        )
    for m, (start, stop) in enumerate(itertools.pairwise(offsets)):
        if stop <= start:
            raise InputError(f"queries[{m}]: expected at least one token, got {stop - start}; leave the query out")
    return offsets
