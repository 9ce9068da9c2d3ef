"""The campaign `power`: the power is cut at every point of a writer's work, and nothing committed may be lost.

A child process works under the recorder; the replay builds the disk after a cut at each point of its log, in several
ways (see disk.py), and opens the store there. The next round begins with one of those disks, so that recovery itself
is cut off too.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from disk import Disk, Record, content_of, record
from documents import State, after, matching, perform, reclaimed
from writer import opened

from rank_plugins.errors import StoreError
from rank_plugins.store import EmbeddingStore

HERE = Path(__file__).parent
# What is on the disk of that which came after the last fsync: changes of folders, bytes of files.
WAYS = (
    ("dropped", "dropped"),
    ("applied", "dropped"),
    ("dropped", "applied"),
    ("applied", "applied"),
    ("some", "some"),
    ("applied", "some"),
)
CODECS = ("int8", "float32", "residual2")


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """What must hold after a cut: the store is in one of the states; `made` says whether it must be there at all."""

    states: list[State]
    made: bool


def compiler() -> str | None:
    """Return the C compiler, or None where there is none or where the recorder cannot work."""
    return shutil.which("cc") if sys.platform == "linux" else None


def build(folder: Path) -> Path:
    """Compile the recorder and return the shared object."""
    library = folder / "recorder.so"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", library, HERE / "recorder.c", "-ldl", "-pthread"], check=True)
    return library


def power(folder: Path, times: int | None, seed: int, rounds: int = 6, count: int = 30) -> dict[str, int]:
    """Cut the power at `times` points, or all, of `rounds` runs of `count` operations; return figures.

    Raises:
        AssertionError: a store lost something, or could not be opened.

    """
    rng = np.random.default_rng(seed)
    figures = {"rounds": rounds, "operations": 0, "cuts": 0, "disks": 0, "unfinished writes reclaimed": 0}
    recorder = build(folder)
    for part in range(rounds):
        if part % 2 == 0:
            codec, start, promise = CODECS[part // 2 % len(CODECS)], None, Promise([{}], False)
        run = folder / f"run{part}"
        records = work(run, recorder, codec, int(rng.integers(1 << 30)), count, start, promise.states[0])
        figures["operations"] += len(records)
        promises = list(promised(records, promise))
        points = range(len(records) + 1)
        share = None if times is None else max(1, times // rounds)
        chosen = points if share is None else sorted(rng.choice(points, min(share, len(points)), replace=False))
        last = rng.choice(chosen)
        for point, disk in replay(records, start, chosen):
            figures["cuts"] += 1
            for way in WAYS:
                crashed = folder / "crashed"
                disk.crash(crashed, *way, rng)
                if point == last and way == ("some", "some"):
                    shutil.copytree(crashed, folder / f"start{part}")
                    last_promise = promises[point]
                try:
                    state, dropped = check(crashed / "store", codec, promises[point])
                except Exception as error:
                    last_done = [(r.operation, r.path, r.offset, len(r.data)) for r in records[:point][-8:]]
                    raise AssertionError(
                        f"round {part} ({codec}), cut at {point} of {len(records)} {way}, after {last_done}:"
                        f" {type(error).__name__}: {error}; the disk is kept in {crashed}"
                    ) from error
                if point == last and way == ("some", "some"):
                    start, promise = folder / f"start{part}", dataclasses.replace(last_promise, states=[state])
                figures["disks"] += 1
                figures["unfinished writes reclaimed"] += dropped
                shutil.rmtree(crashed)
        shutil.rmtree(run)
    return figures


def work(
    folder: Path, recorder: Path, codec: str, seed: int, count: int, start: Path | None, state: State
) -> list[Record]:
    """Let a child work in `folder`, which begins as `start`, and return what it did.

    Raises:
        AssertionError: the log does not say all that happened to the files.

    """
    if start is None:
        folder.mkdir()
    else:
        shutil.copytree(start, folder)
    before = Disk(folder)
    command = [HERE / "writer.py", str(folder / "store"), codec, str(seed), str(count), json.dumps(state)]
    records = record([str(part) for part in command], recorder, folder, folder.with_suffix(".log"))
    for entry in records:
        before.apply(entry)
    replayed = folder.with_suffix(".replayed")
    before.crash(replayed, "applied", "applied", np.random.default_rng(0))
    assert content_of(replayed) == content_of(folder), "the recorder missed something"
    shutil.rmtree(replayed)
    return records


def promised(records: Sequence[Record], promise: Promise) -> Iterator[Promise]:
    """Yield what must hold after a cut before each record, and after the last."""
    yield promise
    for entry in records:
        for line in entry.data.splitlines() if entry.operation == "m" else ():
            said = json.loads(line)
            if "begin" in said:
                promise = Promise([promise.states[0], after(promise.states[0], said["begin"])], True)
            else:
                promise = Promise([promise.states[-1]], True)
        yield promise


def replay(
    records: Sequence[Record],
    start: Path | None,
    points: Sequence[int],
    keeps: Callable[[Record], bool] = lambda _: True,
) -> Iterator[tuple[int, Disk]]:
    """Yield the disk at each of the points, which ascend; an fsync that `keeps` refuses is one that did nothing."""
    disk, place = Disk(start), 0
    for point in points:
        for entry in records[place:point]:
            if entry.operation != "s" or keeps(entry):
                disk.apply(entry)
        place = point
        yield point, disk


def lost(folder: Path, seed: int, keeps: Callable[[Record], bool], count: int = 6, step: int = 7) -> int:
    """Return at how many points a store is not as promised on a disk that does only those fsyncs that `keeps` names."""
    records = work(folder / "run", build(folder), "int8", seed, count, None, {})
    promises = list(promised(records, Promise([{}], False)))
    losses = 0
    for point, disk in replay(records, None, range(0, len(records) + 1, step), keeps):
        crashed = folder / f"crashed{point}"
        disk.crash(crashed, "dropped", "dropped", np.random.default_rng(0))
        try:
            check(crashed / "store", "int8", promises[point])
        except (AssertionError, StoreError):
            losses += 1
    return losses


def check(folder: Path, codec: str, promise: Promise) -> tuple[State, bool]:
    """Open a store after a cut; return its state and whether it had unfinished rows.

    Raises:
        AssertionError: something committed is not there, or something else is.
        StoreError: it cannot be opened.

    """
    try:
        with EmbeddingStore.open(folder) as store:
            state = matching(store, promise.states)
            assert store.verify() == []
    except StoreError:
        if promise.made:
            raise
        state = promise.states[0]
    before = _size(folder)
    with opened(str(folder), codec) as store:
        assert matching(store, [state]) == state
        assert reclaimed(folder, store) == []
        assert store.verify() == []
        dropped = _size(folder) < before
        more = {"added": 1, next(iter(state), "other"): 2}
        perform(store, {"do": "add", "documents": more})
    with EmbeddingStore.open(folder) as store:
        matching(store, [state | more])
    return state, dropped


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("segments/*"))
