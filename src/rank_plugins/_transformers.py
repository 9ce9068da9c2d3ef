"""What encoders and cross-encoders over models of transformers share: their tokenizers, settings and identity."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rank_plugins._extras import require
from rank_plugins._progress import on_terminal
from rank_plugins.errors import InputError


def tokenizer_definition(tokenizer: Any, what: str) -> str:
    """Return the JSON text of a transformers tokenizer, without what its last call left in it.

    Args:
        tokenizer: the model's.
        what: the model in messages, such as "encoder 'name'".

    Raises:
        InputError: it is not backed by the tokenizers package, so that texts could not be cut by it; or it knows no
            word, as transformers makes it where a tokenizer's files are missing.

    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(
            f"{what}: expected a model with a fast tokenizer (tokenizer.json), got"
            f" {type(tokenizer).__name__}; convert it with transformers and save it again"
        )
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise InputError(
            f"{what}: expected a tokenizer with a vocabulary, got one of {len(tokenizer)} special tokens;"
            " its files (tokenizer.json) are missing"
        )
    definition = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    return json.dumps(definition, ensure_ascii=False)


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Keep transformers from drawing bars of what it loads where nobody would see them as such."""
    logging = require("transformers").utils.logging
    if on_terminal() or not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def transformer_configuration(config: Any) -> dict[str, Any]:
    """Return a transformers configuration without what says nothing of the results: places, versions, kernels."""
    said = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    return {name: value for name, value in config.to_dict().items() if name not in said and "attn_impl" not in name}


class Identity:
    """A hash of weights and settings, computed when first asked for, and again where a live model has changed since."""

    def __init__(self, *, live: bool) -> None:
        """Begin with nothing known; `live` if others hold the model and may change it."""
        self._live = live
        self._known: tuple[Any, str] | None = None

    @property
    def settled(self) -> str | None:
        """The hash, if it is known and nobody can have changed the model."""
        return None if self._live or self._known is None else self._known[1]

    def of(self, weights: Mapping[str, Any], settings: Any) -> str:
        """Return the hash of these weights, tensors by name, and settings, for JSON."""
        text = json.dumps(settings, sort_keys=True, default=lambda value: type(value).__name__)
        state = text, {name: _version(tensor) for name, tensor in weights.items()}
        if self._known is None or self._known[0] != state:
            self._known = state, _digest(text, weights)
        return self._known[1]


def _digest(settings: str, weights: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(settings.encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(memoryview(flat.view(require("torch").uint8).numpy()))
    return digest.hexdigest()


def _version(tensor: Any) -> tuple[int, int]:
    """Return what differs after a tensor was written to, or replaced; torch counts writes."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
