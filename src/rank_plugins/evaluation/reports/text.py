"""Reports for a terminal: aligned tables and notes."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rank_plugins.evaluation.reports.outline import Cell, Table, outline

if TYPE_CHECKING:
    from rank_plugins.evaluation.reports.outline import Result

BEST = "*"


def text(result: Result, *, ci: float | None = None, per_query: bool = False) -> str:
    """Return an evaluation, several of them or a comparison as aligned plain text; "*" marks the best of a column.

    `ci` adds bootstrap intervals of that level to the means, `per_query` a table of every query.
    """
    content = outline(result, ci=ci, per_query=per_query)
    return "\n\n".join([*map(_aligned, content.tables), "\n".join(content.notes)])


def _aligned(table: Table) -> str:
    columns = []
    for i, head in enumerate(table.columns):
        cells = [row[i] for row in table.rows]
        values = [cell.text for cell in cells] if i < table.names else _numbers(cells)
        room = max(map(width, [head, *values]))
        pad = str.ljust if i < table.names else str.rjust
        columns.append([pad(value, room - width(value) + len(value)) for value in [head, *values]])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _numbers(cells: list[Cell]) -> list[str]:
    """Return cells whose numbers end at the same place, whatever follows them."""
    after = [(BEST if cell.best else "") + (f" {cell.marks}" if cell.marks else "") for cell in cells]
    room = max(map(len, after), default=0)
    return [cell.text + rest.ljust(room) for cell, rest in zip(cells, after, strict=True)]


def width(value: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum((unicodedata.east_asian_width(c) in "WF") + 1 - (unicodedata.combining(c) > 0) for c in value)
