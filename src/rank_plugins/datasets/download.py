"""Archives from the network: checked, unpacked and kept in a folder of this package, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from rank_plugins._extras import importable
from rank_plugins._progress import progress
from rank_plugins.errors import StoreError

CHUNK = 1 << 18  # bytes
TIMEOUT = 60.0  # seconds without a byte


def cache_folder() -> Path:
    """Return where downloads are kept: RANK_PLUGINS_CACHE, or XDG_CACHE_HOME/rank-plugins, or ~/.cache/rank-plugins."""
    own = os.environ.get("RANK_PLUGINS_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "rank-plugins"


def fetched(name: str, url: str, md5: str) -> Path:
    """Return the folder `name` of the archive at `url`, downloaded unless it is there from before.

    A bar shows the progress on a terminal where tqdm is installed. Processes that do this at the same time do not
    disturb each other: each works in a folder of its own, and the first to end puts it into place.

    Raises:
        StoreError: no connection, another content than `md5` says, an archive that is damaged or writes outside of
            its folder, or a cache that cannot be written. Nothing is left behind.

    """
    home = cache_folder() / "beir"
    folder = home / name
    if folder.is_dir():
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=home) as work:
            archive = Path(work) / "archive.zip"
            _download(name, url, md5, archive)
            _unpack(archive, Path(work) / "content", name, url)
            with contextlib.suppress(OSError):  # another process was faster
                (Path(work) / "content" / name).rename(folder)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{home}: cannot be written: {error}; set RANK_PLUGINS_CACHE to another folder") from error
    if not folder.is_dir():
        raise StoreError(f"{folder}: cannot be put into place; set RANK_PLUGINS_CACHE to another folder")
    return folder


def _download(name: str, url: str, md5: str, archive: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 - the URL is ours
            total = int(response.headers.get("Content-Length") or 0) or None
            show = sys.stderr.isatty() and importable("tqdm")
            with progress(total, "B", show=show) as advance, archive.open("wb") as file:
                while chunk := response.read(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                    advance(len(chunk))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise StoreError(
            f"{name}: cannot be downloaded from {url}: {getattr(error, 'reason', error)}; without a network, fetch and"
            " unpack it elsewhere and pass the folder"
        ) from error
    if digest.hexdigest() != md5:
        size = archive.stat().st_size
        raise StoreError(
            f"{name}: expected an archive of MD5 {md5}, got {digest.hexdigest()} ({size} bytes"
            f"{f' of {total}' if total and total != size else ''}) from {url}; try again later"
        )


def _unpack(archive: Path, folder: Path, name: str, url: str) -> None:
    """Unpack what lies in folder `name` of the archive; entries that point elsewhere are refused, links too."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                target = (folder / entry.filename).resolve()
                if not target.is_relative_to(folder.resolve()) or stat.S_ISLNK(entry.external_attr >> 16):
                    raise StoreError(f"{name}: the archive from {url} has an entry outside of it, {entry.filename!r}")
            for entry in opened.infolist():
                target = folder / entry.filename
                if entry.is_dir():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise StoreError(f"{name}: the archive from {url} cannot be unpacked: {error}") from error
    if not (folder / name).is_dir():
        raise StoreError(f"{name}: expected a folder {name!r} in the archive from {url}, found none")
