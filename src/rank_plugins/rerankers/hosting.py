"""What adapters to other hosts share: a reranker from what their users pass, and scores that hosts can take."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from rank_plugins import rerankers as registry
from rank_plugins._checks import whole_number
from rank_plugins._executor import off_loop
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Reranker

__all__ = ["NOTHING", "count", "first_stage", "listed", "names", "off_loop", "pairs", "reranker_of", "threshold"]

T = TypeVar("T")

NOTHING = -1e9
"""The score of a document that has nothing to score, -inf inside: a float that JSON and sorting can take."""


def reranker_of(model: str | Reranker, options: Mapping[str, Any] | None = None) -> Reranker:
    """Return the reranker that a user of a host asks for; no model is loaded.

    Args:
        model: a name that `rank_plugins.rerankers.names()` lists, or a Reranker.
        options: those of `rank_plugins.rerankers.load`; none beside a Reranker.

    Raises:
        InputError: an unknown name, or an option whose value cannot be used.
        InputTypeError: another type, an unknown option, or options beside a Reranker.

    """
    if options is not None and not isinstance(options, Mapping):
        raise InputTypeError(f"model_kwargs: expected a dict, got {type(options).__name__}")
    if isinstance(model, Reranker):
        if options:
            raise InputTypeError(f"model_kwargs: {', '.join(options)} cannot change a Reranker that is already made")
        return model
    if not isinstance(model, str):
        raise InputTypeError(f"model: expected a name or a rank_plugins Reranker, got {type(model).__name__}")
    return registry.load(model, **(options or {}))


def pairs(ranking: Ranking, least: float | None = None) -> list[tuple[int, float]]:
    """Return (index into the documents, score) of a ranking, best first, as Python numbers; -inf is -1e9.

    With `least`, documents whose score is below it are left out, and so are those that have nothing to score.
    """
    if least is not None:
        return [(index, score) for index, score in ranking if score >= least and score > -math.inf]
    return [(index, NOTHING if score == -math.inf else score) for index, score in ranking]


def count(value: object, name: str) -> int | None:
    """Return how many documents to keep, None for all; `name` is what the host calls it.

    Raises:
        InputError: less than 1.
        InputTypeError: neither a whole number nor None.

    """
    return None if value is None else whole_number(value, name, 1)


def threshold(value: object, name: str = "score_threshold") -> float | None:
    """Return the least score of a document that is kept, None for no such limit; `name` is what the host calls it.

    Raises:
        InputError: NaN.
        InputTypeError: neither a number nor None.

    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputTypeError(f"{name}: expected a number, got {type(value).__name__} {value!r}")
    if math.isnan(value):
        raise InputError(f"{name}: expected a number, got NaN; leave it out to keep all documents")
    return float(value)


def listed(values: object, kind: type[T], where: str) -> list[T]:
    """Return a list of these objects of the host; `where` is what the caller knows them by.

    Raises:
        InputTypeError: no list, or something in it that is of another kind.

    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise InputTypeError(f"{where}: expected a list of {kind.__name__}s, got {type(values).__name__}")
    for i, one in enumerate(values):
        if not isinstance(one, kind):
            raise InputTypeError(f"{where}[{i}]: expected a {kind.__name__}, got {type(one).__name__}")
    return list(values)


def names(ids: Iterable[object], texts: Sequence[str]) -> list[str] | None:
    """Return the documents' ids for stores, if all are str and each stands for one text, else None.

    A store keeps one text under an id and refuses two; without ids it knows documents by their texts.
    """
    found = [
        (name, text)
        for name, text in zip(ids, texts, strict=True)
        if isinstance(name, str) and isinstance(text, str)  # a text of another type is for the reranker to refuse
    ]
    usable = len(found) == len(texts) and len(dict(found)) == len(set(found))
    return [name for name, _ in found] if usable else None


def first_stage(scores: Iterable[object]) -> list[float] | None:
    """Return the scores that documents came with, if all of them came with a number, else None."""
    found = list(scores)
    usable = all(isinstance(one, numbers.Real) and not isinstance(one, bool) and math.isfinite(one) for one in found)
    return [float(one) for one in found] if usable else None  # type: ignore[arg-type]
