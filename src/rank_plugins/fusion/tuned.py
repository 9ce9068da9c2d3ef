"""Tuning: what `tune` found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rank_plugins._saved import Saved
from rank_plugins.errors import InputError
from rank_plugins.fusion._fuse import fuse
from rank_plugins.fusion.trials import Configuration

SHOWN = 5


@dataclass(frozen=True)
class Trial:
    """One configuration and its mean over all queries."""

    configuration: Configuration
    value: float
    threshold: float | None = None
    """Where its lists are cut under a constraint; None without one."""


@dataclass(frozen=True)
class HeldOut:
    """The choice repeated without the queries of each fold, and measured on them."""

    value: float
    """The mean over all queries, each measured with what was chosen without it."""
    configurations: list[Configuration]
    """What was chosen for each fold."""
    false_evidence: int | None = None
    """Under a constraint: how many queries without evidence returned something, each with a threshold chosen
    without it."""
    no_evidence: int = 0
    """Of how many."""


@dataclass(frozen=True)
class Tuning(Saved):
    """The best configuration, all trials, and an estimate of what it is worth on new queries."""

    trials: list[Trial]
    """In the order of the search."""
    index: int
    """The place of the best trial, the first of equals."""
    held_out: HeldOut
    deviation: float
    """Standard deviation over queries of the difference between two trials, averaged over pairs of them."""
    settings: Mapping[str, Any]

    @property
    def best(self) -> Configuration:
        """What to give to `fuse`."""
        return self.trials[self.index].configuration

    @property
    def value(self) -> float:
        """The metric of the best trial on all queries: too high, because it was chosen by it."""
        return self.trials[self.index].value

    @property
    def threshold(self) -> float | None:
        """Below which `fuse` returns nothing, under a constraint; None without one."""
        return self.trials[self.index].threshold

    @property
    def optimism(self) -> float:
        """By how much choosing and measuring on the same queries flatters: `value` - `held_out.value`."""
        return self.value - self.held_out.value

    @property
    def optimism_bound(self) -> float:
        """About the most that luck alone could gain: deviation / sqrt(queries) * E[largest of T standard normals].

        An upper bound, for it takes the T trials for independent.
        """
        return self.deviation / math.sqrt(self.settings["queries"]) * largest_of_normals(len(self.trials))

    def fuse(self, runs: Sequence[Any], *, top: int | None = None) -> Any:
        """Fuse runs, or the lists of one query, with the best configuration; see `rank_plugins.fusion.fuse`.

        Under a constraint, documents below the threshold are left out.
        """
        best = self.best
        fused = fuse(
            runs, best.method, weights=best.weights, norm=best.norm, missing=self.settings["missing"], top=top,
            higher_is_better=self.settings["higher_is_better"], **best.parameters,
        )  # fmt: skip
        threshold = self.threshold
        if threshold is None:
            return fused
        if isinstance(fused, list):
            return [(document, score) for document, score in fused if score >= threshold]
        from rank_plugins.evaluation.abstention import truncate

        return truncate(fused, threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, for JSON."""
        return {
            "settings": dict(self.settings),
            "index": self.index,
            "deviation": self.deviation,
            "held_out": {
                "value": self.held_out.value,
                "configurations": [_described(one) for one in self.held_out.configurations],
                "false_evidence": self.held_out.false_evidence,
                "no_evidence": self.held_out.no_evidence,
            },
            "trials": [
                {**_described(trial.configuration), "value": trial.value, "threshold": _finite(trial.threshold)}
                for trial in self.trials
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tuning:
        """Return the Tuning that `to_dict` described.

        Raises:
            InputError: something else.

        """
        try:
            held = data["held_out"]
            constrained = data["settings"]["subject_to"] is not None
            made = cls(
                [
                    Trial(_read(trial), trial["value"], _threshold(trial["threshold"], constrained))
                    for trial in data["trials"]
                ],
                data["index"],
                HeldOut(
                    held["value"], [_read(one) for one in held["configurations"]], held["false_evidence"],
                    held["no_evidence"],
                ),
                data["deviation"],
                dict(data["settings"]),
            )  # fmt: skip
            made.trials[made.index]
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise InputError(f"Tuning: expected what to_dict returned, got {error!r}") from None
        return made

    def __str__(self) -> str:
        metric = self.settings["metric"]
        ranked = sorted(self.trials, key=lambda trial: -trial.value)[:SHOWN]
        lines = [f"{metric}  configuration", *(f"{trial.value:.4f}  {trial.configuration}" for trial in ranked)]
        lines += [
            f"best of {len(self.trials)} trials on {self.settings['queries']} queries: {self.value:.4f}",
            f"held out, {self.settings['folds']} folds: {self.held_out.value:.4f}",
            f"optimism: {self.optimism:+.4f} (luck alone: up to about {self.optimism_bound:.4f})",
        ]
        if self.threshold is not None:
            false, of = self.held_out.false_evidence, self.held_out.no_evidence
            lines.append(f"threshold: {self.threshold:.6g}; held out, {false} of {of} returned false evidence")
        return "\n".join(lines)


def largest_of_normals(count: int) -> float:
    """Return the expected largest of `count` independent standard normal numbers."""
    x = np.linspace(-9.0, 9.0, 3601)
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])
    density = np.diff(below**count)  # of the largest
    return float((density * (x[1:] + x[:-1]) / 2).sum())


def _described(one: Configuration) -> dict[str, Any]:
    return {
        "method": one.method, "weights": list(one.weights), "norm": one.norm, "parameters": dict(one.parameters)
    }  # fmt: skip


def _read(data: Mapping[str, Any]) -> Configuration:
    weights = tuple(map(float, data["weights"]))
    return Configuration(str(data["method"]), weights, data["norm"], dict(data["parameters"]))


def _finite(threshold: float | None) -> float | None:
    return None if threshold is None or math.isinf(threshold) else threshold


def _threshold(saved: float | None, constrained: bool) -> float | None:
    return -math.inf if saved is None and constrained else saved
