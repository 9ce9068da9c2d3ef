"""Fusion methods: what the lists say of a document, made into one score.

A method says for each entry what its list gives the document (points: from the rank, or the normalised score), and
how these are combined. Shapes and words as in `lists.py`; r is a rank, s a normalised score, w_j the weight of list
j, J the lists that have the document, h = |J|, n_j the length of list j, C the number of documents of the query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rank_plugins.fusion.lists import Floats, Integers, Lists

Parameters = Mapping[str, Any]
REQUIRED = object()
"""Stands for the value of a parameter that has no default."""


@dataclass(frozen=True, eq=False)
class Method:
    """How lists are fused: score = reduce(w_j * points) * factor."""

    name: str
    points: Callable[[Lists, Floats, Parameters], Floats] | None = None
    """Lists, weights [m], parameters -> float64 [E]; None: the normalised scores."""
    reduce: Callable[[Floats], Floats] | None = None
    """Weighted table [m, U], NaN where nothing is said -> float64 [U]; None: the sum in the order of the lists."""
    factor: Callable[[Lists, Floats, Parameters], Floats] | None = None
    """Lists, weights, parameters -> float64 [U], by which the sum is multiplied."""
    weighted: bool = True
    """Whether points are multiplied by the weights; False where the method uses them in its own way."""
    ranked: bool = False
    """Whether points depend on nothing but the rank, the weights and the parameters."""
    norm: str | None = None
    """The default normaliser; None where points come from ranks."""
    missing: str | None = "skip"
    """The default for missing documents, "" for that of the normaliser, None where the method has its own rule."""
    absent: Callable[[Lists, Floats], Floats] | None = None
    """That rule: float64 [Nq, m]."""
    parameters: Parameters = field(default_factory=dict)
    whole: Callable[[Lists, Floats, Parameters], tuple[Floats, Floats]] | None = None
    """In place of all the above: lists, weights, parameters -> scores [U] and contributions [m, U]."""
    tiebreak: Callable[[Lists, Floats], Integers] | None = None
    """Smaller wins between equal scores, int64 [U]; None: the best single rank."""
    combine: Callable[[Floats, Floats], Floats] | None = None
    """In place of reduce: table [m, U] and weights [m] -> float64 [U]."""

    def scores(self, lists: Lists, table: Floats, weights: Floats, parameters: Parameters) -> Floats:
        """Combine a table [m, U] of points into scores [U]."""
        if self.combine is not None:
            return self.combine(table, weights)
        given = weights if self.weighted else np.ones_like(weights)
        if self.reduce is not None:
            return self.reduce(table * given[:, None])
        summed = weighted_sum(table, given)
        return summed if self.factor is None else summed * self.factor(lists, weights, parameters)

    def contributions(self, lists: Lists, table: Floats, weights: Floats, parameters: Parameters) -> Floats:
        """Return what each list brings, float64 [m, U]: the terms of a sum, or the values that are reduced."""
        as_it_is = self.combine is not None or not self.weighted
        terms = table.copy() if as_it_is else table * weights[:, None]
        if self.reduce is mean:
            terms = terms / np.maximum((~np.isnan(terms)).sum(axis=0), 1)
        if self.factor is not None:
            terms = terms * self.factor(lists, weights, parameters)
        return np.nan_to_num(terms, nan=0.0, posinf=np.inf, neginf=-np.inf)


def weighted_sum(table: Floats, weights: Floats) -> Floats:
    """Return the sum of w_j * table[j] over the lists with a weight, added in their order, float64 [U]."""
    summed = np.zeros(table.shape[1])
    for row, weight in zip(table, weights.tolist(), strict=True):
        if weight:
            summed += row if weight == 1 else row * weight
    return summed


def mean(table: Floats) -> Floats:
    """Return the mean of what is said, float64 [U]."""
    said = ~np.isnan(table)
    means: Floats = np.where(said, table, 0.0).sum(axis=0) / np.maximum(said.sum(axis=0), 1)
    return means


def median(table: Floats) -> Floats:
    """Return the median of what is said, the midpoint of the middle two of an even number, float64 [U]."""
    said = (~np.isnan(table)).sum(axis=0)
    ordered = np.sort(table, axis=0)  # NaN stand last
    columns = np.arange(table.shape[1])
    low, high = ordered[np.maximum(said - 1, 0) // 2, columns], ordered[said // 2 * (said > 1), columns]
    return np.where(said == 0, 0.0, low / 2 + high / 2 + 0.0)


def largest(table: Floats) -> Floats:
    """Return the largest of what is said, float64 [U]."""
    return np.asarray(np.fmax.reduce(table, axis=0) + 0.0)  # of 0 and -0, which NumPy takes by chance, 0


def smallest(table: Floats) -> Floats:
    """Return the smallest of what is said, float64 [U]."""
    return np.asarray(np.fmin.reduce(table, axis=0) + 0.0)


def geometric(table: Floats, weights: Floats) -> Floats:
    """Return exp(sum of w ln s / sum of w) over the lists with s > 0; 0 where there is none (OpenSearch)."""
    used = table > 0
    shares = np.where(used, weights[:, None], 0.0)
    logs = (shares * np.log(np.where(used, table, 1.0))).sum(axis=0)
    return np.where(used.any(axis=0), np.exp(logs / _nonzero(shares.sum(axis=0))), 0.0)


def harmonic(table: Floats, weights: Floats) -> Floats:
    """Return sum of w / sum of (w / s) over the lists with s > 0; 0 where there is none (OpenSearch)."""
    used = table > 0
    shares = np.where(used, weights[:, None], 0.0)
    below = (shares / np.where(used, table, 1.0)).sum(axis=0)
    return np.where(used.any(axis=0), shares.sum(axis=0) / _nonzero(below), 0.0)


def _nonzero(values: Floats) -> Floats:
    return np.where(values == 0, 1.0, values)


def _hits(power: float) -> Callable[[Lists, Floats, Parameters], Floats]:
    return lambda lists, _, __: np.float_power(lists.count, power).astype(np.float64)


def _mapped_weights(lists: Lists, weights: Floats, _: Parameters) -> Floats:
    """Return the sum of the weights of the lists that have the document (WMNZ)."""
    return weighted_sum(lists.spread(np.ones(len(lists.code)), 0.0), weights)


def _borda_points(lists: Lists, _: Floats, __: Parameters) -> Floats:
    return (lists.each(np.repeat(lists.sizes, lists.m)) - lists.rank + 1).astype(np.float64)


def _borda_absent(lists: Lists, _: Floats) -> Floats:
    points: Floats = (lists.sizes[:, None] - lists.lengths + 1) / 2
    return points


def borda_rank(lists: Lists, weights: Floats) -> Integers:
    """Return the place of each document by its Borda points, int64 [U]; equal points share a place."""
    table = lists.spread(_borda_points(lists, weights, {}), _borda_absent(lists, weights))
    return np.unique(-weighted_sum(table, weights), return_inverse=True)[1].reshape(-1)


def _condorcet(lists: Lists, weights: Floats, parameters: Parameters) -> tuple[Floats, Floats]:
    """Copeland: wins over the other documents plus half the ties, each pair decided by the weighted lists.

    A document that a list does not have stands below all that it has; two such documents get no vote from it.
    Beyond `cap` documents in a query, the best by Borda take part, and the others score -1.
    """
    scores = np.full(lists.documents, -1.0)
    votes = np.zeros((lists.m, lists.documents))
    ranks = lists.spread(lists.rank.astype(np.float64), np.inf)
    places = borda_rank(lists, weights)
    for start, end in zip(lists.unions[:-1].tolist(), lists.unions[1:].tolist(), strict=True):
        known = start + np.flatnonzero(lists.count[start:end])
        part = known[np.lexsort((lists.best[known], places[known]))[: parameters["cap"]]]
        margin = np.zeros((len(part), len(part)))
        for j in range(lists.m):
            above = ranks[j, part][:, None] < ranks[j, part][None, :]
            margin += weights[j] * (above.astype(np.float64) - above.T)
            votes[j, part] = weights[j] * above.sum(axis=1)
        tied = np.abs(margin) <= 1e-12 * weights.sum()  # sums of weights such as 0.1 + 0.2 are not exact
        scores[part] = ((margin > 0) & ~tied).sum(axis=1) + (tied.sum(axis=1) - 1) / 2
    return scores, votes


def _rrf(lists: Lists, _: Floats, p: Parameters) -> Floats:
    return np.asarray(1 / (p["k"] + lists.rank))


def _rrf_zero(lists: Lists, _: Floats, p: Parameters) -> Floats:
    return np.asarray(1 / (p["k"] + (lists.rank - 1)))


def _rrf_qdrant(lists: Lists, weights: Floats, p: Parameters) -> Floats:
    """1 / (r / w + k - 1): the weight stretches the ranks."""
    with np.errstate(divide="ignore"):  # r / 0 is infinite, and 1 / inf is the 0 that Qdrant gives
        return np.asarray(1 / (lists.rank / weights[lists.of_list] + (p["k"] - 1)))


def _rrf_haystack(lists: Lists, weights: Floats, p: Parameters) -> Floats:
    """Weights become shares, and the best score is 1."""
    return np.asarray(p["k"] / (p["k"] + (lists.rank - 1)) / weights.sum())


RRF = {
    "paper": Method("rrf", _rrf, ranked=True, parameters={"k": 60}, missing="zero"),
    "zero_based": Method("rrf", _rrf_zero, ranked=True, parameters={"k": 60}, missing="zero"),
    "qdrant": Method("rrf", _rrf_qdrant, ranked=True, parameters={"k": 2}, missing="zero", weighted=False),
    "haystack": Method("rrf", _rrf_haystack, ranked=True, parameters={"k": 61}, missing="zero"),
}
"""Reciprocal rank fusion as it is computed by whom; the paper is Cormack et al. 2009."""


def _inverse_square(lists: Lists, _: Floats, __: Parameters) -> Floats:
    return 1 / lists.rank.astype(np.float64) ** 2


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        RRF["paper"],
        Method("sum", norm="minmax", missing=""),
        Method("mnz", factor=_hits(1), norm="minmax"),
        Method(
            "gmnz",
            factor=lambda lists, _, p: np.float_power(lists.count, p["gamma"]),
            norm="minmax",
            parameters={"gamma": REQUIRED},
        ),
        Method("anz", reduce=mean, norm="minmax"),
        Method("med", reduce=median, norm="minmax"),
        Method("max", reduce=largest, norm="minmax"),
        Method("min", reduce=smallest, norm="minmax"),
        Method("wmnz", factor=_mapped_weights, weighted=False, norm="minmax"),
        Method("mixed", factor=_hits(0.5), norm="minmax"),
        Method("isr", _inverse_square, factor=_hits(1)),
        Method("logisr", _inverse_square, factor=lambda lists, _, __: np.log(np.maximum(lists.count, 1))),
        Method(
            "logn_isr",
            _inverse_square,
            factor=lambda lists, _, p: np.log(lists.count + p["sigma"]),
            parameters={"sigma": 0.01},
        ),
        Method(
            "rbc",
            lambda lists, _, p: (1 - p["phi"]) * np.float_power(p["phi"], lists.rank - 1),
            parameters={"phi": 0.8},
        ),
        Method("borda", _borda_points, missing=None, absent=_borda_absent),
        Method("condorcet", whole=_condorcet, missing=None, tiebreak=borda_rank, parameters={"cap": 1000}),
        Method("dbsf", norm="dbsf", missing=""),
        Method("gmean", combine=geometric, norm="minmax"),
        Method("hmean", combine=harmonic, norm="minmax"),
    )
}
ALIASES = {"wsum": "sum", "rsf": "sum"}
"""Weights turn sum into the weighted sum, and its default norm, min-max, into relative score fusion."""
