"""A process that adds, replaces, deletes and compacts: python writer.py FOLDER CODEC SEED OPERATIONS STATE.

It says on standard output, one JSON object a line and each in one write, what it begins and that it is done:
{"open": true}, {"begin": operation}, {"done": number}. OPERATIONS 0 goes on until it is killed.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from typing import Any

import numpy as np
from documents import operations, perform, sample

from rank_plugins.store import EmbeddingStore


def say(what: dict[str, Any]) -> None:
    """Tell the parent; one write, so that a kill never leaves half a line."""
    os.write(1, (json.dumps(what) + "\n").encode())


def opened(folder: str, codec: str) -> EmbeddingStore:
    """Open the store for writing, made and fitted if it is new."""
    store = EmbeddingStore.open(folder, "a", codec=codec)
    if codec.startswith(("residual", "pq")) and not len(store):
        store.fit(sample())
    return store


def main() -> None:
    """Work."""
    folder, codec, seed, count, state = sys.argv[1:]
    plan = operations(np.random.default_rng(int(seed)), json.loads(state))
    store = opened(folder, codec)
    say({"open": True})
    for number, operation in enumerate(itertools.islice(plan, int(count) or None)):
        say({"begin": operation})
        if operation["do"] == "reopen":
            store.close()
            store = opened(folder, codec)
        else:
            perform(store, operation)
        say({"done": number})
    store.close()


if __name__ == "__main__":
    main()
