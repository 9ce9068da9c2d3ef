"""The campaign `crowd`: readers in threads and processes beside a writer see one committed state at a time.

Step k of the writer follows from the seed, so every reader knows what the store holds after it: the document `clock`
has version k, every other one the version of the step that wrote it last. A document's first vector begins with its
version and no other vector does, so the query e0 scores each document by its version, exactly.

Each role is a process of its own: python crowd.py ROLE FOLDER SEED SECONDS OWN_SEED, which prints its figures.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins import TokenEmbeddings
from rank_plugins.errors import InputError, StoreError
from rank_plugins.store import EmbeddingStore

HERE = Path(__file__).parent
DIM = 16
PAIRS = 12
READERS = 4  # processes; and twice as many threads
E0 = np.eye(1, DIM, dtype=np.float32)
FORK_SECONDS = 20  # a forked process that has not ended by then hangs


class Step(NamedTuple):
    """What a step writes or deletes, and what the store holds afterwards."""

    written: dict[str, int]
    deleted: list[str]
    state: dict[str, int]


class History:
    """The steps of the writer, worked out as far as they are asked for."""

    def __init__(self, seed: int) -> None:
        first = {"clock": 0} | {name: 0 for i in range(PAIRS) for name in _pair(i)}
        self._seed, self._steps, self._lock = seed, [Step(first, [], first)], threading.Lock()

    def __getitem__(self, number: int) -> Step:
        with self._lock:
            while len(self._steps) <= number:
                self._steps.append(self._next(self._steps[-1].state, len(self._steps)))
        return self._steps[number]

    def _next(self, state: dict[str, int], number: int) -> Step:
        rng = np.random.default_rng([self._seed, number])
        pairs = rng.permutation(PAIRS)[: rng.integers(1, 5)]
        names = [name for i in pairs for name in _pair(i)]
        there = [name for name in names if name in state]
        if number % 4 == 3 and there:
            return Step({}, there, {name: version for name, version in state.items() if name not in there})
        written = dict.fromkeys(["clock", *names], number)
        return Step(written, [], state | written)

    def states(self, clock: int) -> list[dict[str, int]]:
        """Return the states in which the clock says this: a step that deletes does not turn it."""
        after = self[clock + 1]
        return [self[clock].state] + [after.state] * bool(after.deleted)


def crowd(folder: Path, times: int, seed: int) -> dict[str, int]:
    """Let a writer and its readers work for `times` seconds; return figures.

    Raises:
        AssertionError: a reader saw what was never committed, or ended with an error.

    """
    store = folder / "store"
    history = History(seed)
    with EmbeddingStore.open(store, "a", codec="float32") as first:
        _write(first, history[0])
    roles = ["writer", "threads", *["reader"] * READERS]
    children = [
        subprocess.Popen(
            [sys.executable, HERE / "crowd.py", role, store, str(seed), str(times), str(own)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own, role in enumerate(roles)
    ]
    figures: collections.Counter[str] = collections.Counter()
    wrong = []
    for role, child in zip(roles, children, strict=True):
        output, errors = child.communicate()
        if child.returncode:
            wrong.append(f"the {role} ended with {child.returncode}:\n{errors}")
        else:
            figures.update(json.loads(output))
    assert not wrong, "\n".join(wrong)
    with EmbeddingStore.open(store) as last:
        assert last.verify() == []
        whole = history[figures["steps"]].state
        assert see(last, history, np.random.default_rng(0)) == whole["clock"]
        assert sorted(last) == sorted(whole)
    return dict(figures)


def vectors(name: str, version: int) -> NDArray[np.float32]:
    """Return the vectors of a document, float32 [D, DIM]."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), version])
    values = rng.standard_normal((rng.integers(1, 7), DIM)).astype(np.float32)
    values[:, 0] = 0
    values[0, 0] = version
    return values


def see(store: EmbeddingStore, history: History, rng: np.random.Generator) -> int:
    """Check everything that a store says between two refreshes; return what its clock says.

    Raises:
        AssertionError: it is not one committed state.

    """
    names = list(store)
    found = store.get(names)
    clock = int(found[names.index("clock")][0, 0])
    states = [state for state in history.states(clock) if sorted(state) == sorted(names)]
    assert states, f"at {clock} the store has {sorted(names)}"
    state = states[0]
    for name, rows in zip(names, found, strict=True):
        assert np.array_equal(rows, vectors(name, state[name])), f"at {clock}: {name} is not of version {state[name]}"
    assert len(store) == len(names)
    everything = store.search(E0, len(names))
    assert dict(everything) == state, f"at {clock} the scores are {everything}"
    query = rng.standard_normal((3, DIM)).astype(np.float32)
    scores = {
        name: float((query.astype(np.float64) @ rows.T).max(axis=1).sum())
        for name, rows in zip(names, found, strict=True)
    }
    hits = store.search(query, 5)
    best = sorted(scores.values(), reverse=True)[:5]
    assert np.allclose([score for _, score in hits], best, rtol=1e-4, atol=1e-4), f"at {clock}: {hits}, expected {best}"
    assert all(np.isclose(score, scores[name], rtol=1e-4, atol=1e-4) for name, score in hits)
    return clock


def see_shared(store: EmbeddingStore, history: History, rng: np.random.Generator) -> int:
    """Check what one call says of a store that other threads refresh; return what its clock says.

    Raises:
        AssertionError: it is not of one committed state.

    """
    hits = dict(store.search(E0, 1000))
    clock = int(hits["clock"])
    assert hits in history.states(clock), f"at {clock} the scores are {hits}"
    pair = _pair(int(rng.integers(PAIRS)))
    try:
        found = store.get(pair)
    except InputError:  # deleted
        return clock
    versions = [int(rows[0, 0]) for rows in found]
    assert versions[0] == versions[1], f"{pair} have the versions {versions}"
    for name, rows in zip(pair, found, strict=True):
        assert np.array_equal(rows, vectors(name, versions[0])), f"{name} is not of version {versions[0]}"
    return clock


def writer(folder: Path, history: History, until: float, rng: np.random.Generator) -> dict[str, int]:
    """Write one step after another."""
    figures = {"steps": 0, "compactions": 0, "reopened by the writer": 0}
    middle = (time.monotonic() + until) / 2
    store = EmbeddingStore.open(folder, "a")
    while time.monotonic() < until:
        figures["steps"] += 1
        _write(store, history[figures["steps"]])
        if rng.random() < 0.1:
            store.compact()
            figures["compactions"] += 1
        if rng.random() < 0.02:
            store.close()
            store = EmbeddingStore.open(folder, "a")
            figures["reopened by the writer"] += 1
        if time.monotonic() > middle:
            middle = until
            _forked(_write_twice, store)
    store.close()
    return figures


def reader(
    folder: Path, history: History, until: float, rng: np.random.Generator, *, forks: bool = True
) -> dict[str, int]:
    """Read with a store of one's own."""
    figures = {"snapshots": 0, "reads": 0}
    middle = (time.monotonic() + until) / 2
    store, clock = EmbeddingStore.open(folder), 0
    while time.monotonic() < until:
        now = see(store, history, rng)
        assert now >= clock, f"the clock went from {clock} to {now}"
        figures["snapshots"] += now > clock
        figures["reads"] += 1
        clock = now
        if rng.random() < 0.05:
            store.close()
            store = EmbeddingStore.open(folder)
        elif rng.random() < 0.6:
            store.refresh()
        if forks and time.monotonic() > middle:
            middle = until
            _forked(_read_on, store, folder, history)
    store.close()
    return figures


def shared(store: EmbeddingStore, history: History, until: float, rng: np.random.Generator) -> dict[str, int]:
    """Read with a store that several threads have."""
    figures = {"shared reads": 0}
    while time.monotonic() < until:
        see_shared(store, history, rng)
        figures["shared reads"] += 1
        if rng.random() < 0.2:
            store.refresh()
    return figures


def threads(folder: Path, history: History, until: float, rng: np.random.Generator) -> dict[str, int]:
    """Read with several threads, one half of which share a store.

    They do not fork: SQLite's own locks, and any others, may be held by another thread then.
    """
    figures: collections.Counter[str] = collections.Counter()
    wrong = []

    def run(role: Callable[..., dict[str, int]], source: object, own: np.random.Generator) -> None:
        try:
            figures.update(role(source, history, until, own))
        except BaseException:  # noqa: BLE001 - told by the main thread
            wrong.append(traceback.format_exc())

    with EmbeddingStore.open(folder) as store:
        workers = [
            threading.Thread(target=run, args=(role, source, np.random.default_rng(rng.integers(1 << 30))))
            for role, source in [(partial(reader, forks=False), folder), (shared, store)] * READERS
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    if wrong:
        raise AssertionError("\n".join(wrong))
    return figures


def _pair(i: int) -> list[str]:
    return [f"left {i}", f"right {i}"]


def _write(store: EmbeddingStore, step: Step) -> None:
    if step.deleted:
        store.delete(step.deleted)
    else:
        written = step.written.items()
        store.add(list(step.written), TokenEmbeddings.from_list([vectors(*item) for item in written]))


def _forked(work: Callable[..., None], *arguments: object) -> None:
    """Do something in a fork of this process, which must end well."""
    child = os.fork()
    if not child:
        signal.alarm(FORK_SECONDS)
        try:
            work(*arguments)
        except BaseException:  # noqa: BLE001 - whatever it is, this copy of the process must not go on
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"a forked process ended with status {status}"


def _read_on(store: EmbeddingStore, folder: Path, history: History) -> None:
    """Read in a fork: with the parent's store, which may refuse, and with a new one."""
    with contextlib.suppress(StoreError):
        see(store, history, np.random.default_rng(0))
    store.close()
    with EmbeddingStore.open(folder) as own:
        see(own, history, np.random.default_rng(0))


def _write_twice(store: EmbeddingStore) -> None:
    """Try to write in a fork with the store that the parent writes with."""
    try:
        store.add(["forked"], TokenEmbeddings.from_list([vectors("forked", 0)]))
    except StoreError:
        pass
    else:
        raise AssertionError("two processes write with one lock")
    store.close()


def main() -> None:
    """Play a role."""
    role, folder, seed, seconds, own = sys.argv[1:]
    play = {"writer": writer, "reader": reader, "threads": threads}[role]
    until = time.monotonic() + float(seconds)
    print(json.dumps(play(Path(folder), History(int(seed)), until, np.random.default_rng([int(seed), int(own)]))))


if __name__ == "__main__":
    main()
