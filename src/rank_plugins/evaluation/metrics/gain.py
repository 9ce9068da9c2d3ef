"""Metrics of graded relevance: a document's grade gives its gain, its rank discounts it.

Every function takes the table of judged ranks and returns float64[Nq]. The ideal list holds all judged documents,
highest gain first, whether they were returned or not. Grades below 0 gain nothing, and the relevance level of the
table plays no part except where said. An ideal of 0 gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rank_plugins.evaluation.metrics.accumulate import (
    Floats,
    Ints,
    judged_places,
    log2,
    of_rows,
    ratio,
    running,
    total,
)

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import JudgedRanks


@dataclass(frozen=True)
class Gain:
    """What a grade is worth: itself, or 2^g - 1 with dcg="exp-log2"; nothing if that is negative.

    `gains` are pairs (grade, gain) that replace the grade before anything else; `rel` takes the gain from lower grades.
    """

    dcg: str = "log2"
    gains: tuple[tuple[float, float], ...] = ()
    rel: float | None = None

    def __call__(self, grade: Floats) -> Floats:
        """Return the gain of each grade: float64 of the same length."""
        worth = grade
        if self.gains:
            worth = grade.copy()
            for level, gain in self.gains:
                worth[grade == level] = gain
        if self.dcg == "exp-log2":
            worth = np.exp2(worth) - 1.0
        kept = worth > 0
        if self.rel is not None:
            kept &= grade >= self.rel
        return np.where(kept, worth, 0.0)


LINEAR = Gain()


def dcg(table: JudgedRanks, cutoff: int | None = None, gain: Gain = LINEAR) -> Floats:
    """Return sum_{i<=k} gain(g_i) / log2(i + 1) (Jarvelin and Kekalainen 2002; Burges 2005 for 2^g - 1).

    With averaged ties each rank of a group has the group's mean gain.
    """
    worth = gain(table.grade)
    if table.above is None or table.tied is None:
        rows = np.flatnonzero((worth > 0) & (table.rank <= of_rows(table, cutoff)))
        return total(table, worth[rows] / log2(table.rank[rows] + 1), rows)
    limit = of_rows(table, cutoff)
    end = table.above + np.clip(limit - table.above, 0, table.tied)
    deepest = int((table.above + table.tied).max(initial=0))
    sums = np.concatenate([[0.0], np.cumsum(1.0 / log2(np.arange(2, deepest + 2)))])
    return total(table, worth * (sums[end] - sums[table.above]) / table.tied)


def ideal_dcg(table: JudgedRanks, cutoff: int | None = None, gain: Gain = LINEAR) -> Floats:
    """Return the DCG of the ideal list. Kept as cache["ideal GAIN CUTOFF"]."""
    key = f"ideal {gain} {cutoff}"
    if key not in table.cache:
        qidx, place, worth = _ideal(table, gain)
        if cutoff is not None:
            rows = np.flatnonzero(place < cutoff)
            qidx, place, worth = qidx[rows], place[rows], worth[rows]
        table.cache[key] = np.bincount(qidx, weights=worth / log2(place + 2), minlength=len(table.n))
    found: Floats = table.cache[key]
    return found.copy()


def ndcg(table: JudgedRanks, cutoff: int | None = None, gain: Gain = LINEAR) -> Floats:
    """Return DCG / ideal DCG, both of the top k."""
    return ratio(dcg(table, cutoff, gain), ideal_dcg(table, cutoff, gain))


def ndcg_at_relevant(table: JudgedRanks, gain: Gain = LINEAR) -> Floats:
    """Return the mean of DCG@i / ideal DCG@i over the ranks i of documents with gain (trec_eval's ndcg_rel).

    A document with gain that was not returned counts with the whole list's DCG / ideal DCG.
    """
    worth = gain(table.grade)
    rows = np.flatnonzero(worth > 0)
    qidx = table.qidx[rows]
    found = np.bincount(qidx, minlength=len(table.n))
    sums = running(_starts(found), worth[rows] / log2(table.rank[rows] + 1), np.add)
    start, ideal = _ideal_running(table, gain)
    wanted = np.diff(start)
    place = np.minimum(table.rank[rows], wanted[qidx]) - 1
    value = total(table, sums / ideal[start[:-1][qidx] + place], rows)
    value += ratio((wanted - found) * dcg(table, None, gain), ideal_dcg(table, None, gain))
    return ratio(value, wanted)


def ndcg_at_levels(table: JudgedRanks, gain: Gain = LINEAR) -> Floats:
    """Return the mean of nDCG at the ranks where the ideal list's gain drops (trec_eval's Rndcg).

    The whole list counts once more where it is longer than the documents with gain by two or more; 0 where R is 0.
    """
    worth = gain(table.grade)
    rows = np.flatnonzero(worth > 0)
    qidx, rank = table.qidx[rows], table.rank[rows]
    terms = worth[rows] / log2(rank + 1)
    judged_qidx, place, judged_worth = _ideal(table, gain)
    start, ideal = _ideal_running(table, gain)
    # The last place of each level of gain, level after level.
    last = np.ones(len(judged_worth), np.bool_)
    last[:-1] = (judged_worth[1:] != judged_worth[:-1]) | (judged_qidx[1:] != judged_qidx[:-1])
    ends = np.flatnonzero(last)
    levels = np.bincount(judged_qidx[ends], minlength=len(table.n))
    level_start = _starts(levels)
    value = np.zeros(len(table.n))
    for level in range(int(levels.max(initial=0))):
        queries = np.flatnonzero(levels > level)
        end = ends[level_start[queries] + level]
        cut = np.zeros(len(table.n), np.int64)
        cut[queries] = place[end] + 1
        here = np.flatnonzero(rank <= cut[qidx])
        value[queries] += total(table, terms[here], rows[here])[queries] / ideal[end]
    longer = table.n > np.diff(start) + 1
    value += np.where(longer, ratio(dcg(table, None, gain), ideal_dcg(table, None, gain)), 0.0)
    return np.where(table.R > 0, ratio(value, np.where(levels > 0, levels + longer, 0)), 0.0)


def normalized_gain(table: JudgedRanks, gain: Gain = LINEAR) -> Floats:
    """Return the sum of gain_i / log2(2 + cost_i - sum_{j<=i} gain_j) / the sum of all gains (trec_eval's G).

    cost_i is the sum over the first i places of the ideal list of its gain, at least 1 each.
    """
    worth = gain(table.grade)
    before = np.concatenate([[0.0], np.cumsum(worth)])
    so_far = before[1:] - before[table.first[:-1]][table.qidx]
    qidx, _, ideal = _ideal(table, gain)
    start = _starts(np.bincount(qidx, minlength=len(table.n)))
    costs = np.concatenate([[0.0], np.cumsum(np.maximum(ideal, 1.0))])
    wanted = np.diff(start)[table.qidx]
    first = start[:-1][table.qidx]
    ranked = np.minimum(table.rank, wanted)
    cost = costs[first + ranked] - costs[first] + (table.rank - ranked)
    rows = np.flatnonzero(worth > 0)
    inside = (2.0 + cost - so_far)[rows]
    whole = inside.astype(np.int64)
    discount = log2(whole) if np.array_equal(whole, inside) else np.log2(inside)
    return ratio(total(table, worth[rows] / discount, rows), np.bincount(qidx, weights=ideal, minlength=len(table.n)))


def _ideal(table: JudgedRanks, gain: Gain) -> tuple[Ints, Ints, Floats]:
    """Return query, 0-based place and gain of the ideal lists' documents with gain, in order. cache["ideal GAIN"]."""
    key = f"ideal {gain}"
    if key not in table.cache:
        qidx, place = judged_places(table)
        worth = gain(table.judged_grades)
        if gain.gains and np.any((worth[1:] > worth[:-1]) & (place[1:] > 0)):  # a lower grade that gains more
            worth = worth[np.lexsort((-worth, qidx))]
        rows = np.flatnonzero(worth > 0)
        table.cache[key] = qidx[rows], place[rows], worth[rows]
    found: tuple[Ints, Ints, Floats] = table.cache[key]
    return found


def _ideal_running(table: JudgedRanks, gain: Gain) -> tuple[Ints, Floats]:
    """Return where each ideal list begins and the ideal DCG at each of its places. cache["ideal GAIN running"]."""
    key = f"ideal {gain} running"
    if key not in table.cache:
        qidx, place, worth = _ideal(table, gain)
        start = _starts(np.bincount(qidx, minlength=len(table.n)))
        table.cache[key] = start, running(start, worth / log2(place + 2), np.add)
    found: tuple[Ints, Floats] = table.cache[key]
    return found


def _starts(counts: Ints) -> Ints:
    """Return where segments of these lengths begin and end: int64[len(counts) + 1]."""
    starts: Ints = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return starts
