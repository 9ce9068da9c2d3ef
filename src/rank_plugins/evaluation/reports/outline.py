"""What a report says, before any format: tables of cells and notes about how they were computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rank_plugins.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from rank_plugins.evaluation._evaluate import Evaluation
    from rank_plugins.evaluation.comparison import Comparison, Difference

Result: TypeAlias = "Evaluation | Comparison | Sequence[Evaluation]"

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ABSENT = "-"  # what is not a number
SHOWN_IDS = 5


class Cell(NamedTuple):
    """A field of a table; `marks` label the runs that this one beats."""

    text: str
    best: bool = False
    marks: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under `columns`; the first `names` columns hold words, the others numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    names: int = 1


@dataclass(frozen=True)
class Outline:
    """The content of a report."""

    title: str
    tables: list[Table]
    notes: list[str]


def outline(result: Result, *, ci: float | None = None, per_query: bool = False) -> Outline:
    """Return what there is to say about one evaluation, several of the same qrels, or a comparison.

    `ci` adds bootstrap intervals of that level to the means, `per_query` a table of every query.
    """
    from rank_plugins.evaluation.comparison import Comparison

    evaluations, names = evaluated(result)
    if isinstance(result, Comparison):
        tables = [_compared_scores(result, names), _differences(result)]
        notes = [*data_notes(evaluations, names), *method_notes(result)]
        title = f"Comparison of {len(names)} runs"
    else:
        tables, notes = [scores(evaluations, names, ci=ci)], data_notes(evaluations, names)
        if ci is not None:
            notes.append(f"Intervals: {ci:.0%}, BCa bootstrap over queries.")
        title = "Evaluation" if len(evaluations) == 1 else f"Evaluation of {len(evaluations)} runs"
    if per_query:
        ids = list(dict.fromkeys(query for evaluation in evaluations for query in evaluation.query_ids))
        tables.append(queries(evaluations, names, ids))
    return Outline(title, tables, notes)


def evaluated(result: Result) -> tuple[list[Evaluation], list[str]]:
    """Return the evaluations of a result and a name for each run, its own where it has one.

    Raises:
        InputError: no evaluation, or other metrics in one than in another.
        InputTypeError: something else than evaluations or a comparison.

    """
    from rank_plugins.evaluation._evaluate import Evaluation
    from rank_plugins.evaluation.comparison import Comparison

    if isinstance(result, Comparison):
        return [result.evaluations[run] for run in result.runs], [printable(run) for run in result.runs]
    evaluations = [result] if isinstance(result, Evaluation) else list(result)
    for evaluation in evaluations:
        if not isinstance(evaluation, Evaluation):
            raise InputTypeError(
                f"report: expected an Evaluation, a list of them or a Comparison, got {type(evaluation).__name__}"
            )
        if evaluation.metrics != evaluations[0].metrics:
            raise InputError(
                f"report: expected the same metrics of every run, got {', '.join(evaluations[0].metrics)} and"
                f" {', '.join(evaluation.metrics)}; evaluate them together"
            )
    if not evaluations:
        raise InputError("report: expected at least one Evaluation, got none")
    alone = len(evaluations) == 1
    return evaluations, [printable(e.name or ("run" if alone else f"run {i}")) for i, e in enumerate(evaluations, 1)]


def scores(evaluations: Sequence[Evaluation], names: Sequence[str], *, ci: float | None) -> Table:
    """Return the means: a row for each metric of a single run, or for each run of several."""
    metrics = evaluations[0].metrics
    bounds = [intervals(evaluation, ci) if ci is not None else {} for evaluation in evaluations]
    cells = [
        [Cell(number(evaluation.mean[metric]) + _interval(known.get(metric))) for metric in metrics]
        for evaluation, known in zip(evaluations, bounds, strict=True)
    ]
    if len(evaluations) == 1:
        rows = [[Cell(printable(metric)), cell] for metric, cell in zip(metrics, cells[0], strict=True)]
        return Table("Means over queries", ("metric", names[0]), rows)
    best = _best(evaluations, metrics)
    rows = [
        [Cell(name), *(cell._replace(best=i in best[j]) for j, cell in enumerate(row))]
        for i, (name, row) in enumerate(zip(names, cells, strict=True))
    ]
    return Table("Means over queries", ("run", *map(printable, metrics)), rows)


def intervals(evaluation: Evaluation, level: float) -> dict[str, tuple[float, float]]:
    """Return the confidence interval of each mean; NaN for metrics that are not averaged, such as counts."""
    found = evaluation.ci(level)
    for metric, row in zip(evaluation.metrics, evaluation.values.tolist(), strict=True):
        known = [value for value in row if not math.isnan(value)]
        if not known or not math.isclose(math.fsum(known) / len(known), evaluation.mean[metric], abs_tol=1e-12):
            found[metric] = (math.nan, math.nan)
    return found


def queries(evaluations: Sequence[Evaluation], names: Sequence[str], ids: Sequence[object]) -> Table:
    """Return the values of queries, for every run and metric."""
    metrics = evaluations[0].metrics
    alone = len(evaluations) == 1
    columns = [printable(metric if alone else f"{metric} {name}") for metric in metrics for name in names]
    values = [evaluation.per_query[metric] for metric in metrics for evaluation in evaluations]
    rows = [[Cell(printable(query)), *(Cell(number(of.get(query, math.nan))) for of in values)] for query in ids]
    return Table("Queries", ("query", *columns), rows)


def labels(count: int) -> list[str]:
    """Return a short label for each of `count` runs: letters, or numbers where these run out."""
    return list(LETTERS[:count]) if count <= len(LETTERS) else [str(i) for i in range(1, count + 1)]


def _compared_scores(comparison: Comparison, names: Sequence[str]) -> Table:
    label = dict(zip(comparison.runs, labels(len(names)), strict=True))
    beaten: dict[tuple[str, str], list[str]] = {}
    for d in comparison.differences:
        if d.p_corrected < comparison.alpha and d.mean:
            winner, loser = (d.b, d.a) if d.mean > 0 else (d.a, d.b)
            beaten.setdefault((d.metric, winner), []).append(loser)
    order = list(comparison.runs)
    between = "" if len(order) <= len(LETTERS) else ","
    evaluations = [comparison.evaluations[run] for run in order]
    best = _best(evaluations, comparison.metrics)
    rows = []
    for i, run in enumerate(order):
        row = [Cell(label[run]), Cell(names[i])]
        for j, metric in enumerate(comparison.metrics):
            losers = sorted(beaten.get((metric, run), ()), key=order.index)
            marks = between.join(label[loser] for loser in losers)
            row.append(Cell(number(evaluations[i].mean[metric]), i in best[j], marks))
        rows.append(row)
    return Table("Means over queries", ("", "run", *map(printable, comparison.metrics)), rows, names=2)


def _differences(comparison: Comparison) -> Table:
    columns = ("metric", "run", "against", "difference", "interval", "d_z", "p", "p corrected", "win/tie/loss")
    rows = [[Cell(text) for text in difference_row(d)] for d in comparison.differences]
    return Table("Differences, query by query", columns, rows, names=3)


def difference_row(d: Difference) -> tuple[str, ...]:
    """Return a difference as text: what was compared, its size and interval, the effect size, p and the counts."""
    return (
        printable(d.metric),
        printable(d.b),
        printable(d.a),
        number(d.mean, sign="+"),
        _interval((d.low, d.high), sign="+").strip() or ABSENT,
        ABSENT if math.isnan(d.effect_size) else f"{d.effect_size:+.2f}",
        p_value(d.p),
        p_value(d.p_corrected),
        f"{d.wins}/{d.ties}/{d.losses}",
    )


def data_notes(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[str]:
    """Return what was averaged over and what was left out, once where it is the same for all runs."""
    said = [_data(evaluation) for evaluation in evaluations]
    notes = [said[0]] if len(set(said)) == 1 else [f"{name}: {text}" for name, text in zip(names, said, strict=True)]
    settings = evaluations[0].settings
    shown = ", ".join(f"{key.replace('_', ' ')} {printable(value)}" for key, value in settings.items())
    return [*notes, f"Settings: {shown}."] if settings else notes


def _data(evaluation: Evaluation) -> str:
    parts = [f"{_counted(evaluation.n, 'query', 'queries')}"]
    for ids, what in (
        (evaluation.no_relevant, "without relevant documents"),
        (evaluation.absent, "judged but absent from the run"),
        (evaluation.ignored, "of the run without judgments, ignored"),
    ):
        parts.append(f"{len(ids)} {what}{_examples(ids)}")
    return "; ".join(parts) + "."


def method_notes(comparison: Comparison) -> list[str]:
    """Return the test, its correction and what the marks mean."""
    drawn = f" ({comparison.resamples:,} resamples, seed {comparison.seed})" if comparison.resamples else ""
    against = "all pairs" if comparison.baseline is None else f"all against {printable(comparison.baseline)}"
    return [
        f"Test: paired {printable(comparison.test)}{drawn}; correction {printable(comparison.correction)} over"
        f" {_counted(len(comparison.differences), 'difference', 'differences')}, {against}.",
        f"Marks behind a mean name the runs that it beats at corrected p < {comparison.alpha:g}. Differences are run"
        " minus against; d_z is their mean over their standard deviation.",
        *map(printable, comparison.notes),
    ]


def number(value: float, sign: str = "") -> str:
    """Return a value as readers expect it: whole counts without decimals, else four of them."""
    if math.isnan(value):
        return ABSENT
    if abs(value) > 1 and float(value).is_integer():
        return f"{value:{sign}.0f}"
    return f"{round(value, 4) + 0.0:{sign}.4f}"  # + 0.0: never -0.0000


def p_value(value: float) -> str:
    """Return a p-value; one too small for four decimals is never shown as zero."""
    if math.isnan(value):
        return ABSENT
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def printable(value: object) -> str:
    """Return a name as text on one line, without characters that a terminal or a page would obey."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _best(evaluations: Sequence[Evaluation], metrics: Sequence[str]) -> list[set[int]]:
    """Return, for each metric, the runs whose mean is the highest as printed; nobody where nothing is a number."""
    best: list[set[int]] = []
    for metric in metrics:
        means = [evaluation.mean[metric] for evaluation in evaluations]
        known = [mean for mean in means if not math.isnan(mean)]
        highest = number(max(known)) if known else None
        best.append({i for i, mean in enumerate(means) if number(mean) == highest})
    return best


def _interval(bounds: tuple[float, float] | None, sign: str = "") -> str:
    if bounds is None or any(map(math.isnan, bounds)):
        return ""
    return f" [{number(bounds[0], sign)}, {number(bounds[1], sign)}]"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _examples(ids: Sequence[object]) -> str:
    if not ids:
        return ""
    shown = ", ".join(printable(i) for i in ids[:SHOWN_IDS])
    return f" ({shown}{', ...' if len(ids) > SHOWN_IDS else ''})"
