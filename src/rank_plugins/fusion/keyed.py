"""fuse_keyed: what retrievers and joiners of other hosts return, fused and led back to their objects."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.lists import Lists
from rank_plugins.fusion.plan import plan
from rank_plugins.fusion.trained import Trained


class Fused(NamedTuple):
    """One document of a fused list, and where each source had it."""

    key: str
    score: float
    """The fused score; higher is better."""
    ranks: list[int | None]
    """Its rank in each source, from 1; None where the source does not have it."""
    source: int
    """The first source that has it."""
    position: int
    """Its place there, from 0."""


def fuse_keyed(
    lists: Sequence[Sequence[tuple[str, float | None]]],
    method: str | Trained | Callable[..., Any] = "rrf",
    *,
    weights: Sequence[float] | None = None,
    top: int | None = None,
    **parameters: Any,
) -> list[Fused]:
    """Fuse the lists of several sources by the keys of their documents; see `rank_plugins.fuse`.

    A key that is twice in a list counts once, where it stands best. Equal scores are ordered by best single rank, then
    by the first source that has the document, then by the place there.

    Args:
        lists: for each source (key, score) of its documents, best first. A list's scores count if all of them are
            numbers; where some are None its order does, and methods that read scores refuse it.
        method: as in `fuse`.
        weights: one per source, 0 or more; 1 each by default.
        top: how many documents to return; None returns all.
        parameters: others of `fuse`, such as norm="minmax", and those of the method.

    Raises:
        InputError: no source, weights of another number, or what else `fuse` refuses.
        InputTypeError: a key that is no str.

    """
    if not lists:
        raise InputError("lists: expected those of at least one source, got none")
    if top is not None:
        top = whole_number(top, "top", 1)
    norm, missing, keep = parameters.pop("norm", None), parameters.pop("missing", None), parameters.pop("keep", False)
    chosen = plan(len(lists), method, weights=weights, norm=norm, missing=missing, keep=keep, parameters=parameters)
    found: dict[str, tuple[int, int]] = {}
    kept = [_distinct(one, j, found) for j, one in enumerate(lists)]
    columns, ranks = _columns(kept, {key: code for code, key in enumerate(found)})
    scores = chosen.scores(columns)
    order = np.lexsort([chosen.tiebreak(columns), -scores])  # stable: what was found first stays first
    fused = [code for code in order.tolist() if not np.isnan(scores[code])][:top]
    keys = list(found)
    return [
        Fused(keys[code], float(scores[code]), [one.get(keys[code]) for one in ranks], *found[keys[code]])
        for code in fused
    ]


def method_options(value: object, name: str = "method_kwargs") -> dict[str, Any]:
    """Return the `parameters` of `fuse_keyed` that a user passes in a dict; `name` is what the host calls it.

    Raises:
        InputTypeError: not a dict, or an argument in it that the host has a place of its own for.

    """
    if value is not None and not isinstance(value, Mapping):
        raise InputTypeError(f"{name}: expected a dict, got {type(value).__name__}")
    options = dict(value or {})
    for own in ("lists", "method", "weights", "top", "explain"):
        if own in options:
            raise InputTypeError(f"{name}: expected parameters of the method, got {own!r}; leave it out")
    return options


def _columns(kept: Sequence[dict[str, float | None]], codes: Mapping[str, int]) -> tuple[Lists, list[dict[str, int]]]:
    """Return the sources' documents as Lists, and the ranks of each source's keys; equal scores keep their order."""
    entries: list[int] = []
    values: list[float] = []
    ranks: list[dict[str, int]] = []
    scored = [None not in one.values() for one in kept]
    for one, has_scores in zip(kept, scored, strict=True):
        names = sorted(one, key=lambda key: -one[key]) if has_scores else list(one)  # type: ignore[operator]
        entries += [codes[key] for key in names]
        values += [one[key] for key in names] if has_scores else range(len(names), 0, -1)  # type: ignore[misc]
        ranks.append({key: rank for rank, key in enumerate(names, start=1)})
    places = np.array([rank for one in ranks for rank in one.values()], np.int64)
    segments = np.cumsum([0, *map(len, ranks)])
    unions = np.array([0, len(codes)], np.int64)
    lists = Lists(len(kept), segments, np.array(entries, np.int64), places, np.array(values), unions, scored, True)
    return lists, ranks


def _distinct(
    one: Sequence[tuple[str, float | None]], source: int, found: dict[str, tuple[int, int]]
) -> dict[str, float | None]:
    """Return the scores of one source's keys, each once, and note in `found` where a key was first seen.

    A score of -inf says that the source does not have the document, as in `fuse`.
    """
    scores: dict[str, float | None] = {}
    for position, (key, score) in enumerate(one):
        if not isinstance(key, str):
            raise InputTypeError(f"lists[{source}][{position}]: expected a key that is a str, got {type(key).__name__}")
        if score is not None and not isinstance(score, numbers.Real):
            raise InputTypeError(
                f"lists[{source}][{position}]: expected a number as the score of {key!r}, got {type(score).__name__}"
            )
        if score is not None and math.isnan(score):
            raise InputError(f"lists[{source}][{position}]: expected a score for {key!r}, got NaN")
        if score == -math.inf:
            continue
        known = scores.setdefault(key, score)
        if score is not None and known is not None and score > known:
            scores[key] = score
        found.setdefault(key, (source, position))
    return scores
