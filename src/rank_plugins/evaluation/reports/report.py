"""report: everything about some runs on one page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rank_plugins.errors import InputTypeError
from rank_plugins.evaluation.reports.html import html
from rank_plugins.evaluation.reports.outline import evaluated
from rank_plugins.evaluation.reports.run_sections import (
    Shown,
    abstention_section,
    precision_recall_section,
    reliability_section,
)
from rank_plugins.evaluation.reports.sections import colours


def report(
    qrels: Any,
    runs: Mapping[str, Any],
    metrics: Any = "ndcg@10 ap rr@10 r@100",
    *,
    title: str | None = None,
    no_evidence: Iterable[Any] | None = None,
    probabilities: bool = False,
    test: str = "randomization",
    correction: str = "maxt",
    baseline: str | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    **settings: Any,
) -> str:
    """Return one HTML page about runs that needs no other file: write it where you like.

    It shows means with intervals, differences and wins and losses by query, precision and recall, risk and coverage,
    on request false evidence and reliability, every query's values, and the rules it was all computed by.

    Args:
        qrels: judgments, as `evaluate` takes them.
        runs: {name: run}, one or more.
        metrics: as `evaluate` takes them; wins and losses, abstention and the order of queries are by the first.
        title: of the page.
        no_evidence: queries declared to have no evidence in the collection; adds false-evidence rates.
        probabilities: scores are probabilities of relevance, 0 to 1; adds reliability.
        test: as in `compare`, like `correction`, `baseline`, `alpha` and `seed`.
        correction: for the number of differences.
        baseline: the run that all others are compared with; None compares all pairs.
        alpha: a corrected p below this is significant.
        seed: of the resamples.
        settings: `evaluate`'s own: relevance_level, ties, missing ...

    Raises:
        InputError: what `evaluate` and `compare` refuse, or no run.
        InputTypeError: runs that are no mapping.

    """
    from rank_plugins.evaluation._compare import compare
    from rank_plugins.evaluation._evaluate import evaluate
    from rank_plugins.runs.convert import as_qrels, as_run

    if not isinstance(runs, Mapping) or not runs:
        raise InputTypeError(f"runs: expected {{name: run}} with at least one, got {type(runs).__name__}")
    qrels, runs = as_qrels(qrels), {name: as_run(run) for name, run in runs.items()}
    result: Any
    if len(runs) == 1:
        ((name, run),) = runs.items()
        result = evaluate(qrels, run, metrics, **settings)
        result.name = name
    else:
        tested: dict[str, Any] = {"test": test, "correction": correction, "baseline": baseline}
        result = compare(qrels, runs, metrics, **tested, alpha=alpha, seed=seed, **settings)
    evaluations, _ = evaluated(result)
    shown = Shown(qrels, runs, evaluations, colours(evaluations), settings)
    more = [precision_recall_section(shown), abstention_section(shown, list(no_evidence or ()))]
    if probabilities:
        more.append(reliability_section(shown))
    return html(result, title=title, more=more)
