"""Normalisers: the scores of each list on a common scale. Each works on one list of one query at a time.

Shapes as in `lists.py`. s is a score, n the length of its list, r its rank, C the number of distinct documents of
the query. Only the documents that were returned are seen, so the result depends on the depth of the lists.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rank_plugins.errors import InputError
from rank_plugins.fusion.lists import Floats, Lists

NormFunction = Callable[..., Floats]


@dataclass(frozen=True, eq=False)
class Norm:
    """A normaliser: a function of Lists (and parameters) to values float64 [E]."""

    name: str
    values: NormFunction
    parameters: Mapping[str, Any] = field(default_factory=dict)
    missing: str = "zero"
    """What a list says of a document that it does not have, unless `missing=` says otherwise."""
    ranks: bool = False
    """Reads ranks only, so that lists of bare ids will do."""


def _finite(lists: Lists, what: str) -> None:
    """Refuse infinite scores where a normaliser needs a range."""
    bad = np.isinf(lists.score)
    if bad.any():
        entry = int(bad.argmax())
        query, j = divmod(int(lists.of_segment[entry]), lists.m)
        raise InputError(
            f"norm {what!r}: expected finite scores, got {lists.score[entry]:g} at rank {int(lists.rank[entry])} of"
            f' list {j}, query number {query}; remove it, or use a norm without a range, such as norm="rank"'
        )


def _divide(above: Floats, below: Floats, otherwise: float | Floats) -> Floats:
    """Return above / below, and `otherwise` where below is 0."""
    zero = below == 0
    return np.where(zero, otherwise, above / np.where(zero, 1.0, below))


def constant_lists(lists: Lists) -> Any:
    """Return for each entry whether all scores of its list are equal, bool [E]."""
    return lists.each(lists.first(lists.score) == lists.last(lists.score))


def none(lists: Lists) -> Floats:
    """S as it is."""
    return lists.score


def minmax(
    lists: Lists,
    constant: float = 1.0,
    lower: float | Sequence[float] | None = None,
    upper: float | Sequence[float] | None = None,
) -> Floats:
    """(s - min) / (max - min); `constant` for all of a list whose scores are equal, a lone hit included.

    `lower` and `upper` (a number, or one per list) take the place of the list's own minimum and maximum, as the
    theoretical minimum of Bruch et al. 2023 (TM2C2); scores beyond them are cut to 0 and 1.
    """
    _finite(lists, "minmax")
    low = _bound(lists, lower, "lower", lists.last(lists.score))
    high = _bound(lists, upper, "upper", lists.first(lists.score))
    if lower is None and upper is None:
        return _scaled(lists, low, high, constant)
    if (low > high).any() and lower is not None and upper is not None:
        raise InputError(f"norm 'minmax': expected lower below upper, got {lower} and {upper}")
    scaled = np.clip(_scaled(lists, low, np.maximum(low, high), constant), 0.0, 1.0)
    return np.where(lists.score < lists.each(low), 0.0, np.where(lists.score > lists.each(high), 1.0, scaled))


def _scaled(lists: Lists, low: Floats, high: Floats, constant: float | Floats) -> Floats:
    spans = _spans(low, high)
    return _divide(lists.score - lists.each(low), lists.each(spans), constant)


def _spans(low: Floats, high: Floats) -> Floats:
    with np.errstate(over="ignore"):
        spans = high - low
    if np.isinf(spans).any():
        raise InputError("norm: expected scores within the range of float64, got a list whose max - min overflows")
    return spans


def _bound(lists: Lists, bound: float | Sequence[float] | None, what: str, otherwise: Floats) -> Floats:
    if bound is None:
        return otherwise
    values = np.asarray(bound, np.float64)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != lists.m) or not np.isfinite(values).all():
        raise InputError(f"{what}: expected a finite number, or {lists.m} of them (one per list), got {bound}")
    return np.tile(np.broadcast_to(values, lists.m), len(lists.unions) - 1)


def minmax_inverted(lists: Lists, constant: float = 1.0) -> Floats:
    """(max - s) / (max - min): the lowest score becomes 1."""
    _finite(lists, "minmax_inverted")
    low, high = lists.last(lists.score), lists.first(lists.score)
    spans = _spans(low, high)
    return _divide(lists.each(high) - lists.score, lists.each(spans), constant)


def maximum(lists: Lists) -> Floats:
    """S / max; 1 for a list of zeros.

    Raises:
        InputError: a list whose largest score is negative (or 0 above negative ones): dividing would turn its order.

    """
    _finite(lists, "max")
    high = lists.first(lists.score)
    bad = (high < 0) | ((high == 0) & (lists.last(lists.score) < 0))
    if bad.any():
        query, j = divmod(int(bad.argmax()), lists.m)
        raise InputError(
            f"norm 'max': expected a positive largest score, got {high[bad.argmax()]:g} in list {j}, query number"
            f' {query}; use norm="minmax", which takes any sign'
        )
    return _divide(lists.score, lists.each(high), 1.0)


def total(lists: Lists, constant: float | None = None) -> Floats:
    """(s - min) / sum of (s - min), so that a list adds up to 1; equal shares 1 / n where all scores are equal."""
    _finite(lists, "sum")
    above = lists.score - lists.each(lists.last(lists.score))
    otherwise = 1.0 / lists.each(lists.lengths.reshape(-1)) if constant is None else constant
    return _divide(above, lists.each(lists.total(above)), otherwise)


def zmuv(lists: Lists, constant: float = 0.0) -> Floats:
    """(s - mean) / standard deviation (of the population)."""
    _finite(lists, "zmuv")
    centred, deviation = _moments(lists, 0)
    return np.where(constant_lists(lists), constant, _divide(centred, lists.each(deviation), constant))


def dbsf(lists: Lists, constant: float = 0.5, ddof: int = 1) -> Floats:
    """(s - mean + 3 sd) / (6 sd), not cut to [0, 1]; sd divides by n - ddof.

    1 is Qdrant's choice, 0 that of LlamaIndex and Haystack.
    """
    _finite(lists, "dbsf")
    centred, deviation = _moments(lists, ddof)
    three = 3 * lists.each(deviation)
    return np.where(constant_lists(lists), constant, _divide(centred + three, 2 * three, constant))


def _moments(lists: Lists, ddof: int) -> tuple[Floats, Floats]:
    """Return s - mean [E] and the standard deviation of each list [Nq * m], in units of a power of 2 of its own.

    Scores are then at most 1, so that no square overflows or vanishes.
    """
    n = lists.lengths.reshape(-1)
    powers = np.frexp(np.maximum(np.abs(lists.first(lists.score)), np.abs(lists.last(lists.score))))[1]
    score = np.ldexp(lists.score, -lists.each(powers))
    centred = score - lists.each(lists.total(score) / np.maximum(n, 1))
    return centred, np.sqrt(lists.total(centred**2) / np.maximum(n - ddof, 1))


def l2(lists: Lists) -> Floats:
    """S / square root of the sum of s^2; 0 for a list of zeros."""
    _finite(lists, "l2")
    scale = lists.each(np.maximum(np.abs(lists.first(lists.score)), np.abs(lists.last(lists.score))))
    shares = _divide(lists.score, scale, 0.0)  # divided first, so that no square overflows
    return _divide(shares, np.sqrt(lists.each(lists.total(shares**2))), 0.0)


def rank(lists: Lists) -> Floats:
    """1 - (r - 1) / n."""
    values: Floats = 1 - (lists.rank - 1) / lists.each(lists.lengths.reshape(-1))
    return values


def borda(lists: Lists) -> Floats:
    """1 - (r - 1) / C; a missing document gets 0.5 - (n - 1) / (2 C)."""
    values: Floats = 1 - (lists.rank - 1) / lists.each(np.repeat(lists.sizes, lists.m))
    return values


def borda_missing(lists: Lists) -> Floats:
    """Return what the Borda norm gives a missing document, float64 [Nq, m]."""
    missing: Floats = 0.5 - (lists.lengths - 1) / (2 * np.maximum(lists.sizes, 1)[:, None])
    return missing


def atan(lists: Lists) -> Floats:
    """Squash any score into [0, 1] by 0.5 + arctan(s) / pi; Milvus's choice for inner products."""
    return 0.5 + np.arctan(lists.score) / math.pi


def sigmoid(lists: Lists) -> Floats:
    """Logistic function 1 / (1 + e^-s); MongoDB's choice."""
    small = np.exp(-np.abs(lists.score))
    return np.where(lists.score >= 0, 1 / (1 + small), small / (1 + small))


NORMS: dict[str, Norm] = {
    norm.name: norm
    for norm in (
        Norm("none", none, missing="min"),
        Norm("minmax", minmax, {"constant": 1.0, "lower": None, "upper": None}),
        Norm("minmax_inverted", minmax_inverted, {"constant": 1.0}),
        Norm("max", maximum),
        Norm("sum", total, {"constant": None}),
        Norm("zmuv", zmuv, {"constant": 0.0}, missing="min"),
        Norm("dbsf", dbsf, {"constant": 0.5, "ddof": 1}),
        Norm("l2", l2),
        Norm("rank", rank, ranks=True),
        Norm("borda", borda, missing="borda", ranks=True),
        Norm("atan", atan),
        Norm("sigmoid", sigmoid),
    )
}
ALIASES = {"z": "zmuv", "z-score": "zmuv", "min-max": "minmax"}


def calibrated(function: Callable[[Floats], Any], name: str) -> Norm:
    """Return a normaliser that applies `function` (such as a Calibrator) to the scores of each list, best first."""

    def values(lists: Lists) -> Floats:
        result = np.empty(len(lists.score))
        for start, end in itertools.pairwise(lists.segments.tolist()):
            if end > start:
                scores = lists.score[start:end].copy()
                given = np.asarray(function(scores), np.float64)
                if given.shape != scores.shape:
                    raise InputError(f"{name}: expected one value per score, shape {scores.shape}, got {given.shape}")
                result[start:end] = given
        bad = np.isnan(result)
        if bad.any():
            raise InputError(f"{name}: expected numbers, got NaN for the score {lists.score[bad][0]:g}")
        return result

    return Norm(name, values)
