"""The campaign `kill`: a writer is killed at random instants, and the store holds what it had committed.

The same folder goes on for several kills, so that recovery is killed too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from documents import State, after, matching, reclaimed
from writer import opened

from rank_plugins.errors import StoreError
from rank_plugins.store import EmbeddingStore

HERE = Path(__file__).parent
CODECS = ("int8", "float32", "residual2", "binary")
LIVES = 10  # kills before a new store is begun
LONGEST = 0.6  # seconds that a writer works before it is killed


def kill(folder: Path, times: int, seed: int) -> dict[str, int]:
    """Kill a writer `times` times and look at the store each time; return figures.

    Raises:
        AssertionError: the store holds something else than what was committed.

    """
    rng = np.random.default_rng(seed)
    figures = {"kills": 0, "operations": 0, "killed inside one": 0, "which was there": 0, "before it was open": 0}
    for life in range(times):
        if life % LIVES == 0:
            codec = CODECS[life // LIVES % len(CODECS)]
            store, state, made = folder / f"store{life}", State(), False
        lines = killed(store, codec, int(rng.integers(1 << 30)), state, rng)
        figures["kills"] += 1
        figures["before it was open"] += not lines
        figures["operations"] += sum("done" in line for line in lines)
        made = made or bool(lines)
        states = [state]
        for line in lines:
            states = [states[0], after(states[0], line["begin"])] if "begin" in line else [states[-1]]
        try:
            state = check(store, codec, states, made)
        except Exception as error:
            raise AssertionError(
                f"kill {life} ({codec}) in {store}, last said: {lines[-1:]}: {type(error).__name__}: {error}"
            ) from error
        figures["killed inside one"] += len(states) > 1
        figures["which was there"] += len(states) > 1 and state == states[1] != states[0]
    return figures


def killed(store: Path, codec: str, seed: int, state: State, rng: np.random.Generator) -> list[dict[str, object]]:
    """Start a writer, kill it at a random instant, and return what it said."""
    command = [sys.executable, HERE / "writer.py", store, codec, str(seed), "0", json.dumps(state)]
    # Unbuffered: communicate() reads behind what readline() has buffered.
    with subprocess.Popen(
        [str(part) for part in command], bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        early = rng.random() < 0.1  # while it starts, too
        first = b"" if early else child.stdout.readline()
        timer = threading.Timer(LONGEST * rng.random(), os.kill, (child.pid, signal.SIGKILL))
        timer.start()
        rest, errors = child.communicate()
        timer.join()
        assert child.returncode == -signal.SIGKILL, f"the writer ended by itself:\n{errors.decode()}"
    return [json.loads(line) for line in (first + rest).splitlines()]


def check(folder: Path, codec: str, states: list[State], made: bool) -> State:
    """Return which of the states a store is in, for a reader and for the next writer.

    Raises:
        AssertionError: it is in none of them, or damaged.
        StoreError: it cannot be opened though it was `made`.

    """
    try:
        with EmbeddingStore.open(folder) as store:
            states = [matching(store, states)]
            assert store.verify() == []
    except StoreError:
        if made:
            raise
    with opened(str(folder), codec) as store:
        state = matching(store, states)
        assert store.verify() == []
        assert reclaimed(folder, store) == []
    return state
