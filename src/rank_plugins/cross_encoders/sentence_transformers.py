"""SentenceTransformersCrossEncoder: `CrossEncoder` models of sentence-transformers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require
from rank_plugins._transformers import no_bars, transformer_configuration
from rank_plugins.cross_encoders._library import LibraryCrossEncoder, is_name, own_length, place, refuse_options
from rank_plugins.cross_encoders.cross_encoder import Pair, positions
from rank_plugins.errors import InputError, InputTypeError, MissingExtraError

BACKENDS = ("torch", "openvino")
KNOWN = {"Sigmoid": "sigmoid", "Identity": "none"}  # activations that are computed in float64 here


class SentenceTransformersCrossEncoder(LibraryCrossEncoder):
    """Scores pairs with a `CrossEncoder`: its prompts, chat template and activation are those of its configuration."""

    def __init__(
        self,
        model: Any,
        *,
        max_length: int | None = None,
        device: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        backend: Literal["torch", "openvino"] = "torch",
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: a folder, a name on the hub, or a `sentence_transformers.CrossEncoder`, which is used as it is.
            max_length: tokens of query and document together, special tokens included; None takes the model's own.
            device: such as "cpu" or "cuda:1"; None lets sentence-transformers choose.
            revision: of the model on the hub.
            trust_remote_code: run code that the model's folder holds.
            backend: of sentence-transformers; "openvino" needs optimum-intel. Graphs that are exported already run
                without sentence-transformers, with engine="openvino" or "onnxruntime".
            model_kwargs: passed on to transformers, such as {"dtype": "bfloat16"}.

        Raises:
            InputError: it cannot be found, is no cross-encoder, or gives several numbers for a pair.
            InputTypeError: another type, or options beside a model that is already made.
            MissingExtraError: sentence-transformers, or what its backend needs, is not installed.

        """
        if backend not in BACKENDS:
            raise InputError(
                f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}; an ONNX export of the model"
                ' (rank-plugins export) runs with engine="onnxruntime"'
            )
        options = {
            "max_length": own_length(max_length),
            "device": device,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
            "model_kwargs": None if model_kwargs is None else dict(model_kwargs),
        }
        live = not is_name(model)
        if not live:
            name = os.fspath(model)
            self._model = _load(model, options, backend)
        elif not callable(getattr(model, "predict", None)) or not hasattr(model, "tokenizer"):
            raise InputTypeError(f"model: expected a folder, a name or a CrossEncoder, got {type(model).__name__}")
        else:
            refuse_options(model, options | {"backend": backend != "torch"})
            self._model, name = model, type(model).__name__
        if self._model.num_labels != 1:
            raise InputError(
                f"model: expected one number for a pair, got {self._model.num_labels}; choose a model that ranks"
            )
        if (kind := self._model.get_backend()) not in BACKENDS:
            raise InputError(f"model: expected a CrossEncoder on {' or '.join(BACKENDS)}, got one on {kind!r}")
        length = self._model.max_seq_length
        own = positions(self._model.config.to_dict()) if self._model.config is not None else None
        if own is not None and (length is None or length > own):
            length = own  # the library does not know of positions that are never reached
            if not live:
                self._model.max_seq_length = length
        super().__init__(name, self._model.tokenizer, window=None if length is None else int(length), live=live)
        if kind == "openvino":
            self.batch_tokens = 1  # bfloat16 rounds by the shape of a batch
        self.default_activation = KNOWN.get(type(self._model.activation_fn).__name__, "none")

    def activated(self, scores: NDArray[np.float64], activation: str) -> NDArray[np.float64]:
        """Return raw numbers [n] as scores [n]; "default" is the model's own `activation_fn`, whatever it is."""
        function = self._model.activation_fn
        kind = type(function).__name__
        if activation != "default" or kind in KNOWN:
            return super().activated(scores, KNOWN[kind] if activation == "default" else activation)
        torch = require("torch")
        with self._lock, torch.inference_mode():
            numbers = torch.as_tensor(scores, dtype=torch.float32, device=self._model.device).unsqueeze(1)
            return np.asarray(function(numbers).float().cpu().numpy().reshape(len(scores)), np.float64)

    def _run(self, pairs: list[Pair]) -> Any:
        raw = require("torch").nn.Identity()
        return self._model.predict(pairs, batch_size=len(pairs), activation_fn=raw, show_progress_bar=False)

    def _length(self, query: str, text: str) -> int:
        seen: list[int] = []
        first = next(iter(self._model.children()))
        hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]["input_ids"].shape[-1]))
        try:
            self._run([(query, text)])
        finally:
            hook.remove()
        return seen[0]

    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        model = self._model
        modules = [
            [type(module).__name__, module.get_config_dict() if hasattr(module, "get_config_dict") else {}]
            for module in model.children()
        ]
        weights = model.state_dict()
        rest = {
            "modules": modules,
            "transformer": transformer_configuration(model.config) if model.config is not None else {},
            "prompts": [model.prompts, model.default_prompt_name],
            "template": getattr(model.tokenizer, "chat_template", None),
            "activation": str(model.activation_fn),
            "graph": "" if weights else _constants(model.model.model),  # OpenVINO keeps them from torch
        }
        return weights, rest


def _constants(graph: Any) -> str:
    """Hash the weights inside a graph of OpenVINO."""
    digest = hashlib.sha256()
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Constant":
            digest.update(np.ascontiguousarray(node.data).tobytes())
    return digest.hexdigest()


def _load(model: str | os.PathLike[str], options: dict[str, Any], backend: str) -> Any:
    """Load the model; its weights come from safetensors, unless the caller's model_kwargs say otherwise."""
    library = require("sentence_transformers")
    name = os.fspath(model)
    safe = {"use_safetensors": True} if backend == "torch" else {}
    options = options | {"model_kwargs": {**safe, **(options["model_kwargs"] or {})}}
    try:
        with no_bars():
            made = library.CrossEncoder(place(model), backend=backend, **options)
    except Exception as error:  # the hub, transformers and optimum raise what they come to, some a bare Exception
        if "requires installing Optimum" in str(error):
            raise MissingExtraError(
                f"backend {backend!r} of sentence-transformers needs optimum-intel, which is not installed or does not"
                f" fit this transformers ({error}); an ONNX export of the model (rank-plugins export) runs without it,"
                ' with engine="openvino"'
            ) from error
        raise InputError(
            f"model: {name!r} could not be loaded as a cross-encoder ({error}); give its folder, or a name on the hub"
        ) from error
    _check_head(name, made)
    return made


def _check_head(name: str, model: Any) -> None:
    """Refuse an encoder: transformers gives it a head for ranking whose weights are drawn at random."""
    head, saved = "ForSequenceClassification", getattr(model.config, "architectures", None)
    runs = type(getattr(model, "model", None)).__name__
    if saved and runs.endswith(head) and not any(kind.endswith(head) for kind in saved):
        raise InputError(
            f"model: expected a cross-encoder, got {name!r} of {', '.join(saved)}, which was not trained to rank and"
            " would score at random; give a cross-encoder, or use the encoder in rank-maxsim: encoder=..."
        )
