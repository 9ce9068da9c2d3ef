"""HashEncoder: token embeddings without a model."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders.encoder import Role, Token, clean_texts


class HashEncoder:
    """Maps every word to a fixed random direction: an Encoder without a model, for tests."""

    def __init__(self, dim: int = 16) -> None:
        """Choose the dimension of the vectors."""
        self._dim = dim
        self.closed = False

    @property
    def dim(self) -> int:
        """K, the dimension of every vector."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Name the encoder and its dimension."""
        return f"hash-{self._dim}"

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Return one vector of length 1 per word."""
        return self._encode(clean_texts(texts, "queries"))

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:  # noqa: ARG002 - the protocol's name
        """Return one vector of length 1 per word."""
        return self._encode(clean_texts(texts, "documents"))

    def tokens(self, texts: Sequence[str], role: Role) -> list[list[Token]]:  # noqa: ARG002 - both roles are alike
        """Return the word behind every vector."""
        cleaned = clean_texts(texts, "texts")
        return [[Token(word[0], *word.span(), word[0]) for word in re.finditer(r"\S+", text)] for text in cleaned]

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        words = [text.lower().split() for text in texts]
        vectors = [_direction(word, self._dim) for document in words for word in document]
        values = np.array(vectors, np.float32).reshape(-1, self._dim)
        return TokenEmbeddings(values, np.cumsum([0, *map(len, words)]))


@functools.lru_cache(maxsize=100_000)
def _direction(word: str, dim: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return vector / np.linalg.norm(vector)
