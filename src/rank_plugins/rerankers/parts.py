"""Rerankers that others are made of: given by name, as a dict that JSON can hold, or as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from rank_plugins import rerankers as registry
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker

Part: TypeAlias = "str | Mapping[str, Any] | Reranker"
"""A name that `rank_plugins.rerankers.load` takes, a dict of a "name" and that reranker's options, or a reranker."""


def part(one: Part, where: str) -> Reranker:
    """Return the reranker that a part stands for; `where` is what the caller knows it by. No model is loaded.

    Who is given another object than `one` has made it, and closes it.

    Raises:
        InputError: an unknown name, a dict without "name", or options that the reranker refuses.
        InputTypeError: another type, or an unknown option.

    """
    if isinstance(one, Reranker):
        return one
    if isinstance(one, str):
        return registry.load(one)
    if not isinstance(one, Mapping):
        raise InputTypeError(f"{where}: expected a name, a dict or a Reranker, got {type(one).__name__}")
    if "name" not in one:
        raise InputError(f'{where}: expected a dict with "name", got one with {", ".join(map(str, one)) or "nothing"}')
    options = {option: value for option, value in one.items() if option != "name"}
    if wrong := [option for option in options if not isinstance(option, str)]:
        raise InputTypeError(f"{where}: expected names of options as text, got {type(wrong[0]).__name__} {wrong[0]!r}")
    return registry.load(one["name"], **options)


def part_name(one: Part) -> str:
    """Return what a part is called in `details`."""
    if isinstance(one, Mapping):
        return str(one["name"])
    return one if isinstance(one, str) else type(one).__name__


def ranked(reranker: Reranker, requests: Sequence[Request], top_k: int | None = None) -> list[Ranking]:
    """Rank the documents of all requests with one reranker, which gets their ids and scores if all have them."""
    ids, scores = [request.ids for request in requests], [request.scores for request in requests]
    return reranker.rerank_batch(
        [request.query for request in requests],
        [request.documents for request in requests],
        top_k=top_k,
        ids=[one for one in ids if one is not None] if None not in ids else None,
        scores=[one.tolist() for one in scores if one is not None] if all(one is not None for one in scores) else None,
    )
