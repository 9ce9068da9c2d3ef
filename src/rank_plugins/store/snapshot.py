"""Snapshot: what a reader sees of a store, unchanged by those who write meanwhile."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._rows import Rows
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import StoreError
from rank_plugins.store.catalogue import SUM_BITS, Catalogue, Entry, Totals, document_checksum
from rank_plugins.store.codec import SCALED
from rank_plugins.store.segments import SEGMENTS, Segments
from rank_plugins.store.settings import Settings

TRIES = 20  # a compaction may delete a segment between the look at the catalogue and the mapping


class Snapshot:
    """One committed state: a read transaction on the catalogue, and the segments of that moment, mapped."""

    def __init__(self, folder: Path, settings: Settings, before: Snapshot | None = None) -> None:
        """Take what is committed now; where nothing was appended since `before`, its mappings serve on.

        Raises:
            StoreError: something is missing or damaged.

        """
        self.pid = os.getpid()
        self._folder = folder
        self.settings = settings
        self._maps: dict[int, tuple[int, Any]] = {} if before is None else before._maps
        self._everything: tuple[NDArray[np.int64], TokenEmbeddings] | None = None
        for attempt in range(TRIES):
            self.catalogue = Catalogue(folder, write=False)
            try:
                self._look()
                break
            except BaseException as error:
                self.catalogue.close()
                if not isinstance(error.__cause__, FileNotFoundError) or attempt == TRIES - 1:
                    raise
        self.close = weakref.finalize(self, _close, self.catalogue, self.pid)
        """Let go of the catalogue; otherwise that happens when nobody has the snapshot any more."""

    def embeddings(self, entries: Sequence[Entry]) -> TokenEmbeddings:
        """Return documents; nothing is copied.

        Raises:
            StoreError: an entry points outside its segment.

        """
        try:
            table = np.array([(e.segment, e.start, e.tokens) for e in entries], np.int64).reshape(-1, 3)
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreError(f"{self._folder}: the catalogue is damaged ({error}); restore it from a copy") from error
        return self._checked(table)

    def everything(self) -> tuple[NDArray[np.int64], TokenEmbeddings]:
        """Return the places of all documents, int64 [N], and the documents, in order of addition."""
        if self._everything is None:
            table = self.catalogue.table()
            self._everything = table[:, 0].copy(), self._checked(table[:, 1:])
        return self._everything

    def problems(self, advance: Callable[[int], Any]) -> list[str]:
        """Read everything; return what is wrong. `advance` is called with a number of documents as they are done."""
        try:
            problems = self.catalogue.problems()
            count = tokens = total = 0
            for entry in self.catalogue.entries():
                problems += self._document_problems(entry)
                if not problems:
                    count, tokens, total = count + 1, tokens + entry.tokens, total + entry.checksum & SUM_BITS
                advance(1)
            if not problems and Totals(count, tokens, total) != self.totals:
                problems.append(f"the catalogue: expected {self.totals}, found {Totals(count, tokens, total)}")
        except StoreError as error:
            return [str(error)]
        return problems

    def _document_problems(self, entry: Entry) -> list[str]:
        try:
            document = self.embeddings([entry])
            values, scales = document[0], document.scales
            checksum = document_checksum((*entry[1:5], entry.text_hash), values, scales)
        except StoreError as error:
            return [f"document {entry.id!r}: {error}"]
        if checksum != entry.checksum:
            return [f"document {entry.id!r}: its checksum is another; delete it and add it again"]
        return []

    def _look(self) -> None:
        if self.settings.dim is None:  # afterwards it is settled
            self.settings = Settings.read(self.catalogue) or self.settings
        self.totals = self.catalogue.totals()
        self.segments = self.catalogue.segments()
        self.files: Segments | None = None
        if self.settings.dim is not None:
            codec = self.settings.codec
            storage, width = codec.row(self.settings.dim)
            self.files = Segments(self._folder / SEGMENTS, storage, width, scaled=codec.name in SCALED)
            self._maps = {number: self._map(self.files, number, rows) for number, (rows, _) in self.segments.items()}
        mapped = [arrays for _, arrays in self._maps.values()]
        self._rows: Rows = self.settings.codec.rows(mapped, self.settings.dim or 0)
        self._numbers = np.fromiter(self._maps, np.int64, len(self._maps))
        self._lengths = np.fromiter((rows for rows, _ in self._maps.values()), np.int64, len(self._maps))

    def _map(self, files: Segments, number: int, rows: int) -> tuple[int, Any]:
        """Return a segment's arrays, those of the snapshot before where nothing was appended."""
        known = self._maps.get(number)
        return known if known is not None and known[0] == rows else (rows, files.map(number, rows))

    def _checked(self, table: NDArray[np.int64]) -> TokenEmbeddings:
        """Return documents by (segment, start, tokens), int64 [N, 3], none of which leaves its segment."""
        numbers, starts, tokens = table[:, 0], table[:, 1].copy(), table[:, 2].copy()
        if len(self._numbers):
            segment = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
            last = self._lengths[segment] - starts
            wrong = (self._numbers[segment] != numbers) | (starts < 0) | (tokens < 0) | (tokens > last)
        else:
            segment, wrong = np.zeros(len(table), np.int64), np.ones(len(table), bool)
        if wrong.any():
            number, start, count = table[int(np.argmax(wrong))].tolist()
            raise StoreError(
                f"{self._folder}: expected documents inside their segments, got segment {number}, rows {start} to"
                f" {start + count}; the catalogue is damaged: restore it from a copy, or index again"
            )
        return TokenEmbeddings._of(self._rows, segment, starts, tokens)


def _close(catalogue: Catalogue, pid: int) -> None:
    if pid == os.getpid():  # in a forked process the connection is the parent's
        catalogue.close()
    else:
        _inherited.append(catalogue)


_inherited: list[Catalogue] = []
