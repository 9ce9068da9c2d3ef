"""maxsim_top_k: the best documents without scoring all of them in full."""

from __future__ import annotations

import heapq
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins import simd
from rank_plugins._arrays import cpu_has
from rank_plugins._checks import float_array, whole_number
from rank_plugins._maxsim import Documents, Queries, check_dim, query_rows, token_embeddings
from rank_plugins._threads import thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.quantize import converted, widened

BLOCK = 8  # documents per thread that early exit scores at once
SAMPLE = 64  # documents that tell whether screening will pay
# Up to which share of documents scored in full screening pays, by level: where int8 is several times as fast as
# float32, thanks to a feature of the CPU, and where it is somewhat faster without.
FAST_INT8 = {"avx2": "AVXVNNI", "avx512": "AVX512_VNNI", "amx": "AMX", "neon": "NEON_DOTPROD"}
WORTHWHILE = 0.5
PLAIN_WORTHWHILE = {"avx2": 0.15}

TopK = tuple[NDArray[np.int64], NDArray[np.float32]]


def maxsim_top_k(
    query: ArrayLike,
    documents: Documents,
    top_k: int,
    *,
    first_scores: ArrayLike | None = None,
    alpha: float | None = None,
    beta: int | None = None,
    screen: TokenEmbeddings | None = None,
    threads: int | None = None,
) -> TopK:
    """Return the best documents and their scores, best first, equal scores in input order.

    Without options, or with `screen`, the result is exactly that of sorting `maxsim`. `alpha` and `beta` are
    heuristics of two-stage retrieval that skip documents which the first stage ranks low (candidate pruning and
    early exit, as in kannolo), stated so that negative scores and short lists are right:

    - alpha keeps documents with first_scores >= f - alpha * |f|, where f is the top_k-th best first score.
      Useful: 0.015 to 0.1.
    - beta takes documents in first-stage order and stops after `beta` in a row that do not enter the top k.
      Useful: 2 to 4.

    screen scores a copy in int8 first. From the known distance of the copy to its source follows an interval that
    holds the true score; only documents whose interval reaches the k-th best true score are scored in full. Where
    the intervals are too wide to skip anything (a sample tells), or int8 is not faster on this CPU, all documents
    are scored in full.

    Args:
        query: float [Q, K], Q >= 1.
        documents: as for `maxsim`: N of them, not tensors.
        top_k: how many to return at most, at least 1.
        first_scores: the first stage's, float [N], higher is better; None: the documents are in its order.
        alpha: 0 <= alpha < 1, needs first_scores.
        beta: at least 1; not together with screen.
        screen: quantize.quantize(documents, "int8"), made once and kept; `documents` are floats.
        threads: as for `maxsim`.

    Returns:
        (indices int64 [k], scores float32 [k]), k at most top_k.

    Raises:
        InputError, InputTypeError: as `maxsim`; an option out of its range, or a screen that is no such copy.

    """
    count = whole_number(top_k, "top_k", 1)
    collection = token_embeddings(documents)
    workers = thread_count(threads)
    if collection._rows.tensors:
        raise InputTypeError("documents: expected arrays, got tensors; use torch.topk on the result of maxsim")
    rows = query_rows(query, collection)
    check_dim(rows, collection)
    first = _first_scores(first_scores, len(collection))
    _check_options(alpha, beta, first, screen, collection)
    order = np.arange(len(collection)) if first is None else np.argsort(-first, kind="stable")
    if alpha is not None and first is not None and len(order) > count:
        order = order[: _kept(first[order], count, alpha)]
    if not len(order):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    queries = Queries(rows, np.array([0, len(rows)]), collection)
    if beta is not None:
        return _early_exit(queries, collection, order, count, whole_number(beta, "beta", 1), workers)
    kept = np.sort(order)
    chosen, copy = collection, screen
    if len(kept) < len(collection):
        chosen, copy = collection[kept], None if screen is None else screen[kept]
    if copy is not None and _screening_pays(rows, chosen, copy, count):
        best, scores = screened_top_k(queries, rows, chosen, copy, count, workers)
        return kept[best], scores
    scores = queries.scores(chosen, workers)[0]
    best = _best(scores, count)
    return kept[best], scores[best]


def screened_top_k(
    queries: Queries,
    rows: NDArray[np.float32],
    documents: TokenEmbeddings,
    screen: TokenEmbeddings,
    top_k: int,
    threads: int,
) -> TopK:
    """Return what sorting the full scores would, scoring in full only what the screen cannot rule out."""
    count = min(top_k, len(documents))
    rough, margin = _rough_scores(rows, documents.dtype, screen, threads)
    leaders = np.sort(_best(rough, count))
    scores = np.full(len(documents), -np.inf, np.float32)
    scores[leaders] = queries.scores(documents[leaders], threads)[0]
    threshold = scores[leaders].min()
    possible = rough + margin >= threshold
    possible[leaders] = False
    others = np.flatnonzero(possible)
    scores[others] = queries.scores(documents[others], threads)[0]
    scored = np.concatenate((leaders, others))
    scored.sort()
    full = scored[documents.tokens[scored] > 0]
    wrong = np.abs(scores[full].astype(np.float64) - rough[full]) > margin[full]
    if wrong.any():
        raise InputError(
            f"screen: expected quantize.quantize(documents, 'int8') of these documents, got other values in document"
            f" {int(full[wrong][0])}; make the screen again"
        )
    best = scored[_best(scores[scored], count)]
    return best, scores[best]


def _rough_scores(
    rows: NDArray[np.float32], dtype: str, screen: TokenEmbeddings, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores of the int8 copy, and how far the full ones may be from them, both [N].

    With q, d the full vectors and q', d' their copies, <q, d> - <q', d'> = <q, d - d'> + <q - q', d'>, so by
    Cauchy-Schwarz no similarity is off by more than |q| |d - d'| + |q - q'| |d'|. The last term bounds what both
    kernels lose to rounding: gamma_n * |q| |d| each, doubled for good measure.
    """
    if screen._bounds is None:
        raise InputError("screen: expected the result of quantize.quantize(documents, 'int8'), got other int8 values")
    whole = np.array([0, len(rows)])
    rough = Queries(rows, whole, screen).scores(screen, threads)[0].astype(np.float64)
    full = widened(converted(rows, dtype)[0], dtype, rows.shape[1]).astype(np.float64)
    copy, scales = converted(rows, "int8")
    distance = np.linalg.norm(full - widened(copy, "int8", rows.shape[1], scales), axis=1)
    lengths = np.linalg.norm(full, axis=1).sum()
    away, longest = screen._bounds.astype(np.float64).T
    rounding = 4 * (rows.shape[1] + len(rows) + 8) * 2.0**-24 * lengths * (longest + away) + 1e-30
    margin = lengths * away + distance.sum() * longest + rounding
    return rough, np.where(screen.tokens > 0, margin, 0)


def _screening_pays(rows: NDArray[np.float32], documents: TokenEmbeddings, screen: TokenEmbeddings, top_k: int) -> bool:
    level = simd.active()
    fast = level in FAST_INT8 and cpu_has(FAST_INT8[level])
    limit = WORTHWHILE if fast else PLAIN_WORTHWHILE.get(level, 0)
    if not limit or len(documents) <= 2 * max(top_k, SAMPLE):
        return False
    sample = screen[np.linspace(0, len(screen) - 1, SAMPLE).astype(np.int64)]
    rough, margin = _rough_scores(rows, documents.dtype, sample, 1)
    kth = max(1, round(top_k * SAMPLE / len(documents)))
    return bool(np.mean(rough + margin >= np.sort(rough)[-kth]) <= limit)


def _early_exit(
    queries: Queries, documents: TokenEmbeddings, order: NDArray[np.int64], top_k: int, beta: int, threads: int
) -> TopK:
    """Score in `order`, in blocks, and stop after `beta` documents in a row that are not among the best."""

    def scored(first: int, last: int) -> list[tuple[float, int]]:
        part = order[first:last]
        # the later of equal scores leaves the heap first
        return [
            (score, -i)
            for score, i in zip(queries.scores(documents[part], threads)[0].tolist(), part.tolist(), strict=True)
        ]

    heap = scored(0, top_k)
    heapq.heapify(heap)
    step, missed = BLOCK * threads, 0
    for start in range(top_k, len(order), step):
        for item in scored(start, start + step):
            if item[0] > heap[0][0]:
                heapq.heapreplace(heap, item)
                missed = 0
            else:
                missed += 1
            if missed == beta:
                break
        if missed == beta:
            break
    heap.sort(reverse=True)
    return np.array([-i for _, i in heap], np.int64), np.array([score for score, _ in heap], np.float32)


def _kept(descending: NDArray[np.float32], top_k: int, alpha: float) -> int:
    """Return how many of the first stage's scores, best first, candidate pruning keeps; more than top_k exist."""
    kth = float(descending[top_k - 1])
    return int(np.count_nonzero(descending >= kth - alpha * abs(kth)))


def _best(scores: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return the places of the `count` highest scores, the first of equals first, without sorting the others."""
    chosen = np.arange(len(scores))
    if 0 < count < len(scores):
        chosen = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    return chosen[np.argsort(-scores[chosen], kind="stable")[:count]]


def _first_scores(values: ArrayLike | None, count: int) -> NDArray[np.float32] | None:
    if values is None:
        return None
    scores = float_array(values, "first_scores", "[N]")
    if len(scores) != count:
        raise InputError(f"first_scores: expected {count} of them (one per document), got {len(scores)}")
    return scores


def _check_options(
    alpha: float | None,
    beta: int | None,
    first_scores: NDArray[np.float32] | None,
    screen: TokenEmbeddings | None,
    documents: TokenEmbeddings,
) -> None:
    if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, numbers.Real) or not 0 <= alpha < 1):
        raise InputError(f"alpha: expected a number with 0 <= alpha < 1, got {alpha!r}")
    if alpha is not None and first_scores is None:
        raise InputError("alpha: expected first_scores with it; pass the first stage's scores")
    if screen is None:
        return
    if beta is not None:
        raise InputError("beta: expected no screen with it, got both; screen is exact, beta a heuristic: choose one")
    if not isinstance(screen, TokenEmbeddings) or screen.dtype != "int8":
        got = f"{screen.dtype} embeddings" if isinstance(screen, TokenEmbeddings) else type(screen).__name__
        raise InputTypeError(f"screen: expected quantize.quantize(documents, 'int8'), got {got}")
    if documents.dtype not in ("float32", "float16", "bfloat16"):
        raise InputTypeError(f"documents: expected floats with a screen, got {documents.dtype}")
    if screen.dim != documents.dim or not np.array_equal(screen.tokens, documents.tokens):
        raise InputError(f"screen: expected the tokens and dimension of the documents ({documents}), got {screen}")
