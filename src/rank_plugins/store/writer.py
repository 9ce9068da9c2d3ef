"""Writer: changes a store, one transaction at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, StoreError
from rank_plugins.store._lock import WriterLock
from rank_plugins.store.catalogue import Catalogue, Entry, document_checksum
from rank_plugins.store.codec import SCALED
from rank_plugins.store.segments import SEGMENTS, Segments
from rank_plugins.store.settings import Settings

SEGMENT_BYTES = 1 << 30  # a segment that has reached this gets no more
MOVED_AT_ONCE = 1 << 26  # bytes that a compaction copies at a time


class Writer:
    """The one writer of a store. A commit is: rows appended, files synced, then the catalogue's own commit."""

    def __init__(self, folder: Path, lock: WriterLock, settings: Settings) -> None:
        """Take over, under the lock, what the last writer left, and clear away what it did not finish.

        Raises:
            StoreError: a segment is damaged.

        """
        self.folder = folder
        self._lock, self._settings = lock, settings
        self._pid = os.getpid()
        self._catalogue = Catalogue(folder, write=True)
        try:
            self._reclaim()
        except BaseException:
            self._catalogue.close()
            raise

    def check_process(self) -> None:
        """Refuse to write in a process that was forked from the writer's.

        Raises:
            StoreError: this is another process.

        """
        if self._pid != os.getpid():
            raise StoreError(f"{self.folder}: opened for writing before a fork; open the store in the new process")

    def settle(self, settings: Settings) -> Settings:
        """Keep settings that the first documents decide, and return them."""
        with self._catalogue.transaction():
            settings.write(self._catalogue)
        self._settings = settings
        return settings

    def add(self, parts: Iterable[tuple[Sequence[str], Sequence[bytes], TokenEmbeddings]], engine: str) -> None:
        """Add documents, (ids, text hashes, rows) a part, all or none."""
        with _Change(self) as change:
            for ids, hashes, rows in parts:
                change.add(ids, hashes, rows, engine)

    def delete(self, ids: Sequence[str]) -> None:
        """Forget documents, all or none."""
        with _Change(self) as change:
            found = self._catalogue.by_id(ids)
            missing = next((name for name in ids if name not in found), None)
            if missing is not None:
                raise InputError(f"ids: expected documents of {self.folder}, got {missing!r}, which is not there")
            change.remove(list(found.values()))

    def compact(self) -> int:
        """Move the documents of segments with dead rows into others; return the bytes freed."""
        if self._settings.dim is None:
            return 0
        before = self.files.size()
        used = self._catalogue.used()
        sparse = [number for number, (rows, _) in self._catalogue.segments().items() if rows > used.get(number, 0)]
        for number in sparse:
            with _Change(self, avoid=sparse) as change:
                change.move_all(number)
            self.files.remove(number)
        return before - self.files.size()

    def close(self) -> None:
        """Let another process write."""
        if self._pid == os.getpid():
            self._catalogue.close()
        self._lock.release()

    @property
    def files(self) -> Segments:
        """The segment files; the dimension is known."""
        codec = self._settings.codec
        storage, width = codec.row(self._settings.dim or 0)
        return Segments(self.folder / SEGMENTS, storage, width, scaled=codec.name in SCALED)

    def _reclaim(self) -> None:
        rows = {number: rows for number, (rows, _) in self._catalogue.segments().items()}
        if self._settings.dim is not None:
            self.files.reclaim(rows)


class _Change:
    """A transaction: rows behind the committed ones, and the catalogue's statements, committed together."""

    def __init__(self, writer: Writer, avoid: Sequence[int] = ()) -> None:
        self._writer, self._catalogue = writer, writer._catalogue
        self._avoid = set(avoid)
        self._touched: dict[int, bool] = {}  # segments, and whether they are new

    def __enter__(self) -> _Change:
        self._transaction = self._catalogue.transaction()
        self._transaction.__enter__()
        self._segments = self._catalogue.segments()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            try:
                if self._touched:
                    self._writer.files.sync(self._touched)
            except BaseException as failed:
                self._transaction.__exit__(type(failed), failed, failed.__traceback__)
                self._writer._reclaim()
                raise
        try:
            self._transaction.__exit__(kind, error, trace)
        finally:
            if kind is not None:
                self._writer._reclaim()

    def add(self, ids: Sequence[str], hashes: Sequence[bytes], rows: TokenEmbeddings, engine: str) -> None:
        """Append documents, and forget those that had their ids."""
        self.remove(list(self._catalogue.by_id(ids).values()))
        values, offsets = rows.contiguous()
        scales = rows.scales
        number, start = self._append(values, scales, engine)
        entries = []
        for i, (name, text_hash) in enumerate(zip(ids, hashes, strict=True)):
            part = slice(int(offsets[i]), int(offsets[i + 1]))
            entry = (name, number, start + part.start, part.stop - part.start, text_hash)
            check = document_checksum(entry, values[part], None if scales is None else scales[part])
            entries.append((*entry, check))
        self._catalogue.add(entries)

    def remove(self, entries: Sequence[Entry]) -> None:
        """Forget documents."""
        if entries:
            self._catalogue.remove(entries)

    def move_all(self, number: int) -> None:
        """Copy a segment's documents elsewhere and forget the segment."""
        rows, engine = self._segments[number]
        values, scales = self._writer.files.map(number, rows)
        entries = list(self._catalogue.entries(number))
        for entry in entries:
            whole = _lies_within(entry, rows)
            part = slice(entry.start, entry.start + entry.tokens) if whole else slice(0)
            if not whole or _checksum(entry, values[part], None if scales is None else scales[part]) != entry.checksum:
                raise StoreError(
                    f"{self._writer.folder}: document {entry.id!r} is damaged; delete it and add it again, then compact"
                )
        for group in _groups(entries, self._writer.files.row_bytes):
            index = np.concatenate([np.arange(entry.start, entry.start + entry.tokens) for entry in group])
            moved, moved_scales = values[index], None if scales is None else scales[index]
            target, start = self._append(moved, moved_scales, engine)
            at = 0
            for entry in group:
                part = slice(at, at + entry.tokens)
                there = entry._replace(segment=target, start=start + at)
                check = _checksum(there, moved[part], None if moved_scales is None else moved_scales[part])
                self._catalogue.move(entry, target, start + at, check)
                at += entry.tokens
        self._catalogue.remove_segment(number)

    def _append(self, values: NDArray[Any], scales: NDArray[np.float32] | None, engine: str) -> tuple[int, int]:
        """Write rows behind those of a segment; return its number and where they begin."""
        files = self._writer.files
        number = next(
            (
                n
                for n, (rows, made_by) in reversed(self._segments.items())
                if made_by == engine and rows * files.row_bytes < SEGMENT_BYTES and n not in self._avoid
            ),
            None,
        )
        if number is None:
            number = self._catalogue.new_segment()
            self._segments[number] = 0, engine
            self._touched[number] = True
        start, _ = self._segments[number]
        files.append(number, start, values, scales)
        self._touched.setdefault(number, False)
        self._segments[number] = start + len(values), engine
        self._catalogue.set_segment(number, start + len(values), engine)
        return number, start


def _lies_within(entry: Entry, rows: int) -> bool:
    """Return whether an entry, which may be damaged, names rows of a segment that has so many."""
    numbers = isinstance(entry.start, int) and isinstance(entry.tokens, int)
    return numbers and 0 <= entry.start <= rows and 0 <= entry.tokens <= rows - entry.start


def _checksum(entry: Entry, values: NDArray[Any], scales: NDArray[np.float32] | None) -> int:
    return document_checksum((*entry[1:5], entry.text_hash), values, scales)


def _groups(entries: Sequence[Entry], row_bytes: int) -> Iterable[list[Entry]]:
    group: list[Entry] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += entry.tokens * row_bytes
        if size > MOVED_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
