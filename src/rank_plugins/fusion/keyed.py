"""fuse_keyed: what retrievers and joiners of other hosts return, fused and led back to their objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion._fuse import fuse
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
    found: dict[str, tuple[int, int]] = {}
    kept = [_distinct(one, j, found) for j, one in enumerate(lists)]
    number = {key: -i for i, key in enumerate(found)}  # ties go to the larger id: to what was found first
    keys = list(found)
    runs: list[list[Any]] = []
    ranks: list[dict[str, int]] = []
    for one in kept:
        scores = [score for score in one.values() if score is not None]
        scored = len(scores) == len(one)
        runs.append([(number[key], score) for key, score in one.items()] if scored else [number[key] for key in one])
        # sorting is stable, so the source's own order decides between equal scores, as it does in fuse
        order = sorted(range(len(one)), key=lambda i: -scores[i]) if scored else range(len(one))
        names = list(one)
        ranks.append({names[i]: rank for rank, i in enumerate(order, start=1)})
    fused = fuse(runs, method, weights=weights, top=top, **parameters)
    return [Fused(keys[-i], score, [one.get(keys[-i]) for one in ranks], *found[keys[-i]]) for i, score in fused]


def _distinct(
    one: Sequence[tuple[str, float | None]], source: int, found: dict[str, tuple[int, int]]
) -> dict[str, float | None]:
    """Return the scores of one source's keys, each once, and note in `found` where a key was first seen."""
    scores: dict[str, float | None] = {}
    for position, (key, score) in enumerate(one):
        if not isinstance(key, str):
            raise InputTypeError(f"lists[{source}][{position}]: expected a key that is a str, got {type(key).__name__}")
        known = scores.setdefault(key, score)
        if score is not None and known is not None and score > known:
            scores[key] = score
        found.setdefault(key, (source, position))
    return scores
