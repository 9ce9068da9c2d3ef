"""Paired tests, bootstrap intervals and effect sizes over queries.

The unit is the query: d_q = b_q - a_q is the difference of two systems on query q. Where queries come in clusters
(from one source, one user, one post), the cluster is what changes sign or is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import intervals
from rank_plugins.evaluation._choice import choice
from rank_plugins.evaluation.distributions import check_level, t_quantile, t_two_sided
from rank_plugins.evaluation.joint import Contrasts, joint_p_values
from rank_plugins.evaluation.resampling import Samples, check_drawing, cluster_numbers, cluster_sums, in_chunks

Floats = NDArray[np.float64]
Clusters: TypeAlias = "Sequence[Any] | ArrayLike | None"

SAME = 1e-12
"""Differences up to this are rounding, and count as ties."""


@dataclass(frozen=True)
class PairedTest:
    """What a test of two systems over the same queries says."""

    method: str
    """ "t", "randomization" or "bootstrap"."""
    statistic: float
    """The t statistic, else the mean difference."""
    p: float
    """Two-sided."""
    n: int
    """Queries."""
    resamples: int
    """Sign vectors or samples that were used; 0 for the t-test."""
    exact: bool
    """Whether p is exact: from the t distribution, or from all sign vectors."""


@dataclass(frozen=True)
class Effect:
    """How large a difference is."""

    mean: float
    """Mean of b - a."""
    sd: float
    """Standard deviation of the differences (n - 1 in the denominator); NaN for one query."""
    effect_size: float
    """d_z = mean / sd; 0 where all differences are 0."""
    wins: int
    """Queries where b is better."""
    ties: int
    """Queries where they differ by at most 1e-12."""
    losses: int
    """Queries where a is better."""
    n: int
    """Queries."""


def effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """Return the size of the difference b - a of two systems' values [n].

    Raises:
        InputError: no queries, other lengths, NaN or inf.
        InputTypeError: not numbers.

    """
    d = differences(a, b)
    mean = float(d.mean())
    sd = float(d.std(ddof=1)) if len(d) > 1 else math.nan
    wins, losses = int((d > SAME).sum()), int((d < -SAME).sum())
    return Effect(mean, sd, _ratio(mean, sd), wins, len(d) - wins - losses, losses, len(d))


def t_test(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Return the paired two-sided t-test of b - a, values [n]: t = mean / (sd / sqrt(n)), n - 1 degrees of freedom.

    Where all differences are 0, t is 0 and p is 1.

    Raises:
        InputError: fewer than 2 queries, other lengths, NaN or inf.
        InputTypeError: not numbers.

    """
    d = differences(a, b, least=2)
    t = _ratio(float(d.mean()), float(d.std(ddof=1)) / math.sqrt(len(d)))
    return PairedTest("t", t, t_two_sided(t, len(d) - 1), len(d), 0, True)


def t_interval(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of the mean of b - a that belongs to `t_test`; errors as there."""
    check_level(level)
    d = differences(a, b, least=2)
    half = t_quantile(level, len(d) - 1) * float(d.std(ddof=1)) / math.sqrt(len(d))
    return float(d.mean()) - half, float(d.mean()) + half


def randomization_test(
    a: ArrayLike,
    b: ArrayLike,
    *,
    resamples: int = 100_000,
    seed: int = 0,
    clusters: Clusters = None,
    threads: int | None = None,
) -> PairedTest:
    """Return Fisher's randomisation test of b - a, values [n]: under the null, each difference may change its sign.

    p = (1 + #{|mean(eps d)| >= |mean d| - 1e-12}) / (1 + B) over B random sign vectors eps. Where there are at most
    B sign vectors in all, 2^n <= B, each is taken once and p is the exact share. Same seed, same p, for any number
    of threads.

    Args:
        a: values of one system by query.
        b: values of the other, for the same queries.
        resamples: B.
        seed: of the signs.
        clusters: the cluster of each query; a cluster changes its sign as one.
        threads: None for all usable cores.

    Raises:
        InputError: no queries, other lengths, NaN or inf.
        InputTypeError: not numbers.

    """
    return _resampled("randomization", a, b, resamples, seed, clusters, threads)


def bootstrap_test(
    a: ArrayLike,
    b: ArrayLike,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    clusters: Clusters = None,
    threads: int | None = None,
) -> PairedTest:
    """Return the bootstrap test of b - a, values [n]: how often samples stray from their mean as far as that from 0.

    p = (1 + #{|mean* - mean d| >= |mean d| - 1e-12}) / (1 + B) over B samples of n queries (or of clusters) drawn
    with replacement (Efron and Tibshirani 1993, section 16.4, without dividing by the sample's own sd). Arguments
    and errors as in `randomization_test`; at least 2 queries.
    """
    return _resampled("bootstrap", a, b, resamples, seed, clusters, threads)


def bootstrap_interval(
    values: ArrayLike,
    level: float = 0.95,
    *,
    method: str = "bca",
    resamples: int = 10_000,
    seed: int = 0,
    clusters: Clusters = None,
    threads: int | None = None,
) -> Floats:
    """Return the bootstrap confidence interval of the mean of values [n], (low, high) [2]; of [M, n], [M, 2].

    The rows of [M, n] (metrics, systems) are drawn jointly. One query, or one cluster, says nothing of its spread:
    the interval is (NaN, NaN).

    Args:
        values: a value for each query; with two axes, one row for each metric.
        level: the chance to hold the true mean.
        method: "bca", bias-corrected and accelerated (Efron 1987), or "percentile".
        resamples: how many samples.
        seed: of the draws; the same seed gives the same bytes for any number of threads.
        clusters: the cluster of each query; whole clusters are drawn.
        threads: None for all usable cores.

    Raises:
        InputError: no queries, more than two axes, NaN or inf, an unknown method.
        InputTypeError: not numbers.

    """
    check_level(level)
    choice(method, ("bca", "percentile"), "method")
    resamples, seed = check_drawing(resamples, seed)
    rows = _numbers(values, "values")
    if rows.ndim not in (1, 2) or rows.shape[-1] == 0:
        raise InputError(f"values: expected [n] or [M, n] with at least one query, got shape {rows.shape}")
    columns = np.atleast_2d(rows).T
    sums, sizes = cluster_sums(columns, cluster_numbers(clusters, len(columns)))
    if len(sums) < 2:
        return np.full((*rows.shape[:-1], 2), np.nan)
    samples = Samples(sums, sizes, resamples, seed)
    means = np.concatenate(in_chunks(samples.means, samples.chunks, threads))
    bounds = [
        intervals.bounds(means[:, c], sums[:, c], sizes, level, bca=method == "bca") for c in range(columns.shape[1])
    ]
    return np.array(bounds).reshape(*rows.shape[:-1], 2)


def differences(a: ArrayLike, b: ArrayLike, least: int = 1) -> Floats:
    """Return b - a as float64 [n].

    Raises:
        InputError: fewer than `least` queries, other lengths, NaN or inf.
        InputTypeError: not numbers.

    """
    first, second = _numbers(a, "a"), _numbers(b, "b")
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(
            f"a, b: expected one value per query from both, in the same order, got {first.shape} and {second.shape}"
        )
    if len(first) < least:
        raise InputError(f"a, b: expected the values of at least {least} queries, got {len(first)}")
    return second - first


def _resampled(
    method: str, a: ArrayLike, b: ArrayLike, resamples: int, seed: int, clusters: Clusters, threads: int | None
) -> PairedTest:
    resamples, seed = check_drawing(resamples, seed)
    d = differences(a, b, least=2 if method == "bootstrap" else 1)
    numbers = cluster_numbers(clusters, len(d))
    result = joint_p_values(Contrasts(d[:, None]), method, resamples, seed, numbers, threads)
    return PairedTest(method, float(d.mean()), float(result.p[0]), len(d), result.resamples, result.exact)


def _numbers(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" and array.size:
        raise InputTypeError(f"{what}: expected numbers, got dtype {array.dtype.name}")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        place = [int(axis) for axis in np.unravel_index(bad[0], array.shape)]
        raise InputError(
            f"{what}: expected finite numbers, got {array.flat[bad[0]]} at {place} ({bad.size} such of {array.size});"
            " decide what such a query counts, or leave it out of both systems"
        )
    return array


def _ratio(mean: float, spread: float) -> float:
    """Return mean / spread, where 0 / 0 is 0: no difference."""
    if spread == 0.0:
        return 0.0 if mean == 0.0 else math.copysign(math.inf, mean)
    return mean / spread
