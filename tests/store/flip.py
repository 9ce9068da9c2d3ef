"""The campaign `flip`: bytes of a store's files are changed at random, and each change is found or does no harm.

A child process does the looking, so that a crash is seen: python flip.py FOLDER SEED FIRST TIMES, which says for each
trial {"trial": number} and then {"found": how}. Where reading went well, opening for writing and compacting must not
harm what was whole, nor hide what was not.
"""

from __future__ import annotations

import collections
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from documents import DIM, State, after, differences, holds, operations, perform
from writer import opened

from rank_plugins.errors import InputError, StoreError
from rank_plugins.store import EmbeddingStore

HERE = Path(__file__).parent
CODECS = ("int8", "float32", "residual2")
BATCH = 50  # trials of one child
OPERATIONS = 40
QUERIES = np.random.default_rng(1).standard_normal((2, 3, DIM)).astype(np.float32)


def flip(folder: Path, times: int, seed: int) -> dict[str, int]:
    """Change bytes `times` times; return how often which way of finding it was the first.

    Raises:
        AssertionError: a change went unnoticed and did harm, or ended in another error than it should.

    """
    figures: dict[str, int] = collections.Counter(flips=0)
    for codec in (*CODECS, "wal"):
        prepare(folder / codec, "int8" if codec == "wal" else codec, seed, closed=codec != "wal")
    for first in range(0, times, BATCH):
        codec = (*CODECS, "wal")[first // BATCH % 4]
        command = [sys.executable, HERE / "flip.py", folder / codec, seed, first, min(BATCH, times - first)]
        child = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        said = [json.loads(line) for line in child.stdout.splitlines()]
        repeat = f"repeat with: python {' '.join(map(str, command[1:]))}"
        assert child.returncode == 0, f"{codec}: {said[-1:]} ended with {child.returncode}:\n{child.stderr}\n{repeat}"
        for line in said:
            if "found" in line:
                figures["flips"] += 1
                figures[line["found"]] += 1
    return dict(figures)


def prepare(folder: Path, codec: str, seed: int, *, closed: bool = True) -> None:
    """Make a store with some history, and beside it its states; one not closed still has its write-ahead log."""
    plan = operations(np.random.default_rng(seed), {})
    work = folder / "work"
    store = opened(str(work), codec)
    states: list[State] = [{}]
    for operation, _ in zip(plan, range(OPERATIONS), strict=False):
        if operation["do"] != "reopen" and (closed or operation["do"] != "compact"):
            perform(store, operation)
            states.append(after(states[-1], operation))
    if closed:
        store.close()
        work.rename(folder / "store")
    else:
        shutil.copytree(work, folder / "store", ignore=shutil.ignore_patterns("*-shm"))
        store.close()
        shutil.rmtree(work)
    (folder / "states.json").write_text(json.dumps(states))


def changed(folder: Path, rng: np.random.Generator) -> str:
    """Change one to three bytes of one file; say which."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    front = len(content) if rng.random() < 0.7 else min(len(content), 200)  # headers are few bytes, and matter
    places = rng.integers(front, size=rng.integers(1, 4)).tolist()
    for place in places:
        content[place] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    return f"{path.relative_to(folder)} at {places}"


def answers(store: EmbeddingStore) -> dict[str, Any]:
    """Return everything that a store says to a reader, without looking for damage."""
    names = list(store)
    found = store.get(names)
    return {
        "ids": names,
        "len": len(store),
        "vectors": [rows.tobytes() for rows in found],
        "scales": None if found.scales is None else found.scales.tobytes(),
        "settings": [store.codec, store.dim, store.fingerprint],
        "stats": json.dumps({key: value for key, value in store.stats().items() if key != "path"}),
        "found": [store.search(query, 10) for query in QUERIES],
    }


def look(folder: Path, place: str, whole: dict[str, Any], states: list[State]) -> str:
    """Return how the change of a store at `place` was found; `whole` are its answers before.

    Raises:
        AssertionError: it was not, and did harm.

    """
    try:
        with EmbeddingStore.open(folder) as store:
            right, _ = given(store, states[-1])
            try:
                said = answers(store)
                same = said == whole and not differences(store, states[-1])
            except (StoreError, InputError):  # InputError: an id that is listed and not found
                same = None
            try:
                problems = store.verify()
            except StoreError as error:
                problems = [str(error)]
            if same is False and not problems:
                # A write-ahead log ends where its checksums do: the last commits are lost, as after a power cut.
                assert any(not differences(store, state) for state in states), "other answers than before, and whole"
                assert "-wal" in place, "older answers than before"
                return "an older state"
    except StoreError:
        return "open"
    if problems:
        try:
            EmbeddingStore.open(folder, verify=True).close()
        except StoreError:
            pass
        else:
            raise AssertionError(f"open(verify=True) let pass what verify() reports: {problems}")
    keep(folder, right, states[-1], catalogue="catalogue" in place)
    if same is None:
        assert problems, "reading raised an error, and verify() reports nothing"
        return "use"
    return "verify" if problems else "harmless"


def given(store: EmbeddingStore, state: State) -> tuple[set[str], set[str]]:
    """Return the documents that a store gives as they are in `state`, and those that it gives otherwise."""
    right, wrong = set(), set()
    for name, version in state.items():
        with contextlib.suppress(StoreError, InputError):
            (right if holds(store, name, version) else wrong).add(name)
    return right, wrong


def keep(folder: Path, right: set[str], state: State, *, catalogue: bool) -> None:
    """Open a damaged store for writing, then write to it; either may be refused.

    Raises:
        AssertionError: what was whole is not any more, or what is damaged looks whole. Writing alone may harm the
            neighbours in a damaged catalogue, since SQLite moves entries within its pages; that must show.

    """
    with contextlib.suppress(StoreError):
        EmbeddingStore.open(folder, "a").close()
    with EmbeddingStore.open(folder) as store:
        still, _ = given(store, state)
        assert right <= still, f"opening a damaged store for writing lost {sorted(right - still)}"
    with contextlib.suppress(StoreError), EmbeddingStore.open(folder, "a") as store:
        perform(store, {"do": "add", "documents": {"added": 1}})
        store.compact()
    with EmbeddingStore.open(folder) as store:
        still, wrong = given(store, state)
        assert right <= still or catalogue, f"writing to a damaged store lost {sorted(right - still)}"
        lost = wrong | right - still
        assert not lost or store.verify(), f"writing made damage look whole: {sorted(lost)}"


def main() -> None:
    """Look at some trials."""
    base, (seed, first, times) = Path(sys.argv[1]), map(int, sys.argv[2:])
    states = json.loads((base / "states.json").read_text())
    with EmbeddingStore.open(base / "store") as store:
        whole = answers(store)
    for trial in range(first, first + times):
        print(json.dumps({"trial": trial}), flush=True)
        folder = base / "changed"
        shutil.copytree(base / "store", folder, ignore=shutil.ignore_patterns("*-shm"))
        place = changed(folder, np.random.default_rng([seed, trial]))
        try:
            found = look(folder, place, whole, states)
        except Exception as error:
            raise AssertionError(f"trial {trial}, {place}: {type(error).__name__}: {error}") from error
        print(json.dumps({"found": found, "place": place}), flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
