"""Comparison: what `compare` found about several runs, saved as JSON and shown as tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rank_plugins._saved import Saved
from rank_plugins.errors import InputError
from rank_plugins.evaluation._evaluate import Evaluation


@dataclass(frozen=True)
class Difference:
    """How two runs differ in a metric, query by query: b - a."""

    metric: str
    a: str
    """The run compared against."""
    b: str
    mean: float
    """Mean of b - a."""
    low: float
    """Where the 95 % confidence interval of the mean begins; NaN for one query."""
    high: float
    """Where it ends."""
    sd: float
    """Standard deviation of b - a; NaN for one query."""
    effect_size: float
    """d_z = mean / sd; 0 where nothing differs."""
    p: float
    """Two-sided p-value of this difference alone."""
    p_corrected: float
    """The same, corrected for all differences of the comparison."""
    wins: int
    """Queries where b is better."""
    ties: int
    losses: int
    """Queries where a is better."""
    n: int
    """Queries."""


@dataclass(frozen=True)
class Comparison(Saved):
    """Several runs over the same judgments: an Evaluation of each, and the difference of each pair in each metric."""

    metrics: list[str]
    runs: list[str]
    evaluations: dict[str, Evaluation]
    """By run."""
    differences: list[Difference]
    """By metric, then by pair."""
    test: str
    """ "randomization", "t" or "bootstrap"."""
    correction: str
    """ "maxt", "holm", "bh", "bonferroni" or "none"."""
    alpha: float
    """A difference is significant where p_corrected is below."""
    seed: int
    resamples: int
    """Sign vectors or samples that p-values come from; 0 where they come from the t distribution alone."""
    baseline: str | None
    """The run that all others are compared with; None: all pairs."""
    notes: list[str]
    """What a reader should know of the numbers."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python objects, for JSON; `from_dict` reads it."""
        saved = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        saved["evaluations"] = {name: evaluation.to_dict() for name, evaluation in self.evaluations.items()}
        saved["differences"] = [
            {name: _plain(value) for name, value in dataclasses.asdict(d).items()} for d in self.differences
        ]
        return saved | {name: list(saved[name]) for name in ("metrics", "runs", "notes")}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Comparison:
        """Return what `to_dict` gave.

        Raises:
            InputError: something is missing or does not fit.

        """
        try:
            columns = {f.name: saved[f.name] for f in dataclasses.fields(cls)}
            columns["evaluations"] = {name: Evaluation.from_dict(e) for name, e in saved["evaluations"].items()}
            columns["differences"] = [_difference(d) for d in saved["differences"]]
            return cls(**columns | {name: list(saved[name]) for name in ("metrics", "runs", "notes")})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"Comparison: expected what to_dict returned, got {error!r}") from None

    def __str__(self) -> str:
        from rank_plugins.evaluation.reports import text

        return text(self)

    def __repr__(self) -> str:
        return (
            f"Comparison(runs={self.runs}, metrics={self.metrics}, test={self.test!r}, correction={self.correction!r})"
        )

    def to_markdown(self) -> str:
        """Return Markdown tables."""
        from rank_plugins.evaluation.reports import markdown

        return markdown(self)

    def to_latex(self) -> str:
        """Return LaTeX tables (booktabs)."""
        from rank_plugins.evaluation.reports import latex

        return latex(self)

    def to_html(self) -> str:
        """Return a self-contained page."""
        from rank_plugins.evaluation.reports import html

        return html(self)


def _plain(value: Any) -> Any:
    """Return a value that JSON has: NaN as None, infinities as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _difference(saved: Mapping[str, Any]) -> Difference:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Difference):
        value = saved[field.name]
        values[field.name] = (math.nan if value is None else float(value)) if field.type == "float" else value
    return Difference(**values)
