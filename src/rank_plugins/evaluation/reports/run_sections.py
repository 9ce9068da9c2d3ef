"""Sections of the page that need the runs and judgments themselves: precision and recall, abstention, reliability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.evaluation.reports import page
from rank_plugins.evaluation.reports.charts import Line, curves, reliability
from rank_plugins.evaluation.reports.outline import ABSENT, Cell, Table, number, printable

if TYPE_CHECKING:
    from rank_plugins.evaluation._evaluate import Evaluation

RECALLS = [tenth / 10 for tenth in range(11)]
COVERAGES = (0.25, 0.5, 0.75, 0.9, 1.0)
MOST_POINTS = 200  # of a curve
MOST_FALSE_EVIDENCE = 0.05  # the rate that the table of thresholds keeps to


@dataclass(frozen=True)
class Shown:
    """What the sections are about; all by run, in one order."""

    qrels: Any
    runs: Mapping[str, Any]
    evaluations: Sequence[Evaluation]
    colours: Sequence[int | None]
    settings: Mapping[str, Any]

    @property
    def drawn(self) -> list[tuple[str, int]]:
        """The runs that have a colour, and thus a curve."""
        pairs = zip(map(printable, self.runs), self.colours, strict=True)
        return [(name, colour) for name, colour in pairs if colour is not None]

    @property
    def left_out(self) -> str:
        """What to say of runs without a curve."""
        count = len(self.runs) - len(self.drawn)
        metric = printable(self.evaluations[0].metrics[0])
        return f" Drawn are the {len(self.drawn)} runs best in {metric}; tables have all." if count else ""

    def lines(self, points: Sequence[Sequence[tuple[float, float]]]) -> list[Line]:
        """Return the curves of the runs that have a colour."""
        rows = zip(self.runs, points, self.colours, strict=True)
        return [Line(name, row, colour) for name, row, colour in rows if colour is not None]


def precision_recall_section(shown: Shown) -> str:
    """Return interpolated precision at eleven levels of recall."""
    from rank_plugins.evaluation._evaluate import evaluate

    names = [f"IPrec@{recall:.1f}" for recall in RECALLS]
    rules = dict(shown.settings)
    averaged = rules.get("ties") == "average"
    if averaged:
        rules["ties"] = "id_desc"
    found = [evaluate(shown.qrels, run, names, **rules).mean for run in shown.runs.values()]
    points = [[(recall, mean[name]) for recall, name in zip(RECALLS, names, strict=True)] for mean in found]
    rows = [
        [Cell(printable(run)), *(Cell(number(mean[name])) for name in names)]
        for run, mean in zip(shown.runs, found, strict=True)
    ]
    values = Table("Interpolated precision", ("run", *(f"{recall:.1f}" for recall in RECALLS)), rows)
    chart = curves(shown.lines(points), "recall", "precision", "Interpolated precision by recall", markers=True)
    figure = page.figure("Precision and recall", chart, key=page.key(shown.drawn, markers=True), values=values)
    hint = "The highest precision at any rank with at least that recall, mean over queries."
    if averaged:
        hint += " Equal scores stand by id here, for interpolated precision has no average over their orders."
    return page.section("Precision and recall", [page.charts([figure])], hint + shown.left_out)


def abstention_section(shown: Shown, no_evidence: Sequence[Any] | None) -> str:
    """Return what is gained where the least sure queries are left unanswered; "" for a metric beyond 0..1."""
    empty = list(no_evidence or ())
    figures = [_risk(shown, set(empty))]
    parts = []
    if empty:
        figures.append(_false_evidence(shown, empty))
        metric = printable(shown.evaluations[0].metrics[0])
        parts.append(page.table(_thresholds(shown, empty)))
        said = (
            f"The threshold best in {metric} that keeps false evidence at or below {MOST_FALSE_EVIDENCE:.0%}, selected"
        )
        parts.append(
            page.bullets([f"{said} on these same queries: optimistic.", "At most: 95% bound, one-sided, exact."])
        )
    figures = [figure for figure in figures if figure]
    if not figures:
        return ""
    hint = "How sure a run is of a query is its best score there."
    return page.section("Abstention", [page.charts(figures), *parts], hint + shown.left_out)


def reliability_section(shown: Shown) -> str:
    """Return how often documents were relevant, by the probability that their score says."""
    from rank_plugins.evaluation import calibration

    figures, rows = [], []
    rules = {name: shown.settings[name] for name in ("relevance_level", "judged_only") if name in shown.settings}
    for name, run in shown.runs.items():
        found = calibration.labelled(shown.qrels, run, **rules)
        bins = calibration.reliability(found.scores, found.labels)
        band = calibration.null_band(found.scores)
        values = [
            [
                Cell(f"{b.confidence:.4f}"),
                *map(Cell, (f"{b.count:,}", f"{b.accuracy:.4f}", f"[{b.low:.4f}, {b.high:.4f}]")),
            ]
            for b in bins
        ]
        table = Table(
            "Bins of equally many documents", ("probability", "documents", "relevant", "95% interval"), values
        )
        figures.append(page.figure(printable(name), reliability(name, bins, band.bins), values=table))
        errors = [of(found.scores, found.labels) for of in (calibration.ece, calibration.ece_debiased, calibration.mce)]
        losses = [calibration.brier(found.scores, found.labels).score, calibration.log_loss(found.scores, found.labels)]
        shown_band = f"{number(band.low)} to {number(band.high)}"
        cells = (f"{len(found.scores):,}", number(errors[0]), shown_band, *map(number, [*errors[1:], *losses]))
        rows.append([Cell(printable(name)), *map(Cell, cells)])
    columns = ("run", "documents", "ECE", "by chance", "debiased", "MCE", "Brier", "log loss")
    means = page.table(Table("Calibration errors; lower is better", columns, rows))
    unjudged = "" if rules.get("judged_only") else " Documents without judgment count as not relevant."
    hint = (
        "Points on the diagonal mean what they say; lines are 95% intervals (Wilson), the band is what chance alone"
        f" would show if the probabilities were right.{unjudged}"
    )
    return page.section("Reliability", [page.charts(figures), means], hint)


def _risk(shown: Shown, empty: set[Any]) -> str:
    from rank_plugins.evaluation.abstention import confidence
    from rank_plugins.evaluation.risk import nauc, risk_coverage

    metric = shown.evaluations[0].metrics[0]
    points, rows = [], []
    for name, evaluation, run in zip(shown.runs, shown.evaluations, shown.runs.values(), strict=True):
        known = {q: v for q, v in evaluation.per_query[metric].items() if q not in empty and not math.isnan(v)}
        array = np.fromiter(known.values(), np.float64, len(known))
        if not len(array) or array.min() < 0 or array.max() > 1:
            return ""
        sure = confidence(run, known, "max", absent="empty")
        found = risk_coverage(sure, array)
        points.append(_thinned(list(zip(found.coverage.tolist(), found.risk.tolist(), strict=True))))
        rows.append([Cell(printable(name)), *(Cell(number(x)) for x in (found.aurc, found.augrc, nauc(sure, array)))])
    caption = "Areas: AURC and AUGRC (lower is better), nAUC (1 is perfect)"
    values = Table(caption, ("run", "AURC", "AUGRC", "nAUC"), rows)
    risk = f"1 - {printable(metric)}"
    chart = curves(shown.lines(points), "coverage", risk, f"Risk, {risk}, by coverage", markers=False)
    hint = f"Mean of {risk} over the share of queries that the run is most sure of."
    return page.figure("Risk and coverage", chart, hint=hint, key=page.key(shown.drawn, markers=False), values=values)


def _false_evidence(shown: Shown, empty: Sequence[Any]) -> str:
    from rank_plugins.evaluation.abstention import confidence

    points, rows = [], []
    without = set(empty)
    for name, evaluation, run in zip(shown.runs, shown.evaluations, shown.runs.values(), strict=True):
        evidence = [query for query in evaluation.query_ids if query not in without]
        answered = np.sort(confidence(run, evidence, "max", absent="empty"))[::-1]
        wrongly = np.sort(confidence(run, empty, "max", absent="empty"))[::-1]
        thresholds = np.unique(np.concatenate([answered, wrongly]))[::-1]
        thresholds = thresholds[thresholds > -np.inf]
        curve = list(zip(*(np.r_[0.0, _share(tops, thresholds)].tolist() for tops in (answered, wrongly)), strict=True))
        points.append(_thinned(curve))
        rates = (next((y for x, y in curve if x >= share), math.nan) for share in COVERAGES)
        rows.append([Cell(printable(name)), *(Cell(ABSENT if math.isnan(rate) else f"{rate:.1%}") for rate in rates)])
    caption = "False-evidence rate where this share of queries with evidence is answered"
    values = Table(caption, ("run", *(f"{share:.0%}" for share in COVERAGES)), rows)
    chart = curves(shown.lines(points), "coverage", "false evidence", "False-evidence rate by coverage", markers=False)
    hint = f"As the threshold falls: queries with evidence that are answered, and of {len(empty):,} declared queries"
    hint += " without evidence those that are answered too."
    key = page.key(shown.drawn, markers=False)
    return page.figure("False evidence and coverage", chart, hint=hint, key=key, values=values)


def _share(tops: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of best scores (falling) that reach each threshold."""
    shares: NDArray[np.float64] = np.searchsorted(-tops, -thresholds, "right") / max(len(tops), 1)
    return shares


def _thresholds(shown: Shown, empty: Sequence[Any]) -> Table:
    from rank_plugins.evaluation.thresholds import select_threshold

    metric = shown.evaluations[0].metrics[0]
    rules = {name: shown.settings[name] for name in ("relevance_level", "ties") if name in shown.settings}
    rows = []
    for name, run in shown.runs.items():
        found = select_threshold(
            shown.qrels, run, empty, metric=metric, max_false_evidence=MOST_FALSE_EVIDENCE, absent="empty", **rules
        )
        false = found.false_evidence
        cells = [f"{found.threshold:.6g}", f"{false.rate:.1%} ({false.count}/{false.n})", f"{false.upper:.1%}"]
        cells += [f"{found.coverage:.1%}", number(found.value), number(found.value_without)]
        rows.append([Cell(printable(name)), *map(Cell, cells)])
    columns = ("run", "threshold", "false evidence", "at most", "coverage", printable(metric), "without threshold")
    return Table("Thresholds", columns, rows)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points of a curve, at most MOST_POINTS of them, with the first and the last."""
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[i] for i in np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int).tolist()]
