"""Encoders: text to TokenEmbeddings."""

from __future__ import annotations

from typing import Any, cast

from rank_plugins._registry import Registry
from rank_plugins.encoders.encoder import Encoder

__all__ = ["Encoder", "load", "names"]

_REGISTRY = Registry("rank_plugins.encoders", {"minilm": "rank_plugins.encoders.onnx:minilm"})


def load(name: str, **options: Any) -> Encoder:
    """Return the encoder of that name: "minilm" (inside this package) or one that another distribution adds.

    Models without a name, as folders or from a hub, are opened by `rank_plugins.encoders.onnx.OnnxEncoder`.

    Raises:
        InputError: the name is unknown.
        InputTypeError: an option is unknown.
        MissingExtraError: a package that the encoder needs is not installed.

    """
    return cast(Encoder, _REGISTRY.create(name, options))


def names() -> list[str]:
    """Return the names that `load` knows."""
    return _REGISTRY.names()
