"""Metrics that count: how many of the documents returned are relevant, judged, or neither.

H(k) is the number of relevant documents in the top k, R the number of relevant ones in the judgments, n the length of
the list. Every function takes the table of judged ranks and returns float64[Nq]; with no cut-off, k is n.
A quotient whose denominator is 0 is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rank_plugins.errors import InputError
from rank_plugins.evaluation.metrics.accumulate import Cutoff, Floats, chance, hits, hits_so_far, ratio, total
from rank_plugins.evaluation.metrics.ties import expected_success

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import JudgedRanks


def precision(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return H(k) / k, where k counts even if the list is shorter (van Rijsbergen 1979)."""
    return ratio(hits(table, cutoff), depth(table, cutoff))


def recall(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return H(k) / R."""
    return ratio(hits(table, cutoff), table.R)


def relative_precision(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return H(k) / min(k, R), trec_eval's relative_P and BEIR's R_cap: 1 when the top k is as good as it can be."""
    return ratio(hits(table, cutoff), np.minimum(depth(table, cutoff), table.R))


def success(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return 1 if a relevant document is in the top k, else 0; also called hit rate."""
    if table.tied is not None:
        return expected_success(table, cutoff)
    return (hits(table, cutoff) > 0).astype(np.float64)


def hit_count(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return H(k)."""
    return hits(table, cutoff)


def f_measure(table: JudgedRanks, cutoff: Cutoff = None, beta: float = 1.0) -> Floats:
    """Return (1 + b^2) P R / (b^2 P + R) = (1 + b^2) H(k) / (b^2 R + k), 0 if H(k) = 0 (van Rijsbergen 1979)."""
    found = hits(table, cutoff)
    weight = beta * beta
    return ratio((1 + weight) * found, np.where(found > 0, weight * table.R + depth(table, cutoff), 0.0))


def set_precision(table: JudgedRanks, relative: bool = False) -> Floats:
    """Return H(n) / n, or with `relative` H(n) / min(n, R)."""
    return relative_precision(table) if relative else precision(table)


def set_f(table: JudgedRanks, beta: float = 1.0) -> Floats:
    """Return (x + 1) P R / (x P + R) of the whole list, where x is `beta` as it is, not squared (trec_eval's set_F)."""
    p, r = precision(table), recall(table)
    return ratio((beta + 1.0) * p * r, beta * p + r)


def set_average_precision(table: JudgedRanks) -> Floats:
    """Return H(n)^2 / (n R), precision times recall of the whole list (trec_eval's set_map)."""
    found = hits(table)
    return ratio(found * found, table.n * table.R.astype(np.float64))


def utility(
    table: JudgedRanks, a: float = 1.0, b: float = -1.0, c: float = 0.0, d: float = 0.0, docs: int | None = None
) -> Floats:
    """Return a * tp + b * fp + c * fn + d * tn of the list as a set (trec_eval's utility).

    Raises:
        InputError: `d` is not 0 and `docs`, the number of documents in the collection, is not given.

    """
    if d != 0 and docs is None:
        raise InputError(
            f"utility: expected docs=, the number of documents in the collection, because d={d:g} counts those"
            " neither returned nor relevant, got none; write utility(d=..., docs=...)"
        )
    found = hits(table)
    value: Floats = a * found + b * (table.n - found) + c * (table.R - found)
    if docs is not None:
        value += d * (docs + found - table.n - table.R)
    return value


def accuracy(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return how likely a relevant document of the top k stands above a nonrelevant one of the top k.

    Unjudged documents are nonrelevant. 0 with no relevant document in the top k, 1 with no other (as in ir_measures).
    """
    inside = np.flatnonzero(table.hit & chance(table, cutoff))
    found = np.bincount(table.qidx[inside], minlength=len(table.n))
    others = np.minimum(depth(table, cutoff), table.n) - found
    wrong = total(table, table.rank[inside] - hits_so_far(table)[inside], inside)
    return np.where(found > 0, 1.0 - ratio(wrong, others * found.astype(np.float64)), 0.0)


def judged(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return the judged documents in the top k / min(k, n); grades below 0 mean not judged (ir_measures Judged)."""
    return ratio(_judged_count(table, cutoff), np.minimum(depth(table, cutoff), table.n))


def unjudged(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return the unjudged documents in the top k / k (trec_eval's unj)."""
    limit = depth(table, cutoff)
    return ratio(np.minimum(limit, table.n) - _judged_count(table, cutoff), limit)


def query_count(table: JudgedRanks) -> Floats:
    """Return 1 for each query; its sum is the number of queries."""
    return np.ones(len(table.n))


def retrieved_count(table: JudgedRanks) -> Floats:
    """Return n."""
    return table.n.astype(np.float64)


def relevant_count(table: JudgedRanks) -> Floats:
    """Return R."""
    return table.R.astype(np.float64)


def judged_nonrelevant_count(table: JudgedRanks) -> Floats:
    """Return how many documents of the list are judged and not relevant."""
    return total(table, (table.grade >= 0) & ~table.hit)


def depth(table: JudgedRanks, cutoff: Cutoff) -> Floats:
    """Return the cut-off of each query, its list's length where there is none: float64[Nq]."""
    if cutoff is None:
        return table.n.astype(np.float64)
    return np.broadcast_to(np.asarray(cutoff, np.float64), len(table.n))


def _judged_count(table: JudgedRanks, cutoff: Cutoff) -> Floats:
    return total(table, chance(table, cutoff) * (table.grade >= 0))
