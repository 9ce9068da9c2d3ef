"""The catalogue: what an SQLite file says of the documents in a store's segments.

docs/store-format.md describes the tables.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import StoreError

NAME = "catalogue.sqlite"
VERSION = 1
APPLICATION = 0x524B5053  # "RKPS"
TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE segments (number INTEGER PRIMARY KEY, rows INTEGER NOT NULL, engine TEXT NOT NULL,"
    " checksum INTEGER NOT NULL)",
    "CREATE TABLE documents (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, segment INTEGER NOT NULL,"
    " start INTEGER NOT NULL, tokens INTEGER NOT NULL, text_hash BLOB NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE INDEX text_hashes ON documents (text_hash)",
)
COLUMNS = "place, id, segment, start, tokens, text_hash, checksum"
VALUES_AT_ONCE = 500  # of the variables that one statement may have
BUSY = 30.0  # seconds to wait for another process that is committing
MAPPED = 1 << 30  # bytes of the file that a reader looks at where they are, which halves the time of a lookup
SUM_BITS = 0x7FFFFFFFFFFFFFFF


class Entry(NamedTuple):
    """A document: `tokens` rows of a segment from `start` on; `text_hash` is b"" where no text is known."""

    place: int
    id: str
    segment: int
    start: int
    tokens: int
    text_hash: bytes
    checksum: int


class Totals(NamedTuple):
    """What all documents come to; `checksum`, the sum of theirs, tells when one of them got lost."""

    documents: int = 0
    tokens: int = 0
    checksum: int = 0


class Catalogue:
    """One connection to a catalogue. Not for several threads at a time."""

    def __init__(self, folder: Path, *, write: bool) -> None:
        """Connect; for reading, a snapshot begins that lasts until `close`.

        Raises:
            StoreError: no catalogue, one of a newer version, a damaged one.

        """
        self._path = folder / NAME
        self._frozen: tuple[int, int] | None = None  # size and time of a file that SQLite takes to be unchanging
        with _told(self._path):
            try:
                self._connection = self._connect("rw" if write else "ro", write=write)
            except sqlite3.OperationalError:
                wal = self._path.with_name(f"{NAME}-wal")
                if write or (wal.exists() and wal.stat().st_size):
                    raise
                # Nothing can be written here, and nobody commits: SQLite need not make files beside this one.
                self._frozen = self._stamp()
                self._connection = self._connect("ro&immutable=1", write=False)
        try:
            self._check_version()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, folder: Path) -> None:
        """Make an empty catalogue where there is none yet.

        Raises:
            StoreError: the folder cannot be written.

        """
        path = folder / NAME
        with _told(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                return  # a catalogue, or another application's database, which opening it tells
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            for table in TABLES:
                connection.execute(table)
            connection.execute("COMMIT")

    def close(self) -> None:
        """Disconnect; SQLite tidies up behind the last one."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, all or nothing; when this returns, the disk has it."""
        with self.told():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self.told():
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Turn SQLite's errors into StoreError, and what it cannot know into one too: a frozen file that changed.

        Raises:
            StoreError: either.

        """
        try:
            with _told(self._path):
                yield
        finally:
            if self._frozen is not None and self._stamp() != self._frozen:
                raise StoreError(f"{self._path}: changed beside a reader that may not write there; refresh the store")

    def meta(self, key: str) -> bytes | None:
        """Return the bytes kept under `key`, or None.

        Raises:
            StoreError: they are damaged.

        """
        found = self._rows("SELECT value, checksum FROM meta WHERE key = ?", (key,))
        if not found:
            return None
        value, checksum = found[0]
        if not isinstance(value, bytes) or _checksum(key, value) != checksum:
            raise StoreError(f"{self._path}: {key} is damaged; restore the store from a copy, or index again")
        return value

    def set_meta(self, key: str, value: bytes) -> None:
        """Keep bytes under `key`."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", [(key, value, _checksum(key, value))])

    def totals(self) -> Totals:
        """Return what all documents come to."""
        value = self.meta("totals")
        return Totals(*json.loads(value)) if value else Totals()

    def segments(self) -> dict[int, tuple[int, str]]:
        """Return rows and engine of every segment, ascending.

        Raises:
            StoreError: an entry is damaged.

        """
        found = self._rows("SELECT number, rows, engine, checksum FROM segments ORDER BY number")
        for number, rows, engine, checksum in found:
            if _checksum("segment", number, rows, engine) != checksum:
                raise StoreError(
                    f"{self._path}: the entry of segment {number} is damaged; restore the store from a copy"
                )
        return {number: (rows, engine) for number, rows, engine, _ in found}

    def new_segment(self) -> int:
        """Return a number that no segment has had: a reader may still have an old one mapped under its own."""
        number = int(self.meta("last segment") or 0) + 1
        self.set_meta("last segment", str(number).encode())
        return number

    def set_segment(self, number: int, rows: int, engine: str) -> None:
        """Say how many rows a segment has, and which engine made them."""
        entry = (number, rows, engine, _checksum("segment", number, rows, engine))
        self._run("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?)", [entry])

    def remove_segment(self, number: int) -> None:
        """Forget a segment."""
        self._run("DELETE FROM segments WHERE number = ?", [(number,)])

    def used(self) -> dict[int, int]:
        """Return the rows of each segment that documents hold."""
        return dict(self._rows("SELECT segment, sum(tokens) FROM documents GROUP BY segment"))

    def by_id(self, ids: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those ids that are there."""
        return {entry.id: entry for entry in self._chosen("id", ids)}

    def by_text(self, hashes: Iterable[bytes]) -> dict[bytes, Entry]:
        """Return for each text hash that is there one entry, the first."""
        entries = sorted(self._chosen("text_hash", hashes), reverse=True)
        return {entry.text_hash: entry for entry in entries}

    def entries(self, segment: int | None = None) -> Iterator[Entry]:
        """Yield all documents, or those of one segment, in the order of their rows."""
        where, values = ("", ()) if segment is None else ("WHERE segment = ?", (segment,))
        with self.told():
            cursor = self._connection.execute(
                f"SELECT {COLUMNS} FROM documents {where} ORDER BY segment, start, place",  # noqa: S608 - our words
                values,
            )
            yield from map(Entry._make, cursor)

    def ids(self, places: Sequence[int] | None = None) -> list[str]:
        """Return the ids at these places, or all in order of addition."""
        if places is None:
            names = [row[0] for row in self._rows("SELECT id FROM documents ORDER BY place")]
            if not all(isinstance(name, str) for name in names):
                raise StoreError(f"{self._path}: an id is damaged; restore the store from a copy, or index again")
            return names
        found = {entry.place: entry.id for entry in self._chosen("place", places)}
        return [found[place] for place in places]

    def table(self) -> NDArray[np.int64]:
        """Return place, segment, start and tokens of all documents in order of addition, int64 [N, 4]."""
        with self.told():
            cursor = self._connection.execute("SELECT place, segment, start, tokens FROM documents ORDER BY place")
            flat = np.fromiter((number for row in cursor for number in row), np.int64)
        return flat.reshape(-1, 4)

    def add(self, entries: Sequence[tuple[str, int, int, int, bytes, int]]) -> None:
        """Add documents (id, segment, start, tokens, text_hash, checksum) whose ids are new."""
        self._run(
            "INSERT INTO documents (id, segment, start, tokens, text_hash, checksum) VALUES (?, ?, ?, ?, ?, ?)", entries
        )
        self._change(len(entries), sum(entry[3] for entry in entries), sum(entry[5] for entry in entries))

    def remove(self, entries: Sequence[Entry]) -> None:
        """Forget documents."""
        self._run("DELETE FROM documents WHERE place = ?", [(entry.place,) for entry in entries])
        self._change(-len(entries), -sum(entry.tokens for entry in entries), -sum(entry.checksum for entry in entries))

    def move(self, entry: Entry, segment: int, start: int, checksum: int) -> None:
        """Say where a document lies now."""
        self._run(
            "UPDATE documents SET segment = ?, start = ?, checksum = ? WHERE place = ?",
            [(segment, start, checksum, entry.place)],
        )
        self._change(0, 0, checksum - entry.checksum)

    def problems(self) -> list[str]:
        """Return what SQLite itself finds wrong, and tables that are not those of this version."""
        found = [row[0] for row in self._rows("PRAGMA integrity_check")]
        problems = [] if found == ["ok"] else [f"{NAME}: {text}" for text in found]
        tables = {row[0] for row in self._rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
        return problems + [f"{NAME}: other tables than this version makes"] * (tables != set(TABLES))

    def _change(self, documents: int, tokens: int, checksum: int) -> None:
        old = self.totals()
        new = Totals(old.documents + documents, old.tokens + tokens, old.checksum + checksum & SUM_BITS)
        self.set_meta("totals", json.dumps(new).encode())

    def _chosen(self, column: str, values: Iterable[Any]) -> Iterator[Entry]:
        wanted = list(values)
        for start in range(0, len(wanted), VALUES_AT_ONCE):
            part = wanted[start : start + VALUES_AT_ONCE]
            marks = ", ".join("?" * len(part))
            yield from map(
                Entry._make,
                self._rows(f"SELECT {COLUMNS} FROM documents WHERE {column} IN ({marks})", part),  # noqa: S608 - our words
            )

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self.told():
            return self._connection.execute(statement, values).fetchall()

    def _run(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.told():
            self._connection.executemany(statement, rows)

    def _connect(self, mode: str, *, write: bool) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            for statement in ("PRAGMA synchronous = FULL",) if write else (f"PRAGMA mmap_size = {MAPPED}", "BEGIN"):
                connection.execute(statement)
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # the snapshot is of this instant
        except BaseException:
            connection.close()
            raise
        return connection

    def _stamp(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_size, found.st_mtime_ns

    def _check_version(self) -> None:
        application = self._rows("PRAGMA application_id")[0][0]
        version = self._rows("PRAGMA user_version")[0][0]
        if application != APPLICATION:
            raise StoreError(f"{self._path}: this is no catalogue of an embedding store; name another folder")
        if version > VERSION:
            raise StoreError(
                f"{self._path}: expected format version {VERSION} at most, got {version}; update rank-plugins"
            )


def document_checksum(
    entry: tuple[str, int, int, int, bytes], values: NDArray[Any], scales: NDArray[np.float32] | None
) -> int:
    """Return the CRC-32 of a document's rows and of (id, segment, start, tokens, text_hash)."""
    check = zlib.crc32(values.data) if values.size else 0
    if scales is not None and scales.size:
        check = zlib.crc32(scales.data, check)
    return zlib.crc32(repr(entry).encode(), check)


def _checksum(*parts: object) -> int:
    return zlib.crc32(repr(parts).encode())


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what SQLite's errors mean for the store."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # damaged text may be no UTF-8
        text = str(error)
        if not path.exists():
            advice = "there is no store here; name another folder, or open it with mode 'a' to make one"
        elif "locked" in text or "busy" in text:
            advice = "another process holds it; try again"
        elif "full" in text:
            advice = "make room and try again; nothing that was committed is lost"
        elif "readonly" in text or "unable to open" in text or "disk I/O" in text:
            advice = "see that the disk works and the folder may be read and written; nothing committed is lost"
        else:
            advice = "the catalogue is damaged: restore the store from a copy, or index again"
        raise StoreError(f"{path}: {text}; {advice}") from error
