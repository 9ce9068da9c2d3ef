"""Files as bytes: plain or packed by gzip, bzip2 or Zstandard, as their names say, and written whole or not at all."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import importable, require
from rank_plugins.errors import InputError

PACKINGS = (".gz", ".bz2", ".zst")


def suffixes(path: Path) -> tuple[str, str]:
    """Return the suffixes of the format and of the packing, in lower case; either may be empty."""
    packing = path.suffix.lower()
    if packing not in PACKINGS:
        return packing, ""
    return path.with_suffix("").suffix.lower(), packing


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to read it, unpacked.

    Raises:
        InputError: no such file, or one that cannot be read or unpacked, also while it is read.
        MissingExtraError: a .zst file, and nothing that unpacks it is installed.

    """
    module = _packer(suffixes(path)[1])
    try:
        with path.open("rb") if module is None else module.open(path, "rb") as file:
            yield file
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: expected a file, found none") from None
    except IsADirectoryError:
        raise InputError(
            f"{path}: expected a file, got a folder; folders of BEIR are read by rank_plugins.datasets.load_beir"
        ) from None
    except (OSError, EOFError, ValueError, zlib.error, getattr(module, "ZstdError", OSError)) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, unpacked.

    Raises:
        InputError: no such file, or one that cannot be read or unpacked.
        MissingExtraError: a .zst file, and nothing that unpacks it is installed.

    """
    with opened(path) as file:
        return file.read()


def read_array(path: Path) -> NDArray[np.uint8]:
    """Return what is in a file, unpacked, as an array: NumPy's memory is had sooner than that of large bytes.

    Raises:
        InputError, MissingExtraError: as `read_bytes`.

    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size if isinstance(file, io.BufferedReader) else 0
        array = np.empty(size, np.uint8)
        got = file.readinto(array) if size else 0  # type: ignore[attr-defined]
        rest = file.read()  # of a packed file, a pipe, or a file that has grown
    return np.concatenate([array[:got], np.frombuffer(rest, np.uint8)]) if rest else array[:got]


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, packed as its name says: whole, or, where that fails, not at all.

    Raises:
        OSError: it cannot be written.
        MissingExtraError: a .zst file, and nothing that packs it is installed.

    """
    module = _packer(suffixes(path)[1])
    if module is not None:
        data = _packed(module, data)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _packer(packing: str) -> Any:
    """Return the module that packs and unpacks, None for plain files."""
    if packing != ".zst":
        return importlib.import_module({".gz": "gzip", ".bz2": "bz2"}[packing]) if packing else None
    if importable("compression") and importable("compression.zstd"):  # Python 3.14
        return importlib.import_module("compression.zstd")
    return require("zstandard")


def _packed(module: Any, data: bytes) -> bytes:
    if module.__name__ == "zstandard":
        return bytes(module.ZstdCompressor().compress(data))
    options = {"mtime": 0} if module.__name__ == "gzip" else {}  # equal runs are equal files
    return bytes(module.compress(data, **options))
