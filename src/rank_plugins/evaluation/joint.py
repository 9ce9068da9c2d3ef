"""Randomisation and bootstrap tests of many differences at once, and the maxT correction from the same draws.

A difference of two systems is the difference of two columns, and so is its sum under random signs: only the columns
are summed, however many pairs there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rank_plugins.evaluation.resampling import Samples, SignFlips, cluster_sums, in_chunks

Floats = NDArray[np.float64]
BLOCK = 2**18  # statistics looked at at once
SLACK = 1e-12
"""A statistic counts as large as the observed one up to this (times the mean |d| where that is above 1): rounding."""


@dataclass(frozen=True)
class Contrasts:
    """The differences to test: columns [n, C] and, for each, the columns (a, b) whose b - a it is.

    Without pairs, the columns are the differences.
    """

    columns: Floats
    a: NDArray[np.intp] | None = None
    b: NDArray[np.intp] | None = None

    def of(self, columns: Floats) -> Floats:
        """Return the differences [rows, m] of columns [rows, C]."""
        if self.a is None or self.b is None:
            return columns
        return columns[:, self.b] - columns[:, self.a]


@dataclass(frozen=True)
class JointTest:
    """p-values of m differences, and the same corrected by maxT."""

    p: Floats
    p_max: Floats
    resamples: int
    exact: bool


def joint_p_values(
    contrasts: Contrasts,
    method: str,
    resamples: int,
    seed: int,
    clusters: NDArray[np.intp] | None,
    threads: int | None,
) -> JointTest:
    """Return the two-sided p-values of the mean differences being 0, by "randomization" or "bootstrap".

    maxT (Westfall and Young 1993, step-down): differences in order of T = |mean d| / spread(d), each compared with
    the largest T among itself and all smaller ones, under the same signs or in the same sample for all. It keeps
    the chance of any false claim, and what the differences have in common costs nothing. Under random signs the
    spread is sqrt(sum d^2), which no sign changes, and the t statistic is a rising function of T; in samples it is
    that of the observed differences around their mean.
    """
    n = len(contrasts.columns)
    d = contrasts.of(contrasts.columns)
    mean = d.mean(axis=0)
    units, sizes = cluster_sums(contrasts.columns, clusters)
    if method == "randomization":
        flips = SignFlips(units / n, resamples, seed)
        draws = Draws(flips.sums, flips.chunks, flips.count, flips.exact)
        centre, spread = np.zeros_like(mean), contrasts.of(units)
    else:
        samples = Samples(units, sizes, resamples, seed)
        draws = Draws(samples.means, samples.chunks, samples.count, False)
        weights = np.ones(n) if sizes is None else sizes
        centre, spread = mean, contrasts.of(units) - weights[:, None] * mean
    scale = np.sqrt((spread * spread).sum(axis=0))
    scale[scale == 0.0] = 1.0
    threshold = np.abs(mean) - SLACK * np.maximum(1.0, np.abs(d).mean(axis=0))
    return _counted(contrasts, draws, centre, threshold, scale, threads)


@dataclass(frozen=True)
class Draws:
    """Where the statistics of each chunk come from: means of the columns [rows, C], under the null or around it."""

    means: Callable[[int], Floats]
    chunks: int
    count: int
    exact: bool


def _counted(
    contrasts: Contrasts, draws: Draws, centre: Floats, threshold: Floats, scale: Floats, threads: int | None
) -> JointTest:
    """Count in how many draws |mean - centre| reaches the threshold [m], alone and as the largest of the smaller."""
    order = np.argsort(-threshold / scale, kind="stable")
    reached = (threshold / scale)[order]
    block = max(1, BLOCK // len(order))

    def count(chunk: int) -> NDArray[np.int64]:
        means = draws.means(chunk)
        counts = np.zeros((2, len(order)), np.int64)
        for start in range(0, len(means), block):
            values = np.abs(contrasts.of(means[start : start + block]) - centre)
            counts[0] += (values >= threshold).sum(axis=0)
            values = (values / scale)[:, order]
            largest = np.maximum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
            counts[1] += (largest >= reached).sum(axis=0)
        return counts

    alone, together = sum(in_chunks(count, draws.chunks, threads))
    extra = 0 if draws.exact else 1  # the observed data count as one more draw; all sign vectors hold them already
    p_max = np.empty(len(order))
    p_max[order] = np.maximum.accumulate((together + extra) / (draws.count + extra))
    return JointTest((alone + extra) / (draws.count + extra), p_max, draws.count, draws.exact)
