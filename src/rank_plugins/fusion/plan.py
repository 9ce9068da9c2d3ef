"""Plan: the arguments of a fusion, checked once, and the scores that they give to Lists."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion import norms
from rank_plugins.fusion.arguments import (
    checked_missing,
    checked_norms,
    checked_parameters,
    checked_weights,
    find_method,
)
from rank_plugins.fusion.lists import Floats, Integers, Lists
from rank_plugins.fusion.methods import RRF, Method
from rank_plugins.fusion.norms import Norm
from rank_plugins.fusion.presets import PRESETS
from rank_plugins.fusion.trained import Trained

KEPT = 1 << 13  # ranks of a table of points that is kept: plans are kept too, and longer lists take longer anyway


@dataclass(frozen=True, eq=False)
class Plan:
    """A method with everything it needs: `scores(lists)` is the fusion."""

    method: Method
    norms: tuple[Norm, ...]
    """One per list; empty for methods that read ranks."""
    weights: Floats
    missing: str | float
    keep: bool
    parameters: Mapping[str, Any]
    """Those of the method."""
    norm_parameters: Mapping[str, Any]
    function: Callable[..., Any] | None = None
    """The caller's own method."""

    def scores(self, lists: Lists) -> Floats:
        """Return the fused scores, float64 [U]; NaN drops a document, which only lists of weight 0 have."""
        used = self._used(lists)
        if self.function is not None:
            scores = self._called(used)
        elif self.method.whole is not None:
            scores = self.method.whole(used, self.weights, self.parameters)[0]
        else:
            scores = self._combined(used)
        if not used.complete:
            scores = np.where(used.count == 0, 0.0 if self.keep else np.nan, scores)
        return scores

    def contributions(self, lists: Lists) -> Floats | None:
        """Return what each list brings to each document, float64 [m, U]; None for the caller's own method."""
        used = self._used(lists)
        if self.function is not None:
            return None
        if self.method.whole is not None:
            return self.method.whole(used, self.weights, self.parameters)[1]
        brought = self.method.contributions(used, self.table(used), self.weights, self.parameters)
        if not used.complete:
            brought[:, used.count == 0] = 0.0  # such a document's score is 0 whatever lists say of missing ones
        return brought

    @property
    def summed(self) -> bool:
        """Whether scores are the weighted sum of a table that depends neither on weights nor on the other lists."""
        method = self.method
        special = (method.reduce, method.combine, method.factor, method.whole, method.absent, self.function)
        alone = all(norm.missing != "borda" for norm in self.norms)
        return not any(special) and method.weighted and alone and method is not RRF["haystack"]

    def tiebreak(self, lists: Lists) -> Integers:
        """Return what decides between equal scores, the smaller first, int64 [U]."""
        used = self._used(lists)
        return used.best if self.method.tiebreak is None else self.method.tiebreak(used, self.weights)

    def table(self, lists: Lists) -> Floats:
        """Return what each list says of each document before weights, float64 [m, U]."""
        values = self._points(lists)
        return lists.spread(values, self._fill(lists, values))

    def _points(self, lists: Lists) -> Floats:
        """Return what each list says of its documents before weights, float64 [E]."""
        values = self.normalised(lists) if self.norms else lists.score
        if self.method.points is None:
            return values
        return self.method.points(replace(lists, score=values) if self.norms else lists, self.weights, self.parameters)

    def _combined(self, lists: Lists) -> Floats:
        """Return the scores; a sum in which missing documents count 0 needs no table."""
        method, values = self.method, self._points(lists)
        fill = self._fill(lists, values)
        if method.reduce is not None or method.combine is not None or isinstance(fill, np.ndarray) or fill != 0:
            return method.scores(lists, lists.spread(values, fill), self.weights, self.parameters)
        if method.weighted and not self._equal:
            values = values * self.weights[lists.of_list]
        # Added one after the other, in the order of the lists.
        summed = np.bincount(lists.code, weights=values, minlength=lists.documents).astype(np.float64, copy=False)
        return summed if method.factor is None else summed * method.factor(lists, self.weights, self.parameters)

    def points(self, depth: int) -> Floats | None:
        """Return what each list gives the documents of rank 1 ... depth, float64 [m, depth]; scores are their sums.

        None where a score depends on more than that.
        """
        if not self._by_rank:
            return None
        if depth not in self._tables:
            method, m = self.method, len(self.weights)
            ranks, ends = np.tile(np.arange(1, depth + 1), m), np.arange(m + 1) * depth
            seen = Lists(m, ends, ranks - 1, ranks, np.zeros(len(ranks)), np.array([0, depth]), [True] * m)
            points = method.points(seen, self.weights, self.parameters).reshape(m, depth)  # type: ignore[misc]
            points = points * self.weights[:, None] if method.weighted else points
            if depth > KEPT:
                return points
            self._tables[depth] = points
        return self._tables[depth]

    @functools.cached_property
    def _by_rank(self) -> bool:
        """Whether a score is the sum of what each list gives for a rank."""
        method = self.method
        alone = method.ranked and not any((self.function, method.factor, method.tiebreak, self.norms))
        return alone and self.missing in ("zero", "skip", 0.0) and bool(self.weights.all())

    @functools.cached_property
    def _tables(self) -> dict[int, Floats]:
        return {}

    @functools.cached_property
    def _equal(self) -> bool:
        """Whether all weights are 1."""
        return bool((self.weights == 1).all())

    def normalised(self, lists: Lists) -> Floats:
        """Return the normalised scores, float64 [E]."""
        values = np.empty(len(lists.score))
        for norm in dict.fromkeys(self.norms):
            which = np.array([other is norm for other in self.norms])
            if not norm.ranks:
                lists.check_scored(f"norm {norm.name!r}", which)
            mine = which[lists.of_list]
            seen = lists if norm.ranks or which.all() else lists.without(~which)
            taken = {name: value for name, value in self.norm_parameters.items() if name in norm.parameters}
            result = norm.values(seen, **taken)
            values[mine] = result[mine] if seen is lists else result
        return values

    def _used(self, lists: Lists) -> Lists:
        return lists if self._equal or self.weights.all() else lists.without(self.weights == 0)

    def _called(self, lists: Lists) -> Floats:
        assert self.function is not None  # noqa: S101 - for the type checker
        seen = replace(lists, score=self.normalised(lists)) if self.norms else lists
        scores = np.ascontiguousarray(self.function(seen, **self.parameters), np.float64)
        if scores.shape != (lists.documents,):
            raise InputError(
                f"method: expected one score per document, shape ({lists.documents},), got {scores.shape} from"
                f" {self.method.name}"
            )
        return scores

    def _fill(self, lists: Lists, values: Floats) -> float | Floats:
        """Return what stands for a missing document: a number, or float64 [Nq, m]."""
        method = self.method
        nothing = np.nan if method.reduce is not None or method.combine is not None else 0.0
        if method.absent is not None:
            return method.absent(lists, self.weights)
        if self.missing != "":
            return self._filled(self.missing, lists, values, nothing)
        rules = [self._filled(norm.missing, lists, values, nothing) for norm in self.norms]
        if all(isinstance(rule, float) for rule in rules):
            return rules[0]
        shape = lists.lengths.shape
        return np.stack([np.broadcast_to(rule, shape)[:, j] for j, rule in enumerate(rules)], axis=1)

    @staticmethod
    def _filled(rule: str | float, lists: Lists, values: Floats, nothing: float) -> float | Floats:
        if rule == "skip":
            return nothing
        if rule == "zero":
            return 0.0
        if rule == "borda":
            return norms.borda_missing(lists)
        return lists.least(values) if isinstance(rule, str) else rule


def plan(
    count: int,
    method: str | Trained | Callable[..., Any] = "rrf",
    *,
    weights: Sequence[float] | None = None,
    norm: Any = None,
    missing: str | float | None = None,
    keep: bool = False,
    parameters: Mapping[str, Any] | None = None,
) -> Plan:
    """Check the arguments of a fusion of `count` lists; see `fuse`.

    Raises:
        InputError: an unknown name, or a value that cannot be used.
        InputTypeError: an unknown parameter, or another type.

    """
    given = dict(parameters or {})
    checked = checked_weights(weights, count)
    if callable(method) and not isinstance(method, Trained):
        return _own(method, count, checked, norm, missing, keep, given)
    if isinstance(method, Trained):
        chosen, norm_default = method.as_method(count), None
    elif isinstance(method, str) and method in PRESETS:
        preset = PRESETS[method]
        chosen, norm_default = preset.method, preset.norm
        checked, keep = preset.weights(checked, count), True
        given = {**preset.parameters, **given}
        missing = preset.missing if missing is None else missing
    else:
        chosen, norm_default = find_method(method, given), None
    every = np.ones(count) if checked is None else checked
    label = method.method if isinstance(method, Trained) else method
    if chosen.norm is None and norm is not None:
        raise InputError(f"norm: {label!r} reads ranks, so that a norm changes nothing; leave norm out")
    chosen_norms = (
        () if chosen.norm is None else checked_norms(norm_default or chosen.norm if norm is None else norm, count)
    )
    if missing is not None and chosen.missing is None:
        raise InputError(f"missing: {label!r} has its own rule for documents that a list does not have; leave it out")
    own, others = checked_parameters(label, given, chosen, chosen_norms)
    return Plan(chosen, chosen_norms, every, checked_missing(missing, chosen), keep, own, others)


@functools.lru_cache(maxsize=256)
def known_plan(
    count: int,
    method: str,
    weights: tuple[float, ...] | None,
    norm: str | None,
    missing: str | float | None,
    keep: bool,
    parameters: tuple[tuple[str, Any], ...],
) -> Plan:
    """Return the plan of the same arguments as before, for servers that fuse again and again; see `plan`."""
    return plan(count, method, weights=weights, norm=norm, missing=missing, keep=keep, parameters=dict(parameters))


def _own(
    function: Callable[..., Any],
    count: int,
    weights: Floats | None,
    norm: Any,
    missing: object,
    keep: bool,
    given: dict[str, Any],
) -> Plan:
    """Return the plan of a method that the caller wrote."""
    if weights is not None or missing is not None:
        raise InputError("weights, missing: a function of yours decides these itself; leave them out")
    chosen = () if norm is None else checked_norms(norm, count)
    takes = {name for one in chosen for name in one.parameters}
    others = {name: given.pop(name) for name in takes & set(given)}
    import inspect

    try:
        inspect.signature(function).bind(None, **given)
    except TypeError as error:
        raise InputTypeError(f"method: {getattr(function, '__name__', function)!r} {error}") from None
    method = Method(getattr(function, "__name__", type(function).__name__))
    return Plan(method, chosen, np.ones(count), "skip", keep, given, others, function)
