"""Bins of probabilities, for calibration errors and reliability diagrams. Equal probabilities share a bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation._choice import choice

Floats = NDArray[np.float64]
BINNINGS = ("mass", "width", "sweep")


@dataclass(frozen=True)
class Binned:
    """Pairs in bins of rising probability; no bin is empty."""

    group: NDArray[np.int64]
    """The bin of each pair [n]."""
    count: Floats
    """Pairs of each bin [B]."""
    confidence: Floats
    """Mean probability [B]."""
    accuracy: Floats
    """Share of relevant ones [B]."""

    @property
    def gap(self) -> Floats:
        """How far share and probability lie apart [B]."""
        return np.abs(self.accuracy - self.confidence)


def binned(p: Floats, y: Floats, bins: int, binning: str) -> Binned:
    """Return pairs (p, y) in bins.

    - "mass": `bins` of equally many pairs, as far as equal probabilities allow.
    - "width": `bins` of equal width over 0 ... 1, each without its lower end but the first.
    - "sweep": "mass" with as many bins as keep the share of relevant ones rising (Roelofs et al. 2022).

    Raises:
        InputError: an unknown binning, or fewer than 1 bin.
        InputTypeError: `bins` is no whole number.

    """
    choice(binning, BINNINGS, "binning")
    bins = whole_number(bins, "bins", 1)
    if binning == "width":
        return _summed(p, y, np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], p, side="left"))
    middle = _middles(p)
    if binning == "mass":
        return _summed(p, y, _by_mass(middle, bins))
    return _summed(p, y, _by_mass(middle, _swept(middle, y)))


def pairs(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Return probabilities and labels as float64 [n].

    Raises:
        InputError: none, other lengths, probabilities outside 0 ... 1 or NaN, or labels that are neither 0 nor 1.
        InputTypeError: not numbers.

    """
    p, y = numbers(probabilities, "probabilities"), numbers(labels, "labels")
    if p.shape != y.shape or not len(p):
        raise InputError(f"probabilities, labels: expected two of [n] with n >= 1, got {p.shape} and {y.shape}")
    _in_range(p)
    check_labels(y)
    return p, y


def alone(probabilities: ArrayLike) -> Floats:
    """Return probabilities as float64 [n]; errors as in `pairs`."""
    p = numbers(probabilities, "probabilities")
    if not len(p):
        raise InputError("probabilities: expected at least one, got none")
    _in_range(p)
    return p


def numbers(values: ArrayLike, what: str) -> Floats:
    """Return values as float64 [n].

    Raises:
        InputError: not one axis.
        InputTypeError: not numbers.

    """
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise InputTypeError(f"{what}: expected numbers, got dtype {array.dtype.name}")
    if array.ndim != 1:
        raise InputError(f"{what}: expected 1 axis [n], got shape {array.shape}")
    return array.astype(np.float64)


def check_labels(y: Floats) -> None:
    """Refuse labels other than 0 and 1.

    Raises:
        InputError: there is one.

    """
    wrong = np.flatnonzero((y != 0) & (y != 1))
    if wrong.size:
        raise InputError(
            f"labels: expected 0 or 1, got {y[wrong[0]]:g} at [{int(wrong[0])}] ({wrong.size} such); of grades, pass"
            " grades >= level"
        )


def _in_range(p: Floats) -> None:
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1)))
    if wrong.size:
        raise InputError(
            f"probabilities: expected numbers from 0 to 1, got {p[wrong[0]]:g} at [{int(wrong[0])}]"
            f" ({wrong.size} such of {p.size}); raw scores are no probabilities, calibrate them first"
        )


def _middles(p: Floats) -> NDArray[np.int64]:
    """Return twice the place of each pair by probability; equal ones share the middle of their places."""
    _, group, counts = np.unique(p, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (2 * last - counts + 1)[group.reshape(-1)]


def _by_mass(middle: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    return middle * bins // (2 * len(middle))


def _swept(middle: NDArray[np.int64], y: Floats) -> int:
    """Return the last number of bins, from 1 up, before the share of relevant ones falls from a bin to the next."""
    values = np.unique(middle)
    sums = np.bincount(np.searchsorted(values, middle), weights=y)
    sizes = np.bincount(np.searchsorted(values, middle))
    if (np.diff(sums / sizes) >= 0).all():
        return len(middle)
    for bins in range(2, len(middle) + 1):
        group = values * bins // (2 * len(middle))
        starts = np.flatnonzero(np.r_[True, np.diff(group) != 0])
        share = np.add.reduceat(sums, starts) / np.add.reduceat(sizes, starts)
        if (np.diff(share) < 0).any():
            return bins - 1
    return len(middle)


def _summed(p: Floats, y: Floats, group: NDArray[np.int64]) -> Binned:
    _, group = np.unique(group, return_inverse=True)
    group = group.reshape(-1).astype(np.int64)
    count = np.bincount(group).astype(np.float64)
    confidence = np.bincount(group, weights=p) / count
    return Binned(group, count, confidence, np.bincount(group, weights=y) / count)
