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
from rank_plugins.encoders._tokenize import TextCutter
from rank_plugins.encoders.encoder import clean_texts
from rank_plugins.errors import InputError, RankPluginsError

Role = Literal["query", "document"]
LONG_DOCUMENTS = ("windows", "first")
BATCH_TOKENS = 8192
OVERLAP = 32  # tokens that a window repeats of the one before
SPARE = 4  # tokens left free where a prompt may change how the first word is cut


class LibraryModel(abc.ABC):
    """A loaded model with its lock: the libraries configure tokenizers and modules at every call."""

    name: str
    cutter: TextCutter

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @abc.abstractmethod
    def window(self, role: Role) -> int | None:
        """Return how many tokens of a text the model reads, its own included; None without a limit."""

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

    def own_tokens(self, role: Role) -> int:
        """Return how many tokens the model adds to a text: special ones, markers, its prompt."""
        if role not in self._own:
            with self._lock:
                self._own[role] = self._measure(role)[0] - int(self.cutter.lengths(["a"])[0])
        return self._own[role]

    @functools.cached_property
    def _own(self) -> dict[Role, int]:
        return {}

    @functools.cached_property
    def identity(self) -> str:
        """What decides the vectors, hashed when first asked for: weights, modules, tokenizer, prompts; no device."""
        weights, rest = self._configuration()
        digest = hashlib.sha256(json.dumps(rest, sort_keys=True, default=lambda value: type(value).__name__).encode())
        with self._lock:
            for name, tensor in sorted(weights.items()):
                digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
                digest.update(_bytes(tensor))
        return digest.hexdigest()


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
        own, window = model.own_tokens(role), model.window(role)
        counts = model.cutter.lengths(texts)
        used = [i for i, text in enumerate(texts) if counts[i] and text.strip()]
        if window is None:
            return used, [texts[i] for i in used], counts[used] + own
        room = max(window - own, 1)
        long = [i for i in used if counts[i] > room]
        if long and (role == "query" or self._first_only):
            self._tell(role, window)
        if not long or role == "query" or self._first_only:
            return used, [texts[i] for i in used], np.minimum(counts[used], room) + own
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
        InputError: it is not backed by the tokenizers package, so that texts could not be cut by it.

    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(
            f"encoder {name!r}: expected a model with a fast tokenizer (tokenizer.json), got"
            f" {type(tokenizer).__name__}; convert it with transformers and save it again"
        )
    definition = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    return json.dumps(definition, ensure_ascii=False)


def transformer_configuration(config: Any) -> dict[str, Any]:
    """Return a transformers configuration without what says nothing of the vectors: places, versions, kernels."""
    said = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    return {name: value for name, value in config.to_dict().items() if name not in said and "attn_impl" not in name}


def _bytes(tensor: Any) -> memoryview:
    flat = tensor.detach().cpu().contiguous().flatten()
    return memoryview(flat.view(require("torch").uint8).numpy())
