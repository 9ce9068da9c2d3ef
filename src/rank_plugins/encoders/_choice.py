"""Which engine serves an encoder, and why: by what the model is and what its files say."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rank_plugins import _engines
from rank_plugins._arrays import cpu_has
from rank_plugins._extras import importable
from rank_plugins.encoders._files import GRAPHS, SETTINGS, Listing, look
from rank_plugins.encoders.flag_embedding import HEADS, FlagEmbeddingEncoder
from rank_plugins.encoders.onnx import OnnxEncoder
from rank_plugins.encoders.sentence_transformers import MULTI, SentenceTransformersEncoder, kind_of
from rank_plugins.errors import InputError, InputTypeError

ONNX, SENTENCE, FLAG = "onnx", "sentence-transformers", "flagembedding"
FACTORIES: dict[str, Callable[..., Any]] = {
    ONNX: OnnxEncoder,
    SENTENCE: SentenceTransformersEncoder,
    FLAG: FlagEmbeddingEncoder,
}
ENGINES = ("auto", *_engines.ENGINES, SENTENCE, FLAG)
NEEDED = {SENTENCE: "sentence_transformers", FLAG: "FlagEmbedding"}


class Choice(NamedTuple):
    """The engine that serves an encoder."""

    engine: str
    """onnxruntime, openvino, sentence-transformers or flagembedding."""
    because: str
    """Why, as part of a sentence."""
    factory: Callable[..., Any]
    """Makes the encoder from its options."""

    @property
    def installed(self) -> bool:
        """Whether the engine's package is there."""
        return importable(NEEDED.get(self.engine, self.engine))


def choose(model: Any, engine: str = "auto") -> Choice:
    """Return the engine for a folder, a hub name or a live model, and why.

    For a hub name its list of files is asked of the hub.

    Raises:
        InputError: an unknown engine, one that cannot serve the model, or a model that nothing can serve.
        InputTypeError: neither a name, a folder nor a model of a known library.

    """
    if engine not in ENGINES:
        raise InputError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    if not isinstance(model, (str, os.PathLike)):
        return _live(model, engine)
    if engine == "auto":
        family, because = _by_files(look(model))
    else:
        family, because = ONNX if engine in _engines.ENGINES else engine, "asked for"
    if family == ONNX:
        return onnx_choice(functools.partial(OnnxEncoder, model), because, engine)
    return Choice(family, because, functools.partial(FACTORIES[family], model))


def onnx_choice(factory: Callable[..., Any], because: str, engine: str = "auto") -> Choice:
    """Return the engine that runs an ONNX graph."""
    chosen = _engines.choose(engine)
    if engine == "auto":
        because = f"{because}, and {_fastest(chosen)}"
    return Choice(chosen, because, functools.partial(factory, engine=engine))


def decided_later(model: Any, engine: str) -> bool:
    """Return whether the choice needs the hub, or a folder that is not there yet."""
    return engine == "auto" and isinstance(model, (str, os.PathLike)) and not Path(model).expanduser().is_dir()


def _by_files(listing: Listing) -> tuple[str, str]:
    """Return the family of engines for these files, and why."""
    names = listing.names
    graphs = sorted(name for name in names if name.endswith(".onnx"))
    if graphs and SETTINGS in names:
        return ONNX, f"it has {graphs[0]} and {SETTINGS}"
    if HEADS[0] in names:
        return FLAG, f"it has {HEADS[0]}, the colbert head of BGE-M3"
    if not graphs and not names & {"modules.json", "config.json"}:
        found = ", ".join(sorted(names)[:5]) or "no files"
        raise InputError(
            f"encoder: expected an ONNX graph, {HEADS[0]} or a model of sentence-transformers or transformers in"
            f" {listing.model!r}, got {found}"
        )
    usable = [name for name in GRAPHS if name in names]
    if names & {"modules.json", "config.json"}:
        kind, because = kind_of(listing)
        if kind == MULTI or not usable:  # a graph would be without projection, markers and expansion
            return SENTENCE, because
    return ONNX, f"it has {(usable or graphs)[0]}"


def _live(model: Any, engine: str) -> Choice:
    """Return the engine of a model that is already made: its own library."""
    libraries = {base.__module__.split(".")[0] for base in type(model).__mro__}
    for family, library in ((SENTENCE, "sentence_transformers"), (FLAG, "FlagEmbedding")):
        if library in libraries:
            if engine not in ("auto", family):
                raise InputError(f"engine: expected auto or {family} for a live {type(model).__name__}, got {engine!r}")
            because = f"it is a live {type(model).__name__}"
            return Choice(family, because, functools.partial(FACTORIES[family], model))
    raise InputTypeError(
        f"encoder: expected a name, a folder or an Encoder, got {type(model).__name__};"
        " models of sentence-transformers and of FlagEmbedding are taken too"
    )


def _fastest(chosen: str) -> str:
    """Say why `chosen` runs graphs here."""
    if not importable(chosen):
        return "no engine for it is installed"
    if not cpu_has("AMX"):
        return f"{chosen} is the fastest installed on a CPU without AMX"
    if chosen == "openvino":
        return "openvino is the fastest on a CPU with AMX"
    return f"{chosen} is installed; openvino would be faster on this CPU"


def check_any(model: str | os.PathLike[str], options: Mapping[str, Any]) -> None:
    """Refuse options of which no engine takes all.

    Raises:
        InputTypeError: with every option that an engine takes.

    """
    takes = [set(inspect.signature(factory).parameters) - {"model"} for factory in FACTORIES.values()]
    if not any(taken.issuperset(options) for taken in takes):
        known = ", ".join(sorted(set.union(*takes)))
        raise InputTypeError(
            f"encoder {os.fspath(model)!r}: no engine takes {', '.join(options)}; options of its engines are: {known}"
        )
