"""Corrections of p-values for many tests at once, from the p-values alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins.errors import InputError
from rank_plugins.evaluation._choice import choice

Floats = NDArray[np.float64]


def correct(p_values: ArrayLike, method: str) -> Floats:
    """Return p-values [m] corrected for there being m of them; an effect stands where its value is below alpha.

    - "holm": step-down Bonferroni, keeps the chance of any false claim below alpha (Holm 1979).
    - "bonferroni": m p, the same promise with less power.
    - "bh": keeps the expected share of false claims below alpha (Benjamini and Hochberg 1995).
    - "none": as they are.

    Raises:
        InputError: an unknown method, not one axis, or values outside 0 ... 1.

    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError("p_values: expected one axis [m] of numbers from 0 to 1")
    return METHODS[choice(method, METHODS, "correction")](p)


def _holm(p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    return _put(order, np.minimum(np.maximum.accumulate(steps), 1.0))


def _bonferroni(p: Floats) -> Floats:
    return np.minimum(p * len(p), 1.0)


def _benjamini_hochberg(p: Floats) -> Floats:
    order = np.argsort(-p, kind="stable")
    steps = p[order] * len(p) / np.arange(len(p), 0, -1)
    return _put(order, np.minimum(np.minimum.accumulate(steps), 1.0))


def _none(p: Floats) -> Floats:
    return p.copy()


def _put(order: NDArray[np.intp], values: Floats) -> Floats:
    result = np.empty_like(values)
    result[order] = values
    return result


METHODS: dict[str, Callable[[Floats], Floats]] = {
    "holm": _holm,
    "bh": _benjamini_hochberg,
    "bonferroni": _bonferroni,
    "none": _none,
}
