"""SentenceTransformersEncoder: token embeddings from the models of sentence-transformers, PyLate's among them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require
from rank_plugins._shared import shared
from rank_plugins._transformers import transformer_configuration
from rank_plugins.encoders._files import Listing, look
from rank_plugins.encoders._library import (
    BATCH_TOKENS,
    LibraryEncoder,
    LibraryModel,
    check_settings,
)
from rank_plugins.encoders.encoder import Role
from rank_plugins.errors import InputError, InputTypeError, MissingExtraError

MULTI, SINGLE = "MultiVectorEncoder", "SentenceTransformer"
UNLIMITED = 1 << 20  # tokenizers say 10 ** 30 where they have no limit


class SentenceTransformersEncoder(LibraryEncoder):
    """Encodes with a `MultiVectorEncoder` or with the token embeddings of a `SentenceTransformer`.

    Queries and documents go through the model's own `encode_query` and `encode_document`: prompts, markers, query
    expansion, projection, skip-list and normalisation are those of its configuration. A `SentenceTransformer`, or a
    plain Hugging Face encoder, gives its last layer's token vectors, scaled to length 1.
    """

    def __init__(
        self,
        model: Any,
        *,
        long_documents: Literal["windows", "first"] = "windows",
        batch_tokens: int = BATCH_TOKENS,
        device: str | None = None,
    ) -> None:
        """Load the model; encoders over the same one and device share it.

        Args:
            model: a folder, a name on the hub, or a `MultiVectorEncoder` or `SentenceTransformer`, used as it is.
            long_documents: "windows" encodes all of a document, "first" only what fits the model's window.
            batch_tokens: run together at most, padding included; one text may exceed it.
            device: such as "cpu" or "cuda:1"; None lets sentence-transformers choose.

        Raises:
            InputError: an unknown option, or no model that gives token embeddings.
            InputTypeError: another type, or a device beside a model that is already made.
            MissingExtraError: sentence-transformers is not installed, or is older than this model.

        """
        budget = check_settings(long_documents, batch_tokens)
        if isinstance(model, (str, os.PathLike)):
            listing = look(model)
            kind, _ = kind_of(listing)
            library = require("sentence_transformers")
            device = device or str(library.util.get_device_name())
            key: tuple[Any, ...] = ("sentence-transformers", listing.model, device)
            loaded = shared(key, lambda: _Model(load_model(listing, kind, device), kind, listing.model, live=False))
        else:
            if device is not None:
                raise InputTypeError("device: cannot change a model that is already made; move the model itself")
            kind = _kind_of_live(model)
            loaded = shared(("sentence-transformers", id(model)), lambda: _Model(model, kind, kind, live=True))
        super().__init__(loaded, long_documents, budget)


class _Model(LibraryModel):
    """A loaded MultiVectorEncoder or SentenceTransformer."""

    def __init__(self, model: Any, kind: str, name: str, *, live: bool) -> None:
        super().__init__(name, model.tokenizer, live=live)
        self._model, self._multi = model, kind == MULTI
        self._reader = next((module for module in model.modules() if hasattr(module, "query_length")), model)

    def window(self, role: Role) -> int | None:
        """Return the length to which the model's first module cuts texts of this role."""
        reader = self._reader
        said = getattr(reader, "processing_kwargs", {}).get("text", {}).get("max_length")
        length = said or getattr(reader, f"{role}_length", None) or reader.max_seq_length
        expansion = getattr(reader, "query_expansion", None) if role == "query" else None
        if expansion:
            length = expansion["length"] if expansion["strategy"] == "fixed" else max(length, expansion["length"])
        return None if length is None or length > UNLIMITED else int(length)

    @property
    def query_tokens(self) -> int:
        """How many tokens the model's first module expands a query to; 0 if it does not."""
        expansion = getattr(self._reader, "query_expansion", None)
        return int(expansion["length"]) if expansion else 0

    @property
    def prompts(self) -> str:
        """The model's prompts; which of them a role gets, its encode_query and encode_document decide."""
        return str(self._model.prompts)

    def _call(self, texts: list[str], role: Role, output: str | None) -> list[Any]:
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        found: list[Any] = encode(
            texts, batch_size=len(texts), output_value=output, convert_to_numpy=False, show_progress_bar=False
        )
        return found

    def _measure(self, role: Role) -> tuple[int, int]:
        features = self._call(["a"], role, None)[0]
        if "token_embeddings" not in features or "input_ids" not in features:
            raise InputError(f"encoder {self.name!r}: expected a model that gives token embeddings, got none of it")
        expansion = features.get("query_expansion_positions")
        extra = 0 if expansion is None else int(expansion.sum())
        return len(features["input_ids"]) - extra, int(features["token_embeddings"].shape[-1])

    def _encode(self, texts: list[str], role: Role) -> list[NDArray[np.float32]]:
        if self._multi:
            return [vectors.float().cpu().numpy() for vectors in self._call(texts, role, "token_embeddings")]
        found = []
        for features in self._call(texts, role, None):
            vectors = features["token_embeddings"][features["attention_mask"].bool()].detach().float()
            found.append(require("torch").nn.functional.normalize(vectors, dim=-1).cpu().numpy())
        return found

    def _layout(self, text: str, role: Role) -> tuple[list[int], list[bool]]:
        features = self._call([text], role, None)[0]
        return features["input_ids"].tolist(), features["attention_mask"].bool().tolist()

    def _frames(self, role: Role) -> list[tuple[str, str]]:  # noqa: ARG002 - which prompt a role gets, the model decides
        return [(prompt, "") for prompt in dict.fromkeys([*self._model.prompts.values(), ""])]

    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        model = self._model
        modules = [
            [type(module).__name__, module.get_config_dict() if hasattr(module, "get_config_dict") else {}]
            for module in model.children()
        ]
        rest = {
            "modules": modules,
            "transformer": transformer_configuration(model.config) if model.config is not None else {},
            "prompts": model.prompts,
            "normalised": not self._multi,
        }
        return model.state_dict(), rest


def kind_of(listing: Listing) -> tuple[str, str]:
    """Return the class that loads these files, "MultiVectorEncoder" or "SentenceTransformer", and why.

    Raises:
        InputError: a model of another kind.

    """
    config = listing.json("config_sentence_transformers.json")
    modules = listing.modules()
    architectures = listing.json("config.json").get("architectures") or []
    said = config.get("model_type", SINGLE)
    if modules and said == MULTI:
        return MULTI, "its folder was saved by MultiVectorEncoder"
    if modules and (said == "ColBERT" or "query_prefix" in config or "pylate" in str(modules)):
        return MULTI, "its folder was saved by PyLate"
    if modules and said == SINGLE:
        return SINGLE, "its folder was saved by SentenceTransformer: token embeddings of its last layer"
    if not modules and "HF_ColBERT" in architectures:
        return MULTI, "it is a ColBERT checkpoint with its projection inside"
    if not modules and any(name.endswith("ForRetrieval") for name in architectures):
        return MULTI, "it is a late-interaction model of transformers"
    if any(name.endswith("ForSequenceClassification") for name in architectures) or said == "CrossEncoder":
        raise InputError(
            f"encoder: expected a model that encodes text, got the cross-encoder {listing.model!r};"
            ' use the reranker "rank-cross-encoder"'
        )
    if modules or "config.json" not in listing.names:
        got = f"a {said}" if modules else f"files {', '.join(sorted(listing.names)) or 'of none'}"
        raise InputError(f"encoder: expected a model of text for sentence-transformers, got {got} in {listing.model!r}")
    return SINGLE, "it is a plain transformers model: token embeddings of its last layer, no projection added"


def load_model(listing: Listing, kind: str, device: str) -> Any:
    """Return the library's own model, new; its weights come from safetensors.

    Raises:
        InputError: it cannot be loaded, or lacks its projection.
        MissingExtraError: sentence-transformers is not installed, or is older than this model.

    """
    library = require("sentence_transformers")
    if not hasattr(library, kind):
        raise MissingExtraError(
            f"encoder {listing.model!r}: {kind} needs sentence-transformers 6 or newer, got {library.__version__};"
            ' pip install "rank-plugins[sentence-transformers]"'
        )
    try:
        model = getattr(library, kind)(listing.model, device=device, model_kwargs={"use_safetensors": True})
    except Exception as error:  # the hub, transformers, torch and safetensors raise what they come to
        raise InputError(f"encoder: sentence-transformers cannot load {listing.model!r} as {kind} ({error})") from error
    _refuse_invented(model, listing)
    return model


def _refuse_invented(model: Any, listing: Listing) -> None:
    """Refuse a projection with random weights, which MultiVectorEncoder adds where the files have none."""
    dense = require("sentence_transformers.base.modules.dense").Dense
    saved = sum(str(module.get("type", "")).endswith("Dense") for module in listing.modules())
    saved += "HF_ColBERT" in (listing.json("config.json").get("architectures") or [])
    if sum(isinstance(module, dense) for module in model.children()) > saved:
        raise InputError(
            f"encoder: {listing.model!r} holds no projection, and sentence-transformers made one of random numbers;"
            " train the model, or remove its late-interaction settings to use its token embeddings"
        )


def _kind_of_live(model: Any) -> str:
    """Return the class of a model that is already made.

    Raises:
        InputTypeError: not one that gives token embeddings.
        InputError: it runs on another backend than torch.

    """
    names = {f"{base.__module__.split('.')[0]}.{base.__name__}" for base in type(model).__mro__}
    if any(name.startswith("pylate.") for name in names):
        raise InputTypeError("encoder: expected a folder, got a live PyLate model; save it and give the folder")
    kind = next((kind for kind in (MULTI, SINGLE) if f"sentence_transformers.{kind}" in names), None)
    if kind is None:
        raise InputTypeError(f"encoder: expected a {MULTI} or a {SINGLE}, got {type(model).__name__}")
    if model.get_backend() != "torch":
        raise InputError(
            f"encoder: expected a {kind} on torch, got one on {model.get_backend()!r}; give its folder, for OnnxEncoder"
        )
    return kind
