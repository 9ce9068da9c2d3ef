"""PyTerrier: our metrics for `pt.Experiment(..., eval_metrics=[...])`. PyTerrier itself is not imported.

    pt.Experiment([bm25, reranked], topics, qrels, eval_metrics=measures("ndcg@10 rbp_residual") + ["map"])

The measures of ir_measures need nothing of this: `providers.ir_measures.register()` computes those here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rank_plugins._extras import require
from rank_plugins.errors import InputError
from rank_plugins.evaluation._evaluate import evaluate
from rank_plugins.evaluation.names import Metric, parse
from rank_plugins.runs.convert import as_qrels, as_run


def measures(metrics: Any, **settings: Any) -> list[Any]:
    """Return metrics as measures of ir_measures, which is what PyTerrier takes; their columns have our names.

    They also work in `ir_measures.calc_aggregate` and its other functions.

    Args:
        metrics: as `evaluate` takes them: names, several in one str or a list, and callables too.
        settings: `evaluate`'s own: relevance_level, ties, no_relevant="zero" or "reward_empty", compat ...

    Raises:
        MissingExtraError: ir_measures is not installed (PyTerrier installs it).
        InputError: an unknown name, or a metric that is not averaged over queries, for PyTerrier averages all.

    """
    host: Any = require("ir_measures")
    chosen = parse(metrics, compat=settings.get("compat", "trec_eval10"))
    for metric in chosen:
        if metric.aggregate != "mean":
            raise InputError(f"{metric.name}: expected a metric that is averaged over queries; PyTerrier averages all")
    return [host.define(_function(metric, settings), name=metric.name, support_cutoff=False) for metric in chosen]


def _function(metric: Metric, settings: dict[str, Any]) -> Callable[[Any, Any], Iterator[tuple[Any, float]]]:
    """Return what ir_measures calls with two data frames: (query, value) of each judged query."""

    def values(qrels: Any, run: Any) -> Iterator[tuple[Any, float]]:
        if len(qrels):
            found = evaluate(as_qrels(qrels), as_run(run), metric, **settings)
            yield from found.per_query[metric.name].items()

    return values
