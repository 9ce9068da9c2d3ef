"""ScoreCache: scores of (query, document) pairs on disk, shared by all processes that want them.

A row of the SQLite file is (model, query hash, document hash, score). A model is known by its fingerprint, texts by
their hashes: the texts themselves are not in the file.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError, StoreError
from rank_plugins.fusion.arguments import number
from rank_plugins.pipelines.score_file import ScoreFile, transaction
from rank_plugins.store.ids import text_hash

VALUES_AT_ONCE = 500  # of the variables that one statement may have
LEAST_BYTES = 32_768  # a file without scores, and room for some
MISSING = int(np.float64(np.nan).view(np.int64))


class ScoreCache:
    """Scores of pairs by model, exact to the bit, in one file for many threads and processes at once.

    The file is made where there is none. After `close` the next call opens it again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open or make the file.

        Raises:
            InputTypeError: no path.
            StoreError: it cannot be opened or made, is damaged, or is something else.

        """
        if not isinstance(path, (str, os.PathLike)):
            raise InputTypeError(f"path: expected that of a file, got {type(path).__name__}")
        self.path = Path(path).expanduser().absolute()
        self.hits = 0
        """Pairs that `get` of this object has found."""
        self.misses = 0
        """Pairs that it has not found."""
        self._file = ScoreFile(self.path)
        self._models: dict[tuple[int, str], int] = {}  # by how often the file was opened, and fingerprint
        with self._file.connection():
            pass

    def get(self, model: str, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Return the score of each (query, document), float64 [n]; NaN where it is not here.

        Args:
            model: the fingerprint of the reranker.
            pairs: texts.

        Raises:
            StoreError: the file is damaged, or was held by others for too long.

        """
        places: dict[bytes, dict[bytes, list[int]]] = {}
        for i, (query, document) in enumerate(_hashed(pairs)):
            places.setdefault(query, {}).setdefault(document, []).append(i)
        bits = np.full(len(pairs), MISSING, np.int64)
        with self._file.connection() as connection:
            number = self._model(connection, model)
            for query, documents in places.items() if number is not None else ():
                for document, score, checksum in _rows(connection, [number, query], list(documents)):
                    if type(score) is not int or _checksum(query, document, score) != checksum:
                        raise StoreError(
                            f"{self.path}: a score is damaged; delete the file, and scores are computed again"
                        )
                    bits[documents[document]] = score
            scores = bits.view(np.float64)
            found = len(pairs) - int(np.isnan(scores).sum())
            self.hits += found
            self.misses += len(pairs) - found
        return scores

    def put(self, model: str, pairs: Sequence[tuple[str, str]], scores: ArrayLike) -> None:
        """Keep scores, all or none of them; a pair that is here already keeps the score that it has.

        Args:
            model: the fingerprint of the reranker.
            pairs: texts.
            scores: float64 [n]; -inf too, but not NaN.

        Raises:
            InputError: NaN, or another number of scores than of pairs.
            StoreError: the file cannot be written, is damaged, or was held by others for too long.

        """
        values = np.array(scores, np.float64)
        if values.shape != (len(pairs),):
            raise InputError(f"scores: expected {len(pairs)} of them (one per pair), got shape {values.shape}")
        if np.isnan(values).any():
            raise InputError(f"scores: expected numbers, got NaN at [{int(np.argmax(np.isnan(values)))}]")
        now = time.time_ns() // 1_000_000
        rows = [
            (query, document, score, now, _checksum(query, document, score))
            for (query, document), score in zip(_hashed(pairs), values.view(np.int64).tolist(), strict=True)
        ]
        with self._file.connection() as connection:
            number = self._model(connection, model)
            if number is None:
                connection.execute("INSERT OR IGNORE INTO models (fingerprint) VALUES (?)", (model,))
                number = self._model(connection, model)
            with transaction(connection):
                connection.executemany(
                    f"INSERT OR IGNORE INTO scores VALUES ({number}, ?, ?, ?, ?, ?)",  # noqa: S608 - our number
                    rows,
                )

    def __len__(self) -> int:
        with self._file.connection() as connection:
            return _count(connection)

    def stats(self) -> dict[str, int]:
        """Return "scores" and "bytes" of the file, and this object's own "hits" and "misses" so far."""
        with self._file.connection() as connection:
            counted = {"scores": _count(connection), "bytes": _bytes(connection)}
        return {**counted, "hits": self.hits, "misses": self.misses}

    def clear(self) -> None:
        """Forget all scores, and give their room back.

        Raises:
            StoreError: as `put`.

        """
        with self._file.connection() as connection:
            connection.execute("DELETE FROM scores")
            _shrink(connection)

    def prune(self, *, max_bytes: int | None = None, older_than: float | None = None) -> int:
        """Forget the scores that were written longest ago, and give their room back; return how many.

        Args:
            max_bytes: so many that the file is no larger than this; the models' fingerprints stay, and may take more.
            older_than: those that were written longer ago than so many seconds.

        Raises:
            InputError: neither, a negative or infinite age, or fewer bytes than an empty file needs.
            InputTypeError: no whole number of bytes, or no number of seconds.
            StoreError: as `put`.

        """
        if max_bytes is None and older_than is None:
            raise InputError("prune: expected max_bytes or older_than, got neither; clear() forgets everything")
        if max_bytes is not None:
            whole_number(max_bytes, "max_bytes", LEAST_BYTES)
        if older_than is not None and number(older_than, "older_than") < 0:
            raise InputError(f"older_than: expected seconds, at least 0, got {older_than!r}")
        forgotten = 0
        with self._file.connection() as connection:
            if older_than is not None:
                oldest = max(time.time_ns() // 1_000_000 - int(min(older_than, 1e12) * 1000), 0)
                forgotten += connection.execute("DELETE FROM scores WHERE written < ?", (oldest,)).rowcount
                _shrink(connection)
            while max_bytes is not None and (size := _bytes(connection)) > max_bytes:
                count = _count(connection)
                if not count:
                    break
                excess = count - int(count * 0.95 * max_bytes / size)  # a little more: rows do not fill pages alike
                forgotten += connection.execute(
                    "DELETE FROM scores WHERE (model, query, document) IN"
                    " (SELECT model, query, document FROM scores ORDER BY written LIMIT ?)",
                    (excess,),
                ).rowcount
                _shrink(connection)
        return forgotten

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._file.close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ScoreCache({str(self.path)!r})"

    def _model(self, connection: sqlite3.Connection, fingerprint: str) -> int | None:
        """Return the number of a model, or None if the file does not have it."""
        if not isinstance(fingerprint, str):
            raise InputTypeError(f"model: expected a fingerprint, got {type(fingerprint).__name__}")
        key = self._file.opened, fingerprint
        if key not in self._models:
            found = connection.execute("SELECT number FROM models WHERE fingerprint = ?", (fingerprint,)).fetchone()
            if found is None:
                return None
            self._models[key] = int(found[0])
        return self._models[key]


def _rows(
    connection: sqlite3.Connection, chosen: Sequence[object], documents: Sequence[bytes]
) -> list[tuple[bytes, int, int]]:
    """Return (document, score, checksum) of those documents that are there for this (model, query)."""
    found = []
    for start in range(0, len(documents), VALUES_AT_ONCE):
        part = documents[start : start + VALUES_AT_ONCE]
        marks = ", ".join("?" * len(part))
        found += connection.execute(
            f"SELECT document, score, checksum FROM scores WHERE model = ? AND query = ? AND document IN ({marks})",  # noqa: S608 - our words
            (*chosen, *part),
        ).fetchall()
    return found


def _hashed(pairs: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the hashes of pairs; each query is hashed once."""
    queries = {query: text_hash(query) for query in dict.fromkeys(query for query, _ in pairs)}
    return [(queries[query], text_hash(document)) for query, document in pairs]


def _checksum(query: bytes, document: bytes, score: int) -> int:
    return zlib.crc32(query + document + score.to_bytes(8, "little", signed=True))


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])


def _bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the file; what waits in the log beside it is counted as if it were there."""
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


def _shrink(connection: sqlite3.Connection) -> None:
    """Give the room of deleted rows back; a file that others read just now shrinks when they are done."""
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
