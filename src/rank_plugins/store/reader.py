"""StoreReader: what an embedding store tells without changing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._maxsim import query_array
from rank_plugins._progress import progress
from rank_plugins._threads import thread_count
from rank_plugins._topk import maxsim_top_k
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders.encoder import Encoder, clean_text
from rank_plugins.errors import InputError, InputTypeError, StoreError
from rank_plugins.store.ids import check_parallel, checked_ids, text_hash
from rank_plugins.store.settings import Settings
from rank_plugins.store.snapshot import Snapshot


class StoreReader:
    """The reading half of EmbeddingStore. Methods may be called from several threads."""

    def __init__(self, path: Path, mode: str, settings: Settings) -> None:
        """Use `EmbeddingStore.open`."""
        self.path = path
        self.mode = mode
        self._settings = settings
        self._lock = threading.RLock()  # of the snapshot
        self._snapshot: Snapshot | None = None
        self._closed = False

    @property
    def codec(self) -> str:
        """How tokens are kept, such as "int8"."""
        return self._settings.codec.name

    @property
    def codec_fingerprint(self) -> str | None:
        """The fingerprint of the codec, fitted as it is here; None before it is fitted to the first documents."""
        return self._settings.codec.fingerprint

    @property
    def dim(self) -> int | None:
        """K of the encoder; None before the first documents."""
        return self._settings.dim

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the encoder; None before its first documents, and where embeddings came without one."""
        return self._settings.fingerprint

    def get(self, ids: Sequence[str]) -> TokenEmbeddings:
        """Return documents by id, parallel to `ids`; nothing is copied from the files.

        Raises:
            InputError: an id that is not there.
            StoreError: the catalogue is damaged.

        """
        names = checked_ids(ids)
        with self._lock:
            snapshot = self._reader()
            found = snapshot.catalogue.by_id(dict.fromkeys(names))
            missing = next((name for name in names if name not in found), None)
            if missing is not None:
                raise InputError(f"ids: expected documents of {self.path}, got {missing!r}, which is not there")
            return snapshot.embeddings([found[name] for name in names])

    def find(self, texts: Sequence[str], ids: Sequence[str] | None = None) -> tuple[NDArray[np.int64], TokenEmbeddings]:
        """Return which of the texts are here, and their embeddings.

        A text is found by its id, if that is here, and then only if it was added with this very text; other
        texts are found by themselves.

        Returns:
            (indices int64 [n] of texts, ascending; the n documents)

        Raises:
            InputError, InputTypeError: another number of ids than of texts, or ids that no store can have.

        """
        names = [None] * len(texts) if ids is None else checked_ids(ids)
        check_parallel(names, texts)
        hashes = [text_hash(text) for text in texts]
        with self._lock:
            snapshot = self._reader()
            named = snapshot.catalogue.by_id({name for name in names if name is not None})
            entries = [None if name is None else named.get(name) for name in names]
            unknown = {key for entry, key in zip(entries, hashes, strict=True) if entry is None}
            others = snapshot.catalogue.by_text(unknown)
            chosen = [others.get(key) if entry is None else entry for entry, key in zip(entries, hashes, strict=True)]
            current = [(i, entry) for i, entry in enumerate(chosen) if entry and entry.text_hash == hashes[i]]
            return np.array([i for i, _ in current], np.int64), snapshot.embeddings([entry for _, entry in current])

    def changed(self, ids: Sequence[str], texts: Sequence[str]) -> list[bool]:
        """Return for each id whether it is not here, or was added with another text.

        Raises:
            InputError, InputTypeError: as `find`.

        """
        names = checked_ids(ids)
        check_parallel(names, texts)
        with self._lock:
            found = self._reader().catalogue.by_id(dict.fromkeys(names))
        return [
            name not in found or found[name].text_hash != text_hash(text)
            for name, text in zip(names, texts, strict=True)
        ]

    def search(
        self,
        query: str | NDArray[Any],
        top_k: int = 10,
        *,
        encoder: Encoder | None = None,
        threads: int | None = None,
    ) -> list[tuple[str, float]]:
        """Score every document; return the best, (id, score), best first. Ties keep the order of addition.

        Args:
            query: float [Q, K] as the encoder makes it, or text for `encoder`.
            top_k: how many at most; documents without tokens are never among them.
            encoder: the one that made the store.
            threads: as for `maxsim`.

        Raises:
            InputError: another encoder or dimension than the store's, an empty query.
            InputTypeError: text without an encoder.

        """
        count = whole_number(top_k, "top_k", 1)
        if isinstance(query, str):
            if encoder is None:
                raise InputTypeError("query: expected vectors, or text with encoder=")
            self.check_encoder(encoder)
            query = encoder.encode_queries([clean_text(query, "query")])[0]
        vectors = query_array(query)
        if self.dim is not None and vectors.shape[1] != self.dim:
            raise InputError(
                f"query: expected {self.dim} dimensions as the store's encoder has, got {vectors.shape[1]}"
            )
        workers = thread_count(threads)
        with self._lock:
            snapshot = self._reader()
            places, documents = snapshot.everything()
        indices, scores = maxsim_top_k(self._settings.codec.project(vectors), documents, count, threads=workers)
        real = scores > -np.inf
        with self._lock:  # the snapshot may be an older one by now
            names = snapshot.catalogue.ids(places[indices[real]].tolist())
        return list(zip(names, scores[real].tolist(), strict=True))

    def project(self, query: NDArray[Any]) -> NDArray[np.float32]:
        """Return a query, float [Q, K] as the encoder makes it, in the dimensions of the stored documents."""
        return self._settings.codec.project(query_array(query))

    def check_encoder(self, encoder: Encoder) -> None:
        """See that this encoder is the one that made the store, as far as there is anything in it.

        Raises:
            InputError: it is another one, or the store was given embeddings of an unknown one.

        """
        if self.dim is not None and self.fingerprint != encoder.fingerprint:
            known = f"of fingerprint {self.fingerprint}" if self.fingerprint else "not known (it was given embeddings)"
            raise InputError(
                f"encoder: expected the one that made {self.path}, {known}, got {encoder!r} of fingerprint"
                f" {encoder.fingerprint}; index the documents again into another folder"
            )

    def verify(self, *, show_progress: bool = False) -> list[str]:
        """Read everything and return what is wrong, a line each; empty when the store is whole."""
        with self._lock:
            snapshot = Snapshot(self.path, self._settings)  # of its own: this takes long, and others go on meanwhile
        try:
            with progress(snapshot.totals.documents, "document", show=show_progress) as advance:
                return snapshot.problems(advance)
        finally:
            snapshot.close()

    def stats(self) -> dict[str, Any]:
        """Return what is in the store, ready for JSON; bytes are those of the files."""
        with self._lock:
            snapshot = self._reader()
            codec = self._settings.codec
            rows = sum(rows for rows, _ in snapshot.segments.values())
            engines: dict[str, int] = {}
            for count, engine in snapshot.segments.values():
                engines[engine or "unknown"] = engines.get(engine or "unknown", 0) + count
            files = [file for file in self.path.rglob("*") if file.is_file()]
            return {
                "documents": snapshot.totals.documents,
                "tokens": snapshot.totals.tokens,
                "dead tokens": rows - snapshot.totals.tokens,
                "bytes": sum(file.stat().st_size for file in files),
                "bytes per token": snapshot.files.row_bytes if snapshot.files else None,
                "codec": codec.name,
                "dim": self.dim,
                "projection": codec.dims,
                "reduction": codec.reduction.to_dict(),
                "fingerprint": self.fingerprint,
                "engines": engines,
                "segments": len(snapshot.segments),
            }

    def refresh(self) -> None:
        """See what has been committed since."""
        with self._lock:
            self._check_open()
            self._snapshot = Snapshot(self.path, self._settings, self._snapshot)
            self._settings = self._snapshot.settings

    def __len__(self) -> int:
        with self._lock:
            return self._reader().totals.documents

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return isinstance(name, str) and bool(self._reader().catalogue.by_id([name]))

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(self._reader().catalogue.ids())

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed; open it again")

    def _reader(self) -> Snapshot:
        self._check_open()
        if self._snapshot is None or self._snapshot.pid != os.getpid():
            self.refresh()
        return self._snapshot  # type: ignore[return-value]
