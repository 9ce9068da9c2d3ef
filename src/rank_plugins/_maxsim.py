"""maxsim: the late-interaction score of a query and documents."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins import simd
from rank_plugins._arrays import PackedQuery, addresses
from rank_plugins._checks import float_array
from rank_plugins._threads import run_each, thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError

# A thread costs some 50 microseconds to start, the time of this many multiplications at least.
WORK_PER_THREAD = 4_000_000


def maxsim(
    query: ArrayLike,
    documents: TokenEmbeddings | Sequence[ArrayLike] | NDArray[np.floating],
    *,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Score every document: the sum over query tokens of the largest dot product with a document token.

    score_n = sum over i of max over j of <q_i, d_nj> (Khattab and Zaharia, ColBERT, SIGIR 2020). Higher is
    better. A document without tokens scores -inf.

    Args:
        query: float [Q, K], Q >= 1.
        documents: a TokenEmbeddings of dimension K, a list of arrays [D, K], or an array [N, D, K] of which
            every row counts (for padded arrays see TokenEmbeddings.from_padded).
        threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.

    Returns:
        float32 [N].

    Raises:
        InputError: Q = 0, dimensions that differ, values that are not finite, threads < 1.
        InputTypeError: another type or dtype.

    """
    vectors = query_array(query)
    collection = _token_embeddings(documents)
    if len(collection) and collection.dim != vectors.shape[1]:
        raise InputError(
            f"documents: expected {vectors.shape[1]} dimensions as the query has, got {collection.dim};"
            " encode both with the same encoder"
        )
    workers = thread_count(threads)
    scores = np.empty(len(collection), np.float32)
    if not len(collection):
        return scores
    level = simd.active()
    if level == "numpy":
        _numpy_maxsim(vectors, collection, scores)
        return scores
    packed = PackedQuery(level, vectors)
    starts = collection._addresses
    if starts is None:
        starts = collection._addresses = addresses(
            collection._segments, collection._segment, collection._starts, collection.dim
        )

    def score(start: int, stop: int) -> None:
        packed.maxsim(starts[start:stop], collection.tokens[start:stop], scores[start:stop])

    chunks = _chunks(collection.tokens, vectors.size, workers)
    run_each(lambda chunk: score(*chunk), chunks, workers)
    return scores


def query_array(query: ArrayLike) -> NDArray[np.float32]:
    """Return `query` as float32 [Q, K], Q >= 1, with finite values; see `maxsim` for the errors."""
    vectors = float_array(query, "query", "[Q, K]")
    if 0 in vectors.shape:
        raise InputError(f"query: expected at least one token of at least one dimension, got shape {vectors.shape}")
    return vectors


def _token_embeddings(
    documents: TokenEmbeddings | Sequence[ArrayLike] | NDArray[np.floating],
) -> TokenEmbeddings:
    if isinstance(documents, TokenEmbeddings):
        return documents
    if isinstance(documents, Sequence):
        return TokenEmbeddings.from_list(documents)
    return TokenEmbeddings.from_padded(documents)  # an array or a tensor


def _chunks(tokens: NDArray[np.int64], query_size: int, threads: int) -> list[tuple[int, int]]:
    """Cut the documents into runs of about equal tokens, one per thread that its work pays for."""
    total = np.cumsum(tokens)
    workers = int(min(threads, len(tokens), max(1, int(total[-1]) * query_size // WORK_PER_THREAD)))
    cuts = np.searchsorted(total, total[-1] * np.arange(1, workers) / workers)
    return list(itertools.pairwise([0, *np.minimum(cuts, len(tokens)).tolist(), len(tokens)]))


def _numpy_maxsim(query: NDArray[np.float32], documents: TokenEmbeddings, scores: NDArray[np.float32]) -> None:
    for n, document in enumerate(documents):
        best = (query @ document.T).max(axis=1, initial=-np.inf)
        scores[n] = best.sum(dtype=np.float64)
