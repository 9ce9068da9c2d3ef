"""Which engine serves a cross-encoder, and why: by what the model is and what its files say."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rank_plugins import _engines
from rank_plugins._extras import importable
from rank_plugins._registry import Registry, check_options
from rank_plugins.cross_encoders._library import libraries
from rank_plugins.cross_encoders.cross_encoder import SETTINGS
from rank_plugins.encoders._files import Listing, look
from rank_plugins.errors import InputError, InputTypeError

HERE = "rank_plugins.cross_encoders"
SENTENCE, FLAG, FLASH, RERANKERS = "sentence-transformers", "flagembedding", "flashrank", "rerankers"
SEQ2SEQ, CAUSAL = "seq2seq", "causal"
FACTORIES = Registry(
    HERE,
    {
        "onnxruntime": f"{HERE}.onnx:on_onnxruntime",
        "openvino": f"{HERE}.onnx:on_openvino",
        SENTENCE: f"{HERE}.sentence_transformers:SentenceTransformersCrossEncoder",
        FLAG: f"{HERE}.flag_embedding:FlagEmbeddingCrossEncoder",
        FLASH: f"{HERE}.flashrank:FlashRankCrossEncoder",
        RERANKERS: f"{HERE}.rerankers:RerankersCrossEncoder",
        SEQ2SEQ: f"{HERE}.seq2seq:Seq2SeqCrossEncoder",
        CAUSAL: f"{HERE}.causal:CausalCrossEncoder",
    },
)
ENGINES = ("auto", *FACTORIES.own)
NEEDED = {
    SENTENCE: "sentence_transformers",
    FLAG: "FlagEmbedding",
    SEQ2SEQ: "transformers",
    CAUSAL: "transformers",
}
# In the model types or code of FlagEmbedding's own architectures.
LAYERED = ("layerwise", "lightweight", "minicpm", "costwise")


class Choice(NamedTuple):
    """The engine that serves a cross-encoder."""

    engine: str
    """One of ENGINES but "auto"."""
    because: str
    """Why, as part of a sentence."""

    @property
    def installed(self) -> bool:
        """Whether the engine's package is there."""
        return importable(NEEDED.get(self.engine, self.engine))

    def factory(self) -> Callable[..., Any]:
        """Return what makes the cross-encoder from the model and options."""
        return FACTORIES.factory(self.engine)

    def prepared(self, model: Any, options: Mapping[str, Any]) -> Callable[[], Any]:
        """Return the call that loads the model; options are checked now.

        Raises:
            InputTypeError: an option is unknown.

        """
        factory = self.factory()
        what = repr(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else type(model).__name__
        check_options(factory, f"cross-encoder {what} on {self.engine}", {"model": model, **options})
        return functools.partial(factory, model, **options)


def choose(model: Any, engine: str = "auto") -> Choice:
    """Return the engine for a folder, a hub name or a live model, and why; nothing is loaded.

    Raises:
        InputError: an unknown engine, or a model that no engine can serve.
        InputTypeError: neither a name, a folder nor a model of a known library.

    """
    if engine not in ENGINES:
        raise InputError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    if not isinstance(model, (str, os.PathLike)):
        return _live(model, engine)
    return Choice(engine, "asked for") if engine != "auto" else _by_files(look(model))


def decided_later(model: Any, engine: str) -> bool:
    """Return whether the choice needs the hub, or a folder that is not there yet."""
    return engine == "auto" and isinstance(model, (str, os.PathLike)) and not Path(model).expanduser().is_dir()


def is_cross_encoder(model: str | os.PathLike[str]) -> bool:
    """Return whether the files of a folder, or of a name on the hub, are those of a model that scores pairs.

    Raises:
        InputError: neither a folder nor the form of a hub name, or not to be had from the hub.
        MissingExtraError: a hub name, and huggingface_hub is not installed.

    """
    listing = look(model)
    return SETTINGS in listing.names or _by_config(listing) is not None


def _by_files(listing: Listing) -> Choice:
    graphs = sorted(name for name in listing.names if name.endswith(".onnx"))
    own = _by_config(listing)
    if graphs and "tokenizer.json" in listing.names:
        chosen = _engines.choose("auto")
        weights = any(name.endswith(".safetensors") for name in listing.names)
        if weights and own is not None and own.installed and not importable(chosen):
            return Choice(own.engine, f"{own.because}, and no engine for its {graphs[0]} is installed")
        return Choice(chosen, f"it has {SETTINGS if SETTINGS in listing.names else graphs[0]}")
    if own is not None:
        return own
    if "config.json" in listing.names:
        return Choice(SENTENCE, "it is a model of transformers")
    found = ", ".join(sorted(listing.names)[:5]) or "no files"
    raise InputError(
        "model: expected a cross-encoder, a folder with model.onnx and tokenizer.json or a model of transformers,"
        f" in {listing.model!r}, got {found}"
    )


def _by_config(listing: Listing) -> Choice | None:
    """Return the engine of a model that its configuration says scores pairs."""
    config = listing.json("config.json")
    architectures = [str(name) for name in config.get("architectures") or []]
    kind = str(config.get("model_type", ""))
    said = f"{kind} {' '.join(architectures)} {config.get('auto_map', '')}".lower()
    if any(word in said for word in LAYERED):
        return Choice(FLAG, f"it is a {', '.join(architectures) or kind} of FlagEmbedding")
    if listing.json("config_sentence_transformers.json").get("model_type") == "CrossEncoder":
        return Choice(SENTENCE, "its folder was saved by CrossEncoder")
    if "modules.json" in listing.names:  # an encoder, perhaps over a language model
        return None
    engines = {"ForSequenceClassification": SENTENCE, "T5ForConditionalGeneration": SEQ2SEQ, "ForCausalLM": CAUSAL}
    for name in architectures:
        for ending, engine in engines.items():
            if name.endswith(ending):
                return Choice(engine, f"it is a {name}")
    return None


def _live(model: Any, engine: str) -> Choice:
    """Return the engine of a model that is already made: its own library."""
    packages = libraries(model)
    for name in (SENTENCE, FLAG, FLASH, RERANKERS):
        if NEEDED.get(name, name) in packages:
            if engine not in ("auto", name):
                raise InputError(f"engine: expected auto or {name} for a live {type(model).__name__}, got {engine!r}")
            return Choice(name, f"it is a live {type(model).__name__}")
    raise InputTypeError(
        f"model: expected a folder, a name or a cross-encoder of {', '.join((SENTENCE, FLAG, FLASH, RERANKERS))},"
        f" got {type(model).__name__}"
    )
