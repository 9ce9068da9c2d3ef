"""The parity report: what an exported model gives beside the original in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError

Floats = NDArray[Any]


class Figure(NamedTuple):
    """One measured figure and the bound that it has to keep."""

    name: str
    value: float
    bound: float | None
    """None: reported for a person to see, no condition."""
    at_most: bool
    """Whether the bound is the most (a difference) or the least (a correlation, a cosine) allowed."""

    @property
    def passed(self) -> bool:
        """Whether the bound is kept; a figure that is NaN never keeps it."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        said = "" if self.bound is None else f" ({'at most' if self.at_most else 'at least'} {self.bound:g})"
        return f"{self.name} {self.value:.3g}" + said


@dataclass(frozen=True)
class Report:
    """What was measured of an exported model; `str(report)` is for people, `as_dict()` for JSON."""

    model: str
    task: str
    quantize: str | None
    out: str
    sample: int
    """Pairs or texts compared."""
    figures: tuple[Figure, ...]
    bytes: int
    """Of the graphs and their weights."""

    @property
    def passed(self) -> bool:
        """Whether every figure keeps its bound."""
        return all(figure.passed for figure in self.figures)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            "model": self.model,
            "task": self.task,
            "quantize": self.quantize,
            "out": self.out,
            "bytes": self.bytes,
            "sample": self.sample,
            "figures": {
                figure.name: {"value": figure.value, "at most" if figure.at_most else "at least": figure.bound}
                for figure in self.figures
            },
            "passed": self.passed,
        }

    def __str__(self) -> str:
        kind = f"{self.task}, {self.quantize or 'float32'}, {self.bytes:,} bytes"
        lines = [f"{self.model} -> {self.out}: {kind}", f"compared with the original in float32 on {self.sample}:"]
        return "\n".join([*lines, *(f"  {figure}" for figure in self.figures)])

    def check(self) -> None:
        """Refuse a model that is not what the original is.

        Raises:
            InputError: with every figure that is outside its bound.

        """
        failed = [str(figure) for figure in self.figures if not figure.passed]
        if failed:
            advice = f"export it without quantize={self.quantize!r}" if self.quantize else "run the original"
            raise InputError(
                f"export: {self.model!r} as {self.quantize or 'float32'} does not give what the original gives on"
                f" {self.sample}: {', '.join(failed)}; nothing was written, {advice}"
            )


def compare(expected: Floats, got: Floats, bounds: Mapping[str, float | None]) -> tuple[Figure, ...]:
    """Return the figures that `bounds` names.

    Args:
        expected: what the original gives: scores [N], or vectors [T, K].
        got: what the exported model gives, in the same shape.
        bounds: figure -> bound, None to report it only; of "max abs difference", "rank correlation"
            (Spearman's, of scores), "mean cosine" and "least cosine" (of vectors).

    Raises:
        InputError: the shapes differ.

    """
    if expected.shape != got.shape:
        raise InputError(f"export: expected results {list(expected.shape)} as of the original, got {list(got.shape)}")
    expected, got = np.asarray(expected, np.float64), np.asarray(got, np.float64)
    return tuple(Figure(name, FIGURES[name](expected, got), bound, name in AT_MOST) for name, bound in bounds.items())


def spearman(expected: Floats, got: Floats) -> float:
    """Return Spearman's rank correlation of two arrays [N]; equal values share their mean rank.

    1 where all of `expected` are equal: any order is right. NaN where one of them is.
    """
    if np.isnan(expected).any() or np.isnan(got).any():
        return float("nan")
    first, second = (_ranks(values) - (len(values) - 1) / 2 for values in (expected, got))
    if not first.any():
        return 1.0
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm else 0.0


def _ranks(values: Floats) -> Floats:
    """Return the mean rank, from 0, of each value."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts + 1) / 2)[places]
    return ranks


def _difference(expected: Floats, got: Floats) -> float:
    return float(np.abs(expected - got).max())


def _cosines(expected: Floats, got: Floats) -> Floats:
    """Return the cosine of each row; of two zero rows it is 1."""
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(got, axis=1)
    cosines: Floats = np.where(norms > 0, (expected * got).sum(axis=1) / np.where(norms > 0, norms, 1), 1.0)
    return cosines


FIGURES: dict[str, Callable[[Floats, Floats], float]] = {
    "max abs difference": _difference,
    "rank correlation": spearman,
    "mean cosine": lambda expected, got: float(_cosines(expected, got).mean()),
    "least cosine": lambda expected, got: float(_cosines(expected, got).min()),
}
AT_MOST = {"max abs difference"}
