"""The pieces that charts are drawn from, as SVG text; colours are CSS variables of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rank_plugins.evaluation.reports.outline import printable

COLOURS = 8  # how many runs a chart tells apart; style.py gives each a colour, and lines a dash and a marker too
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 2", "1 2", "12 3", "7 2 1 2 1 2")


class Scale(NamedTuple):
    """A straight map from values low..high to places start..end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def escape(value: object) -> str:
    """Return text that is safe between tags and inside quoted attributes, in HTML and in SVG."""
    import html  # not at the top: importing the evaluation stays quick

    return html.escape(printable(value), quote=True)


def drawing(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    """Return a chart that scales with its column and tells screen readers `label`."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}"'
        f' xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def place(value: float) -> str:
    """Return a coordinate, to a hundredth of a unit."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(x: float, y: float, value: object, *, css: str = "", anchor: str = "start") -> str:
    """Return a text; `anchor` is start, middle or end."""
    kind = f' class="{css}"' if css else ""
    return f'<text x="{place(x)}" y="{place(y)}" text-anchor="{anchor}"{kind}>{escape(value)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """Return a straight line."""
    return f'<line x1="{place(x1)}" y1="{place(y1)}" x2="{place(x2)}" y2="{place(y2)}" class="{css}"/>'


def box(x: float, y: float, width: float, height: float, css: str, title: str = "") -> str:
    """Return a rectangle; `title` shows under the pointer."""
    size = f'width="{place(max(width, 0))}" height="{place(max(height, 0))}"'
    shown = f"><title>{escape(title)}</title></rect>" if title else "/>"
    return f'<rect x="{place(x)}" y="{place(y)}" {size} class="{css}"{shown}'


def path(points: Sequence[tuple[float, float]], css: str, *, dash: str = "") -> str:
    """Return straight lines from point to point."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{" ".join(f"{place(x)},{place(y)}" for x, y in points)}" class="{css}"{dashes}/>'


def marker(x: float, y: float, kind: int, css: str, title: str = "") -> str:
    """Return a small shape centred on a point; `kind` chooses among four."""
    r = 3.5
    shapes = (
        f'<circle cx="{place(x)}" cy="{place(y)}" r="{r}"',
        f'<rect x="{place(x - r)}" y="{place(y - r)}" width="{2 * r}" height="{2 * r}"',
        f'<path d="M{place(x)} {place(y - 4.5)}l4.5 8h-9z"',
        f'<path d="M{place(x)} {place(y - 4.8)}l4.8 4.8-4.8 4.8-4.8-4.8z"',
    )
    shape = shapes[kind % len(shapes)]
    if not title:
        return f'{shape} class="{css}"/>'
    return f'{shape} class="{css}"><title>{escape(title)}</title></{shape[1:].split(" ", 1)[0]}>'


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values from low to high, at most `most` + 1 of them, 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if span / (power * times) <= most + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def rounded(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis that holds low..high and ends at ticks."""
    if not high > low:
        return low, low + 1.0
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def tick_label(value: float) -> str:
    """Return the number at a tick, without decimals that say nothing."""
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"
