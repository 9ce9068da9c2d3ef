"""Bench: trials of fusion on judged queries, from lists that were read once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rank_plugins.fusion.counting import Counter
from rank_plugins.fusion.judged import Judged
from rank_plugins.fusion.lists import Floats, Integers
from rank_plugins.fusion.plan import Plan
from rank_plugins.fusion.trials import Configuration
from rank_plugins.fusion.tuned import HeldOut, Trial, Tuning

if TYPE_CHECKING:
    from rank_plugins.evaluation.names import Metric


class Bench:
    """Runs trials on the judged queries, and remembers the sums that the choice needs."""

    def __init__(
        self,
        judged: Judged,
        metric: Metric,
        level: float,
        fold_of: Integers,
        empty_fold_of: Integers,
        most: float | None,
    ) -> None:
        self._by_id(judged)
        self._metric, self._level, self._most = metric, level, most
        self._judged = judged
        self._fold_of, self._empty_fold_of = fold_of, empty_fold_of
        self._folds = int(fold_of.max()) + 1
        codes = np.flatnonzero(~np.isnan(self._grades))
        self._counter = Counter(self._lists.unions, codes)
        self._qidx = self._lists.of_query[codes]
        self._tables: dict[Any, Floats] = {}
        self._dropped: dict[Any, Any] = {}
        self._cache: dict[str, Any] = {}
        self._all_grades = np.concatenate(judged.all_grades)
        self._offsets = judged.judged_offsets
        self._outside: list[Floats] = []
        self._inside: list[Floats] = []
        self._means: list[float] = []
        self._thresholds: list[list[float]] = []
        self._false: list[Floats] = []
        self._squares = 0.0
        self._by_query = np.zeros(len(judged.queries))

    def _by_id(self, judged: Judged) -> None:
        """Give the documents of each query codes in the order of their ids, the larger first, which decides ties."""
        names, ends = judged.gathered.names, judged.lists.unions.tolist()
        order: list[int] = []
        for start, end in itertools.pairwise(ends):
            order += sorted(range(start, end), key=names.__getitem__, reverse=True)
        codes = np.array(order, np.int64)
        place = np.empty(len(codes), np.int64)
        place[codes] = np.arange(len(codes))
        self._lists = replace(judged.lists, code=place[judged.lists.code])
        self._grades = judged.grades[codes]

    def run(self, configuration: Configuration, chosen: Plan) -> None:
        """Evaluate one configuration."""
        scores = self._scores(configuration, chosen)
        ranks = self._counter.ranks(scores)
        queries = len(self._judged.queries)
        if self._most is None:
            values = self._values(scores, ranks, -math.inf)
            sums = np.bincount(self._fold_of, weights=values, minlength=self._folds).astype(np.float64)
            self._inside.append(sums)
            self._outside.append(values.sum() - sums)
            self._thresholds.append([])
        else:
            values = self._constrained(scores, ranks)
        self._means.append(math.fsum(values) / queries)
        self._by_query += values
        self._squares += float(values @ values)

    def _constrained(self, scores: Floats, ranks: Integers) -> Floats:
        """Evaluate with the thresholds of all queries and of the queries outside each fold; return the former."""
        assert self._most is not None  # noqa: S101 - for the type checker
        best = self._best_of_empty(scores)
        inside, outside, false = np.zeros(self._folds), np.zeros(self._folds), np.zeros(self._folds)
        thresholds = [lowest_threshold(best, self._most)]
        for fold in range(self._folds):
            others = self._empty_fold_of != fold
            thresholds.append(lowest_threshold(best[others], self._most))
            values = self._values(scores, ranks, thresholds[-1])
            here = self._fold_of == fold
            inside[fold], outside[fold] = values[here].sum(), values[~here].sum()
            false[fold] = (best[~others] >= thresholds[-1]).sum()
        self._inside.append(inside)
        self._outside.append(outside)
        self._false.append(np.append(false, (best >= thresholds[0]).sum()))
        self._thresholds.append(thresholds)
        return self._values(scores, ranks, thresholds[0])

    def _scores(self, configuration: Configuration, chosen: Plan) -> Floats:
        """Return the fused scores; the table of a method that is a plain weighted sum is made once."""
        if not chosen.summed:
            return chosen.scores(self._lists)
        key = configuration.method, configuration.norm, tuple(configuration.parameters.items())
        if key not in self._tables:
            self._tables[key] = chosen.table(self._lists)
        scores = chosen.method.scores(self._lists, self._tables[key], chosen.weights, chosen.parameters)
        zero = chosen.weights == 0
        if zero.any():
            pattern = zero.tobytes()
            if pattern not in self._dropped:
                self._dropped[pattern] = np.flatnonzero(self._lists.without(zero).count == 0)
            scores[self._dropped[pattern]] = 0.0 if chosen.keep else np.nan
        return scores

    def _values(self, scores: Floats, ranks: Integers, threshold: float) -> Floats:
        """Return the metric of each query, float64 [Nq], of lists that are cut at the threshold."""
        from rank_plugins.evaluation._evaluate import metric_values
        from rank_plugins.evaluation.ranks import JudgedRanks

        queries = len(self._judged.queries)
        codes = self._counter.codes
        kept = np.flatnonzero((ranks > 0) & (scores[codes] >= threshold))
        order = kept[np.argsort(self._qidx[kept] * (len(scores) + 1) + ranks[kept])]
        table = JudgedRanks(
            self._judged.queries,
            self._counts(scores, threshold)[:queries],
            self._qidx[order],
            ranks[order],
            self._grades[codes[order]],
            self._offsets,
            self._all_grades,
            self._level,
            cache=dict(self._cache),
        )
        values = metric_values(self._metric, table)
        self._cache = {name: value for name, value in table.cache.items() if name.startswith("ideal")}
        return values

    def _counts(self, scores: Floats, threshold: float) -> Integers:
        """Return how many documents of each query score at least `threshold`, int64 [all queries]."""
        unions = self._lists.unions
        if threshold == -math.inf and not np.isnan(scores).any():
            return np.diff(unions)
        counts = np.concatenate([[0], np.cumsum(scores >= threshold)])  # NaN is not there
        return np.diff(counts[unions])

    def _best_of_empty(self, scores: Floats) -> Floats:
        """Return the best score of each query without evidence, float64 [N0]; -inf where nothing was found."""
        ends = self._lists.unions[len(self._judged.queries) :].tolist()
        there = np.where(np.isnan(scores), -np.inf, scores)
        return np.array([there[a:b].max(initial=-np.inf) for a, b in itertools.pairwise(ends)])

    def result(self, configurations: Sequence[Configuration], settings: Mapping[str, Any]) -> Tuning:
        """Choose the best on all queries, and outside each fold."""
        queries = len(self._judged.queries)
        best = int(np.argmax(self._means))  # the first of equals
        outside, inside = np.stack(self._outside), np.stack(self._inside)
        picks = outside.argmax(axis=0)
        folds = np.arange(self._folds)
        held_out = float(inside[picks, folds].sum()) / queries
        false, of = None, 0
        if self._most is not None:
            false, of = int(np.stack(self._false)[picks, folds].sum()), len(self._empty_fold_of)
        trials = [
            Trial(one, mean, thresholds[0] if thresholds else None)
            for one, mean, thresholds in zip(configurations, self._means, self._thresholds, strict=True)
        ]
        chosen = [configurations[i] for i in picks.tolist()]
        deviation = self._deviation(queries)
        return Tuning(trials, best, HeldOut(held_out, chosen, false, of), deviation, dict(settings))

    def _deviation(self, queries: int) -> float:
        """Return the standard deviation over queries of the difference between two trials, averaged over pairs.

        From the residuals of trial x query after both means are taken off.
        """
        trials = len(self._means)
        if trials < 2 or queries < 2:
            return 0.0
        means = np.array(self._means)
        rest = self._squares - queries * means @ means - (self._by_query @ self._by_query) / trials
        rest += trials * queries * means.mean() ** 2
        return math.sqrt(2 * max(rest, 0.0) / ((trials - 1) * (queries - 1)))


def lowest_threshold(best: Floats, most: float) -> float:
    """Return the lowest threshold that at most the share `most` of the scores `best` reaches; -inf if any will do."""
    allowed = math.floor(most * len(best) + 1e-9)
    if allowed >= len(best):
        return -math.inf
    limit = -np.sort(-best)[allowed]
    return float(np.nextafter(limit, np.inf)) if limit > -np.inf else -math.inf
