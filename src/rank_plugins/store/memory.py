"""TokenCache: the embeddings of recent texts in memory."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._rows import Rows
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders.encoder import Encoder
from rank_plugins.errors import InputError
from rank_plugins.quantize import requantized
from rank_plugins.store.codec import Codec
from rank_plugins.store.ids import text_hash

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


class TokenCache:
    """Keeps embeddings as int8, as a store does by default, up to a number of bytes; the least recently used go first.

    It is for one encoder. Methods may be called from several threads.
    """

    def __init__(self, size: int | str) -> None:
        """Set the limit, in bytes or as text such as "256MB".

        Raises:
            InputError, InputTypeError: not a size.

        """
        self._limit = _bytes(size)
        self._size = 0
        self._kept: OrderedDict[bytes, tuple[NDArray[Any], NDArray[np.float32]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def codec_fingerprint(self) -> str | None:
        """The fingerprint of a store's default codec, which this one uses too."""
        return Codec().fingerprint

    def check_encoder(self, encoder: Encoder) -> None:
        """Accept the encoder, the only one that this cache ever meets."""

    def project(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the query as it is."""
        return query

    def find(self, texts: Sequence[str], ids: Sequence[str] | None = None) -> tuple[NDArray[np.int64], TokenEmbeddings]:  # noqa: ARG002 - a text is enough here
        """Return which of the texts are here, indices int64 [n], and their embeddings."""
        hashes = [text_hash(text) for text in texts]
        places, found = [], []
        with self._lock:
            for i, key in enumerate(hashes):
                if key in self._kept:
                    self._kept.move_to_end(key)
                    places.append(i)
                    found.append(self._kept[key])
        dim = found[0][0].shape[1] if found else 0
        rows = Rows(tuple(values for values, _ in found), "int8", dim, tuple(scales for _, scales in found))
        tokens = np.fromiter((len(values) for values, _ in found), np.int64, len(found))
        embeddings = TokenEmbeddings._of(rows, np.arange(len(found)), np.zeros(len(found), np.int64), tokens)
        return np.array(places, np.int64), embeddings

    def encode(self, texts: Sequence[str], encoder: Encoder, *, show_progress: bool = False) -> TokenEmbeddings:
        """Return the texts' embeddings as they would be kept."""
        vectors = encoder.encode_documents(texts, show_progress=show_progress)
        return requantized(vectors, "int8", screen=False)

    def keep(self, parts: Iterable[tuple[Sequence[str], Sequence[str], TokenEmbeddings]], encoder: Encoder) -> None:  # noqa: ARG002 - as a store has it
        """Keep what `encode` has made, (ids, texts, rows), in place of what was used longest ago."""
        documents = ((text, rows[i : i + 1]) for _, texts, rows in parts for i, text in enumerate(texts))
        for text, document in documents:
            values, scales = document[0].copy(), np.array(document.scales, np.float32)
            size = values.nbytes + scales.nbytes
            if size > self._limit:
                continue
            key = text_hash(text)
            with self._lock:
                if key in self._kept:
                    continue
                while self._size + size > self._limit:
                    _, (old, old_scales) = self._kept.popitem(last=False)
                    self._size -= old.nbytes + old_scales.nbytes
                self._kept[key] = values, scales
                self._size += size

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._size = 0


def _bytes(size: int | str) -> int:
    if not isinstance(size, str):
        return whole_number(size, "cache", 1)
    match = re.fullmatch(r"(\d+)\s*([KMG]?B?)", size.strip().upper())
    if not match or match[2] not in UNITS or not int(match[1]):
        raise InputError(f"cache: expected a number of bytes such as '256MB', got {size!r}")
    return int(match[1]) * UNITS[match[2]]
