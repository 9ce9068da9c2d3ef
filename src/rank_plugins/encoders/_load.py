"""Encoders by name, folder, hub name or live model."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from rank_plugins._registry import Registry, check_options
from rank_plugins.encoders._choice import Choice, check_any, choose, decided_later, onnx_choice
from rank_plugins.encoders.encoder import Encoder

_REGISTRY = Registry("rank_plugins.encoders", {"minilm": "rank_plugins.encoders.onnx:minilm"})


def load(model: Any, engine: str = "auto", **options: Any) -> Encoder:
    """Return the encoder of a name, a folder, a model on the hub, or a live model of another library.

    Args:
        model: "minilm" (inside this package), a name that another distribution adds, a folder, a name on the hub, or
            a model of sentence-transformers or FlagEmbedding that is already made.
        engine: "auto" goes by the model's files, as `explain` says; "onnxruntime", "openvino",
            "sentence-transformers" or "flagembedding" is taken as it is.
        **options: those of the encoder: `OnnxEncoder`, `SentenceTransformersEncoder` or `FlagEmbeddingEncoder`.

    Raises:
        InputError: neither a name, a folder nor a model on the hub, or one that the engine cannot serve.
        InputTypeError: an option is unknown, or a model of an unknown kind.
        MissingExtraError: a package that the encoder needs is not installed.

    """
    return prepare(model, {"engine": engine, **options} if engine != "auto" else options)()


def prepare(
    model: Any, options: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None
) -> Callable[[], Encoder]:
    """Return `load(model, **options)` as a call to make later; options are checked now.

    `defaults` are options for those encoders that take them.

    Raises:
        InputError: an unknown engine, or a folder without a model.
        InputTypeError: an option is unknown, or a model of an unknown kind.

    """
    if isinstance(model, str) and model in names():
        return _call(_REGISTRY.factory(model), f"encoder {model!r}", options, defaults)
    rest = dict(options)
    engine = rest.pop("engine", "auto")
    if decided_later(model, engine):
        check_any(model, rest)
        return lambda: _prepare(choose(model, engine), model, rest, defaults)()
    return _prepare(choose(model, engine), model, rest, defaults)


def explain(model: Any = "minilm", engine: str = "auto") -> Choice:
    """Return the engine that serves an encoder here, and why; nothing is loaded, and no weights are fetched.

    Raises:
        InputError: neither a name, a folder nor a model on the hub, or one that the engine cannot serve.
        InputTypeError: a model of an unknown kind.

    """
    if isinstance(model, str) and model in names():
        factory = _REGISTRY.factory(model)
        if "engine" in inspect.signature(factory).parameters:
            return onnx_choice(factory, "asked for" if engine != "auto" else "it is an ONNX graph", engine)
        return Choice(factory.__module__.split(".")[0], "another distribution adds this name", factory)
    return choose(model, engine)


def names() -> list[str]:
    """Return the names that `load` knows beside folders and models on a hub."""
    return _REGISTRY.names()


def _prepare(
    choice: Choice, model: Any, options: Mapping[str, Any], defaults: Mapping[str, Any] | None
) -> Callable[[], Encoder]:
    what = repr(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else type(model).__name__
    return _call(choice.factory, f"encoder {what} on {choice.engine}", options, defaults)


def _call(
    factory: Callable[..., Any], what: str, options: Mapping[str, Any], defaults: Mapping[str, Any] | None
) -> Callable[[], Encoder]:
    """Return the call to make later, its options checked now."""
    check_options(factory, what, options)
    taken = {name: value for name, value in (defaults or {}).items() if name in inspect.signature(factory).parameters}
    return cast("Callable[[], Encoder]", functools.partial(factory, **(taken | dict(options))))
