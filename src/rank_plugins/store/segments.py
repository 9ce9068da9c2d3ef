"""Segments: the files that hold the rows of token vectors, appended to and mapped into memory.

A segment is `00000001.values`, one row of fixed width per token, and for types with a scale per token
`00000001.scales`, a float32 per row. What stands behind the rows that the catalogue knows is unfinished.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import StoreError
from rank_plugins.store.catalogue import NAME

SEGMENTS = "segments"
EMPTY = (SEGMENTS, "lock")  # what a store that was not finished may hold


class Segments:
    """The segment files of one store, whose rows are `width` elements of type `storage`."""

    def __init__(self, folder: Path, storage: Any, width: int, *, scaled: bool) -> None:
        """Say what a row is; no file is touched before it is asked for."""
        self._folder = folder
        self._storage, self._width, self._scaled = np.dtype(storage), width, scaled

    @property
    def row_bytes(self) -> int:
        """Bytes of one token in all files together."""
        return int(self._storage.itemsize) * self._width + (4 if self._scaled else 0)

    def map(self, number: int, rows: int) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Return the first `rows` rows of a segment and their scales, read-only, straight from the files.

        Raises:
            StoreError: a file is missing, shorter than that, or cannot be read.

        """
        values = self._mapped(self._path(number, "values"), self._storage, (rows, self._width))
        return values, self._mapped(self._path(number, "scales"), np.float32, (rows,)) if self._scaled else None

    def append(self, number: int, rows: int, values: NDArray[Any], scales: NDArray[np.float32] | None) -> None:
        """Write rows behind the first `rows` ones of a segment; they are safe only after `sync`.

        Raises:
            StoreError: the disk is full, or not to be written.

        """
        self._write(self._path(number, "values"), rows * self._storage.itemsize * self._width, values)
        if scales is not None:
            self._write(self._path(number, "scales"), rows * 4, scales)

    def sync(self, numbers: Mapping[int, bool]) -> None:
        """Have the disk keep the segments' files, and the folder's entry of those that are new (true)."""
        for number in numbers:
            for path in self._files(number):
                with _told(path), path.open("rb+") as file:
                    os.fsync(file.fileno())
        if any(numbers.values()):
            sync_folder(self._folder)

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(path.stat().st_size for path in self._folder.iterdir())

    def remove(self, number: int) -> None:
        """Delete a segment that the catalogue no longer knows; whoever has it mapped keeps it until the end."""
        for path in self._files(number):
            with _told(path):
                path.unlink(missing_ok=True)

    def reclaim(self, rows: Mapping[int, int]) -> None:
        """Cut every segment to the rows that the catalogue knows, and delete the segments that it does not.

        Raises:
            StoreError: a segment is shorter than the catalogue knows.

        """
        with _told(self._folder):
            known = {path: number for number in rows for path in self._files(number)}
            for path in sorted(self._folder.iterdir()):
                if path not in known:
                    path.unlink()
        for path, number in known.items():
            width = 4 if path.suffix == ".scales" else self._storage.itemsize * self._width
            with _told(path):
                size = path.stat().st_size
                if size > rows[number] * width:
                    os.truncate(path, rows[number] * width)
            _check_size(path, size, rows[number] * width)

    def _path(self, number: int, kind: str) -> Path:
        return self._folder / f"{number:08d}.{kind}"

    def _files(self, number: int) -> list[Path]:
        return [self._path(number, kind) for kind in ("values", "scales")[: 1 + self._scaled]]

    def _mapped(self, path: Path, storage: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        with _told(path):
            _check_size(path, path.stat().st_size, int(np.prod(shape)) * np.dtype(storage).itemsize)
            if not shape[0]:  # nothing cannot be mapped
                return np.empty(shape, storage)
            return np.asarray(np.memmap(path, storage, "r", shape=shape))

    def _write(self, path: Path, offset: int, array: NDArray[Any]) -> None:
        with _told(path), path.open("rb+" if path.exists() else "xb") as file:
            file.seek(offset)
            if array.size:
                file.write(np.ascontiguousarray(array).data.cast("B"))


def make_folder(folder: Path) -> None:
    """Make the folder of a new store, or see that there is one or nothing.

    Raises:
        StoreError: other files are in it, or it cannot be made.

    """
    try:
        if not (folder / NAME).exists() and folder.exists() and any(p.name not in EMPTY for p in folder.iterdir()):
            raise StoreError(f"{folder}: expected an embedding store or an empty folder, found other files")
        for made in (folder, folder / SEGMENTS):
            if not made.is_dir():
                made.mkdir(parents=True)
                sync_folder(made.parent)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(error.errno, f"{folder}: {error.strerror}; the folder cannot be made") from error


def sync_folder(folder: Path) -> None:
    """Have the disk keep the folder's entries, on systems that let a folder be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _check_size(path: Path, size: int, expected: int) -> None:
    if size < expected:
        raise StoreError(
            f"{path}: expected at least {expected} bytes as the catalogue says, got {size}; the file is damaged:"
            " restore it from a copy, or index again"
        )


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            error.errno, f"{path}: {error.strerror or error}; nothing that was committed is lost"
        ) from error
