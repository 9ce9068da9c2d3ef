"""Encoders over models of other libraries: what they share beside the model itself."""

from __future__ import annotations

import abc
import functools
import hashlib
import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._batches import batches
from rank_plugins._checks import whole_number
from rank_plugins._progress import progress
from rank_plugins._transformers import Identity, tokenizer_definition
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders._tokenize import Pieces, TextCutter
from rank_plugins.encoders.encoder import Role, Token, check_role, clean_texts
from rank_plugins.errors import InputError, RankPluginsError

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
        self.name = name
        self._lock = threading.Lock()
        definition = tokenizer_definition(tokenizer, f"encoder {name!r}")
        self.cutter = TextCutter(definition)
        self._tokenizer = hashlib.sha256(definition.encode()).hexdigest()
        self._identity = Identity(live=live)

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
    def _layout(self, text: str, role: Role) -> tuple[list[int], list[bool]]:
        """Return the model's tokens of a text, its own included, and which of them have a vector."""

    @abc.abstractmethod
    def _frames(self, role: Role) -> list[tuple[str, str]]:
        """Return the strings that the model may put before and behind texts of this role."""

    @abc.abstractmethod
    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        """Return the weights by name, as tensors, and the rest of what decides the vectors, for JSON."""

    def encode(self, texts: list[str], role: Role) -> list[NDArray[np.float32]]:
        """Run texts together; return the vectors of each, float32 [tokens, K]."""
        with self._lock:
            return self._encode(texts, role)

    def tokens(self, text: str, role: Role) -> list[Token]:
        """Return the token behind every vector of `encode([text], role)`.

        Raises:
            InputError: the model changes texts in a way that cannot be followed.

        """
        with self._lock:
            ids, kept = self._layout(text, role)
        found = self.cutter.placed(text, self._frames(role), ids)
        if found is None:
            raise InputError(
                f"encoder {self.name!r}: expected the tokens that its tokenizer gives a {role}, got others; what its"
                " vectors stand for cannot be told"
            )
        return [token for token, has in zip(found, kept, strict=True) if has]

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
        if (settled := self._identity.settled) is not None:
            return settled
        with self._lock:
            weights, rest = self._configuration()
            return self._identity.of(weights, [rest, self._tokenizer, self.window("query"), self.window("document")])


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

    def tokens(self, texts: Sequence[str], role: Role) -> list[list[Token]]:
        """Return the token behind every vector that `encode_queries` or `encode_documents` gives these texts.

        Raises:
            InputError: an unknown role, or the model changes texts in a way that cannot be followed.
            InputTypeError: not a list of str.

        """
        check_role(role)
        model = self._model
        cleaned = clean_texts(texts, "texts")
        found: list[list[Token]] = [[] for _ in cleaned]
        pieces = self._pieces(model, cleaned, role)
        for i, piece, begin in zip(pieces.owners, pieces.texts, pieces.starts, strict=True):
            tokens = model.tokens(piece, role)
            found[i] += [token._replace(start=begin + token.start, stop=begin + token.stop) for token in tokens]
        return found

    @property
    def _model(self) -> LibraryModel:
        model = self._loaded
        if model is None:
            raise RankPluginsError(f"{self!r} is closed; make another one")
        return model

    def _encode(self, texts: list[str], role: Role, *, show_progress: bool) -> TokenEmbeddings:
        model = self._model
        pieces = self._pieces(model, texts, role)
        vectors: list[NDArray[np.float32]] = [np.empty((0, model.dim), np.float32)] * len(pieces.texts)
        with progress(len(pieces.texts), "text", show=show_progress) as advance:
            for batch in batches(pieces.tokens, self._batch_tokens):
                for place, found in zip(batch, model.encode([pieces.texts[i] for i in batch], role), strict=True):
                    vectors[place] = found
                advance(len(batch))
        tokens = np.zeros(len(texts), np.int64)
        np.add.at(tokens, pieces.owners, [len(found) for found in vectors])
        values = np.concatenate(vectors) if vectors else np.empty((0, model.dim), np.float32)
        return TokenEmbeddings(values, np.concatenate(([0], np.cumsum(tokens))))

    def _pieces(self, model: LibraryModel, texts: list[str], role: Role) -> Pieces:
        """Return what is encoded; a text without any token of its own has no piece."""
        own, room = model.room(role)
        first_only = role == "query" or self._first_only
        pieces = model.cutter.cut(texts, own, room, OVERLAP, first_only=first_only)
        if room is not None and pieces.long and first_only:
            self._tell(role, own + room)
        return pieces._replace(tokens=np.maximum(pieces.tokens, model.query_tokens)) if role == "query" else pieces

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
