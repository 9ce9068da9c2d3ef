"""EmbeddingStore: token embeddings on disk, by document id."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rank_plugins._progress import progress
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders.encoder import Encoder, clean_texts
from rank_plugins.errors import InputError, InputTypeError, StoreError
from rank_plugins.quantize import dequantize
from rank_plugins.store._lock import WriterLock
from rank_plugins.store.catalogue import NAME, Catalogue
from rank_plugins.store.codec import Codec
from rank_plugins.store.ids import check_once, checked_ids, text_hash
from rank_plugins.store.reader import StoreReader
from rank_plugins.store.reduction import TokenReduction
from rank_plugins.store.segments import SEGMENTS, make_folder
from rank_plugins.store.settings import Settings, check_wanted, wanted_settings
from rank_plugins.store.writer import Writer

TEXTS_AT_ONCE = 1024  # encoded together: bounds the memory of a long list


class EmbeddingStore(StoreReader):
    """Token embeddings of documents in a folder: memory-mapped, compressed, added to in transactions.

    One process may write at a time; any number may read, each the state of the moment at which it opened or
    refreshed the store. What `add`, `delete` or `compact` has done when it returns outlives a crash and a power
    cut, and what was under way leaves no trace. Methods may be called from several threads.
    """

    def __init__(self, path: Path, mode: str, settings: Settings) -> None:
        """Use `EmbeddingStore.open`."""
        super().__init__(path, mode, settings)
        self._writing = threading.RLock()
        self._writer: Writer | None = None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mode: Literal["r", "a"] = "r",
        *,
        codec: str | None = None,
        projection: int | None = None,
        reduction: TokenReduction | None = None,
        verify: bool = False,
    ) -> EmbeddingStore:
        """Open the store in a folder.

        Args:
            path: the folder.
            mode: "r" to read; "a" to read and write, and to make the store where there is none.
            codec: how tokens are kept: float32, float16, bfloat16, int8 (default), binary, residual1, residual2,
                residual4 or pq (see rank_plugins.quantize and rank_plugins.codebook). Like the next two, a setting
                of a new store; given for one that exists, it must be its own.
            projection: keep so many dimensions, those of a PCA fitted to the first documents that are added.
            reduction: leave out or pool tokens.
            verify: check all contents first, as `verify` does.

        Raises:
            InputError: a setting that is unknown or not the store's own.
            StoreError: no store, a damaged one or one of a newer version; another writer.

        """
        if mode not in ("r", "a"):
            raise InputError(f"mode: expected 'r' or 'a', got {mode!r}")
        wanted = wanted_settings(codec, projection, reduction)
        folder = Path(path).expanduser()
        lock = None
        if mode == "a":
            make_folder(folder)
            lock = WriterLock(folder)
        elif not (folder / NAME).is_file():
            raise StoreError(f"{folder}: expected an embedding store, found none; open it with mode 'a' to make one")
        with contextlib.ExitStack() as resources:
            if lock is not None:
                resources.callback(lock.release)
                Catalogue.create(folder)
            with contextlib.closing(Catalogue(folder, write=lock is not None)) as catalogue:
                settings = Settings.read(catalogue)
                if settings is None and any(file.stat().st_size for file in folder.glob(f"{SEGMENTS}/*")):
                    raise StoreError(
                        f"{folder / NAME}: the catalogue is lost, but there are segments; restore it from a copy, or"
                        " index into another folder"
                    )
                if settings is None or (lock is not None and wanted and not settings.decided):
                    settings = Settings(Codec(**wanted))
                    if lock is not None:
                        with catalogue.transaction():
                            settings.write(catalogue)
            check_wanted(folder, settings.codec, wanted)
            store = cls(folder, mode, settings)
            resources.callback(store.close)
            if lock is not None:
                store._writer = Writer(folder, lock, settings)
            store.refresh()
            problems = store.verify() if verify else []
            if problems:
                raise StoreError(
                    f"{folder}: {len(problems)} problems, the first: {problems[0]}; restore the store from a copy, or"
                    " delete what is damaged and index it again"
                )
            resources.pop_all()  # nothing is wrong: they stay open
        return store

    def fit(self, sample: TokenEmbeddings) -> None:
        """Fit what the codec needs (a codebook, a projection) to a sample of the corpus, float32.

        Nothing happens where the codec needs nothing, or has it already; `add` fits to its own documents otherwise.

        Raises:
            InputError: too few tokens.
            StoreError: not open for writing.

        """
        with self._writing:
            writer = self._open_writer()
            if not self._settings.codec.fitted:
                self._settings = writer.settle(self._settings.fitted(dequantize(sample)))

    def encode(self, texts: Sequence[str], encoder: Encoder, *, show_progress: bool = False) -> TokenEmbeddings:
        """Return the texts' embeddings as this store keeps them, without keeping them.

        Raises:
            InputError: another encoder than the store's, or a codec that is not fitted yet.

        """
        self.check_encoder(encoder)
        if not self._settings.codec.fitted:
            raise InputError(f"{self.path}: {self.codec} is fitted to the first documents; add some, or call fit")
        return self._settings.codec.encode(self._vectors(texts, encoder, show_progress))

    def add(
        self,
        ids: Sequence[str],
        embeddings: TokenEmbeddings | None = None,
        *,
        texts: Sequence[str] | None = None,
        encoder: Encoder | None = None,
        show_progress: bool = False,
    ) -> None:
        """Add documents in one transaction; a document whose id is there is replaced.

        Args:
            ids: one for each document, each once.
            embeddings: the documents' token embeddings, of an encoder that made all of this store; or
            texts: the documents, for `encoder` to encode. With both, the texts say when an embedding is outdated.
            encoder: the one that made all of this store.
            show_progress: show a bar.

        Raises:
            InputError: another encoder or dimension than the store's, ids that repeat, lists of different length.
            InputTypeError: another type, or neither embeddings nor texts and encoder.
            StoreError: not open for writing, or the disk refused; the store is as it was before.

        """
        names = checked_ids(ids)
        cleaned = None if texts is None else clean_texts(texts, "texts")
        if (embeddings is None) == (encoder is None) or (embeddings is None and cleaned is None):
            raise InputTypeError("add: expected embeddings, or texts with an encoder")
        for what, column in (("embeddings", embeddings), ("texts", cleaned)):
            if column is not None and len(column) != len(names):
                raise InputError(f"{what}: expected {len(names)} of them (one per id), got {len(column)}")
        if embeddings is not None and not isinstance(embeddings, TokenEmbeddings):
            raise InputTypeError(f"embeddings: expected TokenEmbeddings, got {type(embeddings).__name__}")
        check_once(names)
        hashes = [b""] * len(names) if cleaned is None else [text_hash(text) for text in cleaned]
        with self._writing:
            writer = self._open_writer()
            if encoder is not None:
                self.check_encoder(encoder)
            if not names:
                return

            # What the first documents decide is kept before the transaction begins.
            def parts() -> Iterator[tuple[list[str], list[bytes], TokenEmbeddings]]:
                with progress(len(names), "document", show=show_progress and encoder is not None) as advance:
                    for start in range(0, len(names), TEXTS_AT_ONCE):
                        part = slice(start, min(start + TEXTS_AT_ONCE, len(names)))
                        if embeddings is not None:
                            vectors = self._taken(embeddings[part])
                        else:
                            vectors = self._vectors((cleaned or [])[part], encoder, show_progress=False)
                        if not self._settings.codec.fitted:
                            self.fit(vectors)
                        if self.dim is None:
                            self._settings = writer.settle(self._settings.made_by(vectors.dim, encoder))
                        yield names[part], hashes[part], self._settings.codec.encode(vectors)
                        advance(part.stop - part.start)

            rest = parts()
            writer.add(itertools.chain([next(rest)], rest), _engine(encoder))
            self.refresh()

    def keep(self, parts: Sequence[tuple[Sequence[str], Sequence[str], TokenEmbeddings]], encoder: Encoder) -> None:
        """Add documents that `encode` has made, (ids, texts, rows) a part, in one transaction.

        Raises:
            InputError, StoreError: as `add`.

        """
        check_once([name for ids, _, _ in parts for name in checked_ids(ids)])
        hashed = [(ids, [text_hash(text) for text in texts], rows) for ids, texts, rows in parts]
        with self._writing:
            writer = self._open_writer()
            if self.dim is None:
                self._settings = writer.settle(self._settings.made_by(encoder.dim, encoder))
            writer.add(hashed, _engine(encoder))
            self.refresh()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete documents in one transaction; `compact` gives their space back.

        Raises:
            InputError: an id that is not there.
            StoreError: not open for writing, or the disk refused.

        """
        names = list(dict.fromkeys(checked_ids(ids)))
        with self._writing:
            self._open_writer().delete(names)
            self.refresh()

    def compact(self) -> int:
        """Give back the space of deleted and replaced documents; return how many bytes.

        Readers keep what they see; the space is free when the last of them has refreshed or closed.

        Raises:
            StoreError: not open for writing, or the disk refused; nothing is lost.

        """
        with self._writing:
            freed = self._open_writer().compact()
            self.refresh()
            return freed

    def close(self) -> None:
        """Let go of the files; embeddings that were got stay usable."""
        with self._writing, self._lock:
            self._closed = True
            if self._snapshot is not None:
                self._snapshot.close()
                self._snapshot = None
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.path)!r}, mode={self.mode!r}, codec={self.codec!r})"

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _vectors(self, texts: Sequence[str], encoder: Any, show_progress: bool) -> TokenEmbeddings:
        """Return the float32 embeddings of texts, without the tokens that the reduction leaves out."""
        reduction = self._settings.codec.reduction
        vectors = encoder.encode_documents(texts, show_progress=show_progress)
        if not reduction.skip:
            return self._taken(vectors)
        if not hasattr(encoder, "document_tokens"):
            raise InputTypeError(
                f"encoder: expected one with document_tokens, which leaving out {' and '.join(reduction.skip)} needs,"
                f" got {type(encoder).__name__}"
            )
        return self._taken(reduction.skip_tokens(vectors, encoder.document_tokens(texts)))

    def _taken(self, embeddings: TokenEmbeddings) -> TokenEmbeddings:
        if self.dim is not None and len(embeddings) and embeddings.dim != self.dim:
            raise InputError(
                f"embeddings: expected {self.dim} dimensions as {self.path} has, got {embeddings.dim};"
                " encode with the encoder that made the store"
            )
        return dequantize(embeddings)

    def _open_writer(self) -> Writer:
        self._check_open()
        if self._writer is None:
            raise StoreError(f"{self.path}: the store is open for reading; open it with mode 'a'")
        self._writer.check_process()
        return self._writer


def _engine(encoder: Encoder | None) -> str:
    return str(getattr(encoder, "engine", ""))
