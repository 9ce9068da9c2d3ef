"""The MaxSim of sentence-transformers, with its own conventions, by our kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require
from rank_plugins._maxsim import maxsim_batch
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")
    Tensor = torch.Tensor

Fill: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"

NATIVE = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
PLAIN_TENSORS = (Tensor, torch.nn.Parameter)  # other subclasses may mean something else by their numbers
BF16_WITHOUT_SIGN = 0x7FFF


class Side:
    """The queries or the documents of a call, in any form that sentence-transformers takes."""

    def __init__(self, embeddings: Any, mask: Any) -> None:
        """Look at what was given; nothing is copied yet.

        Raises:
            InputTypeError, InputError: this is for the library itself to answer.

        """
        if not isinstance(embeddings, (list, np.ndarray, Tensor)):
            raise InputTypeError(f"embeddings: expected a list, an array or a tensor, got {type(embeddings).__name__}")
        if not isinstance(embeddings, list) and embeddings.ndim == 2:
            embeddings = embeddings[None]
        self.ragged = isinstance(embeddings, list)
        self.items: Sequence[Any] = embeddings if self.ragged else [embeddings]
        kinds = {_kind(item, 2 if self.ragged else 3) for item in self.items}
        if len(kinds) > 1:
            raise InputTypeError(f"embeddings: expected one type of number, got {sorted(kinds)}")
        self.kind = kinds.pop() if kinds else "float32"
        self.count = len(embeddings)
        first = self.items[0] if self.items else None
        self.device: torch.device | None = first.device if isinstance(first, Tensor) else None
        self.needs_gradient = any(isinstance(item, Tensor) and item.requires_grad for item in self.items)
        self._mask = None if mask is None or not self.count else self._checked(mask)

    def __len__(self) -> int:
        return self.count

    @property
    def _widths(self) -> list[int]:
        return [len(item) for item in self.items] if self.ragged else [self.items[0].shape[1]] * self.count

    def _checked(self, mask: Any) -> NDArray[np.bool_]:
        """Return a mask as bool [N, W]; the library weighs by masks that hold other numbers, so they are refused.

        It is weights too if a gradient is wanted, whatever its numbers are now.
        """
        if isinstance(mask, (list, tuple)):
            mask = torch.nn.utils.rnn.pad_sequence([torch.as_tensor(row) for row in mask], batch_first=True)
        if isinstance(mask, Tensor) and mask.requires_grad:
            raise InputTypeError("mask: expected one without gradient")
        array = mask.cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
        array = array[None] if array.ndim == 1 else array
        widths = np.array(self._widths)
        if array.ndim != 2 or array.shape[1] != widths.max() or array.shape[0] not in (1, self.count):
            raise InputError(f"mask: expected shape {[self.count, int(widths.max())]}, got {list(array.shape)}")
        bits = np.broadcast_to(array != 0, (self.count, array.shape[1]))
        if ((array != 0) & (array != 1)).any() or (bits & (np.arange(array.shape[1]) >= widths[:, None])).any():
            raise InputError("mask: expected 0 and 1, and 0 where an item has no token")
        return bits

    def embeddings(self) -> TokenEmbeddings:
        """Return the tokens that count; values are checked.

        Raises:
            InputError: NaN, infinity, different dimensions or none.

        """
        arrays = [_array(item, self.kind) for item in self.items]
        mask = self._mask
        if not self.ragged:
            mask = _nonzero_rows(arrays[0], self.kind) if mask is None else mask
            if self.kind == "bfloat16":
                offsets = np.concatenate(([0], mask.sum(axis=1).cumsum()))
                return TokenEmbeddings(arrays[0][mask], offsets, dtype="bfloat16")
            lengths = mask.sum(axis=1)
            if (mask == (np.arange(mask.shape[1]) < lengths[:, None])).all():  # padding behind, which costs no copy
                return TokenEmbeddings.from_padded(arrays[0], lengths=lengths)
            return TokenEmbeddings.from_padded(arrays[0], mask=mask)
        if mask is not None:
            arrays = [array[keep[: len(array)]] for array, keep in zip(arrays, mask, strict=True)]
        if self.kind == "bfloat16":
            offsets = np.cumsum([0, *map(len, arrays)])
            return TokenEmbeddings(np.concatenate(arrays), offsets, dtype="bfloat16")
        return TokenEmbeddings.from_list(arrays)

    def token_counts(self) -> Tensor:
        """Count the tokens that length_normalize divides by, at least 1 each: [N]."""
        if self._mask is not None:
            counts = torch.from_numpy(self._mask.sum(axis=1))
        elif self.ragged:
            counts = torch.tensor(self._widths)
        elif isinstance(self.items[0], Tensor):
            counts = self.items[0].detach().any(dim=-1).sum(dim=-1)
        else:
            counts = torch.from_numpy(_nonzero_rows(self.items[0], self.kind).sum(axis=1))
        return counts.clamp(min=1)


def all_pairs(
    a: Any,
    b: Any,
    a_mask: Any,
    b_mask: Any,
    chunk_elements: int | None,
    length_normalize: bool,
    device: Any,
    fill: Fill,
) -> Tensor:
    """Return the scores float32 [M, N] as sentence_transformers.util.maxsim does.

    `fill(scores, empty)` gives documents without tokens the library's own score.

    The C core computes on a CPU without gradient, rank_plugins.torch elsewhere. Both take float32, float16,
    bfloat16 and whole numbers.

    Raises:
        InputError, InputTypeError: for the library itself to answer.

    """
    queries, documents = Side(a, a_mask), Side(b, b_mask)
    _check_alike(queries, documents)
    home = documents.device or queries.device
    if not len(queries) or not len(documents):
        return torch.zeros(len(queries), len(documents), dtype=torch.float32, device=home)
    home = home or torch.device("cpu")
    if _native(queries, documents, home if device is None else torch.device(device)):
        left, right = queries.embeddings(), documents.embeddings()
        scores = np.where(right.tokens > 0, np.float32(0), np.float32(-np.inf))  # what a query without tokens gives
        scores = np.repeat(scores[None], len(left), axis=0)
        there = np.flatnonzero(left.tokens)
        if len(there) == len(left):
            scores = maxsim_batch(left, right)
        elif len(there):
            scores[there] = maxsim_batch(left[there], right)
        found = torch.from_numpy(scores).to(home)
    else:
        from rank_plugins.torch import maxsim

        found = maxsim(a, b, a_mask, b_mask, chunk_elements, device=device)
    found = fill(found, found.isneginf())
    return found / queries.token_counts().to(home)[:, None] if length_normalize else found


def pairwise(a: Any, b: Any, a_mask: Any, b_mask: Any, length_normalize: bool, device: Any, fill: Fill) -> Tensor:
    """Return the scores float32 [N] of query n and document n, as `all_pairs`, but by the C core alone.

    Raises:
        InputError, InputTypeError: for the library itself to answer, which has a batched product for pairs.

    """
    queries, documents = Side(a, a_mask), Side(b, b_mask)
    home = documents.device or queries.device
    if len(queries) != len(documents):
        raise InputError(f"b: expected {len(queries)} documents (one per query), got {len(documents)}")
    _check_alike(queries, documents)
    if not len(queries):
        return torch.zeros(0, dtype=torch.float32, device=home)
    home = home or torch.device("cpu")
    if not _native(queries, documents, home if device is None else torch.device(device)):
        raise InputTypeError("embeddings: expected float32, float16 or bfloat16 on a CPU, without gradient")
    left, right = queries.embeddings(), documents.embeddings()
    scores = np.where(right.tokens > 0, np.float32(0), np.float32(-np.inf))
    there = np.flatnonzero(left.tokens)
    if len(there):
        right = TokenEmbeddings(*right.contiguous(), dtype=right.dtype)  # picking from one array costs the least
        scores[there] = np.concatenate(maxsim_batch(left[there], right, list(there[:, None])))
    found = torch.from_numpy(scores).to(home)
    found = fill(found, found.isneginf())
    return found / queries.token_counts().to(home) if length_normalize else found


def _check_alike(queries: Side, documents: Side) -> None:
    """Refuse two types of number, which the library has its own answer to."""
    if len(queries) and len(documents) and queries.kind != documents.kind:
        raise InputTypeError(f"b: expected {queries.kind} as a is, got {documents.kind}")


def _native(queries: Side, documents: Side, place: torch.device) -> bool:
    gradient = torch.is_grad_enabled() and (queries.needs_gradient or documents.needs_gradient)
    return place.type == "cpu" and not gradient


@functools.cache
def _kind_of(dtype: Any) -> str:
    """Name the type that numbers of a dtype are computed in; the library takes whole numbers as float32."""
    if isinstance(dtype, torch.dtype):
        if dtype.is_floating_point:
            return NATIVE.get(dtype, str(dtype).removeprefix("torch."))
        return "complex" if dtype.is_complex else "float32"
    return "float32" if dtype.kind in "biu" else str(dtype)


def _kind(item: Any, axes: int) -> str:
    """Return the type of the numbers of an array or tensor.

    Raises:
        InputTypeError: neither a plain tensor nor an array.
        InputError: another number of axes.

    """
    tensor = type(item) in PLAIN_TENSORS
    if not tensor and type(item) is not np.ndarray:
        raise InputTypeError(f"embeddings: expected arrays or tensors, got {type(item).__name__}")
    if tensor and (item.layout is not torch.strided or item.device.type == "meta" or item.is_quantized):
        raise InputTypeError(f"embeddings: expected dense tensors, got {item.dtype}, {item.layout} on {item.device}")
    if item.ndim != axes:
        raise InputError(f"embeddings: expected {axes} axes, got shape {list(item.shape)}")
    kind = _kind_of(item.dtype)
    if kind not in NATIVE.values() or (kind == "bfloat16" and not tensor):
        raise InputTypeError(f"embeddings: expected floats of at most 32 bits or whole numbers, got {item.dtype}")
    return kind


def _array(item: Any, kind: str) -> NDArray[Any]:
    """Return an item as an array of floats of that kind; bfloat16 as its bits, uint16."""
    if isinstance(item, Tensor):
        try:
            item = item.detach().cpu()
            item = (item.contiguous().view(torch.int16) if kind == "bfloat16" else item).numpy()
        except RuntimeError as error:  # a tensor that stands for others, as inside torch.func
            raise InputTypeError(f"embeddings: expected tensors that hold numbers ({error})") from None
    array: NDArray[Any] = item
    if kind == "bfloat16":
        return array.view(np.uint16)
    return array.astype(np.float32) if array.dtype.kind in "biu" else array


def _nonzero_rows(values: NDArray[Any], kind: str) -> NDArray[np.bool_]:
    """Tell which rows [N, D] of [N, D, K] hold anything but zeros; most show it by their first number."""

    def holds(part: NDArray[Any]) -> NDArray[np.bool_]:
        nonzero: NDArray[np.bool_] = (part & BF16_WITHOUT_SIGN if kind == "bfloat16" else part) != 0
        return nonzero

    if not values.shape[2]:
        return np.zeros(values.shape[:2], bool)
    found = holds(values[:, :, 0])
    rest = ~found
    found[rest] = holds(values[rest]).any(axis=-1)
    return found
