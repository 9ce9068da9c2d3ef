"""Reports as LaTeX tables in the style of booktabs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rank_plugins.evaluation.reports.outline import Cell, Table, outline

if TYPE_CHECKING:
    from rank_plugins.evaluation.reports.outline import Result

WORDS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line break a bare bracket would be read as a length
    "]": "{]}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
SPECIAL = re.compile("[" + re.escape("".join(WORDS)) + "]")
NEGATIVE = re.compile(r"(?<![\w.])-(?=\d)")


def latex(result: Result, *, ci: float | None = None, per_query: bool = False) -> str:
    r"""Return an evaluation, several of them or a comparison as LaTeX tables; they need \usepackage{booktabs}.

    The best of a column is bold; superscripts name the runs that a run beats. `ci` adds bootstrap intervals of that
    level to the means, `per_query` a table of every query.
    """
    content = outline(result, ci=ci, per_query=per_query)
    captions = [table.caption + "." for table in content.tables]
    captions[0] = " ".join([captions[0], *content.notes])
    return "\n\n".join(map(_table, content.tables, captions))


def escape(value: str) -> str:
    """Return text whose characters all stand for themselves."""
    return SPECIAL.sub(lambda found: WORDS[found[0]], value)


def _table(table: Table, caption: str) -> str:
    alignment = "l" * table.names + "r" * (len(table.columns) - table.names)
    rows = [" & ".join(_cell(cell, i < table.names) for i, cell in enumerate(row)) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            " & ".join(map(escape, table.columns)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _cell(cell: Cell, name: bool) -> str:
    value = escape(cell.text)
    if not name:
        value = NEGATIVE.sub("$-$", value)
    if cell.best:
        value = rf"\textbf{{{value}}}"
    return rf"{value}$^{{\mathrm{{{cell.marks}}}}}$" if cell.marks else value
