"""Risk against coverage: how good the answers are when the least sure ones are held back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins.errors import InputError

Floats = NDArray[np.float64]
RATES = np.linspace(0.0, 1.0, 11)[:-1]
"""Shares of queries to hold back, of nAUC."""


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The risk of answering the i most sure of n queries, i = 1 ... n."""

    coverage: Floats
    """i / n."""
    risk: Floats
    """Mean of 1 - value over the i answered queries."""
    generalized_risk: Floats
    """Sum of 1 - value over the i answered queries, divided by n: what all queries suffer."""
    aurc: float
    """Area under the risk: its mean over i (Geifman, Uziel and El-Yaniv 2019)."""
    augrc: float
    """Area under the generalized risk, trapezoids from (0, 0) (Traub et al. 2024)."""


def risk_coverage(confidences: ArrayLike, values: ArrayLike) -> RiskCoverage:
    """Return the risk-coverage curve of queries with confidences [n] and metric values [n] in 0 ... 1.

    The risk of a query is 1 - value. Equal confidences: the expected value over all orders of such queries.

    Raises:
        InputError: no queries, other lengths, NaN, or values outside 0 ... 1.

    """
    sure, values = _checked(confidences, values)
    if values.min() < 0 or values.max() > 1:
        raise InputError(f"values: expected numbers from 0 to 1, got {values.min():g} to {values.max():g}")
    n = len(values)
    kept = np.arange(1, n + 1)
    suffered = np.cumsum(_expected(-sure, 1.0 - values))
    risk = suffered / kept
    generalized = suffered / n
    augrc = (float(generalized.sum()) - 0.5 * float(generalized[-1])) / n
    return RiskCoverage(kept / n, risk, generalized, float(risk.mean()), augrc)


def nauc(confidences: ArrayLike, values: ArrayLike) -> float:
    """Return the normalised area under the abstention curve (Gisserot-Boukhlef et al. 2024, as in MTEB).

    The round(r n) least sure of n queries are held back (at least one is kept), r = 0, 0.1, ... 0.9; the curve is
    the mean of the others' values. nAUC = (area - flat) / (oracle - flat): the oracle holds back the worst queries,
    the flat line nobody. 1 is perfect, 0 no better than chance. Equal confidences: the expected value over all
    orders. NaN where all queries are equally good.

    Args:
        confidences: how sure the system is of each query [n], such as `abstention.confidence` gives.
        values: each query's metric [n], higher is better.

    Raises:
        InputError: no queries, other lengths, or NaN.

    """
    sure, values = _checked(confidences, values)
    width = float(RATES[-1])
    flat = float(values.mean()) * width
    oracle = _area(values, values)
    if oracle - flat <= 1e-12 * max(1.0, abs(flat)):
        return math.nan
    return (_area(sure, values) - flat) / (oracle - flat)


def _area(sure: Floats, values: Floats) -> float:
    n = len(values)
    total = np.cumsum(_expected(-sure, values))
    kept = [n - min(round(float(rate) * n), n - 1) for rate in RATES]
    curve = np.array([total[k - 1] / k for k in kept])
    return float(((curve[1:] + curve[:-1]) / 2 * np.diff(RATES)).sum())


def _expected(keys: Floats, values: Floats) -> Floats:
    """Return the values in the order of rising keys, each group of equal keys as its mean."""
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    means = np.bincount(group.reshape(-1), weights=values) / counts
    return np.repeat(means, counts)


def _checked(confidences: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    sure, found = np.asarray(confidences, np.float64), np.asarray(values, np.float64)
    if sure.ndim != 1 or sure.shape != found.shape or not len(sure):
        raise InputError(f"confidences, values: expected two of [n] with n >= 1, got {sure.shape} and {found.shape}")
    if np.isnan(sure).any() or not np.isfinite(found).all():
        raise InputError("confidences, values: expected numbers without NaN, and finite values")
    return sure, found
