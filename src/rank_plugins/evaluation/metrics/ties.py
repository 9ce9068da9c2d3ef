"""Expected values where documents with equal scores come in any order, each order as likely as the other.

A group of t equal scores lies below a documents; h of its documents are relevant and b relevant ones lie above it.
Sums over ranks are enough for P, R, F, DCG and RBP; the metrics here need more (McSherry and Najork, ECIR 2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rank_plugins.evaluation.metrics.accumulate import Cutoff, Floats, Ints, hits_so_far

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import JudgedRanks


def expected_success(table: JudgedRanks, cutoff: Cutoff) -> Floats:
    """Return the chance of a relevant document in the top k: 1 - C(t - h, m) / C(t, m), m of the group in the top k."""
    qidx, _, t, h, m = _first_relevant_group(table, cutoff)
    none: Floats = np.ones(len(qidx))
    fewer, more = np.minimum(h, m), np.maximum(h, m)
    for j in range(int(fewer.max(initial=0))):
        none *= np.where(j < fewer, np.maximum(t - more - j, 0) / np.maximum(t - j, 1), 1.0)
    result = np.zeros(len(table.n))
    result[qidx] = 1.0 - none
    return result


def expected_reciprocal_rank(table: JudgedRanks, cutoff: Cutoff) -> Floats:
    """Return sum_i P(i) / (a + i), P(i) = C(t - i, h - 1) / C(t, h): the group's first relevant one is the i-th."""
    qidx, a, t, h, m = _first_relevant_group(table, cutoff)
    steps = np.minimum(m, t - h + 1)
    order = np.argsort(-steps, kind="stable")
    a, t, h, steps = a[order], t[order], h[order], steps[order]
    value, here = np.zeros(len(order)), h / t
    for i in range(1, int(steps.max(initial=0)) + 1):
        live = int(np.searchsorted(-steps, -i, side="right"))
        value[:live] += here[:live] / (a[:live] + i)
        here[:live] *= (t[:live] - h[:live] - i + 1) / np.maximum(t[:live] - i, 1)
    result = np.zeros(len(table.n))
    result[qidx[order]] = value
    return result


def expected_precision_sum(table: JudgedRanks, cutoff: Cutoff) -> Floats:
    """Return the expected sum of H(i) / i over the relevant ranks i <= k, which average precision divides by R.

    The i-th of a group is relevant with chance h / t, and then b + 1 + (i - 1) d relevant ones lie at or above it,
    d = (h - 1) / (t - 1); the sum over i has the closed form below, with harmonic numbers.
    """
    qidx, a, t, h, b = _groups(table)
    m = _inside(cutoff, qidx, a, t)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int((a + t).max(initial=0)) + 1))])
    d = (h - 1) / np.maximum(t - 1, 1)
    several = d * m + (b + 1 - d - d * a) * (harmonic[a + m] - harmonic[a])
    each = h / t * np.where(t == 1, m * (b + 1) / (a + 1), several)
    return np.bincount(qidx, weights=each, minlength=len(table.n)).astype(np.float64, copy=False)


def _groups(table: JudgedRanks) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Return qidx, a, t, h and b of each group of equal scores that holds a relevant document."""
    if table.above is None or table.tied is None:  # pragma: no cover - the callers have looked
        raise ValueError("expected a table with averaged ties")
    hit = np.flatnonzero(table.hit)
    qidx, a = table.qidx[hit], table.above[hit]
    new = np.ones(len(hit), np.bool_)
    new[1:] = (qidx[1:] != qidx[:-1]) | (a[1:] != a[:-1])
    start = np.flatnonzero(new)
    h = np.diff(np.append(start, len(hit)))
    return qidx[start], a[start], table.tied[hit][start], h, hits_so_far(table)[hit][start] - 1


def _first_relevant_group(table: JudgedRanks, cutoff: Cutoff) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Return qidx, a, t, h and the places m in the top k of each query's first group with a relevant document."""
    qidx, a, t, h, b = _groups(table)
    top = b == 0
    qidx, a, t, h = qidx[top], a[top], t[top], h[top]
    return qidx, a, t, h, _inside(cutoff, qidx, a, t)


def _inside(cutoff: Cutoff, qidx: Ints, a: Ints, t: Ints) -> Ints:
    """Return how many of each group's places lie in the top `cutoff`."""
    if cutoff is None:
        return t
    places: Ints = np.clip((cutoff[qidx] if isinstance(cutoff, np.ndarray) else cutoff) - a, 0, t)
    return places
