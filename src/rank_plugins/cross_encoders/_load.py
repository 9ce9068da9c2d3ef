"""Cross-encoders by folder, hub name or live model; one model per configuration in a process."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from rank_plugins._shared import shared
from rank_plugins.cross_encoders._choice import ENGINES, FACTORIES, Choice, choose, decided_later
from rank_plugins.cross_encoders.cross_encoder import CrossEncoder
from rank_plugins.errors import InputTypeError


def load(model: Any, engine: str = "auto", **options: Any) -> CrossEncoder:
    """Return the cross-encoder of a folder, a model on the hub, or a live model of another library.

    Who asks for the same model with the same options shares it.

    Args:
        model: a folder, a name on the hub, a `CrossEncoder` of sentence-transformers, a reranker of FlagEmbedding, a
            `Ranker` of FlashRank, or a ranker of the library rerankers.
        engine: "auto" goes by the model's files, as `explain` says; others of ENGINES are taken as they are.
        **options: those of the engine.

    Raises:
        InputError: no such model, or one that the engine cannot serve.
        InputTypeError: an option is unknown, or a model of an unknown kind.
        MissingExtraError: a package that the engine needs is not installed.
        StoreError: files are missing or damaged.

    """
    return prepare(model, engine, options)()


def prepare(model: Any, engine: str, options: Mapping[str, Any]) -> Callable[[], CrossEncoder]:
    """Return `load(model, engine, **options)` as a call to make later; options are checked now.

    Raises:
        InputError: an unknown engine, or a folder without a cross-encoder.
        InputTypeError: an option is unknown, or a model of an unknown kind.

    """
    if decided_later(model, engine):
        _check_any(model, options)
        return lambda: _prepared(choose(model, engine), model, options)()
    return _prepared(choose(model, engine), model, options)


def _prepared(choice: Choice, model: Any, options: Mapping[str, Any]) -> Callable[[], CrossEncoder]:
    make = choice.prepared(model, options)
    key = ("cross-encoder", choice.engine, _place(model), repr(sorted(options.items())))
    return lambda: cast(CrossEncoder, shared(key, make))


def _place(model: Any) -> Any:
    """Return the path of a folder, the same for every way to write it; the name or identity of anything else."""
    if not isinstance(model, (str, os.PathLike)):
        return id(model)
    path = Path(model).expanduser()
    return str(path.resolve()) if path.is_dir() else os.fspath(model)


def _check_any(model: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that no engine takes all of, where the engine is not known yet."""
    takes = {name: set(inspect.signature(FACTORIES.factory(name)).parameters) - {"model"} for name in ENGINES[1:]}
    if not any(taken.issuperset(options) for taken in takes.values()):
        known = ", ".join(sorted(set.union(*takes.values())))
        raise InputTypeError(
            f"cross-encoder {os.fspath(model)!r}: no engine takes {', '.join(options)}; options of its engines are:"
            f" {known}"
        )
