"""A reranker from what callers of other libraries pass as their model."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rank_plugins import rerankers as registry
from rank_plugins.errors import InputError
from rank_plugins.rerankers.hosting import reranker_of
from rank_plugins.rerankers.reranker import Reranker

CROSS_ENCODER = "rank-cross-encoder"


def reranker_for(
    model: str | os.PathLike[str] | Reranker,
    options: Mapping[str, Any],
    max_length: int | None,
    *,
    what: str,
    advice: str,
    activation: str = "default",
) -> Reranker:
    """Return the reranker of that name, or a cross-encoder where `model` is a folder or a name on the hub.

    Args:
        model: what the caller passed, under the name `what`.
        options: those of the reranker.
        max_length: for rerankers that have such an option; others read whole texts and need none.
        what: what the library calls it.
        advice: what to say where nothing of that name exists.
        activation: of a cross-encoder, unless the options say otherwise.

    Raises:
        InputError: an unknown name.
        InputTypeError: another type, an unknown option, or options beside a Reranker.

    """
    given = dict(options)
    if max_length is not None and isinstance(model, Reranker):
        given["max_length"] = max_length
    if not isinstance(model, (str, os.PathLike)):
        return reranker_of(model, given)
    name, names = os.fspath(model), registry.names()
    if name and name not in names and (isinstance(model, os.PathLike) or "/" in name or Path(name).is_dir()):
        name, given["model"] = CROSS_ENCODER, name
    if name == CROSS_ENCODER:
        given = {"activation": activation, "long_documents": "first"} | given  # as the libraries do
    if name in names and max_length is not None:
        takes = inspect.signature(registry._REGISTRY.factory(name)).parameters
        given |= {"max_length": max_length} if "max_length" in takes else {}
    try:
        return reranker_of(name, given)
    except InputError as error:
        if name in names:
            raise
        raise InputError(f"{what}: {error}; {advice}") from None
