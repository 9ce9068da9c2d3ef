"""The choice of a gate's bound on training queries."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.arguments import number
from rank_plugins.pipelines.gates import Signal

SLACK = 1e-12  # sums of differences are off by less


@dataclasses.dataclass(frozen=True)
class Choice:
    """A gate with the bound chosen on training queries, and what it did there."""

    gate: Signal
    """With the bound that was chosen; infinite where no query could be skipped."""
    skipped: float
    """The share of the queries for which the stage does not run."""
    loss: float
    """How much lower the mean of the metric is than with the stage for all queries; negative where it is higher."""


def choose_gate(
    gate: Signal, signals: ArrayLike, with_stage: ArrayLike, without: ArrayLike, *, max_loss: float = 0.0
) -> Choice:
    """Return the gate whose bound skips the most queries while the mean of a metric falls by at most `max_loss`.

    Every signal seen is tried as the bound, and no bound at all. The bound is the signal of the last query that is
    still skipped: a query is skipped only if the stage is at least as needless as there. Queries with equal signals
    are all skipped or none. A choice fits the queries it was made on: report skipped share and loss on others.

    Args:
        gate: which signal; its bound does not matter.
        signals: `gate.value(query, ranking)` of each query.
        with_stage: the metric of each query where the stage runs, higher is better.
        without: where it does not.
        max_loss: the largest mean loss, over all queries.

    Raises:
        InputError: lists of another length, none, NaN, or max_loss < 0.
        InputTypeError: another type of gate.

    """
    if not isinstance(gate, Signal):
        raise InputTypeError(f"gate: expected one with a bound, such as TopGap, got {type(gate).__name__}")
    max_loss = number(max_loss, "max_loss")
    if max_loss < 0:
        raise InputError(f"max_loss: expected 0 or more, got {max_loss}")
    columns = {"signals": signals, "with_stage": with_stage, "without": without}
    values, kept, left = (_column(column, name) for name, column in columns.items())
    if not len(values) == len(kept) == len(left) > 0:
        raise InputError(
            f"signals, with_stage, without: expected one per query, got {len(values)}, {len(kept)} and {len(left)}"
        )
    sign = -1.0 if gate.side == "below" else 1.0
    order = np.argsort(sign * values, kind="stable")  # the most needless first
    losses = np.cumsum((kept - left)[order]) / len(order)
    ends = np.append(values[order][1:] != values[order][:-1], True)  # only after the last of equal signals
    fits = np.flatnonzero(ends & (losses <= max_loss + SLACK))
    # A bound at infinity skips none, but for queries whose signal is infinite: these no bound can have run.
    bound = float(values[order][fits[-1]]) if len(fits) else -sign * math.inf
    skipped = sign * values <= sign * bound
    chosen = dataclasses.replace(gate, **{gate.side: bound})  # type: ignore[type-var]
    return Choice(chosen, float(skipped.mean()), float(np.where(skipped, kept - left, 0.0).mean()))


def _column(values: ArrayLike, name: str) -> NDArray[np.float64]:
    column = np.asarray(values, np.float64)
    if column.ndim != 1 or np.isnan(column).any():
        raise InputError(f"{name}: expected a list of numbers without NaN, got shape {column.shape}")
    return column
