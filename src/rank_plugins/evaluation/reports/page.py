"""The page as HTML: tables, figures with keys, sections, and the frame around them; nothing comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rank_plugins.evaluation.reports import svg
from rank_plugins.evaluation.reports.outline import Cell, Table
from rank_plugins.evaluation.reports.style import css
from rank_plugins.evaluation.reports.svg import escape

NAME = ' class="name"'
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
NEGATIVE = re.compile(r"(?<![\w.&#])-(?=\d)")

# Reading needs no script; this one sorts a table by the column whose head was pressed.
SORTING = """
for (const table of document.querySelectorAll("table.sorted")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up === 1 ? "ascending" : "descending");
      const key = row => row.cells[column].textContent.replace("\\u2212", "-");
      const compare = (a, b) => isNaN(parseFloat(a)) || isNaN(parseFloat(b))
        ? a.localeCompare(b, undefined, {numeric: true}) : parseFloat(a) - parseFloat(b);
      body.append(...[...body.rows].sort((a, b) => up * compare(key(a), key(b))));
    });
  });
}
"""


def page(title: str, lead: str, sections: Iterable[str], *, style: str = "", script: str = SORTING) -> str:
    """Return the whole page; `style` comes behind that of all pages, and without `script` none may run."""
    import rank_plugins

    policy = POLICY + ("; script-src 'unsafe-inline'" if script else "")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>{escape(title)}</title><style>{css()}{style}</style></head>",
            f'<body><main><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>',
            *sections,
            f"<footer>rank-plugins {escape(rank_plugins.__version__)}</footer></main>",
            f"<script>{script}</script></body></html>\n" if script else "</body></html>\n",
        ]
    )


def section(title: str, parts: Iterable[str], hint: str = "") -> str:
    """Return a section; `hint` says how to read it."""
    hint = f'<p class="hint">{escape(hint)}</p>' if hint else ""
    return "\n".join([f"<section><h2>{escape(title)}</h2>{hint}", *parts, "</section>"])


def charts(figures: Iterable[str]) -> str:
    """Return figures side by side where there is room."""
    return f'<div class="charts">{"".join(figures)}</div>'


def figure(title: str, chart: str, *, hint: str = "", key: str = "", values: Table | None = None) -> str:
    """Return a chart with its caption, its key, and its values as a table that opens."""
    said = f"<b>{escape(title)}</b>" + (f" {escape(hint)}" if hint else "")
    more = details("Values", table(values)) if values else ""
    return f"<figure><figcaption>{said}</figcaption>{chart}{key}{more}</figure>"


def key(names: Sequence[tuple[str, int]], *, markers: bool) -> str:
    """Return the key of a chart with lines; `names` are runs and their colours."""
    items = []
    for name, kind in names:
        parts = [svg.path([(1, 7), (33, 7)], f"line s{kind}", dash=svg.DASHES[kind])]
        if markers:
            parts.append(svg.marker(17, 7, kind, f"c{kind}"))
        sample = f'<svg viewBox="0 0 34 14" aria-hidden="true">{"".join(parts)}</svg>'
        items.append(f"<li>{sample}{escape(name)}</li>")
    return f'<ul class="key">{"".join(items)}</ul>'


def details(summary: str, content: str) -> str:
    """Return content that opens when asked for."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def bullets(notes: Iterable[str]) -> str:
    """Return notes as a list."""
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"


def table(content: Table, *, sortable: bool = False) -> str:
    """Return a table that scrolls sideways where it is wider than its place."""
    heads = "".join(
        f'<th scope="col"{NAME if i < content.names else ""}>{escape(column)}</th>'
        for i, column in enumerate(content.columns)
    )
    room = [max((len(row[i].marks) for row in content.rows), default=0) for i in range(len(content.columns))]
    rows = "".join(
        f"<tr>{''.join(_cell(cell, i, content.names, room[i]) for i, cell in enumerate(row))}</tr>"
        for row in content.rows
    )
    kind = ' class="sorted"' if sortable else ""
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(content.caption)}"><table{kind}>'
        f"<caption>{escape(content.caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(cell: Cell, column: int, names: int, room: int) -> str:
    """Return a cell; `room` is the longest of its column's marks, so that the numbers stay below each other."""
    value = escape(cell.text)
    if column < names:
        full = f' title="{value}"' if len(cell.text) > 24 else ""
        tag, scope = ("th", ' scope="row"') if column == names - 1 else ("td", "")
        return f'<{tag}{scope} class="name"{full}>{value}</{tag}>'
    value = NEGATIVE.sub("\N{MINUS SIGN}", value)
    if cell.best:
        value = f"<b>{value}</b>"
    marks = f'<sup style="min-width:{room}ch">{cell.marks}</sup>' if room else ""
    return f"<td>{value}{marks}</td>"
