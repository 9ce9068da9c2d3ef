"""FlagEmbeddingEncoder: the colbert vectors of BGE-M3 models, through FlagEmbedding."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require
from rank_plugins._shared import shared
from rank_plugins._transformers import transformer_configuration
from rank_plugins.encoders._files import Listing, fetch, look
from rank_plugins.encoders._library import (
    BATCH_TOKENS,
    LibraryEncoder,
    LibraryModel,
    check_settings,
)
from rank_plugins.encoders.encoder import Role
from rank_plugins.errors import InputError, InputTypeError, StoreError

HEADS = ("colbert_linear.pt", "sparse_linear.pt")
PLACE = "\ue000"  # stands for a text, where no text has it
NOT_TORCH = ["onnx/*", "*.onnx*", "flax_model.msgpack", "rust_model.ot", "tf_model.h5", "imgs/*"]


class FlagEmbeddingEncoder(LibraryEncoder):
    """Encodes with the multi-vector head of a BGE-M3 model: one vector per token, without that of the first, CLS.

    `MaxSimReranker(encoder, score="mean")` gives what the model's own `colbert_score` gives.
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
            model: a folder, a name on the hub, or a `BGEM3FlagModel`, used as it is: its instructions, its maximal
                lengths, and its first device. A folder is loaded in float32 with windows of 512 tokens.
            long_documents: "windows" encodes all of a document, "first" only what fits the model's window.
            batch_tokens: run together at most, padding included; one text may exceed it.
            device: such as "cpu" or "cuda:1"; None lets FlagEmbedding choose.

        Raises:
            InputError: an unknown option, or no BGE-M3 model.
            InputTypeError: another type, or a device beside a model that is already made.
            MissingExtraError: FlagEmbedding is not installed.
            StoreError: the heads' files are damaged.

        """
        budget = check_settings(long_documents, batch_tokens)
        if isinstance(model, (str, os.PathLike)):
            listing = look(model)
            library = require("FlagEmbedding")
            device = device or str(library.BGEM3FlagModel.get_target_devices(None)[0])
            loaded = shared(
                ("flagembedding", listing.model, device),
                lambda: _Model(load_model(listing, device), listing.model, live=False),
            )
        elif "FlagEmbedding" not in {base.__module__.split(".")[0] for base in type(model).__mro__}:
            raise InputTypeError(f"encoder: expected a folder, a name or a BGEM3FlagModel, got {type(model).__name__}")
        elif not hasattr(model, "colbert_score"):
            raise InputTypeError(
                f"encoder: expected a BGEM3FlagModel for its colbert vectors, got {type(model).__name__}"
            )
        elif device is not None:
            raise InputTypeError("device: cannot change a model that is already made")
        else:
            loaded = shared(("flagembedding", id(model)), lambda: _Model(model, type(model).__name__, live=True))
        super().__init__(loaded, long_documents, budget)


class _Model(LibraryModel):
    """A loaded BGEM3FlagModel.

    Its `encode` runs the first batch twice and takes any error for lack of memory, so tokenizer and network are
    called as its `compute_score` calls them.
    """

    def __init__(self, model: Any, name: str, *, live: bool) -> None:
        super().__init__(name, model.tokenizer, live=live)
        self._model = model
        device = model.target_devices[0]
        if device == "cpu":
            model.model.float()
        model.model.to(device)

    def window(self, role: Role) -> int | None:
        """Return the model's maximal length for this role, or its positions if these are fewer."""
        model, config = self._model, self._model.model.config
        length = model.query_max_length if role == "query" else model.passage_max_length
        unused = config.pad_token_id + 1 if "roberta" in config.model_type else 0  # RoBERTa counts from there
        return int(min(length, model.tokenizer.model_max_length, config.max_position_embeddings - unused))

    @property
    def prompts(self) -> str:
        """The model's instructions as they stand around empty texts."""
        return str([self._instructed("", "query"), self._instructed("", "document")])

    def _instructed(self, text: str, role: Role) -> str:
        model = self._model
        if role == "query":
            instruction, form = model.query_instruction_for_retrieval, model.query_instruction_format
        else:
            instruction = model.kwargs.get("passage_instruction_for_retrieval")
            form = model.kwargs.get("passage_instruction_format", "{}{}")
        return text if instruction is None else str(model.get_detailed_instruct(form, instruction, text))

    def _features(self, texts: list[str], role: Role) -> Any:
        texts = [self._instructed(text, role) for text in texts]
        options = {"padding": True, "truncation": True, "return_tensors": "pt"}
        return self._model.tokenizer(texts, max_length=self.window(role), **options)

    def _layout(self, text: str, role: Role) -> tuple[list[int], list[bool]]:
        features = self._features([text], role)
        return features["input_ids"][0].tolist(), self._kept(features["attention_mask"])[0].tolist()

    def _frames(self, role: Role) -> list[tuple[str, str]]:
        before, _, after = self._instructed(PLACE, role).partition(PLACE)
        return [(before, after)]

    def _measure(self, role: Role) -> tuple[int, int]:
        return int(self._features(["a"], role)["attention_mask"].sum()), int(self._encode(["a"], role)[0].shape[1])

    def _encode(self, texts: list[str], role: Role) -> list[NDArray[np.float32]]:
        self._model.model.eval()  # training may have gone on since the last call
        features = self._features(texts, role).to(self._model.target_devices[0])
        with require("torch").no_grad():
            options = {"return_dense": False, "return_colbert_vecs": True, "truncate_dim": self._model.truncate_dim}
            vectors = self._model.model(features, **options)["colbert_vecs"]
        kept = self._kept(features["attention_mask"])[:, 1:]
        return [row[mask].float().cpu().numpy() for row, mask in zip(vectors, kept, strict=True)]

    def _kept(self, mask: Any) -> Any:
        """Return which tokens have a colbert vector: not padding, and not the first, CLS."""
        return mask.bool() & (mask.cumsum(1) > 1)

    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        model = self._model
        names = ("query_instruction_for_retrieval", "query_instruction_format", "truncate_dim", "kwargs")
        rest = {name: getattr(model, name) for name in names} | {
            "transformer": transformer_configuration(model.model.config),
            "normalised": model.model.normalize_embeddings,
        }
        return model.model.state_dict(), rest


def load_model(listing: Listing, device: str) -> Any:
    """Return a BGEM3FlagModel, new; its heads, pickled tensors, are read by torch's loader that runs no code.

    Raises:
        InputError: no BGE-M3 model, or one that cannot be loaded.
        MissingExtraError: FlagEmbedding is not installed.
        StoreError: the heads' files are damaged.

    """
    library = require("FlagEmbedding")
    if missing := [name for name in HEADS if name not in listing.names]:
        raise InputError(
            f"encoder: expected a BGE-M3 model with {' and '.join(HEADS)}, found no {' and no '.join(missing)}"
            f" in {listing.model!r}; FlagEmbedding would make heads of random numbers"
        )
    folder = listing.folder or fetch(listing.model, ignore_patterns=NOT_TORCH)
    head = folder / HEADS[0]
    try:
        dim = len(require("torch").load(head, map_location="cpu", weights_only=True)["weight"])
    except Exception as error:  # torch raises what the damage leads to
        raise StoreError(f"{head}: cannot be read as a linear layer ({error}); fetch the model again") from error
    try:
        model = library.BGEM3FlagModel(str(folder), use_fp16=False, devices=device, colbert_dim=dim)
        model.model.to(device)
    except Exception as error:  # transformers, torch and safetensors raise what they come to
        raise InputError(f"encoder: FlagEmbedding cannot load {listing.model!r} ({error})") from error
    return model
