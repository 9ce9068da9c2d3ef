"""evaluate: how good a run is, by relevance judgments."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._saved import Saved
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.lookup import judged_ranks
from rank_plugins.evaluation.names import Metric, parse
from rank_plugins.evaluation.providers.delegation import keep
from rank_plugins.evaluation.ranks import JudgedRanks
from rank_plugins.runs.convert import as_qrels, as_run

NO_RELEVANT = ("zero", "skip", "reward_empty")
LEAST = 1e-5  # what a geometric mean takes for 0, as trec_eval does


def evaluate(
    qrels: Any,
    run: Any,
    metrics: Any = "ndcg@10 ap rr@10 r@100",
    *,
    relevance_level: float = 1,
    ties: str = "id_desc",
    score_dtype: str = "float64",
    missing: str = "zero",
    no_relevant: str = "zero",
    judged_only: bool = False,
    nan: str = "error",
    compat: str = "trec_eval10",
    threads: int | None = None,
) -> Evaluation:
    """Evaluate a run; the mean over the judged queries is `result["ndcg@10"]`. Nothing is rounded.

    Args:
        qrels: judgments: {query: {document: grade}}, a Qrels, a table, arrays, or a file (see `runs.as_qrels`).
        run: scores: {query: {document: score}}, a Run, a table, arrays, or a file (see `runs.as_run`).
        metrics: names such as "ndcg@10 ap rr@10" (see `evaluation.names`), metric objects of ir_measures, callables
            that take a JudgedRanks and return one number per query, or a list of these.
        relevance_level: L, the grade from which a document is relevant, where a metric does not name its own.
        ties: equal scores stand by document id ("id_desc" as in trec_eval, "id_asc"), by place in the list ("input"),
            with relevant documents first ("best") or last ("worst"); "average" is the expected value over all orders.
        score_dtype: "float32" rounds scores before they are compared, as pytrec_eval does.
        missing: judged queries that the run lacks count as empty lists ("zero"), are left out ("skip") or an "error".
        no_relevant: queries without relevant documents count what the metric gives, nearly always 0 ("zero"), are
            left out ("skip"), or count 1 where nothing was returned and else 0 ("reward_empty").
        judged_only: documents that were not judged are removed from the run first.
        nan: NaN in scores is an "error" or counts as -inf ("last").
        compat: "trec_eval9" interpolates precision as trec_eval 9 and pytrec_eval do, "trec_eval10" as 10 does.
        threads: for runs in columns; None uses the cores that the process may use.

    Raises:
        InputError: an unknown metric or choice, NaN, a document twice in a list, or no judged query.
        InputTypeError: numbers or ids of a wrong type.

    """
    if no_relevant not in NO_RELEVANT:
        raise InputError(f"no_relevant: expected one of {', '.join(NO_RELEVANT)}, got {no_relevant!r}")
    if not (isinstance(relevance_level, (int, float, np.number)) and math.isfinite(relevance_level)):
        raise InputError(f"relevance_level: expected a finite number, got {relevance_level!r}")
    chosen = parse(metrics, compat=compat)
    settings: dict[str, Any] = {"relevance_level": relevance_level, "ties": ties}
    settings |= {"score_dtype": score_dtype, "missing": missing}
    settings |= {"judged_only": judged_only, "nan": nan}
    qrels, run = as_qrels(qrels), as_run(run)
    found = judged_ranks(qrels, run, **settings, threads=threads)
    keep(found.ranks, qrels, run, settings)
    values = np.empty((len(chosen), len(found.ranks.n)))
    for row, metric in zip(values, chosen, strict=True):
        row[:] = metric_values(metric, found.ranks, no_relevant)
    return Evaluation(
        chosen,
        found.ranks.query_ids,
        values,
        relevant=found.ranks.R > 0,
        absent=found.absent,
        ignored=found.ignored,
        name=getattr(run, "name", None),
        settings=settings | {"no_relevant": no_relevant, "compat": compat},
    )


def metric_values(metric: Metric, ranks: JudgedRanks, no_relevant: str = "zero") -> NDArray[np.float64]:
    """Return a metric's value for each query [Nq]; NaN where the query is left out of the mean.

    Raises:
        InputError: the metric gave another number of values, or has none where scores tie.

    """
    table = ranks if metric.level is None else ranks.at_level(metric.level)
    if ranks.above is not None and not metric.averages_ties:
        raise InputError(
            f'ties="average": {metric.name} has no expected value over the orders of equal scores; leave it out, or'
            ' take ties="best" and "worst", which bound it'
        )
    computed = metric.compute(table)
    try:
        values = np.asarray(computed, np.float64)
    except (TypeError, ValueError):
        got = type(computed).__name__
        raise InputTypeError(f"{metric.name}: expected {len(table.n)} numbers, one for each query, got {got}") from None
    if values.shape != table.n.shape:
        raise InputError(f"{metric.name}: expected {len(table.n)} values, one for each query, got {values.shape}")
    if no_relevant != "zero" and metric.aggregate != "sum":
        none = table.R == 0
        if none.any():
            values = np.where(none, np.nan if no_relevant == "skip" else (table.n == 0).astype(float), values)
    return values


class Evaluation(Saved):
    """What `evaluate` found: `result["ndcg@10"]` is the mean, `result.per_query["ndcg@10"]["q1"]` one query's value."""

    metrics: list[str]
    """Names of the metrics, as they were asked for."""
    query_ids: list[Any]
    """The evaluated queries, Nq."""
    values: NDArray[np.float64]
    """float64 [M, Nq]; NaN where a query is left out."""
    absent: list[Any]
    """Judged queries that the run lacks."""
    ignored: list[Any]
    """Queries of the run that nobody judged."""
    name: str | None
    """The run's name."""
    settings: dict[str, Any]
    """The rules it was computed by."""

    def __init__(
        self,
        metrics: list[Metric],
        query_ids: list[Any],
        values: NDArray[np.float64],
        *,
        relevant: NDArray[np.bool_],
        absent: list[Any],
        ignored: list[Any],
        name: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Hold values float64 [M, Nq]; `relevant` says of each query whether it has a relevant document."""
        self.metrics = [metric.name for metric in metrics]
        self.query_ids, self.values, self.absent, self.ignored = query_ids, values, absent, ignored
        self.name, self.settings = name, dict(settings or {})
        self._aggregates = [metric.aggregate for metric in metrics]
        self._relevant = relevant
        values.flags.writeable = False

    @property
    def n(self) -> int:
        """How many queries were evaluated."""
        return len(self.query_ids)

    @property
    def no_relevant(self) -> list[Any]:
        """The evaluated queries without a relevant document."""
        return [self.query_ids[i] for i in np.flatnonzero(~self._relevant).tolist()]

    def __getitem__(self, name: str) -> float:
        return self.mean[self.metrics[self._row(name)]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    @functools.cached_property
    def mean(self) -> dict[str, float]:
        """The mean of each metric over the queries; of counts their sum, of gm_ metrics the geometric mean."""
        return {name: self._aggregate(i) for i, name in enumerate(self.metrics)}

    @functools.cached_property
    def per_query(self) -> dict[str, dict[Any, float]]:
        """The value of each metric by query."""
        return {
            name: dict(zip(self.query_ids, row.tolist(), strict=True))
            for name, row in zip(self.metrics, self.values, strict=True)
        }

    def ci(self, level: float = 0.95, *, resamples: int = 10_000, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Return a bootstrap interval (BCa) for the mean of each metric; NaN for counts, and where there is no value.

        Raises:
            InputError: a level outside 0 to 1, or fewer than 1 resample.

        """
        from rank_plugins.evaluation.statistics import bootstrap_interval

        intervals = {}
        for name, row, aggregate in zip(self.metrics, self.values, self._aggregates, strict=True):
            values = row[~np.isnan(row)]
            if aggregate == "sum" or not len(values):
                intervals[name] = (math.nan, math.nan)
                continue
            values = np.log(np.maximum(values, LEAST)) if aggregate == "gm" else values
            low, high = (float(end) for end in bootstrap_interval(values, level, resamples=resamples, seed=seed))
            intervals[name] = (math.exp(low), math.exp(high)) if aggregate == "gm" else (low, high)
        return intervals

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python objects, for JSON; `from_dict` reads it."""
        return {
            "name": self.name,
            "settings": self.settings,
            "metrics": [
                {"name": name, "aggregate": aggregate, "mean": _known(self.mean[name])}
                for name, aggregate in zip(self.metrics, self._aggregates, strict=True)
            ],
            "query_ids": self.query_ids,
            "values": [[_known(value) for value in row] for row in self.values.tolist()],
            "no_relevant": self.no_relevant,
            "absent": self.absent,
            "ignored": self.ignored,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Evaluation:
        """Return what `to_dict` gave.

        Raises:
            InputError: something is missing or does not fit.

        """
        try:
            metrics = [Metric(m["name"], _unknown, aggregate=m["aggregate"]) for m in saved["metrics"]]
            without = set(saved["no_relevant"])
            values = np.array(saved["values"], np.float64).reshape(len(metrics), len(saved["query_ids"]))
            relevant = np.array([query not in without for query in saved["query_ids"]], np.bool_)
            return cls(
                metrics,
                list(saved["query_ids"]),
                values,
                relevant=relevant,
                absent=list(saved["absent"]),
                ignored=list(saved["ignored"]),
                name=saved["name"],
                settings=saved["settings"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"Evaluation: expected what to_dict returned, got {error!r}") from None

    def __str__(self) -> str:
        from rank_plugins.evaluation.reports import text

        return text(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value:.4f}" for name, value in list(self.mean.items())[:4])
        return f"Evaluation({shown}, n={self.n})"

    def to_markdown(self) -> str:
        """Return a Markdown table."""
        from rank_plugins.evaluation.reports import markdown

        return markdown(self)

    def to_latex(self) -> str:
        """Return a LaTeX table (booktabs)."""
        from rank_plugins.evaluation.reports import latex

        return latex(self)

    def to_html(self) -> str:
        """Return a self-contained page."""
        from rank_plugins.evaluation.reports import html

        return html(self)

    def _row(self, name: str) -> int:
        if name in self.metrics:
            return self.metrics.index(name)
        raise KeyError(f"expected one of {', '.join(self.metrics)}, got {name!r}; evaluate it first")

    def _aggregate(self, row: int) -> float:
        values = self.values[row][~np.isnan(self.values[row])]
        if not len(values):
            return math.nan
        if self._aggregates[row] == "sum":
            return math.fsum(values)
        if self._aggregates[row] == "gm":
            return math.exp(math.fsum(np.log(np.maximum(values, LEAST))) / len(values))
        return math.fsum(values) / len(values)


def _known(value: float) -> float | None:
    """Return a number as JSON can hold it; None reads as NaN."""
    return None if math.isnan(value) else value


def _unknown(_: JudgedRanks) -> NDArray[np.float64]:
    raise InputError("Evaluation: one that was loaded computes no metric again")
