"""JudgedRanks: where the judged documents of each query stand. Every metric reads this table and nothing else.

A metric of a ranking depends on the ranks of the judged documents and on the length of the list. So no run is ever
sorted: the judged documents are looked up, and the scores above theirs are counted.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class JudgedRanks:
    """The judged documents that were retrieved, by query and rank; and all judgments.

    Rows are ordered by query and rank; the rows of query i are first[i] to first[i + 1].
    """

    query_ids: list[Any]
    """The evaluated queries, Nq."""
    n: NDArray[np.int64]
    """Length of each list [Nq]; 0 where the run has nothing."""
    qidx: NDArray[np.int64]
    """The query of each row [J]."""
    rank: NDArray[np.int64]
    """Its document's rank [J], from 1."""
    grade: NDArray[np.float64]
    """Its document's grade [J]."""
    judged_offsets: NDArray[np.int64]
    """The judgments of query i are judged_offsets[i] to judged_offsets[i + 1] [Nq + 1]."""
    judged_grades: NDArray[np.float64]
    """All judgments, the highest grade of a query first."""
    level: float = 1
    """L: a document is relevant from this grade on."""
    above: NDArray[np.int64] | None = None
    """With ties="average": how many documents have a higher score [J]."""
    tied: NDArray[np.int64] | None = None
    """With ties="average": how many have the same score, the document itself included [J]."""
    cache: dict[str, Any] = field(default_factory=dict, repr=False)
    """What metrics have computed and share."""

    @functools.cached_property
    def first(self) -> NDArray[np.int64]:
        """Where the rows of each query begin [Nq + 1]."""
        first: NDArray[np.int64] = np.r_[0, np.cumsum(np.bincount(self.qidx, minlength=len(self.n)))]
        return first

    @functools.cached_property
    def hit(self) -> NDArray[np.bool_]:
        """Whether the document of each row is relevant [J]."""
        return self.grade >= self.level

    @functools.cached_property
    def R(self) -> NDArray[np.int64]:  # noqa: N802 - the field's name
        """Relevant documents of each query [Nq], retrieved or not."""
        return self._judged(self.judged_grades >= self.level)

    @functools.cached_property
    def N(self) -> NDArray[np.int64]:  # noqa: N802 - the field's name
        """Documents of each query judged not relevant [Nq], retrieved or not."""
        return self._judged((self.judged_grades >= 0) & (self.judged_grades < self.level))

    def at_level(self, level: float) -> JudgedRanks:
        """Return the same table with another relevance level."""
        if level == self.level:
            return self
        levels: dict[float, JudgedRanks] = self.cache.setdefault("levels", {})
        if level not in levels:
            columns = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "cache"}
            levels[level] = JudgedRanks(**columns | {"level": level})
        return levels[level]

    def only_judged(self) -> JudgedRanks:
        """Return the table of the same lists without documents that were not judged, or have a grade below 0."""
        if "only_judged" not in self.cache:
            rows = np.flatnonzero(self.grade >= 0)
            qidx = self.qidx[rows]
            n = np.bincount(qidx, minlength=len(self.n))
            first = np.cumsum(n) - n
            changed: dict[str, Any] = {"rank": np.arange(len(rows)) - first[qidx] + 1}
            if self.above is not None:
                above = self.above[rows]
                begins = np.flatnonzero(np.r_[np.ones(min(1, len(rows)), np.bool_), _changes(qidx, above)])
                sizes = np.diff(np.r_[begins, len(rows)])
                changed |= {"above": np.repeat(begins - first[qidx[begins]], sizes), "tied": np.repeat(sizes, sizes)}
            self.cache["only_judged"] = replace(self, n=n, qidx=qidx, grade=self.grade[rows], cache={}, **changed)
        condensed: JudgedRanks = self.cache["only_judged"]
        return condensed

    def _judged(self, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count judgments by query."""
        counts = np.r_[0, np.cumsum(which)]
        judged: NDArray[np.int64] = counts[self.judged_offsets[1:]] - counts[self.judged_offsets[:-1]]
        return judged


def table(
    query_ids: list[Any],
    n: NDArray[np.int64],
    judged_offsets: NDArray[np.int64],
    judged_grades: NDArray[np.float64],
    found: Found,
    *,
    level: float,
    ties: str,
    judged_only: bool,
) -> JudgedRanks:
    """Return the table of what was found, with the ranks that the policy for ties gives."""
    first = np.r_[0, np.cumsum(found.counts)]
    qidx = np.repeat(np.arange(len(n)), found.counts)
    rows = np.arange(first[-1]) + np.repeat(judged_offsets[:-1] - first[:-1], found.counts)
    rank, grade, above, tied = (column[rows] for column in (found.rank, found.grade, found.above, found.tied))
    if ties in ("best", "worst"):
        rank = _bounded(qidx, grade, above, tied, worst=ties == "worst")
        order = np.lexsort((rank, qidx))
        rank, grade = rank[order], grade[order]
    averaged = {"above": above, "tied": tied} if ties == "average" else {}
    columns = (n, qidx, rank, grade, judged_offsets, judged_grades, *averaged.values())
    for column in columns:
        column.flags.writeable = False
    ranks = JudgedRanks(query_ids, n, qidx, rank, grade, judged_offsets, judged_grades, level, **averaged)
    return ranks.only_judged() if judged_only else ranks


@dataclass(frozen=True)
class Found:
    """Judged documents that were retrieved; those of query i begin at judged_offsets[i] and are `counts[i]`, by rank.

    `above` counts the documents with a higher score, `tied` those with the same one; `rank` is resolved by id or by
    place in the list.
    """

    counts: NDArray[np.int64]
    rank: NDArray[np.int64]
    grade: NDArray[np.float64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]

    @classmethod
    def empty(cls, queries: int, judgments: int) -> Found:
        """Return room for what is to be found."""
        whole = [np.zeros(judgments, np.int64) for _ in range(3)]
        return cls(np.zeros(queries, np.int64), whole[0], np.zeros(judgments), whole[1], whole[2])


def _bounded(
    qidx: NDArray[np.int64],
    grade: NDArray[np.float64],
    above: NDArray[np.int64],
    tied: NDArray[np.int64],
    *,
    worst: bool,
) -> NDArray[np.int64]:
    """Return ranks where equal scores stand by grade, best or worst first.

    What was not judged stands between grades above 0 and the others.
    """
    order = np.lexsort((-grade, above, qidx))
    starts = np.flatnonzero(np.r_[np.ones(min(1, len(order)), np.bool_), _changes(qidx[order], above[order])])
    sizes = np.diff(np.r_[starts, len(order)])
    place = np.empty(len(order), np.int64)  # among the judged of its group
    place[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    judged = np.empty(len(order), np.int64)
    judged[order] = np.repeat(sizes, sizes)
    place += np.where(grade > 0, 0, tied - judged)
    return above + tied - place if worst else above + 1 + place


def _changes(qidx: NDArray[np.int64], above: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each row but the first whether its score is another one."""
    changes: NDArray[np.bool_] = (np.diff(qidx) != 0) | (np.diff(above) != 0)
    return changes
