"""The writer's lock: one process at a time may write to a store."""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path
from typing import IO

from rank_plugins.errors import StoreError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = "lock"


class WriterLock:
    """A lock on a file of the store; the system frees it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            StoreError: another store, here or in another process, is open for writing; or the folder is read-only.

        """
        path = folder / NAME
        try:
            self._file: IO[bytes] | None = path.open("ab")
        except OSError as error:
            raise StoreError(
                error.errno, f"{path}: {error.strerror}; open the store with mode 'r', or make the folder writable"
            ) from error
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StoreError(
                f"{folder}: another store is open for writing here; close it, or open this one with mode 'r'"
            ) from error
        _held.add(self)

    def release(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()
            self._file = None


_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _let_go() -> None:
    """In a forked process: drop its copies of the parent's locks, which would outlive the parent's release."""
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
