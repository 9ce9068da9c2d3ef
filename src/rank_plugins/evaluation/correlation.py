"""How alike two orders are, of systems in an ablation table or of documents: Kendall's tau, tau_AP and RBO.

An order is a list of ids, best first, or a mapping from ids to values, higher is better, where equal values tie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError

Order: TypeAlias = "Sequence[Any] | Mapping[Any, float]"


def kendall_tau(a: Order, b: Order) -> float:
    """Return Kendall's tau-b of two orders of the same ids: (C - D) / sqrt((P - T_a)(P - T_b)).

    C and D count the pairs in the same and in opposite order, T those tied in one order, P = n (n - 1) / 2 (Kendall
    1945). Without ties this is tau-a. NaN where one order ties everything.

    Raises:
        InputError: other ids, fewer than 2, an id twice, or NaN.
        InputTypeError: neither a list of ids nor a mapping.

    """
    x, y = _paired(a, b)
    signs_x, signs_y = _signs(x), _signs(y)
    untied = math.sqrt(np.abs(signs_x).sum() * np.abs(signs_y).sum())
    return float((signs_x * signs_y).sum()) / untied if untied else math.nan


def tau_ap(reference: Order, estimate: Order) -> float:
    """Return tau_AP: Kendall's tau where a swap at the top of the estimate counts more.

    Yilmaz, Aslam and Robertson (SIGIR 2008): tau_AP = 2 / (n - 1) * sum_{i=2..n} C(i) / (i - 1) - 1,
    where C(i) counts the ids above rank i of the estimate that the reference, too, puts above the id at rank i.
    Ties in the estimate: the expected value over all orders of what is tied. A pair that is tied in the reference
    counts one half. It is not symmetric.

    Raises:
        InputError: other ids, fewer than 2, an id twice, or NaN.
        InputTypeError: neither a list of ids nor a mapping.

    """
    truth, values = _paired(reference, estimate)
    n = len(truth)
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    total = 0.0
    start = 0
    while start < n:
        end = int(np.searchsorted(-values, -values[start], side="right"))
        # Each of the tied ids comes next with the same chance: their mean agreement with what is above the group,
        # and one half for each of the group that came before.
        above, group = truth[:start, None], truth[None, start:end]
        agreed = float(((above > group) + 0.5 * (above == group)).sum()) / (end - start)
        total += math.fsum((agreed + 0.5 * j) / (start + j) for j in range(end - start) if start + j)
        start = end
    return 2.0 * total / (n - 1) - 1.0


def rbo(a: Order, b: Order, p: float = 0.9) -> float:
    """Return the extrapolated rank-biased overlap of two orders, 0 ... 1 (Webber, Moffat and Zobel 2010, equation 32).

    The orders need not hold the same ids, nor equally many (s the shorter, l the longer). With X_d the ids that both
    have above depth d: RBO_ext = (1-p)/p (sum_{d<=l} X_d/d p^d + sum_{s<d<=l} X_s (d-s)/(s d) p^d)
    + ((X_l - X_s)/l + X_s/s) p^l. Ties: the expected value over all orders of what is tied.

    Args:
        a: one order.
        b: the other.
        p: how likely a reader goes on to the next rank; 0.9 puts 86 % of the weight on the first 10 ranks.

    Raises:
        InputError: p not between 0 and 1, an empty order, an id twice, or NaN.
        InputTypeError: neither a list of ids nor a mapping.

    """
    if not 0.0 < p < 1.0:
        raise InputError(f"p: expected a number between 0 and 1, got {p!r}")
    spans_a, spans_b = _spans(_values(a, "a")), _spans(_values(b, "b"))
    if not spans_a or not spans_b:
        raise InputError("rbo: expected two orders of at least 1 id, got an empty one")
    s, longest = sorted((len(spans_a), len(spans_b)))
    depth = np.arange(1, longest + 1, dtype=np.float64)
    overlap = _overlap(spans_a, spans_b, longest)
    weight = p**depth
    at_s, at_l = float(overlap[s - 1]), float(overlap[-1])
    seen = float((overlap / depth * weight).sum())
    beyond = float((at_s * (depth - s) / (s * depth) * weight)[s:].sum())
    return (1.0 - p) / p * (seen + beyond) + ((at_l - at_s) / longest + at_s / s) * p**longest


def _overlap(
    spans_a: Mapping[Any, tuple[int, int]], spans_b: Mapping[Any, tuple[int, int]], depth: int
) -> NDArray[np.float64]:
    """Return how many ids both orders have in their first d, d = 1 ... depth; with ties, the expected number."""
    overlap = np.zeros(depth)
    for name in spans_a.keys() & spans_b.keys():
        (first_a, last_a), (first_b, last_b) = spans_a[name], spans_b[name]
        certain = max(last_a, last_b)
        overlap[certain - 1 :] += 1.0
        between = np.arange(max(first_a, first_b), certain)
        chance_a = np.minimum((between - first_a + 1) / (last_a - first_a + 1), 1.0)
        chance_b = np.minimum((between - first_b + 1) / (last_b - first_b + 1), 1.0)
        overlap[between - 1] += chance_a * chance_b
    return overlap


def _spans(values: Mapping[Any, float]) -> dict[Any, tuple[int, int]]:
    """Return the first and last rank that each id may have, from 1; they differ where values tie."""
    order = sorted(values, key=lambda name: -values[name])
    ranked = -np.array([values[name] for name in order], np.float64)
    first = np.searchsorted(ranked, ranked, side="left") + 1
    last = np.searchsorted(ranked, ranked, side="right")
    return dict(zip(order, zip(first.tolist(), last.tolist(), strict=True), strict=True))


def _signs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the order of every pair i < j: 1, -1, or 0 where they tie."""
    i, j = np.triu_indices(len(values), 1)
    signs: NDArray[np.float64] = (values[i] > values[j]).astype(np.float64) - (values[i] < values[j])
    return signs


def _paired(a: Order, b: Order) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = _values(a, "a"), _values(b, "b")
    if first.keys() != second.keys():
        odd = sorted(map(repr, first.keys() ^ second.keys()))
        raise InputError(f"expected two orders of the same ids, got {len(odd)} that only one has, {odd[0]} first")
    if len(first) < 2:
        raise InputError(f"expected at least 2 ids to order, got {len(first)}")
    return (
        np.array(list(first.values()), np.float64),
        np.array([second[name] for name in first], np.float64),
    )


def _values(order: Order, what: str) -> dict[Any, float]:
    """Return an order as values, higher is better."""
    if isinstance(order, Mapping):
        values = dict(order)
        for name, value in values.items():
            if not isinstance(value, (int, float, np.number)) or math.isnan(value):
                raise InputError(f"{what}: expected a number for every id, got {value!r} for {name!r}")
        return values
    if isinstance(order, (str, bytes)) or not isinstance(order, (Sequence, np.ndarray)):
        raise InputTypeError(
            f"{what}: expected ids in a list, best first, or {{id: value}}, got {type(order).__name__}"
        )
    names = order.tolist() if isinstance(order, np.ndarray) else list(order)
    wrong = next((name for name in names if not isinstance(name, (str, bytes, int, np.integer))), None)
    if wrong is not None:
        raise InputTypeError(f"{what}: expected ids, got {wrong!r}; give values as {{id: value}}")
    ranked = {name: float(len(names) - i) for i, name in enumerate(names)}
    if len(ranked) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"{what}: expected every id once, got {twice!r} twice")
    return ranked
