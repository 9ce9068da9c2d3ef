"""The charts of the page, as SVG: bars with intervals, wins and losses, lines over a unit square, reliability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rank_plugins.evaluation.reports import svg
from rank_plugins.evaluation.reports.outline import ABSENT, number, printable

if TYPE_CHECKING:
    from rank_plugins.evaluation.calibration import Bin

WIDTH = 400.0
ROW = 42.0
MOST_BARS = 300  # beyond it, neighbours of the sorted differences share a bar
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 12.0, 42.0
SIDE = 280.0  # the height of a chart with two axes


class Bar(NamedTuple):
    """The mean of a run with its interval (NaN where there is none)."""

    name: str
    mean: float
    low: float
    high: float
    colour: int | None


class Line(NamedTuple):
    """A run's curve."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int


def metric_bars(metric: str, bars: Sequence[Bar]) -> str:
    """Return a bar for the mean of each run and a line for its confidence interval."""
    values = [value for bar in bars for value in (bar.mean, bar.low, bar.high) if not math.isnan(value)]
    low, high = svg.rounded(min([0.0, *values]), max([0.0, *values]))
    bottom = ROW * len(bars) + 6
    x = svg.Scale(low, high, 6, WIDTH - 14)
    marks = svg.ticks(low, high)
    parts = [svg.text(x(mark), bottom + 16, svg.tick_label(mark), css="tick", anchor="middle") for mark in marks]
    for i, bar in enumerate(bars):
        y = 6 + ROW * i
        parts += [svg.line(x(mark), y + 17, x(mark), y + 33, "axis" if mark == 0 else "grid") for mark in marks]
        shown = f"{number(bar.mean)}{_between(bar)}"
        name = shortened(bar.name, 26)
        parts += [svg.text(6, y + 13, name, css="over"), svg.text(WIDTH - 14, y + 13, shown, css="over", anchor="end")]
        if math.isnan(bar.mean):
            continue
        start, end = sorted((x(0), x(bar.mean)))
        css = "other" if bar.colour is None else f"c{bar.colour}"
        parts.append(svg.box(start, y + 19, end - start, 12, css, f"{printable(bar.name)}: {shown}"))
        if not math.isnan(bar.low):
            ends = [(x(bar.low), y + 25, x(bar.high), y + 25)]
            ends += [(x(end), y + 21, x(end), y + 29) for end in (bar.low, bar.high)]
            parts += [svg.line(*end, css) for css in ("halo", "whisker") for end in ends]
    said = "; ".join(f"{printable(bar.name)} {number(bar.mean)}{_between(bar)}" for bar in bars)
    return svg.drawing(WIDTH, bottom + 24, f"Mean {printable(metric)} of each run: {said}", parts)


def win_loss(
    run: str, against: str, values: Sequence[tuple[object, float, float]], counts: tuple[int, int, int]
) -> str:
    """Return the differences of two runs, query by query, sorted.

    `values` are (query, run's, the other's), `counts` the wins, ties and losses.
    """
    wins, ties, losses = counts
    ordered = sorted(values, key=lambda row: row[2] - row[1])
    groups = _grouped(ordered, MOST_BARS)
    heights = [sum(row[1] - row[2] for row in group) / len(group) for group in groups]
    reach = max(map(abs, heights), default=0.0) or 1.0
    right = WIDTH - RIGHT
    y = svg.Scale(-reach, reach, SIDE - 50, 26)
    parts = []
    for mark in svg.ticks(-reach, reach, 6):
        parts.append(svg.line(LEFT, y(mark), right, y(mark), "axis" if abs(mark) < 1e-12 else "grid"))
        parts.append(svg.text(LEFT - 6, y(mark) + 4, svg.tick_label(mark), css="tick", anchor="end"))
    step = (right - LEFT) / max(len(groups), 1)
    gap = 1.0 if step >= 4 else 0.0
    for i, (group, height) in enumerate(zip(groups, heights, strict=True)):
        top, bottom = sorted((y(0), y(height)))
        css = "win" if height > 0 else "loss"
        # A query without a difference still answers the pointer.
        parts.append(svg.box(LEFT + i * step, top, step - gap, max(bottom - top, 0.6), css, _said(group, height)))
    best, worst = shortened(run, 30), shortened(against, 30)
    parts.append(svg.text(right, 16, f"{best} better: {wins:,}", css="over", anchor="end"))
    parts.append(svg.text(LEFT, SIDE - 28, f"{worst} better: {losses:,}", css="over"))
    parts.append(svg.text((LEFT + right) / 2, SIDE - 6, _axis(len(values)), css="tick", anchor="middle"))
    label = f"{printable(run)} against {printable(against)}: {wins} queries better, {ties} equal, {losses} worse"
    return svg.drawing(WIDTH, SIDE, label, parts)


def curves(lines: Sequence[Line], x_name: str, y_name: str, label: str, *, markers: bool) -> str:
    """Return the curves of several runs over 0..1, told apart by colour and dash, and by marker where asked."""
    highest = max((y for line in lines for _, y in line.points if not math.isnan(y)), default=1.0)
    x, y, parts = _square(x_name, y_name, *svg.rounded(0.0, highest))
    for line in lines:
        kind = line.colour
        points = [(px, py) for px, py in line.points if not math.isnan(py)]
        parts.append(svg.path([(x(px), y(py)) for px, py in points], f"line s{kind}", dash=svg.DASHES[kind]))
        if markers:
            parts += [svg.marker(x(px), y(py), kind, f"c{kind}", _point(line.name, px, py)) for px, py in points]
    return svg.drawing(WIDTH, SIDE, label, parts)


def reliability(run: str, bins: Sequence[Bin], band: Sequence[tuple[float, float]]) -> str:
    """Return how often documents were relevant, by the probability they were given.

    Each bin has its Wilson interval; `band` are the low and high ends, for each bin, of what resampled labels of a
    perfectly calibrated run would show.
    """
    x, y, parts = _square("probability given", "share relevant", 0.0, 1.0)
    upper = [(x(b.confidence), y(high)) for b, (_, high) in zip(bins, band, strict=True)]
    lower = [(x(b.confidence), y(low)) for b, (low, _) in zip(bins, band, strict=True)]
    parts.append(svg.path([*upper, *reversed(lower)], "band"))
    parts.append(svg.line(x(0), y(0), x(1), y(1), "diagonal"))
    parts += [svg.line(x(b.confidence), y(b.low), x(b.confidence), y(b.high), "whisker") for b in bins]
    for b in bins:
        said = f"{b.count:,} documents: probability {b.confidence:.3f}, relevant {b.accuracy:.3f}"
        parts.append(svg.marker(x(b.confidence), y(b.accuracy), 0, "c0", f"{said} [{b.low:.3f}, {b.high:.3f}]"))
    return svg.drawing(WIDTH, SIDE, f"Reliability of {printable(run)} in {len(bins)} bins", parts)


def shortened(name: str, most: int) -> str:
    """Return a name of at most `most` characters."""
    name = printable(name)
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _square(x_name: str, y_name: str, low: float, high: float) -> tuple[svg.Scale, svg.Scale, list[str]]:
    """Return the scales and the axes of a chart whose x goes from 0 to 1."""
    x = svg.Scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    y = svg.Scale(low, high, SIDE - BOTTOM, TOP)
    parts = []
    for mark in svg.ticks(low, high):
        parts.append(svg.line(x(0), y(mark), x(1), y(mark), "axis" if mark == low else "grid"))
        parts.append(svg.text(LEFT - 6, y(mark) + 4, svg.tick_label(mark), css="tick", anchor="end"))
    parts += [
        svg.text(x(mark), SIDE - BOTTOM + 17, svg.tick_label(mark), css="tick", anchor="middle")
        for mark in svg.ticks(0.0, 1.0)
    ]
    parts.append(svg.text(x(0.5), SIDE - 6, x_name, css="tick", anchor="middle"))
    middle = (TOP + SIDE - BOTTOM) / 2
    turned = f'<g transform="rotate(-90 12 {middle:g})">{svg.text(12, middle, y_name, css="tick", anchor="middle")}</g>'
    return x, y, [*parts, turned]


def _grouped(rows: Sequence[tuple[object, float, float]], most: int) -> list[list[tuple[object, float, float]]]:
    """Return sorted rows in at most `most` runs of neighbours."""
    size = math.ceil(len(rows) / most) or 1
    return [list(rows[i : i + size]) for i in range(0, len(rows), size)]


def _said(group: Sequence[tuple[object, float, float]], height: float) -> str:
    if len(group) == 1:
        query, ours, other = group[0]
        return f"{printable(query)}: {number(ours)} - {number(other)} = {height:+.4f}"
    return f"{len(group)} queries, mean {height:+.4f}"


def _axis(count: int) -> str:
    size = math.ceil(count / MOST_BARS)
    each = "" if size <= 1 else f", each bar the mean of {size}"
    return f"{count:,} queries, sorted by difference{each}"


def _between(bar: Bar) -> str:
    return "" if math.isnan(bar.low) else f" [{number(bar.low)}, {number(bar.high)}]"


def _point(name: str, x: float, y: float) -> str:
    return f"{printable(name)}: {y:.4f} at {x:g}" if not math.isnan(y) else ABSENT
