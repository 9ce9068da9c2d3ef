"""ScoreFile: one connection to the SQLite file of a score cache, for many threads, and for none but this process."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from rank_plugins.errors import StoreError

VERSION = 1
APPLICATION = 0x524B5343  # "RKSC"
TABLES = (
    # A model is never removed, and its number never used again: other processes remember it.
    "CREATE TABLE models (number INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint TEXT NOT NULL UNIQUE)",
    # A score is the bits of a float64, because SQLite would turn -0.0 into 0.
    "CREATE TABLE scores (model INTEGER NOT NULL, query BLOB NOT NULL, document BLOB NOT NULL, score INTEGER NOT NULL,"
    " written INTEGER NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (model, query, document)) WITHOUT ROWID",
)
BUSY = 30.0  # seconds to wait for another process that is writing


class ScoreFile:
    """Connects when it is first asked, and again after `close` and in a forked process."""

    def __init__(self, path: Path) -> None:
        """Remember the path."""
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self.opened = 0
        """How often it was connected: what was read before may be of another file."""
        _files.add(self)

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time, the file made if there is none.

        Raises:
            StoreError: whatever SQLite cannot do, with what to do about it.

        """
        with self._lock:
            try:
                with told(self.path):
                    if self._connection is None:
                        self._connection = _connected(self.path)
                        self.opened += 1
                    yield self._connection
            except StoreError:
                self.disconnect()  # the file may be deleted now, and the next call makes another
                raise

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self.disconnect()

    def disconnect(self) -> None:
        """Disconnect; the lock is held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Say what SQLite's errors mean for a cache.

    Raises:
        StoreError: in place of each.

    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # damaged text may be no UTF-8
        text = str(error)
        if _busy(error):
            advice = "other processes held it for too long; try again"
        elif "full" in text:
            advice = "make room, or prune it"
        elif any(words in text for words in ("readonly", "unable to open", "disk I/O")):
            advice = "see that its folder is there and may be written, and that the disk works"
        else:
            advice = "it is damaged, or no score cache; delete it or name another, and scores are computed again"
        raise StoreError(f"{path}: {text}; {advice}") from error


def _connected(path: Path) -> sqlite3.Connection:
    """Return a connection to the file, made if there is none or it is empty."""
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    deadline = time.monotonic() + BUSY
    try:
        while not _ready(connection, path, deadline):
            time.sleep(0.01)
    except BaseException:
        connection.close()
        raise
    return connection


def _ready(connection: sqlite3.Connection, path: Path, deadline: float) -> bool:
    """Prepare the file; return whether that was possible. Where two make one file at once, SQLite does not wait."""
    try:
        _prepare(connection, path)
    except sqlite3.OperationalError as error:
        if not _busy(error) or time.monotonic() > deadline:
            raise
        return False
    return True


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """See that the file is a cache of this version, and make it one if there is nothing in it."""
    connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last scores, and damages nothing
    if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(connection):
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
                for table in TABLES:
                    connection.execute(table)
    (application,), (version,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    if application != APPLICATION:
        raise StoreError(f"{path}: this is another application's database, no score cache; name another file")
    if version > VERSION:
        raise StoreError(f"{path}: expected format version {VERSION} at most, got {version}; update rank-plugins")


def _busy(error: Exception) -> bool:
    return "locked" in str(error) or "busy" in str(error)


_files: weakref.WeakSet[ScoreFile] = weakref.WeakSet()
_forking = threading.local()  # of each thread that forks: whose locks it holds


def _before_fork() -> None:
    """Disconnect: a connection of SQLite's must not be there in two processes. Threads wait until the fork is done."""
    _forking.held = sorted(_files, key=id)  # in one order, so that threads that fork at once wait for each other
    for file in _forking.held:
        file._lock.acquire()
        file.disconnect()


def _after_fork() -> None:
    for file in _forking.held:
        file._lock.release()
    del _forking.held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
