"""Ranks of a few documents among many, without ordering them all; what a trial of `tune` costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rank_plugins import _columns
from rank_plugins.fusion.lists import Floats, Integers

TIES_AT_ONCE = 4096


@dataclass(frozen=True)
class _Block:
    """Queries with about as many documents each, as the rows of a table."""

    places: Integers
    """The document in each cell [q, C]; U, which scores -inf, where the query has fewer."""
    rows: Integers
    """The row of each sought document [j]."""
    columns: Integers
    """Its column [j]."""
    sought: Integers
    """Its place among all that are sought [j]."""
    room: tuple[Floats, Floats]
    """Two tables [q, C] to work in."""


class Counter:
    """Finds the ranks of chosen documents in their queries, again and again for other scores."""

    def __init__(self, unions: Integers, codes: Integers) -> None:
        """Take the documents of the queries, unions[i] to unions[i + 1], and those whose ranks are sought.

        Args:
            unions: int64 [Nq + 1]; a query's documents stand by id, the larger first, which decides ties.
            codes: the documents, int64 [J], ascending.

        """
        self.codes = codes
        self._unions = unions
        self._blocks: list[_Block] = []
        if not _columns.NATIVE:
            self._lay_out()

    def _lay_out(self) -> None:
        """Sort the queries into blocks, for NumPy."""
        unions, codes = self._unions, self.codes
        self._documents = int(unions[-1])
        sizes = np.diff(unions)
        query = np.searchsorted(unions, codes, "right") - 1
        width = np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.int64)  # so that no row is half empty
        row_of = np.empty(len(sizes), np.int64)
        for bits in np.unique(width[query]).tolist():
            queries = np.flatnonzero(width == bits)
            row_of[queries] = np.arange(len(queries))
            cells = unions[queries][:, None] + np.arange(sizes[queries].max())
            places = np.where(cells < unions[queries + 1][:, None], cells, self._documents)
            sought = np.flatnonzero(width[query] == bits)
            columns = codes[sought] - unions[query[sought]]
            room = np.empty(places.shape), np.empty(places.shape)
            self._blocks.append(_Block(places, row_of[query[sought]], columns, sought, room))

    def ranks(self, scores: Floats) -> Integers:
        """Return the rank of each sought document by score, from 1, int64 [J]; 0 where its score is NaN.

        `scores` are float64 [U]; documents whose score is NaN are not there.
        """
        if _columns.NATIVE:
            return _columns.ranks_at(scores, self._unions, self.codes)
        padded = np.append(np.where(np.isnan(scores), -np.inf, scores), -np.inf)
        ranks = np.zeros(len(self.codes), np.int64)
        for block in self._blocks:
            table, ordered = block.room  # kept, because new memory of this size costs as much as the sorting
            padded.take(block.places, out=table, mode="clip")
            ordered[...] = table
            ordered.sort(axis=1)
            score = padded[self.codes[block.sought]]
            above, tied = _above(ordered, block.rows, score)
            ranks[block.sought] = 1 + above + _before(table, block, score, tied)
        ranks[np.isnan(scores[self.codes])] = 0
        return ranks


def _above(ordered: Floats, rows: Integers, score: Floats) -> tuple[Integers, Any]:
    """Return how many cells of its row exceed each score, and whether another one equals it."""
    width = ordered.shape[1]
    flat = ordered.reshape(-1)
    before = rows * width - 1
    place = np.zeros(len(rows), np.int64)  # how many cells are known not to exceed the score
    step = 1 << max(width.bit_length() - 1, 0)
    while step:
        further = np.minimum(place + step, width)
        np.copyto(place, further, where=flat.take(before + further) <= score)
        step >>= 1
    tied = (place > 1) & (flat.take(before + np.maximum(place - 1, 1)) == score)
    return width - place, tied


def _before(table: Floats, block: _Block, score: Floats, tied: Any) -> Integers:
    """Return how many documents of the same score stand before each sought one."""
    before = np.zeros(len(score), np.int64)
    which = np.flatnonzero(tied)
    for first in range(0, len(which), TIES_AT_ONCE):
        part = which[first : first + TIES_AT_ONCE]
        equal = table[block.rows[part]] == score[part][:, None]
        before[part] = (equal & (np.arange(table.shape[1]) < block.columns[part][:, None])).sum(axis=1)
    return before
