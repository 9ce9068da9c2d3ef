"""Lists: the ranked lists of many queries side by side, in columns; what every fusion method computes on.

Shapes: Nq queries, m lists each, E entries in all lists, U documents in the unions (of each query's lists).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lists:
    """The m lists of each of Nq queries. A function given as fusion method receives one and returns float64 [U].

    A document has one code per query; its entries, one in each list that has it, carry the code. A score of -inf
    (or a distance of +inf) is no entry: the document is missing there.
    """

    m: int
    """Lists per query."""
    segments: Integers
    """Int64 [Nq * m + 1]: the entries of list j of query i are segments[i * m + j] to segments[i * m + j + 1]."""
    code: Integers
    """Int64 [E]: the document of each entry, 0 ... U - 1; no two queries share one."""
    rank: Integers
    """Int64 [E]: from 1; the entries of a list stand best first."""
    score: Floats
    """Float64 [E]: higher is better (distances come negated); n, n - 1, ..., 1 in a list of bare ids."""
    unions: Integers
    """Int64 [Nq + 1]: the documents of query i are unions[i] to unions[i + 1]."""
    scored: Sequence[bool]
    """[m]: False for lists of bare ids."""
    complete: bool = False
    """Whether it is known that every document is in some list."""

    @property
    def documents(self) -> int:
        """U."""
        return int(self.unions[-1])

    @functools.cached_property
    def lengths(self) -> Integers:
        """How many entries each list has, int64 [Nq, m]."""
        return np.diff(self.segments).reshape(-1, self.m)

    @functools.cached_property
    def of_segment(self) -> Integers:
        """The segment of each entry, int64 [E]: query * m + list."""
        return np.repeat(np.arange(len(self.segments) - 1), np.diff(self.segments))

    @functools.cached_property
    def of_list(self) -> Integers:
        """The list of each entry, int64 [E]: 0 ... m - 1."""
        return self.of_segment % self.m

    @functools.cached_property
    def of_query(self) -> Integers:
        """The query of each document, int64 [U]."""
        return np.repeat(np.arange(len(self.unions) - 1), np.diff(self.unions))

    @functools.cached_property
    def count(self) -> Integers:
        """In how many lists each document is, int64 [U]."""
        return np.bincount(self.code, minlength=self.documents)

    @functools.cached_property
    def sizes(self) -> Integers:
        """How many documents at least one list of the query has, int64 [Nq]."""
        return np.bincount(self.of_query[self.count > 0], minlength=len(self.unions) - 1)

    @functools.cached_property
    def best(self) -> Integers:
        """The best single rank of each document, int64 [U]."""
        best = np.full(self.documents, np.iinfo(np.int64).max)
        np.minimum.at(best, self.code, self.rank)
        return best

    def spread(self, values: Floats, fill: float | Floats = np.nan) -> Floats:
        """Return values [E] as a table float64 [m, U]: what each list says of each document.

        `fill` stands where a list does not have the document: one number, or float64 [Nq, m].
        """
        if isinstance(fill, np.ndarray):
            table = np.ascontiguousarray(fill.T)[:, self.of_query]
        else:
            table = np.full((self.m, self.documents), fill)
        table[self.of_list, self.code] = values
        return table

    def each(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values [Nq * m] of the lists as values [E] of their entries."""
        return values[self.of_segment]

    def first(self, values: Floats) -> Floats:
        """Return the value of each list's best entry, float64 [Nq * m]; 0 where the list is empty."""
        return self._pick(values, self.segments[:-1])

    def last(self, values: Floats) -> Floats:
        """Return the value of each list's last entry, float64 [Nq * m]; 0 where the list is empty."""
        return self._pick(values, self.segments[1:] - 1)

    def total(self, values: Floats) -> Floats:
        """Return the sum of each list's values, float64 [Nq * m]; added best first, whatever the order of input."""
        return np.bincount(self.of_segment, weights=values, minlength=len(self.segments) - 1).astype(
            np.float64, copy=False
        )

    def least(self, values: Floats) -> Floats:
        """Return the smallest of each list's values, float64 [Nq, m]; 0 where the list is empty."""
        least = np.full(len(self.segments) - 1, np.inf)
        np.minimum.at(least, self.of_segment, values)
        return np.where(np.diff(self.segments) > 0, least, 0.0).reshape(-1, self.m)

    def _pick(self, values: Floats, places: Integers) -> Floats:
        picked = np.zeros(len(places))
        filled = np.diff(self.segments) > 0
        picked[filled] = values[places[filled]]
        return picked

    def without(self, dropped: NDArray[np.bool_]) -> Lists:
        """Return the same documents with the lists of `dropped` bool [m] empty."""
        kept = ~dropped[self.of_list]
        lengths = self.lengths * ~dropped
        segments = np.concatenate([[0], np.cumsum(lengths.reshape(-1))])
        return Lists(self.m, segments, self.code[kept], self.rank[kept], self.score[kept], self.unions, self.scored)

    def check_scored(self, what: str, which: NDArray[np.bool_] | None = None) -> None:
        """Refuse lists of bare ids where scores are needed.

        Raises:
            InputError: one of the lists (of `which`, bool [m]) has ids only.

        """
        for j, scored in enumerate(self.scored):
            if not scored and (which is None or which[j]):
                raise InputError(
                    f"{what} needs scores, but list {j} has bare ids; give (id, score) pairs, or use a method or"
                    ' norm that reads ranks, such as "rrf" or norm="rank"'
                )
