"""Metrics that come from a model of the reader: one who walks down the list and stops with some chance at each rank.

Every function takes the table of judged ranks and returns float64[Nq].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError
from rank_plugins.evaluation.metrics.accumulate import Floats, judged_places, of_rows, ratio, running, total

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import JudgedRanks


def rank_biased_precision(
    table: JudgedRanks, cutoff: int | None = None, p: float = 0.8, max_grade: float | None = None
) -> Floats:
    """Return (1 - p) sum_{i<=k} gain_i p^(i-1) (Moffat and Zobel 2008).

    The gain is 1 for a relevant document, or with `max_grade` its grade / max_grade.

    Raises:
        InputError: a grade above `max_grade`.

    """
    worth = table.hit if max_grade is None else _graded(table, max_grade, "RBP") / max_grade
    return total(table, worth * _persistence(table, cutoff, p))


def rank_biased_residual(table: JudgedRanks, cutoff: int | None = None, p: float = 0.8) -> Floats:
    """Return what RBP would gain if every document not judged, in the top k or below, were relevant.

    That is p^min(k, n) + (1 - p) sum_{unjudged i<=k} p^(i-1) = 1 - (1 - p) sum_{judged i<=k} p^(i-1).
    """
    residual: Floats = 1.0 - total(table, (table.grade >= 0) * _persistence(table, cutoff, p))
    return residual


def expected_reciprocal_rank(table: JudgedRanks, max_grade: float, cutoff: int | None = None) -> Floats:
    """Return sum_{i<=k} (1/i) s_i prod_{j<i} (1 - s_j) with s = (2^g - 1) / 2^max_grade (Chapelle et al. 2009).

    Raises:
        InputError: a grade above `max_grade`.

    """
    stop = (np.exp2(_graded(table, max_grade, "ERR")) - 1.0) / np.exp2(max_grade)
    rows = np.flatnonzero(stop > 0)
    found = np.bincount(table.qidx[rows], minlength=len(table.n))
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(found)])
    after = running(start, 1.0 - stop[rows], np.multiply)
    reach = np.ones(len(rows))
    reach[1:] = after[:-1]
    reach[start[:-1][found > 0]] = 1.0
    terms = np.where(table.rank[rows] <= of_rows(table, cutoff), stop[rows] * reach / table.rank[rows], 0.0)
    return total(table, terms, rows)


def compatibility(table: JudgedRanks, p: float = 0.95, normalize: bool = True) -> Floats:
    """Return the rank-biased overlap of the list and its nearest ideal list (Clarke, Vtyurina and Smucker 2021).

    The ideal list holds the documents with a grade above 0, highest first, equal grades in the list's own order and
    those not returned last. Both lists are compared down to the end of the longer one: sum p^(i-1) overlap_i / i over
    sum p^(i-1), and with `normalize` over what the ideal list itself would reach.
    """
    qidx, place = judged_places(table)
    wanted = np.bincount(qidx[table.judged_grades > 0], minlength=len(table.n))
    depth = np.maximum(table.n, wanted)
    numbers = np.arange(1, int(depth.max(initial=0)) + 1)
    # tail[i] = sum_{j<=i} p^(j-1) / j: a document in both lists from depth m on adds tail[depth] - tail[m - 1].
    tail = np.concatenate([[0.0], np.cumsum(np.power(p, numbers - 1.0) / numbers)])
    rows, ideal_rank = _ideal_ranks(table)
    meet = np.maximum(table.rank[rows], ideal_rank)
    overlap = total(table, tail[depth[table.qidx[rows]]] - tail[meet - 1], rows)
    if not normalize:
        return ratio(overlap * (1.0 - p), 1.0 - np.power(p, depth))
    ideal = np.flatnonzero(table.judged_grades > 0)
    best = np.bincount(qidx[ideal], weights=tail[depth[qidx[ideal]]] - tail[place[ideal]], minlength=len(table.n))
    return ratio(overlap, best)


def _ideal_ranks(table: JudgedRanks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows with a grade above 0 in the ideal list's order, and the 1-based place of each in that list."""
    grades = np.concatenate([table.judged_grades, table.grade])
    code = grades.astype(np.int64)
    if not np.array_equal(code, grades):  # real numbers: their order is enough
        code = np.unique(grades, return_inverse=True)[1]
    span = int(code.max(initial=0)) - int(code.min(initial=0)) + 1
    wanted = judged_places(table)[0] * span - code[: len(table.judged_grades)]  # never falling
    key = table.qidx * span - code[len(table.judged_grades) :]
    rows = np.flatnonzero(table.grade > 0)
    rows = rows[np.argsort(key[rows], kind="stable")]  # rows of a query stand by rank
    key = key[rows]
    higher = np.searchsorted(wanted, key) - table.judged_offsets[table.qidx[rows]]
    equal = np.arange(len(rows)) - np.searchsorted(key, key)
    return rows, higher + equal + 1


def _persistence(table: JudgedRanks, cutoff: int | None, p: float) -> Floats:
    """Return (1 - p) p^(rank - 1) of each row, 0 below the cut-off; with averaged ties its mean over the group."""
    limit = of_rows(table, cutoff)
    if table.above is None or table.tied is None:
        return np.where(table.rank <= limit, (1.0 - p) * np.power(p, table.rank - 1.0), 0.0)
    end = table.above + np.clip(limit - table.above, 0, table.tied)
    share: Floats = (np.power(p, table.above.astype(np.float64)) - np.power(p, end.astype(np.float64))) / table.tied
    return share


def _graded(table: JudgedRanks, max_grade: float, name: str) -> Floats:
    """Return the rows' grades with negative ones as 0, after a look at the largest of all judgments."""
    largest = float(table.judged_grades.max(initial=0.0))
    if largest > max_grade:
        raise InputError(
            f"{name}: expected grades of at most max_grade={max_grade:g}, got {largest:g} in the judgments;"
            " max_grade is the highest grade of their scale"
        )
    return np.maximum(table.grade, 0.0)
