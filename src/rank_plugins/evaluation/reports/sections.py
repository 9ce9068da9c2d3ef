"""Sections of the page that evaluations and comparisons fill: scores, differences, queries, rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rank_plugins.evaluation.reports import page
from rank_plugins.evaluation.reports.charts import Bar, metric_bars, win_loss
from rank_plugins.evaluation.reports.outline import (
    Cell,
    Table,
    data_notes,
    intervals,
    method_notes,
    number,
    outline,
    printable,
    queries,
)
from rank_plugins.evaluation.reports.svg import COLOURS

if TYPE_CHECKING:
    from rank_plugins.evaluation._evaluate import Evaluation
    from rank_plugins.evaluation.comparison import Comparison, Difference
    from rank_plugins.evaluation.reports.outline import Result

MOST_QUERIES = 500  # rows of the table of queries; beyond it, those that differ most between runs
EXTREMES = 10
MOST_PAIRS = 12  # charts of wins and losses


def colours(evaluations: Sequence[Evaluation]) -> list[int | None]:
    """Return the number of each run's colour; where there are more runs than colours, the best in the first metric."""
    if len(evaluations) <= COLOURS:
        return list(range(len(evaluations)))
    means = [evaluation.mean[evaluation.metrics[0]] for evaluation in evaluations]
    best = sorted(range(len(means)), key=lambda i: -math.inf if math.isnan(means[i]) else means[i], reverse=True)
    given = {run: colour for colour, run in enumerate(sorted(best[:COLOURS]))}
    return [given.get(i) for i in range(len(means))]


def lead(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    """Return the line under the title."""
    counts = {evaluation.n for evaluation in evaluations}
    many = f"{counts.pop():,}" if len(counts) == 1 else f"{min(counts):,} to {max(counts):,}"
    runs = names[0] if len(names) == 1 else f"{len(names)} runs"
    return f"{runs}, {many} queries, {', '.join(map(printable, evaluations[0].metrics))}"


def scores_section(result: Result, evaluations: Sequence[Evaluation], names: Sequence[str], ci: float) -> str:
    """Return the means: a chart for each metric, and the table."""
    bounds = [intervals(evaluation, ci) for evaluation in evaluations]
    figures = []
    for metric in evaluations[0].metrics:
        bars = [
            Bar(name, evaluation.mean[metric], *known[metric], colour)
            for name, evaluation, known, colour in zip(names, evaluations, bounds, colours(evaluations), strict=True)
        ]
        figures.append(page.figure(printable(metric), metric_bars(metric, bars), values=_bar_values(metric, bars)))
    means = page.table(outline(result).tables[0])
    hint = f"Bars are means over queries, lines their {ci:.0%} bootstrap intervals; the best of a column is bold."
    return page.section("Scores", [page.charts(figures), means], hint)


def differences_section(comparison: Comparison) -> str:
    """Return the differences of runs: the table, and wins and losses by query in the first metric."""
    metric = comparison.metrics[0]
    shown = [d for d in comparison.differences if d.metric == metric][:MOST_PAIRS]
    left_out = sum(d.metric == metric for d in comparison.differences) - len(shown)
    figures = [_pair(comparison, d) for d in shown]
    parts = [page.charts(figures), page.table(outline(comparison).tables[1]), page.bullets(method_notes(comparison))]
    more = f" {left_out} further pairs are in the table only." if left_out else ""
    hint = f"Each bar is a query: {printable(metric)} of the first run minus the second's.{more}"
    return page.section("Differences", parts, hint)


def closing_sections(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[str]:
    """Return every query's values, and how it all was computed."""
    ids = list(dict.fromkeys(query for evaluation in evaluations for query in evaluation.query_ids))
    hint = ""
    if len(ids) > MOST_QUERIES:
        which = "that this run answers worst" if len(evaluations) == 1 else "where runs differ most"
        hint = f"The {MOST_QUERIES} of {len(ids):,} queries {which}; the JSON report has all."
        ids = _telling(evaluations)
    values = queries(evaluations, names, ids)
    notes = data_notes(evaluations, names)
    return [
        page.section(
            "Queries", [page.details(f"{len(values.rows):,} queries", page.table(values, sortable=True))], hint
        ),
        page.section("How this was computed", [page.bullets(notes)]),
    ]


def _bar_values(metric: str, bars: Sequence[Bar]) -> Table:
    rows = [[Cell(bar.name), *(Cell(number(value)) for value in (bar.mean, bar.low, bar.high))] for bar in bars]
    return Table(f"Mean {printable(metric)}", ("run", "mean", "low", "high"), rows)


def _pair(comparison: Comparison, d: Difference) -> str:
    """Return the chart of a pair, and its largest gains and losses as a table."""
    ours, other = comparison.evaluations[d.b].per_query[d.metric], comparison.evaluations[d.a].per_query[d.metric]
    values = [(query, value, other[query]) for query, value in ours.items() if query in other]
    values = [row for row in values if not (math.isnan(row[1]) or math.isnan(row[2]))]
    ordered = sorted(values, key=lambda row: row[2] - row[1])
    ends = ordered if len(ordered) <= 2 * EXTREMES else [*ordered[:EXTREMES], *ordered[-EXTREMES:]]
    rows = [[Cell(printable(query)), Cell(number(x)), Cell(number(y)), Cell(f"{x - y:+.4f}")] for query, x, y in ends]
    caption = f"Largest gains and losses in {printable(d.metric)}"
    table = Table(caption, ("query", printable(d.b), printable(d.a), "difference"), rows)
    title = f"{printable(d.b)} against {printable(d.a)}"
    return page.figure(title, win_loss(d.b, d.a, values, (d.wins, d.ties, d.losses)), values=table)


def _telling(evaluations: Sequence[Evaluation]) -> list[object]:
    """Return the queries where runs differ most in the first metric; of a single run, those where it is worst."""
    metric = evaluations[0].metrics[0]
    found: dict[object, list[float]] = {}
    for evaluation in evaluations:
        for query, value in evaluation.per_query[metric].items():
            if not math.isnan(value):
                found.setdefault(query, []).append(value)
    alone = len(evaluations) == 1
    return sorted(found, key=lambda q: found[q][0] if alone else min(found[q]) - max(found[q]))[:MOST_QUERIES]
