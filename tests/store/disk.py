"""The replay: what a disk holds after a power cut, from the log that recorder.c wrote.

The model is POSIX's and no file system's: a file has the bytes of its last fsync, an entry of a folder (made,
renamed, removed) is there or gone only after the folder's own fsync. What came later may be on the disk or not.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

HEADER = struct.Struct("=IIIiqQ")
SECTOR = 512  # the disk writes a sector whole or not at all


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One operation: its letter as recorder.c has it, its path below the folder, and its bytes."""

    operation: str
    path: str = ""
    other: str = ""
    offset: int = 0
    data: bytes = b""


@dataclasses.dataclass(slots=True, eq=False)
class File:
    """A file: the bytes that the disk keeps for sure, and the writes and truncations since."""

    durable: bytearray = dataclasses.field(default_factory=bytearray)
    pending: list[Record] = dataclasses.field(default_factory=list)

    def sync(self) -> None:
        """Have the disk keep everything."""
        for record in self.pending:
            _change(self.durable, record)
        self.pending.clear()

    def content(self, survives: Callable[[], bool]) -> bytes:
        """Return what the disk holds, where every sector and truncation since the last fsync `survives` or not."""
        content = bytearray(self.durable)
        for record in self.pending:
            for part in _sectors(record):
                if survives():
                    _change(content, part)
        return bytes(content)


@dataclasses.dataclass(slots=True, eq=False)
class Folder:
    """A folder: its entries now, those that the disk keeps for sure, and the changes since."""

    entries: dict[str, File | Folder] = dataclasses.field(default_factory=dict)
    durable: dict[str, File | Folder] = dataclasses.field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = dataclasses.field(default_factory=list)  # None: removed

    def change(self, entries: dict[str, File | Folder | None]) -> None:
        """Set and remove entries in one operation."""
        self.pending.append(entries)
        _enter(self.entries, entries)

    def sync(self) -> None:
        """Have the disk keep the entries."""
        self.durable = dict(self.entries)
        self.pending.clear()

    def kept(self, changes: int) -> dict[str, File | Folder]:
        """Return the entries after the first `changes` of the changes since the last fsync."""
        entries = dict(self.durable)
        for change in self.pending[:changes]:
            _enter(entries, change)
        return entries


class Disk:
    """A disk that holds one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin with what lies in `folder`, kept for sure, or with nothing."""
        self._root = _read(folder) if folder else Folder()

    def apply(self, record: Record) -> None:
        """Do one operation."""
        if record.operation == "?":
            raise NotImplementedError(f"{record.path}: {record.other} is not modelled; extend recorder.c and disk.py")
        if record.operation == "m" or record.path.endswith("-shm") or record.path.endswith(" (deleted)"):
            return
        parent, name = self._parent(record.path)
        if record.operation in "cd":
            parent.change({name: File() if record.operation == "c" else Folder()})
        elif record.operation == "u":
            parent.change({name: None})
        elif record.operation == "r":
            target, other = self._parent(record.other)
            if target is not parent:
                raise NotImplementedError(f"{record.path}: renamed into another folder, {record.other}")
            parent.change({name: None, other: parent.entries[name]})
        elif record.operation == "s":
            (parent.entries[name] if name else self._root).sync()
        else:
            file = parent.entries[name]
            assert isinstance(file, File), record.path
            file.pending.append(record)

    def crash(self, folder: Path, entries: str, contents: str, rng: np.random.Generator) -> None:
        """Write into `folder` what a power cut now would leave.

        Args:
            folder: where to write; it is made.
            entries: which changes of folders since their fsync are there: "applied" (all), "dropped" (none), or
                "some" (in every folder the first few).
            contents: which bytes since the file's fsync are there: "applied", "dropped" or "some" (any sectors).
            rng: what chooses "some".

        """
        _write(self._root, folder, entries, contents, rng)

    def _parent(self, path: str) -> tuple[Folder, str]:
        folder = self._root
        *parents, name = path.split("/")
        for parent in parents:
            inner = folder.entries[parent]
            assert isinstance(inner, Folder), path
            folder = inner
        return folder, name


def record(command: Sequence[str | os.PathLike[str]], recorder: Path, folder: Path, log: Path) -> list[Record]:
    """Run a Python script under the recorder and return what it did to `folder` and what it said, in order.

    Args:
        command: the script and its arguments.
        recorder: the shared object.
        folder: only what happens under it is recorded.
        log: where the recorder writes.

    """
    log.unlink(missing_ok=True)
    names = {"LD_PRELOAD": str(recorder), "RECORDER_FOLDER": str(folder.resolve()), "RECORDER_LOG": str(log)}
    run = subprocess.run(
        [sys.executable, *command], env=os.environ | names, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"the recorded process failed:\n{run.stderr}"
    return _parse(log.read_bytes(), str(folder.resolve()))


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files under a folder but SQLite's shared memory."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _parse(log: bytes, folder: str) -> list[Record]:
    records, place = [], 0
    while place < len(log):
        operation, path, other, _, offset, size = HEADER.unpack_from(log, place)
        place += HEADER.size
        names = log[place : place + path + other]
        place += path + other
        kept = size if operation in b"mw" else 0
        below = [os.fsdecode(name)[len(folder) + 1 :] for name in (names[:path], names[path:])]
        if operation == ord("?"):
            below[1] = os.fsdecode(names[path:])  # says what it is
        records.append(Record(chr(operation), *below, offset, log[place : place + kept]))
        place += kept
    return records


def _change(content: bytearray, record: Record) -> None:
    end = record.offset + len(record.data)
    if record.operation == "t" and end < len(content):
        del content[end:]
    content.extend(bytes(max(0, end - len(content))))
    content[record.offset : end] = record.data


def _sectors(record: Record) -> Iterable[Record]:
    if record.operation == "t":
        return [record]
    first = SECTOR - record.offset % SECTOR
    ends = [*range(first, len(record.data), SECTOR), len(record.data)]
    starts = [0, *ends[:-1]]
    return [
        dataclasses.replace(record, offset=record.offset + start, data=record.data[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]


def _enter(entries: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _read(folder: Path) -> Folder:
    nodes: dict[str, File | Folder] = {}
    for path in folder.iterdir():
        if not path.name.endswith("-shm"):
            nodes[path.name] = _read(path) if path.is_dir() else File(bytearray(path.read_bytes()))
    return Folder(nodes, dict(nodes))


def _write(node: Folder, folder: Path, entries: str, contents: str, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    changes = len(node.pending)
    kept = {"applied": changes, "dropped": 0, "some": int(rng.integers(changes + 1))}[entries]
    share = {"applied": 1.0, "dropped": 0.0, "some": float(rng.choice([0.1, 0.5, 0.9]))}[contents]
    for name, inner in node.kept(kept).items():
        if isinstance(inner, Folder):
            _write(inner, folder / name, entries, contents, rng)
        else:
            (folder / name).write_bytes(inner.content(lambda: rng.random() < share))
