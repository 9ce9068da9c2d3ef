"""maxsim, maxsim_batch, maxsim_alignment: late-interaction scores of queries and documents."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins import simd
from rank_plugins._arrays import PackedQueries, addresses
from rank_plugins._checks import float_array, int_array
from rank_plugins._rows import CODECS, checked_rows
from rank_plugins._threads import run_each, thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.quantize import blocks, converted, dequantize, widened

if TYPE_CHECKING:
    from torch import Tensor

Documents: TypeAlias = "TokenEmbeddings | Sequence[ArrayLike] | NDArray[Any]"

# Waking a thread costs some 50 microseconds, handing it one more chunk some 20: the time of this many float32
# multiplications, and of SPEED times as many in another dtype.
WORK_PER_THREAD = 8_000_000
WORK_PER_CHUNK = 16_000_000
CHUNKS_PER_THREAD = 4  # where there is enough to do: a thread that is late leaves some to the others
SPEED = {"F32": 1, "F16": 1, "BF16": 2, "I8": 4, "F32_B1": 3, "B1": 8, "CODES": 1}  # measured, roughly, at avx512
QUERY_TOKENS_AT_ONCE = 1 << 10  # against codes: bounds what a query's products with a codebook take
LARGEST_INT8_DIM = 1 << 16  # so that no sum of products leaves 32 bits
KERNEL_OF = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "binary": "F32_B1"} | dict.fromkeys(
    CODECS, "CODES"
)


@overload
def maxsim(query: Any, documents: Tensor | Sequence[Tensor], *, threads: int | None = None) -> Tensor: ...
@overload
def maxsim(query: ArrayLike, documents: Documents, *, threads: int | None = None) -> NDArray[np.float32]: ...
def maxsim(query: Any, documents: Any, *, threads: int | None = None) -> Any:
    """Score every document: the sum over query tokens of the largest dot product with a document token.

    score_n = sum over i of max over j of <q_i, d_nj> (Khattab and Zaharia, ColBERT, SIGIR 2020). Higher is
    better. A document without tokens scores -inf. The query is converted once to the documents' dtype (see
    rank_plugins.quantize), except that a float query stays float32 against binary documents and codes; scores are
    on the scale of floats whatever the dtype.

    Args:
        query: float [Q, K], Q >= 1; against binary documents also bits, uint8 [Q, ceil(K / 8)].
        documents: a TokenEmbeddings of dimension K, a list of arrays [D, K], or an array [N, D, K] of which
            every row counts (for padded arrays see TokenEmbeddings.from_padded). Tensors are scored by
            rank_plugins.torch on their device, and the result is a tensor there, with its gradient.
        threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.

    Returns:
        float32 [N].

    Raises:
        InputError: Q = 0, dimensions that differ, values that are not finite, threads < 1.
        InputTypeError: another type or dtype.

    """
    collection = token_embeddings(documents)
    workers = thread_count(threads)
    if collection._rows.tensors:
        from rank_plugins.torch import embeddings_maxsim

        return embeddings_maxsim([query], collection)[0]
    rows = query_rows(query, collection)
    check_dim(rows, collection)
    if not len(collection):
        return np.empty(0, np.float32)
    return Queries(rows, np.array([0, len(rows)]), collection).scores(collection, workers)[0]


@overload
def maxsim_batch(
    queries: Any, documents: Tensor | Sequence[Tensor], candidates: None = None, *, threads: int | None = None
) -> Tensor: ...
@overload
def maxsim_batch(
    queries: Documents, documents: Documents, candidates: None = None, *, threads: int | None = None
) -> NDArray[np.float32]: ...
@overload
def maxsim_batch(
    queries: Documents, documents: Documents, candidates: Sequence[ArrayLike], *, threads: int | None = None
) -> list[NDArray[np.float32]]: ...
def maxsim_batch(
    queries: Any, documents: Any, candidates: Sequence[ArrayLike] | None = None, *, threads: int | None = None
) -> Any:
    """Score many queries at once, each against all documents or against its own candidates.

    A document's bytes are read from memory once for all queries, and short queries share SIMD registers, so
    this is faster than a loop over `maxsim`, with the same scores.

    Args:
        queries: M of them: a list of arrays [Q, K], an array [M, Q, K], or a TokenEmbeddings of floats (or, against
            binary documents, of bits).
        documents: as for `maxsim`.
        candidates: for every query the indices of the documents to score, int [C_m]; None: all.
        threads: as for `maxsim`.

    Returns:
        float32 [M, N]; with candidates a list of M arrays float32 [C_m].

    Raises:
        InputError, InputTypeError: as `maxsim`; another number of candidate lists than of queries.
        IndexError: a candidate out of range.

    """
    collection = token_embeddings(documents)
    workers = thread_count(threads)
    if collection._rows.tensors:
        from rank_plugins.torch import embeddings_maxsim

        if candidates is not None:
            raise InputTypeError("candidates: expected None with tensors; index the TokenEmbeddings per query instead")
        return embeddings_maxsim(list(queries), collection)
    rows, offsets = _query_rows(queries, collection)
    check_dim(rows, collection)
    count = len(offsets) - 1
    if candidates is not None and len(candidates) != count:
        raise InputError(f"candidates: expected {count} lists (one per query), got {len(candidates)}")
    if candidates is None:
        scores = np.empty((count, len(collection)), np.float32)
        size = int(offsets[-1]) if collection._rows.codebook is None else QUERY_TOKENS_AT_ONCE
        for first, last in blocks(offsets, size) if scores.size else ():
            some = slice(offsets[first], offsets[last])
            packed = Queries(rows[some], offsets[first : last + 1] - offsets[first], collection)
            scores[first:last] = packed.scores(collection, workers)
        return scores
    chosen = [collection[int_array(lists, f"candidates[{m}]")] for m, lists in enumerate(candidates)]
    results: list[Any] = [None] * len(chosen)

    def score(m: int) -> None:
        part = rows[offsets[m] : offsets[m + 1]]
        results[m] = Queries(part, np.array([0, len(part)]), collection).scores(chosen[m], 1)[0]

    work = sum(int(part.tokens.sum()) for part in chosen) * rows.size // max(1, count)
    run_each(score, range(len(chosen)), min(workers, max(1, work // WORK_PER_THREAD)))
    return results


def maxsim_alignment(
    query: ArrayLike, document: ArrayLike | TokenEmbeddings
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for every query token the document token that it matches best, and their similarity.

    Args:
        query: float [Q, K], Q >= 1.
        document: float [D, K], D >= 1, or a TokenEmbeddings of one document of any dtype.

    Returns:
        (tokens int64 [Q], the index of the best document token, the first of equals; similarities float32 [Q]),
        computed in float32 from the dequantized document. Their sum is the score of `maxsim` within rounding.

    Raises:
        InputError: more or less than one document, no tokens, dimensions that differ, values that are not finite.
        InputTypeError: another type or dtype.

    """
    vectors = query_array(query)
    single = document if isinstance(document, TokenEmbeddings) else TokenEmbeddings.from_list([document])
    if len(single) != 1 or not single.tokens[0]:
        raise InputError(
            f"document: expected one document of at least one token, got {len(single)} of"
            f" {int(single.tokens.sum())} tokens; index the TokenEmbeddings first"
        )
    check_dim(vectors, single)
    similarities = vectors @ dequantize(single)[0].T
    best = similarities.argmax(axis=1).astype(np.int64)
    return best, similarities[np.arange(len(best)), best]


class Queries:
    """M queries, converted for documents of one dtype and packed for the active level."""

    def __init__(self, rows: NDArray[Any], offsets: NDArray[np.int64], documents: TokenEmbeddings) -> None:
        """Take `rows`, float32 [Q, K] or bits, of which query m is offsets[m] ... offsets[m + 1] - 1."""
        self._level = simd.active()
        self._offsets = offsets
        dtype, dim = documents.dtype, documents.dim
        if dtype == "binary":
            bits = rows.dtype == np.uint8
            self._kernel = "B1" if bits else KERNEL_OF[dtype]
            self._rows, unit = rows, 1 / dim if bits else 1 / np.sqrt(dim)  # sign vectors of length 1
            self._scales: NDArray[np.float32] | None = np.full(len(rows), unit, np.float32)
        else:
            self._kernel = KERNEL_OF[dtype]
            self._rows, self._scales = converted(rows, dtype)
        if dtype == "int8" and dim > LARGEST_INT8_DIM:
            raise InputError(f"documents: expected at most {LARGEST_INT8_DIM} dimensions for int8, got {dim}")
        if self._level != "numpy" and len(documents):
            codebook = documents._rows.codebook
            if codebook is None:
                self._packed = PackedQueries(self._level, self._kernel, self._rows, dim, offsets, self._scales)
            else:
                shape = len(codebook.words), offsets, None, len(codebook.centroids)
                self._packed = PackedQueries(self._level, self._kernel, codebook.products(rows), *shape)

    def scores(self, documents: TokenEmbeddings, threads: int) -> NDArray[np.float32]:
        """Return the scores float32 [M, N] of documents of the dtype and dimension given at first."""
        scores = np.empty((len(self._offsets) - 1, len(documents)), np.float32)
        if not len(documents):
            return scores
        if self._level == "numpy":
            self._numpy(documents, scores)
            return scores
        if documents._addresses is None:
            documents._addresses = _addresses(documents)
        starts, scales = documents._addresses
        work_per_token = len(self._rows) * documents.dim // SPEED[self._kernel]
        chunks = _chunks(documents.tokens, work_per_token, threads)
        run_each(lambda chunk: self._packed.maxsim(starts, scales, documents.tokens, scores, chunk), chunks, threads)
        return scores

    def _numpy(self, documents: TokenEmbeddings, scores: NDArray[np.float32]) -> None:
        """Do the same without the C core, one document at a time; whole numbers are exact in float64."""
        dtype, dim = documents.dtype, documents.dim
        exact: Any = np.float64 if dtype == "int8" else np.float32
        codebook = documents._rows.codebook
        rows = self._rows if self._kernel == "F32_B1" else widened(self._rows, dtype, dim)
        wide, unit = rows.astype(exact), 1.0 if self._scales is None else self._scales.astype(np.float64)
        for n, document in enumerate(documents):
            vectors = widened(document, dtype, dim) if codebook is None else codebook.decode(document)
            dots = (wide @ vectors.astype(exact).T).astype(np.float32)
            scales = documents[n : n + 1].scales
            best = (dots if scales is None else dots * scales).max(axis=1, initial=-np.inf)
            scores[:, n] = (
                np.add.reduceat(best * unit, self._offsets[:-1], dtype=np.float64) if len(document) else -np.inf
            )


def query_array(query: ArrayLike) -> NDArray[np.float32]:
    """Return `query` as float32 [Q, K], Q >= 1, with finite values; see `maxsim` for the errors."""
    vectors = float_array(query, "query", "[Q, K]")
    if 0 in vectors.shape:
        raise InputError(f"query: expected at least one token of at least one dimension, got shape {vectors.shape}")
    return vectors


def query_rows(query: ArrayLike, documents: TokenEmbeddings) -> NDArray[Any]:
    """Return one query as float32 [Q, K], or as the bits uint8 [Q, ceil(K / 8)] that binary documents allow."""
    if documents.dtype == "binary" and getattr(query, "dtype", None) == np.uint8:
        bits: NDArray[Any] = checked_rows(query, "query", "binary", None, documents.dim or None).segments[0]
        if not len(bits):
            raise InputError("query: expected at least one token, got none")
        return bits
    return query_array(query)


def token_embeddings(documents: Any) -> TokenEmbeddings:
    """Return documents in any form that `maxsim` takes as TokenEmbeddings."""
    if isinstance(documents, TokenEmbeddings):
        return documents
    if isinstance(documents, Sequence):
        return TokenEmbeddings.from_list(documents)
    return TokenEmbeddings.from_padded(documents)  # an array or a tensor


def check_dim(rows: NDArray[Any], documents: TokenEmbeddings) -> None:
    """Refuse a query of another dimension than the documents have."""
    if len(rows) and len(documents) and rows.dtype != np.uint8 and documents.dim != rows.shape[1]:
        raise InputError(
            f"documents: expected {rows.shape[1]} dimensions as the query has, got {documents.dim};"
            " encode both with the same encoder"
        )


def _query_rows(queries: Any, documents: TokenEmbeddings) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the rows of all queries one after another, and their offsets."""
    embeddings = token_embeddings(queries)
    if embeddings.dtype == "binary" and documents.dtype != "binary":
        raise InputTypeError(f"queries: expected floats against {documents.dtype} documents, got binary")
    if embeddings.dtype == "binary" and embeddings.dim != documents.dim:
        raise InputError(f"documents: expected {embeddings.dim} dimensions as the queries have, got {documents.dim}")
    if len(embeddings) and not embeddings.tokens.all():
        raise InputError(f"queries[{int(np.argmin(embeddings.tokens))}]: expected at least one token, got none")
    values, offsets = (embeddings if embeddings.dtype == "binary" else dequantize(embeddings)).contiguous()
    return np.ascontiguousarray(values), offsets


def _addresses(documents: TokenEmbeddings) -> tuple[NDArray[np.uintp], NDArray[np.uintp] | None]:
    rows, segment, starts = documents._rows, documents._segment, documents._starts
    row_bytes = rows.segments[0].shape[1] * rows.segments[0].itemsize
    scales = None if rows.scales is None else addresses(rows.scales, segment, starts, 4)
    return addresses(rows.segments, segment, starts, row_bytes), scales


def _chunks(tokens: NDArray[np.int64], work_per_token: int, threads: int) -> list[tuple[int, int]]:
    """Cut the documents into runs of about equal tokens, some for every thread that the work pays for."""
    if threads == 1:
        return [(0, len(tokens))]
    total = np.cumsum(tokens)
    work = int(total[-1]) * work_per_token
    workers = min(threads, len(tokens), work // WORK_PER_THREAD)
    if workers < 2:
        return [(0, len(tokens))]
    pieces = min(max(workers, work // WORK_PER_CHUNK), workers * CHUNKS_PER_THREAD)
    cuts = np.searchsorted(total, total[-1] * np.arange(1, pieces) / pieces)
    edges = np.unique([0, *np.minimum(cuts, len(tokens)).tolist(), len(tokens)])
    return list(itertools.pairwise(edges.tolist()))
