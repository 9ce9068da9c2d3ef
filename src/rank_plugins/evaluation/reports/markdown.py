"""Reports as Markdown tables, as GitHub and notebooks show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rank_plugins.evaluation.reports.outline import Cell, Table, outline

if TYPE_CHECKING:
    from rank_plugins.evaluation.reports.outline import Result

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&])")


def markdown(result: Result, *, ci: float | None = None, per_query: bool = False) -> str:
    """Return an evaluation, several of them or a comparison as Markdown; the best of a column is bold.

    `ci` adds bootstrap intervals of that level to the means, `per_query` a table of every query.
    """
    content = outline(result, ci=ci, per_query=per_query)
    notes = "\n".join(f"- {escape(note)}" for note in content.notes)
    return "\n\n".join([*map(_table, content.tables), notes])


def escape(value: str) -> str:
    """Return text whose characters all stand for themselves."""
    return SPECIAL.sub(r"\\\1", value)


def _table(table: Table) -> str:
    rule = [":--" if i < table.names else "--:" for i in range(len(table.columns))]
    rows = [[escape(column) for column in table.columns], rule, *([_cell(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: Cell) -> str:
    value = escape(cell.text)
    if cell.best:
        value = f"**{value}**"
    return f"{value}<sup>{cell.marks}</sup>" if cell.marks else value
