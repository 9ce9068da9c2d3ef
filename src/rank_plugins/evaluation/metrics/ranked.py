"""Metrics of binary relevance that depend on where the relevant documents stand.

h_i is 1 if the document at rank i is relevant, H(i) counts those at or above it, R all relevant ones in the judgments.
Every function takes the table of judged ranks and returns float64[Nq]; queries with R = 0 get 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rank_plugins.evaluation.metrics.accumulate import (
    Cutoff,
    Floats,
    Ints,
    hits,
    hits_so_far,
    log2,
    of_rows,
    ratio,
    total,
)
from rank_plugins.evaluation.metrics.ties import expected_precision_sum, expected_reciprocal_rank

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import JudgedRanks

INFAP_EPSILON = 1e-5


def average_precision(table: JudgedRanks, cutoff: Cutoff = None, norm: str = "R") -> Floats:
    """Return sum_{i<=k} h_i H(i) / i, divided by R, or with norm="min" by min(k, R) (sentence-transformers)."""
    if table.tied is not None:
        sums = expected_precision_sum(table, cutoff)
    else:
        rows = np.flatnonzero(table.hit & (table.rank <= of_rows(table, cutoff)))
        sums = total(table, hits_so_far(table)[rows] / table.rank[rows], rows)
    return ratio(sums, table.R if norm == "R" or cutoff is None else np.minimum(table.R, cutoff))


def reciprocal_rank(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return 1 / rank of the first relevant document if it stands in the top k, else 0."""
    if table.tied is not None:
        return expected_reciprocal_rank(table, cutoff)
    top = np.flatnonzero(table.hit & (hits_so_far(table) == 1) & (table.rank <= of_rows(table, cutoff)))
    result = np.zeros(len(table.n))
    result[table.qidx[top]] = 1.0 / table.rank[top]
    return result


def r_precision(table: JudgedRanks) -> Floats:
    """Return H(R) / R."""
    return ratio(hits(table, table.R), table.R)


def r_precision_multiple(table: JudgedRanks, multiple: float) -> Floats:
    """Return H(c) / c with c = floor(x R + 0.9), x = `multiple` (trec_eval's Rprec_mult)."""
    cut = np.floor(multiple * table.R + 0.9).astype(np.int64)
    return ratio(hits(table, cut), np.where(table.R > 0, cut, 0))


def interpolated_precision(table: JudgedRanks, recall: float, compat: int = 10) -> Floats:
    """Return the highest precision at any rank whose recall is at least `recall`.

    The recall level x becomes a number of relevant documents as trec_eval 10 does it, x R rounded half up, or with
    compat=9 as trec_eval 9, pytrec_eval and ranx do, floor(x R + 0.9). 0 if fewer are found.
    """
    wanted = recall * table.R
    if compat == 9:
        cut = np.floor(wanted + 0.9)
    else:
        whole = np.floor(wanted)
        cut = whole + (wanted - whole >= 0.5)
    best, start = _interpolated(table)
    place = np.maximum(cut.astype(np.int64), 1) - 1
    result = np.zeros(len(table.n))
    known = np.flatnonzero(place < np.diff(start))
    result[known] = best[start[:-1][known] + place[known]]
    return result


def eleven_point_average(table: JudgedRanks, compat: int = 10) -> Floats:
    """Return the mean of the interpolated precision at recall 0, 0.1, ..., 1 (trec_eval's 11pt_avg)."""
    value = np.zeros(len(table.n))
    for tenth in range(10, -1, -1):  # as trec_eval adds them
        value += interpolated_precision(table, tenth / 10, compat)
    return value / 11


def bpref(table: JudgedRanks) -> Floats:
    """Return (1/R) sum over relevant documents of the list of 1 - min(n_d, R) / min(N, R).

    n_d is the number of judged nonrelevant documents above, N that of all judged nonrelevant ones; a term with
    n_d = 0 is 1 (Buckley and Voorhees 2004, as trec_eval computes it).
    """
    rows = np.flatnonzero(table.hit)
    qidx = table.qidx[rows]
    above = _so_far(table, (table.grade >= 0) & ~table.hit)[rows]
    R, N = table.R[qidx], table.N[qidx]
    terms = 1.0 - np.minimum(above, R) / np.maximum(np.minimum(N, R), 1)
    return ratio(total(table, terms, rows), table.R)


def inferred_average_precision(table: JudgedRanks) -> Floats:
    """Return infAP, the average precision estimated from a sampled pool (Yilmaz and Aslam 2006, as in trec_eval).

    A grade below 0 means: in the pool, not judged. A relevant document at rank j + 1 adds 1 if j = 0, else
    1 / (j + 1) + j / (j + 1) * pooled / j * (r + e) / (r + n + 2 e), where r relevant, n nonrelevant and `pooled`
    documents of any kind lie above it and e = 1e-5.
    """
    rows = np.flatnonzero(table.hit)
    j = table.rank[rows] - 1.0
    relevant = hits_so_far(table)[rows] - 1.0
    nonrelevant = _so_far(table, (table.grade >= 0) & ~table.hit)[rows]
    pooled = relevant + nonrelevant + _so_far(table, table.grade < 0)[rows]
    share = (relevant + INFAP_EPSILON) / (relevant + nonrelevant + 2 * INFAP_EPSILON)
    below = 1.0 / (j + 1.0) + (j / (j + 1.0)) * ratio(pooled, j) * share
    return ratio(total(table, np.where(j == 0, 1.0, below), rows), table.R)


def binary_g(table: JudgedRanks) -> Floats:
    """Return (1/R) sum h_i / log2(2 + i - H(i)), where i - H(i) nonrelevant documents lie above (trec_eval's binG)."""
    rows = np.flatnonzero(table.hit)
    return ratio(total(table, 1.0 / log2(2 + table.rank[rows] - hits_so_far(table)[rows]), rows), table.R)


def _so_far(table: JudgedRanks, which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
    """Return how many rows of each query, up to and with each row, are marked: int64[J]."""
    before = np.concatenate([[0], np.cumsum(which, dtype=np.int64)])
    counts: Ints = before[1:] - before[table.first[:-1]][table.qidx]
    return counts


def _interpolated(table: JudgedRanks) -> tuple[Floats, Ints]:
    """Return for each relevant row the highest precision from it downwards, and where each query's begin.

    Kept as cache["interpolated"]. Takes log2 of the longest list of relevant rows steps.
    """
    if "interpolated" not in table.cache:
        rows = np.flatnonzero(table.hit)
        best = hits_so_far(table)[rows] / table.rank[rows]
        counts = np.bincount(table.qidx[rows], minlength=len(table.n))
        start = np.concatenate([[0], np.cumsum(counts)])
        left = start[1:][table.qidx[rows]] - np.arange(len(rows))  # rows of this query from here on
        step = 1
        while step < int(counts.max(initial=0)):
            further = np.flatnonzero(left > step)
            best[further] = np.maximum(best[further], best[further + step])
            step *= 2
        table.cache["interpolated"] = best, start
    found: tuple[Floats, Ints] = table.cache["interpolated"]
    return found
