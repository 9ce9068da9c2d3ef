"""The fits of calibrators: one dimension each, convex, and bounded where data are separable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEPS = 100
SMALLEST, LARGEST = 1e-280, 1e300  # what can be divided by
RANGE = 1e6  # temperatures lie within this factor of the largest |score|


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    result: Floats = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return result


def softmax(x: Floats, offsets: NDArray[np.int64], temperature: float) -> Floats:
    """Return exp(x / temperature) / its sum within each list; lists may be empty."""
    lengths = np.diff(offsets)
    starts = offsets[:-1][lengths > 0]
    if not len(starts):
        return np.zeros(len(x))
    counts = lengths[lengths > 0]
    powers = np.exp((x - np.repeat(np.maximum.reduceat(x, starts), counts)) / temperature)
    result: Floats = powers / np.repeat(np.add.reduceat(powers, starts), counts)
    return result


def temperature(scores: Floats, y: Floats, w: Floats) -> float:
    """Return the T that minimises the log loss of sigmoid(scores / T)."""
    return _temperature(scores, lambda beta: float((w * scores * (sigmoid(beta * scores) - y)).sum()))


def softmax_temperature(scores: Floats, mass: Floats, offsets: NDArray[np.int64]) -> float:
    """Return the T that minimises -sum mass ln softmax(scores / T); `mass` is what each document should have."""
    lengths = np.diff(offsets)
    lists = np.repeat(np.arange(len(lengths)), lengths)
    total = np.bincount(lists, weights=mass, minlength=len(lengths))[lists]
    return _temperature(
        scores, lambda beta: float((scores * (total * softmax(scores, offsets, 1.0 / beta) - mass)).sum())
    )


def _temperature(scores: Floats, slope: Callable[[float], float]) -> float:
    """Return 1 / beta where the rising slope of a convex loss crosses 0, or the end of the range nearest to that."""
    largest = float(np.abs(scores).max())
    if largest < SMALLEST:
        return 1.0  # nothing to tell apart: any temperature gives the same
    low, high = 1.0 / RANGE / largest, RANGE / largest
    if slope(low) >= 0.0:
        return min(largest * RANGE, LARGEST)
    if slope(high) <= 0.0:
        return largest / RANGE
    while low < (middle := float(np.sqrt(low) * np.sqrt(high))) < high:
        if slope(middle) < 0.0:
            low = middle
        else:
            high = middle
    return 1.0 / high


def platt(scores: Floats, y: Floats, w: Floats) -> tuple[float, float]:
    """Return slope and intercept by Newton's method with backtracking (Lin, Lin and Weng 2007)."""
    positive, negative = float((w * y).sum()), float((w * (1.0 - y)).sum())
    target = np.where(y == 1, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    total = positive + negative
    unit = max(float(np.abs(scores).max()), SMALLEST)
    scores = scores / unit
    centre = float((w * scores).sum()) / total
    spread = float(np.sqrt((w * (scores - centre) ** 2).sum() / total))
    if spread < 1e-15:
        share = float((w * target).sum()) / total
        return 0.0, float(np.log(share / (1.0 - share)))
    z = (scores - centre) / spread
    a = b = 0.0
    for _ in range(STEPS):
        p = sigmoid(a * z + b)
        residual, curve = w * (p - target), w * p * (1.0 - p)
        gradient = np.array([(residual * z).sum(), residual.sum()])
        if np.abs(gradient).max() <= 1e-13 * total:
            break
        mixed = (curve * z).sum()
        hessian = np.array([[(curve * z * z).sum(), mixed], [mixed, curve.sum()]]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = _backtracked(w, target, a * z + b, step[0] * z + step[1])
        if size == 0.0:
            break
        a, b = a - size * float(step[0]), b - size * float(step[1])
    return a / spread / unit, b - a * centre / spread


def _backtracked(w: Floats, target: Floats, x: Floats, direction: Floats) -> float:
    """Return the largest of 1, 1/2, 1/4 ... of a step against `direction` that lowers the loss, 0 where none does."""
    start, size = _loss(w, target, x), 1.0
    while size > 1e-10:
        if _loss(w, target, x - size * direction) < start:
            return size
        size /= 2.0
    return 0.0


def _loss(w: Floats, target: Floats, x: Floats) -> float:
    return float((w * (np.maximum(x, 0.0) - target * x + np.log1p(np.exp(-np.abs(x))))).sum())


def pool_adjacent_violators(scores: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Return the corners (scores, heights) of the rising function that is closest to y in weighted least squares.

    Equal scores are one point. Neighbours that fall are pooled to their mean until none falls (Ayer et al. 1955).
    """
    kept = w > 0
    places, group = np.unique(scores[kept], return_inverse=True)
    weight = np.bincount(group.reshape(-1), weights=w[kept])
    sums = np.bincount(group.reshape(-1), weights=(w * y)[kept])
    blocks: list[tuple[float, float, int]] = []  # sum, weight, first point
    for i, (total, mass) in enumerate(zip(sums.tolist(), weight.tolist(), strict=True)):
        first = i
        while blocks and blocks[-1][0] * mass >= total * blocks[-1][1]:
            before, more, first = blocks.pop()
            total, mass = total + before, mass + more
        blocks.append((total, mass, first))
    starts = np.array([first for _, _, first in blocks])
    ends = np.r_[starts[1:], len(places)] - 1
    heights = np.maximum.accumulate(np.array([min(total / mass, 1.0) for total, mass, _ in blocks]))
    corners = np.unique(np.r_[starts, ends])
    return places[corners], heights[np.searchsorted(starts, corners, "right") - 1]


def interpolate(x: Floats, heights: Floats, at: Floats) -> Floats:
    """Return the piecewise linear function through (x, heights); rounding never makes it fall."""
    if len(x) == 1:
        return np.full(len(at), heights[0])
    i = np.clip(np.searchsorted(x, at, "right") - 1, 0, len(x) - 2)
    share = np.clip((at - x[i]) / (x[i + 1] - x[i]), 0.0, 1.0)
    result: Floats = np.minimum(heights[i] + share * (heights[i + 1] - heights[i]), heights[i + 1])
    return result
