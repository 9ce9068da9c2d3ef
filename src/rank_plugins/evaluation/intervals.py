"""Bootstrap confidence intervals from the means of samples: percentile and BCa."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from statistics import NormalDist

Floats = NDArray[np.float64]


def bounds(means: Floats, sums: Floats, sizes: Floats | None, level: float, *, bca: bool) -> tuple[float, float]:
    """Return (low, high) from the means [B] of samples of units with sums [n] and sizes [n] (None: 1 each).

    BCa (Efron 1987) shifts the percentiles by z0, the normal quantile of the share of samples below the mean, and
    by the acceleration a from leaving out one unit at a time.
    """
    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    if bca:
        tails = _shifted(tails, means, sums, sizes)
    low, high = np.quantile(means, tails)
    return float(low), float(high)


def _shifted(tails: Floats, means: Floats, sums: Floats, sizes: Floats | None) -> Floats:
    from statistics import NormalDist

    normal = NormalDist()
    total = float(sums.sum())
    weight = float(len(sums)) if sizes is None else float(sizes.sum())
    left = (total - sums) / (weight - (1.0 if sizes is None else sizes))
    z0 = normal.inv_cdf(_share_below(means, total / weight))
    a = _acceleration(left)
    return np.array([_moved(normal, z0, a, float(tail)) for tail in tails])


def _share_below(means: Floats, mean: float) -> float:
    """Return the share of samples below the mean, equal ones by half, kept off 0 and 1 by half a sample."""
    slack = 1e-12 * max(1.0, abs(mean))  # means of the same queries in another order may differ in the last bit
    below = (means < mean - slack).sum() + 0.5 * (np.abs(means - mean) <= slack).sum()
    return float(min(max(below, 0.5), len(means) - 0.5) / len(means))


def _acceleration(left: Floats) -> float:
    """Return sum(u^3) / (6 sum(u^2)^1.5), where u = mean of the means without one unit, less each of them."""
    u = left.mean() - left
    largest = float(np.abs(u).max())
    if largest == 0.0:
        return 0.0
    u /= largest  # the squares of tiny numbers would be 0
    cubes, squares = float((u * u * u).sum()), float((u * u).sum())
    return cubes / (6.0 * squares * math.sqrt(squares))


def _moved(normal: NormalDist, z0: float, a: float, tail: float) -> float:
    z = z0 + normal.inv_cdf(tail)
    # Very skewed values and very many samples may reach the pole of the formula, where the percentile is all or none.
    return normal.cdf(z0 + z / (1.0 - a * z)) if a * z < 1.0 else float(z > 0.0)
