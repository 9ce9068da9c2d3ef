"""Documents whose vectors follow from their id and version, and what is done to a store of them.

A state is {id: version}: what a store holds. It says everything about the store's contents, so the campaigns compare
a store that was killed, cut off or damaged with the states that it may be in.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins import TokenEmbeddings
from rank_plugins.codebook import Codebook
from rank_plugins.quantize import quantize
from rank_plugins.store import EmbeddingStore

DIM = 12
IDS = [f"document {i}" for i in range(36)] + ["", "naïve 😀", "it's; DROP TABLE documents", "long " * 60]
DTYPES = ("float32", "int8", "binary")  # the others are coded, by a codebook fitted to the sample
FITTED = 400  # tokens of the sample that residual codes are fitted to
State = dict[str, int]


def vectors(name: str, version: int) -> NDArray[np.float32]:
    """Return the vectors of a document, unit-length float32 [D, DIM]; D is 0 now and then."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), version])
    values = rng.standard_normal((rng.integers(0, 9), DIM))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def embeddings(state: Mapping[str, int]) -> TokenEmbeddings:
    """Return the documents of a state, in its order."""
    return TokenEmbeddings.from_list([vectors(name, version) for name, version in state.items()])


def texts(state: Mapping[str, int]) -> list[str]:
    """Return the texts of a state's documents, in its order."""
    return [f"{name} as of {version}" for name, version in state.items()]


def sample() -> TokenEmbeddings:
    """Return vectors to fit residual codes to."""
    values = np.random.default_rng(0).standard_normal((FITTED, DIM))
    return TokenEmbeddings((values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32), [0, FITTED])


def operations(rng: np.random.Generator, state: State) -> Iterator[dict[str, Any]]:
    """Yield operations without end; each is possible in the state that those before it have led to."""
    state = dict(state)
    while True:
        kind = rng.choice(["add", "delete", "compact", "reopen"], p=[0.6, 0.2, 0.12, 0.08])
        operation: dict[str, Any] = {"do": kind}
        if kind == "delete":
            names = list(state)
            operation["ids"] = [str(name) for name in rng.choice(names, min(len(names), 3), replace=False)]
            if not names:
                continue
        elif kind == "add":
            chosen = rng.choice(len(IDS), rng.integers(1, 7), replace=False)
            operation["documents"] = {IDS[i]: int(rng.integers(1 << 30)) for i in chosen}
        state = after(state, operation)
        yield operation


def after(state: Mapping[str, int], operation: Mapping[str, Any]) -> State:
    """Return the state after an operation."""
    gone = operation.get("ids", ())
    return {name: version for name, version in state.items() if name not in gone} | operation.get("documents", {})


def perform(store: EmbeddingStore, operation: Mapping[str, Any]) -> None:
    """Do an operation."""
    if operation["do"] == "add":
        added = operation["documents"]
        store.add(list(added), embeddings(added), texts=texts(added))
    elif operation["do"] == "delete":
        store.delete(operation["ids"])
    elif operation["do"] == "compact":
        store.compact()


def differences(store: EmbeddingStore, state: Mapping[str, int]) -> list[str]:
    """Return how a store differs from a state; nothing where it holds just that."""
    names = sorted(state)
    if sorted(store) != names or len(store) != len(names):
        lost, more = sorted(set(names) - set(store)), sorted(set(store) - set(names))
        return [f"{len(store)} documents, expected {len(names)}; lost {lost}, more {more}"]
    wrong = []
    found = store.get(names)
    for i, name in enumerate(names):
        if not _same(found[i : i + 1], store.codec, name, state[name]):
            wrong.append(f"{name!r}: not the vectors of version {state[name]}")
    if any(store.changed(names, texts({name: state[name] for name in names}))):
        wrong.append("the texts' hashes are not those of the state")
    return wrong


def holds(store: EmbeddingStore, name: str, version: int) -> bool:
    """Return whether a store gives the vectors of this version of a document."""
    return _same(store.get([name]), store.codec, name, version)


def matching(store: EmbeddingStore, states: Sequence[State]) -> State:
    """Return the one of the states that the store holds.

    Raises:
        AssertionError: it holds none of them.

    """
    told = []
    for state in states:
        told.append(differences(store, state))
        if not told[-1]:
            return state
    raise AssertionError(f"the store holds none of the {len(states)} possible states: {told}")


def reclaimed(folder: Path, store: EmbeddingStore) -> list[str]:
    """Return what lies in a store's segments beyond the rows that its catalogue knows."""
    stats = store.stats()
    rows = stats["tokens"] + stats["dead tokens"]
    size = sum(path.stat().st_size for path in (folder / "segments").iterdir())
    expected = rows * _row_bytes(store.codec)
    return [] if size == expected else [f"the segments have {size} bytes, expected {expected} for {rows} rows"]


def _same(found: TokenEmbeddings, codec: str, name: str, version: int) -> bool:
    values, scales = _stored(codec, name, version)
    if scales is not None and (found.scales is None or not np.array_equal(found.scales, scales)):
        return False
    return np.array_equal(found[0], values)


@functools.lru_cache(maxsize=20_000)
def _stored(codec: str, name: str, version: int) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    kept = _encoded(codec, TokenEmbeddings.from_list([vectors(name, version)]))
    return kept[0], kept.scales


@functools.lru_cache(maxsize=4)
def _row_bytes(codec: str) -> int:
    kept = _encoded(codec, sample())
    return (kept[0].nbytes + (0 if kept.scales is None else kept.scales.nbytes)) // FITTED


def _encoded(codec: str, source: TokenEmbeddings) -> TokenEmbeddings:
    return quantize(source, codec) if codec in DTYPES else _codebook(codec).encode(source)


@functools.lru_cache(maxsize=4)
def _codebook(codec: str) -> Codebook:
    """Return the codebook that a store makes of the sample."""
    return Codebook.fit(sample(), codec)
