"""The charts of the page: to scale, labelled, and in colours that can be told apart from their ground."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins.evaluation.reports import charts, svg
from rank_plugins.evaluation.reports.style import DARK, LIGHT

SVG = "{http://www.w3.org/2000/svg}"


def drawing(text: str) -> ET.Element:
    """Return a chart as a tree."""
    return ET.fromstring(text)  # noqa: S314


def luminance(colour: str) -> float:
    """Return relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(theme):
    """Text reaches 4.5:1 (WCAG AA) and marks 3:1, on the page and on panels."""

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(theme[one]), luminance(theme[other])))
        return (high + 0.05) / (low + 0.05)

    for ground in ("page", "panel"):
        assert min(contrast(name, ground) for name in ("text", "muted")) >= 4.5
        assert min(contrast(name, ground) for name in ("win", "loss", *(f"c{i}" for i in range(8)))) >= 3
    assert len({theme[f"c{i}"] for i in range(8)}) == 8


def test_bars_are_to_scale():
    """A bar of twice the mean is twice as long, and the line ends at the interval."""
    chart = drawing(charts.metric_bars("m", [charts.Bar("a", 0.4, 0.3, 0.5, 0), charts.Bar("b", 0.8, 0.7, 1.0, 1)]))
    one, other = (box for box in chart.iter(f"{SVG}rect"))
    assert float(other.get("width")) == pytest.approx(2 * float(one.get("width")))
    zero, unit = float(one.get("x")), float(other.get("width")) / 0.8
    ends = [float(line.get("x2")) for line in chart.iter(f"{SVG}line") if line.get("class") == "whisker"]
    assert ends[0] == pytest.approx(zero + 0.5 * unit, abs=0.02)
    assert one.find(f"{SVG}title").text == "a: 0.4000 [0.3000, 0.5000]"
    assert "b 0.8000 [0.7000, 1.0000]" in chart.get("aria-label")


def test_bars_below_zero_and_without_value():
    """Negative means go to the left of zero; a metric without value draws nothing; counts have no interval."""
    nan = float("nan")
    bars = [charts.Bar("a", -54.0, nan, nan, 0), charts.Bar("b", 20.0, nan, nan, 1), charts.Bar("c", nan, nan, nan, 2)]
    chart = drawing(charts.metric_bars("utility", bars))
    below, above = chart.iter(f"{SVG}rect")
    zero = float(above.get("x"))
    assert float(below.get("x")) + float(below.get("width")) == pytest.approx(zero, abs=0.02)
    assert not [line for line in chart.iter(f"{SVG}line") if line.get("class") == "whisker"]


def test_wins_and_losses_by_query():
    """Differences stand sorted, best first; each bar names its query and its values."""
    values = [("q1", 0.2, 0.5), ("q2", 0.9, 0.1), ("q3", 0.5, 0.5)]
    chart = drawing(charts.win_loss("new", "old", values, (1, 1, 1)))
    bars = list(chart.iter(f"{SVG}rect"))
    assert [bar.find(f"{SVG}title").text for bar in bars] == [
        "q2: 0.9000 - 0.1000 = +0.8000", "q3: 0.5000 - 0.5000 = +0.0000", "q1: 0.2000 - 0.5000 = -0.3000",
    ]  # fmt: skip
    assert bars[0].get("class") == "win"
    assert bars[2].get("class") == "loss"
    assert float(bars[0].get("height")) / float(bars[2].get("height")) == pytest.approx(8 / 3, rel=1e-3)
    assert chart.get("aria-label") == "new against old: 1 queries better, 1 equal, 1 worse"


def test_thousands_of_queries_share_bars():
    """Beyond 300 bars neighbours are averaged, which the axis says; the sum of differences stays."""
    rng = np.random.default_rng(0)
    values = [(i, float(a), float(b)) for i, (a, b) in enumerate(rng.random((1200, 2)))]
    chart = drawing(charts.win_loss("new", "old", values, (600, 0, 600)))
    bars = list(chart.iter(f"{SVG}rect"))
    assert len(bars) == 300
    means = [float(bar.find(f"{SVG}title").text.split()[-1]) for bar in bars]
    assert means == sorted(means, reverse=True)
    assert np.mean(means) == pytest.approx(np.mean([a - b for _, a, b in values]), abs=1e-4)
    assert "1,200 queries, sorted by difference, each bar the mean of 4" in "".join(chart.itertext())


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e6),
    st.integers(2, 8),
)
def test_ticks(low, span, most):
    """Ticks are few, evenly spaced, and lie inside; an axis rounded to them holds its values."""
    high = low + span
    found = svg.ticks(low, high, most)
    assert len(found) <= most + 1
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span for tick in found)
    if len(found) > 2:
        assert np.ptp(np.diff(found)) <= 1e-6 * span
    start, end = svg.rounded(low, high)
    assert start <= low + 1e-6 * span
    assert end >= high - 1e-6 * span
