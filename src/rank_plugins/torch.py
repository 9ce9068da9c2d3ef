"""MaxSim of torch tensors, on the device where they are and with a gradient.

On CUDA one fused Triton kernel reads each document once and never builds the Q x D matrix. Elsewhere (CPU, MPS, a GPU
older than Ampere, no Triton, float64) plain torch does the same in chunks of bounded size. TRITON_INTERPRET=1 runs the
kernel on the CPU, slowly, for tests.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require
from rank_plugins._torch import DTYPES, check_values, chunk_budget, ragged_maxsim, runs
from rank_plugins.errors import InputError, InputTypeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from rank_plugins.embeddings import TokenEmbeddings
else:
    torch = require("torch")
    Tensor = torch.Tensor

__all__ = ["check_values", "embeddings_maxsim", "maxsim", "ragged_maxsim"]


def maxsim(
    a: Tensor | NDArray[Any] | Sequence[Any],
    b: Tensor | NDArray[Any] | Sequence[Any],
    a_mask: Tensor | NDArray[Any] | Sequence[Any] | None = None,
    b_mask: Tensor | NDArray[Any] | Sequence[Any] | None = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: str | torch.device | None = None,
) -> Tensor:
    """Score every query of `a` against every document of `b`, as sentence_transformers.util.maxsim does.

    score[m, n] = sum over tokens i of query m of max over tokens j of document n of <a_mi, b_nj>

    Arguments, shapes and result device are those of sentence-transformers; scores agree but for rounding, except that
    a document without tokens (a length of 0, a row of `b_mask` that is all 0) scores -inf and not -1e9, a query without
    tokens is an error and not a row of zeros, dot products of float16 and bfloat16 are summed in float32, and two
    float dtypes are promoted. Values are not checked, as there; `check_values` does it. Gradients flow to `a` and `b`,
    to the first maximum where several are equal.

    Args:
        a: queries: [M, Q, K], a list of arrays [Q_m, K], or one query [Q, K].
        b: documents: [N, D, K], where without a mask rows of zeros are padding; a list of arrays [D_n, K]; or one
            document [D, K]. Floats or int8; other whole numbers count as float32.
        a_mask: [M, Q], [Q], or a list of one array per query; 0 or False leaves the token out.
        b_mask: the same for documents.
        chunk_elements: numbers that one step may hold beside the inputs; one pair may exceed it. None: 2^20 on a CPU,
            2^26 elsewhere.
        length_normalize: divide by the number of query tokens.
        device: where to compute, chunk by chunk; None: where the documents are.

    Returns:
        float32 [M, N] on the device of the documents, or of the queries where the documents are no tensors.

    Raises:
        InputError: other shapes, dimensions that differ, a mask of another width, a query without tokens.
        InputTypeError: another type or dtype.

    """
    queries, documents = _Side(a, a_mask, "a", zero_rows_pad=False), _Side(b, b_mask, "b", zero_rows_pad=True)
    home = documents.device or queries.device or torch.device("cpu")
    place = home if device is None else torch.device(device)
    budget = chunk_budget(chunk_elements, place)
    if not len(queries) or not len(documents):
        return torch.zeros(len(queries), len(documents), device=home)
    if queries.dim != documents.dim:
        raise InputError(f"b: expected {queries.dim} dimensions as a has, got {documents.dim}; encode both alike")
    dtype = functools.reduce(torch.promote_types, queries.dtypes | documents.dtypes)
    packed, _, counts = queries.pack(0, len(queries), place, dtype, gaps=False)
    offsets = torch.nn.functional.pad(counts.cpu().cumsum(0), (1, 0))
    chunks = []
    for first, last in documents.ranges(budget // 2, place, dtype):
        ragged = documents.pack(first, last, place, dtype, gaps=True)
        scores = ragged_maxsim(packed, offsets, *ragged, chunk_elements=max(1, budget // 2))
        chunks.append(scores.to(home, torch.float32))
    scores = chunks[0] if len(chunks) == 1 else torch.cat(chunks, dim=1)
    return scores / queries.lengths().to(home)[:, None] if length_normalize else scores


def embeddings_maxsim(queries: Sequence[Any], documents: TokenEmbeddings) -> Tensor:
    """Score M queries [Q_m, K] against documents that are tensors: what rank_plugins.maxsim does with those.

    Queries, arrays or tensors of floats, move to the documents' device and dtype; for int8 each token gets a scale,
    as rank_plugins.quantize gives it. Documents scattered over many tensors are copied together a chunk at a time.

    Returns:
        float32 [M, N] on the documents' device.

    Raises:
        InputError: a query without tokens, dimensions that differ, values that are not finite.
        InputTypeError: a query that is no array of floats.

    """
    segments, scales = documents._rows.segments, documents._rows.scales
    if not len(queries) or not len(documents):
        return torch.zeros(len(queries), len(documents), device=segments[0].device)
    rows = [_query(query, f"queries[{m}]", segments[0]) for m, query in enumerate(queries)]
    offsets = torch.tensor([0, *itertools.accumulate(len(query) for query in rows)])
    packed, query_scales = torch.cat(rows), None
    if segments[0].dtype == torch.int8:
        packed, query_scales = _int8(packed)
    else:
        packed = packed.to(segments[0].dtype)
    tokens = torch.tensor(documents.tokens)
    if len(segments) == 1:
        starts, scale = torch.tensor(documents._starts), None if scales is None else torch.as_tensor(scales[0])
        return ragged_maxsim(packed, offsets, segments[0], starts, tokens, scales=scale, query_scales=query_scales)
    chunks = []
    for first, last in runs((documents.tokens * documents.dim).tolist(), chunk_budget(None, packed.device)):
        values, some = torch.cat(list(documents[first:last])), tokens[first:last]  # type: ignore[arg-type]
        chunks.append(ragged_maxsim(packed, offsets, values, some.cumsum(0) - some, some))
    return torch.cat(chunks, dim=1)


def _query(query: Any, what: str, like: Tensor) -> Tensor:
    """Return one query as floats [Q, K] on the device of `like`."""
    rows = _tensor(query, what)
    if not rows.is_floating_point():
        raise InputTypeError(f"{what}: expected floats, got {rows.dtype}")
    if rows.ndim != 2 or rows.shape[1] != like.shape[1]:
        raise InputError(f"{what}: expected shape [Q, {like.shape[1]}] as the documents have, got {list(rows.shape)}")
    check_values(rows, what)
    return rows.to(like.device, torch.float32)


def _int8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return float32 [T, K] as int8 and its scales [T], bit for bit as rank_plugins.quantize does."""
    scales = rows.abs().amax(1) / 127
    normal = scales >= torch.finfo(torch.float32).tiny
    values = (rows / torch.where(normal, scales, 1)[:, None]).round().to(torch.int8)
    return values, torch.where(normal, scales, 0)


class _Side:
    """The queries or the documents of a call; packed a chunk at a time, since packing copies what is no view."""

    def __init__(self, embeddings: Any, mask: Any, what: str, *, zero_rows_pad: bool):
        self.what = what
        self.device: torch.device | None = None
        self.items: Tensor | Sequence[Any]
        if isinstance(embeddings, (Tensor, np.ndarray)):
            self.items = _batch(_tensor(embeddings, what), what)
            shapes = [self.items.shape[1:]] * len(self.items)
            self.dtypes = {_dtype(self.items, what)}
            self.device = embeddings.device if isinstance(embeddings, Tensor) else None
        elif isinstance(embeddings, (list, tuple)):
            self.items = embeddings
            tensors = [_tensor(item, f"{what}[{n}]") for n, item in enumerate(embeddings)]
            shapes = [_matrix_shape(tensor, f"{what}[{n}]") for n, tensor in enumerate(tensors)]
            self.dtypes = {_dtype(tensor, what) for tensor in tensors}
            devices = {item.device for item in embeddings if isinstance(item, Tensor)}
            if len(devices) > 1:
                raise InputError(f"{what}: expected one device, got {sorted(map(str, devices))}; move them with .to()")
            self.device = next(iter(devices), None)
        else:
            raise InputTypeError(f"{what}: expected a tensor, an array or a list, got {type(embeddings).__name__}")
        self.widths = [shape[0] for shape in shapes]
        self.dim = shapes[0][1] if shapes else None
        for n, shape in enumerate(shapes):
            if shape[1] != self.dim:
                raise InputError(f"{what}[{n}]: expected {self.dim} dimensions as {what}[0] has, got {shape[1]}")
        self.mask = None if mask is None else _mask(mask, self.widths, f"{what}_mask")
        if mask is None and zero_rows_pad and isinstance(self.items, Tensor):
            self.mask = _nonzero_rows(self.items)

    def __len__(self) -> int:
        return len(self.widths)

    def lengths(self) -> Tensor:
        """Count the tokens that length_normalize divides by: int64 [N]. Rows of zeros in padded input do not count."""
        if self.mask is not None:
            return self.mask.sum(1).clamp(min=1)
        if isinstance(self.items, Tensor):
            return _nonzero_rows(self.items).sum(1).clamp(min=1)
        return torch.tensor(self.widths)

    def ranges(self, budget: int, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[int, int]]:
        """Cut into runs (first, last) whose packing copies at most `budget` numbers, or one item."""
        items = self.items
        in_place = (
            isinstance(items, Tensor) and items.is_contiguous() and (items.device, items.dtype) == (device, dtype)
        )
        if in_place and (self.mask is None or _leading(self.mask)):
            return iter([(0, len(self))])
        return runs([max(1, width * (self.dim or 1)) for width in self.widths], budget)

    def pack(
        self, first: int, last: int, device: torch.device, dtype: torch.dtype, *, gaps: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return values [T, K], starts [n] and tokens [n]; with `gaps`, rows that do not count may stay between."""
        widths = torch.tensor(self.widths[first:last])
        if isinstance(self.items, Tensor):
            values = self.items[first:last].to(device, dtype).flatten(0, 1)
        else:
            parts = [_tensor(item, self.what) for item in self.items[first:last]]
            values = torch.cat(parts).to(device, dtype)
        if self.mask is None:
            return values, widths.cumsum(0) - widths, widths
        mask = self.mask[first:last]
        exists = torch.arange(mask.shape[1], device=mask.device) < widths.to(mask.device)[:, None]
        mask = mask & exists  # a mask cannot make tokens that the list does not have
        tokens = mask.sum(1)
        if gaps and _leading(mask):
            starts = widths.cumsum(0) - widths
        else:
            values = values[mask[exists].to(device)]
            starts = tokens.cumsum(0) - tokens
        return values, starts, tokens


def _tensor(value: Any, what: str) -> Tensor:
    """Return `value` as a tensor; torch has no view of an array that is read-only or read backwards: that is copied."""
    try:
        if isinstance(value, np.ndarray):
            view = value.flags.writeable and all(stride >= 0 for stride in value.strides)
            return torch.from_numpy(value if view else value.copy())
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputTypeError(f"{what}: expected an array of numbers, got {type(value).__name__} ({error})") from None


def _batch(tensor: Tensor, what: str) -> Tensor:
    if tensor.ndim not in (2, 3):
        raise InputError(f"{what}: expected 3 axes [N, D, K], or 2 [D, K], got shape {list(tensor.shape)}")
    return tensor[None] if tensor.ndim == 2 else tensor


def _matrix_shape(tensor: Tensor, what: str) -> torch.Size:
    if tensor.ndim != 2:
        raise InputError(f"{what}: expected 2 axes [D, K], got shape {list(tensor.shape)}")
    return tensor.shape


def _dtype(tensor: Tensor, what: str) -> torch.dtype:
    """Return the dtype to compute in."""
    if tensor.is_complex():
        raise InputTypeError(f"{what}: expected floats or whole numbers, got {tensor.dtype}")
    return tensor.dtype if tensor.dtype in DTYPES else torch.float32


def _mask(mask: Any, widths: list[int], what: str) -> Tensor:
    """Return `mask` as bool [N, longest]."""
    if isinstance(mask, (list, tuple)):
        rows = [_tensor(row, what).bool() for row in mask]
        tensor = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) if rows else torch.zeros(0, 0)
    elif isinstance(mask, (Tensor, np.ndarray)):
        tensor = _tensor(mask, what)
    else:
        raise InputTypeError(f"{what}: expected a tensor, an array or a list of them, got {type(mask).__name__}")
    tensor = tensor[None] if tensor.ndim == 1 else tensor
    shape = [len(widths), max(widths, default=0)]
    if tensor.ndim != 2 or tensor.shape[1] != shape[1] or tensor.shape[0] not in (1, shape[0]):
        raise InputError(f"{what}: expected shape {shape}, one per token of the longest, got {list(tensor.shape)}")
    return tensor.bool().expand(shape)


def _nonzero_rows(items: Tensor) -> Tensor:
    """Tell which rows [N, D] of [N, D, K] hold anything but zeros; nothing of the size of `items` is made."""
    items = items.detach()
    if not items.shape[2]:
        return torch.zeros(items.shape[:2], dtype=torch.bool, device=items.device)
    return (items.amax(-1) != 0) | (items.amin(-1) != 0)


def _leading(mask: Tensor) -> bool:
    """Whether in every row of `mask` [N, D] all that is set comes first."""
    return bool((mask[:, 1:] <= mask[:, :-1]).all())
