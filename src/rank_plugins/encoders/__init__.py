"""Encoders: text to TokenEmbeddings."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from rank_plugins._registry import Registry, check_options
from rank_plugins.encoders.encoder import Encoder

__all__ = ["Encoder", "load", "names", "prepare"]

_REGISTRY = Registry("rank_plugins.encoders", {"minilm": "rank_plugins.encoders.onnx:minilm"})


def load(model: str | os.PathLike[str], **options: Any) -> Encoder:
    """Return the encoder "minilm" (inside this package), one that another distribution adds, or any ONNX model.

    What is not a name that `names` lists is the folder or hub name of a model, opened by
    `rank_plugins.encoders.onnx.OnnxEncoder`, whose options it takes.

    Raises:
        InputError: neither a name, a folder nor a model on the hub.
        InputTypeError: an option is unknown.
        MissingExtraError: a package that the encoder needs is not installed.

    """
    return prepare(model, options)()


def prepare(
    model: str | os.PathLike[str], options: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None
) -> Callable[[], Encoder]:
    """Return `load(model, **options)` as a call to make later; options are checked now.

    `defaults` are options for those encoders that take them.

    Raises:
        InputTypeError: an option is unknown.

    """
    if isinstance(model, str) and model in names():
        factory = _REGISTRY.factory(model)
    else:
        from rank_plugins.encoders.onnx import OnnxEncoder

        factory = functools.partial(OnnxEncoder, model)
    check_options(factory, f"encoder {os.fspath(model)!r}", options)
    taken = {name: value for name, value in (defaults or {}).items() if name in inspect.signature(factory).parameters}
    return cast("Callable[[], Encoder]", functools.partial(factory, **(taken | dict(options))))


def names() -> list[str]:
    """Return the names that `load` knows beside folders and models on a hub."""
    return _REGISTRY.names()
