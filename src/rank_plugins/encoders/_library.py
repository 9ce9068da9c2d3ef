"""Encoders over models of other libraries: what they share beside the model itself."""

from __future__ import annotations

import abc
import functools
import hashlib
import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rank_plugins._batches import batches
from rank_plugins._checks import whole_number
from rank_plugins._extras import require
from rank_plugins._progress import progress
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders._tokenize import SPARE, TextCutter
from rank_plugins.encoders.encoder import clean_texts
from rank_plugins.errors import InputError, RankPluginsError

Role = Literal["query", "document"]
LONG_DOCUMENTS = ("windows", "first")
BATCH_TOKENS = 8192
OVERLAP = 32  # tokens that a window repeats of the one before


class LibraryModel(abc.ABC):
    """A loaded model with its lock: the libraries configure tokenizers and modules at every call."""

    def __init__(self, name: str, tokenizer: Any, *, live: bool) -> None:
        """Take the model's tokenizer as it is now; `live` if others hold the model and may change it.

        Raises:
            InputError: texts cannot be cut with the tokenizer.

        """
        self.name, self._live = name, live
        self._lock = threading.Lock()
        definition = tokenizer_definition(tokenizer, name)
        self.cutter = TextCutter(definition)
        self._tokenizer = hashlib.sha256(definition.encode()).hexdigest()
        self._known: tuple[Any, str] | None = None

    @abc.abstractmethod
    def window(self, role: Role) -> int | None:
        """Return how many tokens of a text the model reads, its own included; None without a limit."""

    @property
    @abc.abstractmethod
    def prompts(self) -> str:
        """What the model puts around texts."""

    @abc.abstractmethod
    def _measure(self, role: Role) -> tuple[int, int]:
        """Encode "a"; return its tokens before the model, its own included, and the dimension of a vector."""

    @abc.abstractmethod
    def _encode(self, texts: list[str], role: Role) -> list[NDArray[np.float32]]:
        """Run texts together; return the vectors of each, padding removed."""

    @abc.abstractmethod
    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        """Return the weights by name, as tensors, and the rest of what decides the vectors, for JSON."""

    def encode(self, texts: list[str], role: Role) -> list[NDArray[np.float32]]:
        """Run texts together; return the vectors of each, float32 [tokens, K]."""
        with self._lock:
            return self._encode(texts, role)

    @functools.cached_property
    def dim(self) -> int:
        """K, the dimension of every vector."""
        with self._lock:
            return self._measure("document")[1]

    @property
    def query_tokens(self) -> int:
        """How many tokens a query is expanded to; 0 if it is not."""
        return 0

    def room(self, role: Role) -> tuple[int, int | None]:
        """Return how many tokens the model adds to a text, and how many of a text's own it reads; None for any number.

        Raises:
            InputError: the model's own tokens leave no room for a text's.

        """
        window = self.window(role)
        key = role, window, self.prompts
        if key not in self._own:
            with self._lock:
                self._own[key] = self._measure(role)[0] - int(self.cutter.lengths(["a"])[0])
        own = self._own[key]
        if window is not None and own + 1 >= window:
            raise InputError(
                f"encoder {self.name!r}: expected room for a {role} beside the model's prompt and special tokens, got"
                f" none in its {window} tokens; raise its maximal length or shorten the prompt"
            )
        return own, None if window is None else window - own

    @functools.cached_property
    def _own(self) -> dict[Any, int]:
        return {}

    @property
    def identity(self) -> str:
        """What decides the vectors, hashed: weights, modules, tokenizer, prompts; no device.

        Hashed when first asked for, and again where a live model has been trained or changed since.
        """
        if self._known is not None and not self._live:
            return self._known[1]
        with self._lock:
            weights, rest = self._configuration()
            rest = [rest, self._tokenizer, self.window("query"), self.window("document")]
            settings = json.dumps(rest, sort_keys=True, default=lambda value: type(value).__name__)
            state = settings, {name: _version(tensor) for name, tensor in weights.items()}
            if self._known is None or self._known[0] != state:
                self._known = state, _digest(settings, weights)
            return self._known[1]


class LibraryEncoder:
    """Encodes text with a model of another library, which decides prompts, markers, expansion and what is left out.

    A document longer than the model's window is encoded in overlapping pieces whose tokens are concatenated: under
    MaxSim the best match over all pieces comes out by itself. A query keeps its start. Texts run together in batches
    of about equal length, up to a number of tokens; padding never becomes a token. Safe to use from several threads.
    """

    def __init__(self, model: LibraryModel, long_documents: str, batch_tokens: int) -> None:
        self._loaded: LibraryModel | None = model
        self._name = model.name
        self._first_only = long_documents == "first"
        self._batch_tokens = batch_tokens
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    @property
    def dim(self) -> int:
        """K, the dimension of every vector."""
        return self._model.dim

    @property
    def fingerprint(self) -> str:
        """What decides the vectors: weights, modules, tokenizer, prompts, and how long documents are cut."""
        parts = [self._model.identity, "first" if self._first_only else "windows"]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def close(self) -> None:
        """Let go of the model, which is freed when nobody else uses it; a later call to encode raises."""
        self._loaded = None

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Return the token embeddings of each query, float32.

        A query longer than the model's window keeps its start, with one warning.

        Raises:
            InputTypeError: not a list of str.

        """
        return self._encode(clean_texts(texts, "queries"), "query", show_progress=False)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:
        """Return the token embeddings of each document, float32.

        Raises:
            InputTypeError: not a list of str.

        """
        return self._encode(clean_texts(texts, "documents"), "document", show_progress=show_progress)

    @property
    def _model(self) -> LibraryModel:
        model = self._loaded
        if model is None:
            raise RankPluginsError(f"{self!r} is closed; make another one")
        return model

    def _encode(self, texts: list[str], role: Role, *, show_progress: bool) -> TokenEmbeddings:
        model = self._model
        owners, pieces, lengths = self._pieces(model, texts, role)
        vectors: list[NDArray[np.float32]] = [np.empty((0, model.dim), np.float32)] * len(pieces)
        with progress(len(pieces), "text", show=show_progress) as advance:
            for batch in batches(lengths, self._batch_tokens):
                for place, found in zip(batch, model.encode([pieces[i] for i in batch], role), strict=True):
                    vectors[place] = found
                advance(len(batch))
        tokens = np.zeros(len(texts), np.int64)
        np.add.at(tokens, owners, [len(found) for found in vectors])
        values = np.concatenate(vectors) if vectors else np.empty((0, model.dim), np.float32)
        return TokenEmbeddings(values, np.concatenate(([0], np.cumsum(tokens))))

    def _pieces(
        self, model: LibraryModel, texts: list[str], role: Role
    ) -> tuple[list[int], list[str], NDArray[np.int64]]:
        """Return what is encoded: the text that each piece is of, the piece, and its tokens in the model.

        A text without any token of its own has no piece.
        """
        own, room = model.room(role)
        least = model.query_tokens if role == "query" else 0
        counts = model.cutter.lengths(texts)
        used = [i for i, text in enumerate(texts) if counts[i] and text.strip()]
        if room is None:
            return used, [texts[i] for i in used], np.maximum(counts[used] + own, least)
        long = [i for i in used if counts[i] > room]
        if long and (role == "query" or self._first_only):
            self._tell(role, own + room)
        if not long or role == "query" or self._first_only:
            return used, [texts[i] for i in used], np.maximum(np.minimum(counts[used], room) + own, least)
        safe = max(room - (SPARE if own > model.cutter.special_tokens else 0), 1)
        cut = {i: model.cutter.pieces(texts[i], safe, OVERLAP) for i in long}
        owners = [i for i in used for _ in cut.get(i, [""])]
        pieces = [piece for i in used for piece in cut.get(i, [texts[i]])]
        return owners, pieces, np.minimum(model.cutter.lengths(pieces), room) + own

    def _tell(self, role: Role, window: int) -> None:
        """Warn of texts that are cut, once for queries and once for documents."""
        if role in self._warned:
            return
        self._warned.add(role)
        remedy = "shorten it" if role == "query" else 'long_documents="windows" encodes all of it'
        warnings.warn(
            f"{self!r}: a {role} is longer than {window} tokens and only its start is used; {remedy}"
            " (this is said once)",
            UserWarning,
            stacklevel=5,
        )


def check_settings(long_documents: str, batch_tokens: int) -> int:
    """Return `batch_tokens` checked.

    Raises:
        InputError: an unknown way to treat long documents, or batch_tokens below 1.
        InputTypeError: batch_tokens is no whole number.

    """
    if long_documents not in LONG_DOCUMENTS:
        raise InputError(f"long_documents: expected one of {', '.join(LONG_DOCUMENTS)}, got {long_documents!r}")
    return whole_number(batch_tokens, "batch_tokens", 1)


def tokenizer_definition(tokenizer: Any, name: str) -> str:
    """Return the JSON text of a transformers tokenizer, without what its last call left in it.

    Raises:
        InputError: it is not backed by the tokenizers package, so that texts could not be cut by it; or it knows no
            word, as transformers makes it where a tokenizer's files are missing.

    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(
            f"encoder {name!r}: expected a model with a fast tokenizer (tokenizer.json), got"
            f" {type(tokenizer).__name__}; convert it with transformers and save it again"
        )
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise InputError(
            f"encoder {name!r}: expected a tokenizer with a vocabulary, got one of {len(tokenizer)} special tokens;"
            " its files (tokenizer.json) are missing"
        )
    definition = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    return json.dumps(definition, ensure_ascii=False)


def transformer_configuration(config: Any) -> dict[str, Any]:
    """Return a transformers configuration without what says nothing of the vectors: places, versions, kernels."""
    said = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    return {name: value for name, value in config.to_dict().items() if name not in said and "attn_impl" not in name}


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
