"""Tables in text: where the columns of each line lie, and their numbers. The C core reads, or else Python.

A line ends in LF, CR or both. Columns stand between blanks (space, tab, VT, FF), or only between tabs, where an id may
have spaces inside. Empty lines count for nothing. A line is a comment where its first column has nothing but
"#"; any other that starts with "#" is a row like all others, because ids may begin with "#".
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins import _columns
from rank_plugins._columns import TextColumns
from rank_plugins._threads import run_each, thread_count
from rank_plugins.errors import RankPluginsError

BLANKS = b" \t\v\f"
PART = 1 << 22  # bytes that are worth a thread
LONG_LINE = 1 << 16  # bytes in which the end of a line is looked for
MOST_COLUMNS = 16  # that the C core looks at
NUMBER = re.compile(rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
WORD = re.compile(rb"[^ \t\v\f\r\n]+")
COLUMNS, NO_NUMBER, EMPTY = -11, -12, -13  # RP_TEXT_* of the C core


class Layout(NamedTuple):
    """Which columns of a line are wanted, counted from 0; all lie below `fewest`."""

    texts: tuple[int, ...]
    """Columns to keep as they stand."""
    number: int
    """The column that is a number."""
    rank: int
    """A column that is a number, or NaN where it is none; -1: there is no such column."""
    fewest: int
    most: int
    tabs: bool


class Rows(NamedTuple):
    """T rows, over the text that they were read from."""

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    """Where each text begins, [texts, T]."""
    lengths: NDArray[np.int64]
    """Of how many bytes each text is, [texts, T]."""
    numbers: NDArray[np.float64]
    ranks: NDArray[np.float64]
    """All NaN where the layout has none."""


class LineError(RankPluginsError):
    """A line that is no row: where it starts in the text, and one of COLUMNS, NO_NUMBER, EMPTY."""

    def __init__(self, start: int, reason: int) -> None:
        super().__init__(start, reason)
        self.start, self.reason = start, reason


def scan(text: NDArray[np.uint8], begin: int, layout: Layout) -> Rows:
    """Read the rows of a table, bytes [B], from byte `begin` on; numbers are those that Python's float() reads.

    Raises:
        LineError: a line that is no row.

    """
    columns = _native(text, begin, layout) if _columns.NATIVE else _python(text[begin:].tobytes(), begin, layout)
    starts, lengths, numbers, ranks, hard = columns
    for row, start in hard.tolist():
        number = NUMBER.match(text.data, start)
        numbers[row] = float(bytes(number[0])) if number else np.nan  # always a number: C has seen it
    if layout.rank < 0:
        ranks = np.full(len(numbers), np.nan)
    return Rows(text, starts, lengths, numbers, ranks)


def _native(text: NDArray[np.uint8], begin: int, layout: Layout) -> TextColumns:
    """Let the C core read, in parts on several threads; each part writes behind the rows that others may have."""
    parts = _parts(text, begin)
    lines = [0] * len(parts)
    results = [(0, 0, 0)] * len(parts)

    def count(i: int) -> None:
        part = text[parts[i][0] : parts[i][1]]
        lines[i] = _columns.text_lines(part) - (int(part[-1]) in b"\r\n")

    run_each(count, range(len(parts)), len(parts))
    first = np.cumsum([0, *lines]).tolist()
    shape, room = (len(layout.texts), first[-1]), first[-1]
    starts, lengths = np.empty(shape, np.int64), np.empty(shape, np.int64)
    columns = (starts, lengths, np.empty(room), np.empty(room), np.empty((room, 2), np.int64))

    def read(i: int) -> None:
        results[i] = _columns.text_rows(text, parts[i], layout, columns, (first[i], first[i + 1]))

    run_each(read, range(len(parts)), len(parts))
    for found, at, _ in results:
        if found < 0:
            raise LineError(at, found)
    return _together(columns, first, results)


def _parts(text: NDArray[np.uint8], begin: int) -> list[tuple[int, int]]:
    """Return parts of the text that end with a line, one for each thread where they are long enough."""
    size = len(text) - begin
    count = max(1, min(thread_count(None), size // PART))
    cuts = [begin]
    for i in range(1, count):
        near = begin + size * i // count
        ends = np.flatnonzero(text[near : near + LONG_LINE] == ord("\n"))
        if len(ends) and near + int(ends[0]) + 1 > cuts[-1]:
            cuts.append(near + int(ends[0]) + 1)
    return [(start, stop) for start, stop in itertools.pairwise([*cuts, len(text)]) if start < stop]


def _together(columns: TextColumns, first: list[int], results: list[tuple[int, int, int]]) -> TextColumns:
    """Return the columns without what parts left between them, where lines are no rows."""
    counts = [found for found, _, _ in results]
    starts, lengths, numbers, ranks, hard = columns
    befores = [0, *itertools.accumulate(counts)]
    for place, before, (_, _, hards) in zip(first, befores, results, strict=False):
        hard[place : place + hards, 0] += before
    hard = np.concatenate([hard[a : a + hards] for a, (_, _, hards) in zip(first, results, strict=False)] or [hard])
    if befores[:-1] == first[:-1]:  # nothing is between them
        return starts[:, : befores[-1]], lengths[:, : befores[-1]], numbers[: befores[-1]], ranks[: befores[-1]], hard
    slices = [slice(a, a + found) for a, found in zip(first, counts, strict=False)]
    starts, lengths = (np.concatenate([array[:, rows] for rows in slices], axis=1) for array in (starts, lengths))
    numbers, ranks = (np.concatenate([array[rows] for rows in slices]) for array in (numbers, ranks))
    return starts, lengths, numbers, ranks, hard


def split(line: bytes, *, tabs: bool) -> list[bytes]:
    """Return the columns of a line."""
    return [column.strip(BLANKS) for column in line.split(b"\t")] if tabs else line.split()


def is_number(column: bytes) -> bool:
    """Return whether a column is a number."""
    return NUMBER.fullmatch(column) is not None


def _python(data: bytes, at: int, layout: Layout) -> TextColumns:
    """Do what the C core does, with the text from byte `at` on."""
    places: list[list[tuple[int, int]]] = [[] for _ in layout.texts]
    numbers, ranks = [], []
    for line in data.splitlines(keepends=True):
        columns = _columns_of(line, at, tabs=layout.tabs)
        first = columns[0][1] if columns else b""
        if any(column for _, column in columns) and not (first and not first.strip(b"#")):
            reason = _refused([column for _, column in columns], layout)
            if reason:
                raise LineError(at, reason)
            for place, column in zip(places, layout.texts, strict=True):
                start, content = columns[column]
                place.append((start, len(content)))
            numbers.append(float(columns[layout.number][1]))
            rank = columns[layout.rank][1] if layout.rank >= 0 else b""
            ranks.append(float(rank) if is_number(rank) else np.nan)
        at += len(line)
    table = np.array(places, np.int64).reshape(len(places), -1, 2)
    return table[:, :, 0], table[:, :, 1], np.array(numbers), np.array(ranks), np.empty((0, 2), np.int64)


def _columns_of(line: bytes, at: int, *, tabs: bool) -> list[tuple[int, bytes]]:
    """Return the columns of the line that starts at byte `at`, each with where it starts."""
    content = line.rstrip(b"\r\n")
    if not tabs:
        return [(at + match.start(), match[0]) for match in WORD.finditer(content)]
    found = []
    for column in content.split(b"\t"):
        bare = column.lstrip(BLANKS)
        found.append((at + len(column) - len(bare), bare.rstrip(BLANKS)))
        at += len(column) + 1
    return found


def _refused(columns: list[bytes], layout: Layout) -> int:
    if not layout.fewest <= len(columns) <= layout.most:
        return COLUMNS
    if not is_number(columns[layout.number]):
        return NO_NUMBER
    return EMPTY if not all(columns[column] for column in layout.texts) else 0
