"""The heat map, query tokens x document tokens: matched columns as a table, all columns as a drawing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rank_plugins.encoders.encoder import Token
from rank_plugins.explanations.explanation import Explanation, label
from rank_plugins.explanations.glyphs import cut, escaped, room
from rank_plugins.explanations.segments import columns
from rank_plugins.explanations.style import SIMILARITY

LEVELS = len(SIMILARITY["light"])
CELL, LINE, HEAD = 16, 20, 96  # of the drawing, in pixels: a column, a row, the room for the columns' names
LONGEST = 14  # characters of a column's name there
ALL = 256  # columns that are drawn; of more, those near a match
NEAR = 6


def levels(similarities: NDArray[np.float32], top: float) -> NDArray[np.int64]:
    """Return the shade of each similarity; `top` gets the strongest, 0 and less the weakest."""
    shades: NDArray[np.int64] = np.clip(np.rint(similarities / top * (LEVELS - 1)), 0, LEVELS - 1).astype(np.int64)
    return shades


def matched_columns(explanation: Explanation, shades: NDArray[np.int64]) -> str:
    """Return the table of the columns that are some token's best match."""
    kept = np.unique(explanation.matches).tolist()
    names = [explanation.document_tokens[j] for j in kept]
    rows_of = {j: np.flatnonzero(explanation.matches == j) for j in kept}
    heads = "".join(
        f'<th scope="col" class="{_kind(name)}{_linked(rows_of[j])}" title="{escaped(label(name))}">'
        f'<span dir="auto">{escaped(label(name))}</span></th>'
        for j, name in zip(kept, names, strict=True)
    )
    body = []
    for i, token in enumerate(explanation.query_tokens):
        cells = []
        for j, name in zip(kept, names, strict=True):
            value = f"{explanation.similarities[i, j]:.2f}"
            best = explanation.matches[i] == j
            said = f"{escaped(label(token))} \N{MULTIPLICATION SIGN} {escaped(label(name))}: {value}"
            kind = f"h{shades[i, j]}{f' best q{i}' if best else ''}"
            cells.append(f'<td class="{kind}" title="{said}">{_short(value) if best else ""}</td>')
        text = escaped(label(token))
        head = f'<th scope="row" dir="auto" class="{_kind(token)}q{i}" title="{text}">{text}</th>'
        body.append(f"<tr>{head}{''.join(cells)}</tr>")
    height = min(max(room(label(name)) for name in names), LONGEST)
    caption = "Similarity of query tokens (rows) and matched document tokens (columns)"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<table class="heat" style="--c:{height}">'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def all_columns(explanation: Explanation, shades: NDArray[np.int64]) -> str:
    """Return the drawing of all columns, or in a long document of those near a match."""
    tokens = explanation.document_tokens
    runs = [list(range(len(tokens)))] if len(tokens) <= ALL else columns(explanation, NEAR)
    place = {j: x for x, j in enumerate(_spread(runs)) if j is not None}
    height = len(explanation.query_tokens) * LINE
    size = (max(place.values()) + 1) * CELL + 4, HEAD + height + 2
    names = "".join(
        f'<text class="{_kind(tokens[j]).strip()}" transform="translate({x * CELL + 12} {HEAD - 5}) rotate(-90)">'
        f"{escaped(cut(label(tokens[j]), LONGEST))}</text>"
        for j, x in place.items()
    )
    best = "".join(
        f'<g class="q{i}"><rect class="best" x="{place[j] * CELL + 1}" y="{HEAD + i * LINE + 1}" width="{CELL - 2}"'
        f' height="{LINE - 2}"/><rect class="hit" x="{place[j] * CELL}" y="{HEAD + i * LINE}" width="{CELL}"'
        f' height="{LINE}"><title>{escaped(label(explanation.query_tokens[i]))} \N{MULTIPLICATION SIGN}'
        f" {escaped(label(tokens[j]))}: {explanation.similarities[i, j]:.2f}</title></rect></g>"
        for i, j in enumerate(explanation.matches.tolist())
    )
    cells = _cells(shades[:, list(place)], list(place.values()))
    caption = "Similarity of all query tokens (rows) and document tokens (columns)"
    drawn = (
        f'<svg class="map" width="{size[0]}" height="{size[1]}" role="img" aria-label="{caption}"'
        f' xmlns="http://www.w3.org/2000/svg">{names}<g transform="translate(0 {HEAD}) scale({CELL} {LINE})"'
        f' shape-rendering="crispEdges">{cells}</g>{best}</svg>'
    )
    rows = "".join(
        f'<li class="{_kind(token)}q{i}" title="{escaped(label(token))}">{escaped(label(token))}</li>'
        for i, token in enumerate(explanation.query_tokens)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<div class="whole"><ul>{rows}</ul>{drawn}</div></div>'
    )


def _cells(shades: NDArray[np.int64], places: list[int]) -> str:
    """Return one path for each shade, equal neighbours together."""
    paths: list[list[str]] = [[] for _ in range(LEVELS)]
    for y, row in enumerate(shades.tolist()):
        x = 0
        while x < len(row):
            stop = x + 1
            while stop < len(row) and row[stop] == row[x] and places[stop] == places[stop - 1] + 1:
                stop += 1
            paths[row[x]].append(f"M{places[x]} {y}h{stop - x}v1h-{stop - x}z")
            x = stop
    return "".join(f'<path class="f{level}" d="{"".join(path)}"/>' for level, path in enumerate(paths) if path)


def _spread(runs: list[list[int]]) -> list[int | None]:
    """Return the columns in order, with one left free between runs."""
    found: list[int | None] = []
    for run in runs:
        found += [None, *run] if found else run
    return found


def _kind(token: Token) -> str:
    return "own " if token.special else ""


def _linked(rows: NDArray[np.int64]) -> str:
    return " ".join(f"q{row}" for row in rows.tolist())


def _short(value: str) -> str:
    """Return a similarity without the zero that says nothing in a narrow cell."""
    return value.replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}") if value[0] in "0-" else value
