"""compare: which of several runs is better, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import intervals, statistics
from rank_plugins.evaluation._choice import choice
from rank_plugins.evaluation._evaluate import Evaluation, evaluate
from rank_plugins.evaluation.comparison import Comparison, Difference
from rank_plugins.evaluation.corrections import METHODS, correct
from rank_plugins.evaluation.distributions import check_level
from rank_plugins.evaluation.joint import Contrasts, joint_p_values
from rank_plugins.evaluation.names import parse
from rank_plugins.evaluation.resampling import Samples, check_drawing, cluster_numbers, cluster_sums, in_chunks
from rank_plugins.runs.convert import as_qrels, as_run

Floats = NDArray[np.float64]

TESTS = ("randomization", "t", "bootstrap")
CORRECTIONS = ("maxt", *METHODS)
LEVEL = 0.95  # of the intervals
SAMPLES = 10_000  # of the intervals
MANY = 1000  # queries from which on even tiny differences are significant


def compare(
    qrels: Any,
    runs: Mapping[str, Any] | Sequence[Any],
    metrics: Any = "ndcg@10 ap rr@10 r@100",
    *,
    test: str = "randomization",
    correction: str = "maxt",
    baseline: str | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 100_000,
    clusters: Mapping[Any, Any] | Sequence[Any] | None = None,
    threads: int | None = None,
    **settings: Any,
) -> Comparison:
    """Compare runs query by query: effect sizes and intervals, and p-values corrected for how many there are.

    Args:
        qrels: judgments, as `evaluate` takes them.
        runs: two or more, by name, or in a list: then a run is called what its `name` says, else "run 1", "run 2" ...
        metrics: as `evaluate` takes them.
        test: "randomization" (signs of the differences at random), "t", or "bootstrap" (see `statistics`).
        correction: "maxt" (step-down, from joint random signs, or joint samples where test="bootstrap"; takes into
            account how alike the differences are), "holm", "bh", "bonferroni" or "none"; over all pairs and metrics.
        baseline: compare every run with this one only; None compares all pairs.
        alpha: a corrected p below this is significant.
        seed: the same seed gives the same numbers, for any number of threads.
        resamples: sign vectors or samples for p-values. Intervals take 10,000 samples.
        clusters: the cluster of each query, {query: cluster} or in the order of the judged queries; a cluster
            changes its sign, or is drawn, as one. Not with test="t".
        threads: None for all usable cores.
        settings: `evaluate`'s own: relevance_level, ties, missing ... A query that is left out of one run by
            missing="skip" is compared for none; `notes` says how many.

    Returns:
        The means, and for each pair and metric the Difference b - a. Its interval is the 95 % BCa bootstrap, or the
        t interval where test="t".

    Raises:
        InputError: fewer than two runs, two of one name, an unknown name, or what `evaluate` refuses.
        InputTypeError: runs that are neither a mapping nor a list.

    """
    rules = _Rules(test, correction, baseline, alpha, *check_drawing(resamples, seed), threads)
    if test == "t" and clusters is not None:
        raise InputError('clusters: the t-test has none; pass test="randomization" or "bootstrap"')
    named = _named(runs)
    if baseline is not None:
        choice(baseline, named, "baseline")
    qrels = as_qrels(qrels)  # once: a file need not be read for each run, and an iterator could not
    metrics = parse(metrics, compat=settings.get("compat", "trec_eval10"))
    evaluations = {name: evaluate(qrels, run, metrics, threads=threads, **settings) for name, run in named.items()}
    return _compared(evaluations, clusters, rules)


@dataclass(frozen=True)
class _Rules:
    """What `compare` was asked to do."""

    test: str
    correction: str
    baseline: str | None
    alpha: float
    resamples: int
    seed: int
    threads: int | None

    def __post_init__(self) -> None:
        choice(self.test, TESTS, "test")
        choice(self.correction, CORRECTIONS, "correction")
        check_level(self.alpha, "alpha")


def _compared(evaluations: dict[str, Evaluation], clusters: Any, rules: _Rules) -> Comparison:
    queries, values = _common(evaluations)
    metrics = next(iter(evaluations.values())).metrics
    names, a, b = _layout(list(evaluations), metrics, rules.baseline)
    contrasts = Contrasts(values.reshape(-1, len(queries)).T, a, b)
    numbers = cluster_numbers(_parallel(clusters, queries, evaluations), len(queries))
    p, corrected, used = _p_values(contrasts, numbers, rules)
    bounds = _bounds(contrasts, numbers, rules)
    differences = [
        _difference(name, contrasts.columns[:, a[i]], contrasts.columns[:, b[i]], bounds[i], (p[i], corrected[i]))
        for i, name in enumerate(names)
    ]
    units = len(queries) if numbers is None else int(numbers.max()) + 1
    return Comparison(
        metrics=list(metrics),
        runs=list(evaluations),
        evaluations=evaluations,
        differences=differences,
        test=rules.test,
        correction=rules.correction,
        alpha=rules.alpha,
        seed=rules.seed,
        resamples=used,
        baseline=rules.baseline,
        notes=_notes(len(differences), evaluations, len(queries), units, rules),
    )


def _difference(
    name: tuple[str, str, str], a: Floats, b: Floats, bounds: tuple[float, float], p: tuple[float, float]
) -> Difference:
    effect = statistics.effect(a, b)
    return Difference(
        *name,
        mean=effect.mean,
        low=bounds[0],
        high=bounds[1],
        sd=effect.sd,
        effect_size=effect.effect_size,
        p=float(p[0]),
        p_corrected=float(p[1]),
        wins=effect.wins,
        ties=effect.ties,
        losses=effect.losses,
        n=effect.n,
    )


def _layout(
    runs: list[str], metrics: list[str], baseline: str | None
) -> tuple[list[tuple[str, str, str]], NDArray[np.intp], NDArray[np.intp]]:
    """Return (metric, a, b) of each difference, and its two columns: run by run, each metric by metric."""
    pairs = [(i, j) for i in range(len(runs)) for j in range(i + 1, len(runs))]
    if baseline is not None:
        first = runs.index(baseline)
        pairs = [(first, j) for j in range(len(runs)) if j != first]
    names = [(metric, runs[i], runs[j]) for metric in metrics for i, j in pairs]
    places = [(i * len(metrics) + m, j * len(metrics) + m) for m in range(len(metrics)) for i, j in pairs]
    a, b = np.array(places, np.intp).T
    return names, a, b


def _named(runs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Return the runs by name, each in a form that is converted once."""
    if isinstance(runs, Mapping):
        pairs = [(name, as_run(run)) for name, run in runs.items()]
    elif isinstance(runs, Sequence) and not isinstance(runs, (str, bytes)):
        found = [as_run(run) for run in runs]
        pairs = [(getattr(run, "name", None) or f"run {i}", run) for i, run in enumerate(found, 1)]
    else:
        raise InputTypeError(f"runs: expected {{name: run}} or a list of runs, got {type(runs).__name__}")
    named: dict[str, Any] = {}
    for name, run in pairs:
        if not isinstance(name, str):
            raise InputTypeError(f"runs: expected names that are str, got {type(name).__name__} {name!r}")
        if name in named:
            raise InputError(f"runs: expected names that differ, got {name!r} twice; pass {{name: run}}")
        named[name] = run
    if len(named) < 2:
        raise InputError(f"runs: expected at least two to compare, got {len(named)}; for one, see evaluate")
    return named


def _common(evaluations: Mapping[str, Evaluation]) -> tuple[list[Any], Floats]:
    """Return the queries that have a value in every run and metric, and the values [runs, M, n]."""
    found = list(evaluations.values())
    shared = set.intersection(*(set(e.query_ids) for e in found))
    queries = [query for query in found[0].query_ids if query in shared]
    values = np.empty((len(found), len(found[0].metrics), len(queries)))
    for row, evaluation in zip(values, found, strict=True):
        place = {query: i for i, query in enumerate(evaluation.query_ids)}
        row[:] = evaluation.values[:, [place[query] for query in queries]]
    if np.isinf(values).any():
        raise InputError("metrics: expected finite values to compare, got inf; leave that metric out")
    kept = np.logical_not(np.any(np.isnan(values), axis=(0, 1)))  # NaN: left out of a run's mean
    if not kept.any():
        raise InputError("runs: expected queries that have a value in every run and metric, got none")
    return [query for query, keep in zip(queries, kept.tolist(), strict=True) if keep], values[:, :, kept]


def _parallel(clusters: Any, queries: list[Any], evaluations: Mapping[str, Evaluation]) -> list[Any] | None:
    """Return the cluster of each query that is compared."""
    if clusters is None:
        return None
    if not isinstance(clusters, Mapping):
        judged = next(iter(evaluations.values())).query_ids
        listed = list(clusters)
        if len(listed) != len(judged) or any(e.query_ids != judged for e in evaluations.values()):
            raise InputError(
                f"clusters: expected one for each of the {len(judged)} evaluated queries, the same in all runs, got"
                f" {len(listed)}; pass {{query: cluster}}"
            )
        clusters = dict(zip(judged, listed, strict=True))
    without = [query for query in queries if query not in clusters]
    if without:
        raise InputError(
            f"clusters: expected one for every query, {len(without)} of {len(queries)} have none, {without[0]!r} first"
        )
    return [clusters[query] for query in queries]


def _p_values(contrasts: Contrasts, numbers: NDArray[np.intp] | None, rules: _Rules) -> tuple[Floats, Floats, int]:
    """Return p, corrected p, and how many draws they took."""
    used = 0
    if rules.test != "t" or rules.correction == "maxt":
        method = "randomization" if rules.test == "t" else rules.test
        joint = joint_p_values(contrasts, method, rules.resamples, rules.seed, numbers, rules.threads)
        p, used = joint.p, joint.resamples
    if rules.test == "t":
        d = contrasts.of(contrasts.columns)
        p = np.array([statistics.t_test(np.zeros(len(d)), column).p for column in d.T])
    return p, np.maximum(p, joint.p_max) if rules.correction == "maxt" else correct(p, rules.correction), used


def _bounds(contrasts: Contrasts, numbers: NDArray[np.intp] | None, rules: _Rules) -> list[tuple[float, float]]:
    """Return the interval of each difference; bootstrap intervals are all from the same samples."""
    d = contrasts.of(contrasts.columns)
    if rules.test == "t":
        return [statistics.t_interval(np.zeros(len(d)), column, LEVEL) for column in d.T]
    units, sizes = cluster_sums(contrasts.columns, numbers)
    if len(units) < 2:
        return [(np.nan, np.nan)] * d.shape[1]
    samples = Samples(units, sizes, SAMPLES, rules.seed)
    means = contrasts.of(np.concatenate(in_chunks(samples.means, samples.chunks, rules.threads)))
    sums = contrasts.of(units)
    return [intervals.bounds(means[:, i], sums[:, i], sizes, LEVEL, bca=True) for i in range(d.shape[1])]


def _notes(count: int, evaluations: Mapping[str, Evaluation], n: int, units: int, rules: _Rules) -> list[str]:
    kind = "t distribution" if rules.test == "t" else f"BCa bootstrap, {SAMPLES:,} samples"
    notes = [f"Intervals: {LEVEL:.0%}, {kind}, one difference at a time."]
    every = set().union(*(e.query_ids for e in evaluations.values()))
    if len(every) > n:
        notes.append(
            f"{len(every) - n} of {len(every)} queries have no value in some run or metric and are not compared;"
            f" differences are over the other {n}, means over each run's own."
        )
    if rules.correction == "none" and count > 1:
        notes.append(
            f"No correction: of {count} differences, {rules.alpha:.0%} are expected below {rules.alpha:g} by chance"
            ' alone; pass correction="maxt" or "holm".'
        )
    if n >= MANY:
        notes.append(
            f"With {n:,} queries even tiny differences come out significant: read effect sizes and intervals first."
        )
    floor = 2.0 ** (1 - min(units, 1000))
    if rules.test == "randomization" and floor >= rules.alpha:
        what = "queries" if units == n else "clusters of queries"
        notes.append(f"With {units} {what} no p can be below {floor:g}: too few to claim a difference.")
    return notes
