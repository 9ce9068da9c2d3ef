"""The peers' MaxSim, as contenders.

Peers that are not installed are left out. maxsim-cpu crashes or returns garbage at some dimensions (384 among them),
so it is tried in a process of its own first. NumKong packs its documents once, outside the time, and the query within;
it returns the sum of 1 - cosine, here turned into Q - that. Its screen in 8 bits picks the best token, whence its
error. Which of its types is the fastest differs from machine to machine: a few documents tell.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from _timing import Contender, take_turns
from numpy.typing import NDArray

from rank_plugins._extras import importable

IDLE = 0.005  # seconds until the threads that OpenMP keeps spinning after a call sleep, and disturb no one
WRONG = 0.01  # a score of maxsim-cpu that is off by more is no rounding
TRIAL = """
import sys, numpy, maxsim_cpu
rng = numpy.random.default_rng(0)
query, *documents = [v / numpy.linalg.norm(v, axis=1, keepdims=True)
                     for v in (rng.standard_normal((D, int(sys.argv[1])), numpy.float32) for D in (32, 20, 77, 300))]
exact = [(query @ d.T).max(axis=1).sum() for d in documents]
print(float(numpy.abs(numpy.array(maxsim_cpu.maxsim_scores_variable(query, documents)) - exact).max()))
"""

# What NumKong may use at our levels, by its names of the processors that brought the instructions.
NUMKONG_AVX2 = {"serial", "haswell", "alder", "sierra"}
NUMKONG_AVX512 = NUMKONG_AVX2 | {"skylake", "icelake", "genoa", "turin", "sapphire"}
NUMKONG_LEVELS = {"scalar": {"serial"}, "avx2": NUMKONG_AVX2, "avx512": NUMKONG_AVX512}


class Peer(NamedTuple):
    """A contender, the column of ratios that it fills, and for which of our rows it stands."""

    column: str
    contender: Contender
    threads: int = 1
    level: str | None = None  # None: every level


def peers(query: NDArray[Any], documents: list[Any], levels: list[str], threads: list[int]) -> dict[str, Peer]:
    """Return every installed peer by the name of its row."""
    found = {"NumPy, a loop": Peer("NumPy", Contender(lambda: _loop(query, documents)))}
    if importable("torch"):
        found |= _torch(query, documents, threads)
    if importable("maxsim_cpu"):
        import maxsim_cpu

        found["maxsim-cpu"] = Peer(
            "maxsim-cpu", Contender(lambda: np.array(maxsim_cpu.maxsim_scores_variable(query, documents)))
        )
    if importable("numkong"):
        found |= _numkong(query, documents, levels)
    return found


@functools.cache
def trouble(dim: int) -> str | None:
    """Return what is wrong with maxsim-cpu at a dimension: a crash, scores that are far off, or nothing."""
    run = subprocess.run([sys.executable, "-c", TRIAL, str(dim)], capture_output=True, text=True, check=False)
    if run.returncode:
        return "crashes"
    error = float(run.stdout)
    return None if error <= WRONG else f"garbage, off by {error:.2g}"


def _loop(query: NDArray[Any], documents: list[Any]) -> NDArray[Any]:
    return np.array([(query @ document.T).max(axis=1).sum() for document in documents])


def _torch(query: NDArray[Any], documents: list[Any], threads: list[int]) -> dict[str, Peer]:
    import torch

    tensors, one = [torch.from_numpy(document) for document in documents], torch.from_numpy(query)
    lengths = torch.tensor([len(tensor) for tensor in tensors])
    if lengths.min() == lengths.max():  # views of one array: nothing to pad, and nothing to copy
        padded, padding = torch.from_numpy(documents[0].base.reshape(len(documents), *documents[0].shape)), None
    else:
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)
        padding = (torch.arange(padded.shape[1]) >= lengths[:, None])[:, None]

    def einsum() -> Any:
        similarities = torch.einsum("qk,ndk->nqd", one, padded)
        if padding is not None:
            similarities.masked_fill_(padding, -torch.inf)
        return similarities.amax(dim=2).sum(dim=1).numpy()

    @contextlib.contextmanager
    def limited(count: int) -> Iterator[None]:
        torch.set_num_threads(count)
        yield
        torch.set_num_threads(1)
        time.sleep(IDLE if count > 1 else 0)

    calls = {"torch einsum": ("torch einsum", einsum)}
    if importable("sentence_transformers"):
        from sentence_transformers.util import maxsim

        calls["sentence-transformers"] = ("sentence-tr.", lambda: maxsim([one], tensors)[0].numpy())
    return {
        f"{name}, {count} thread{'s' * (count > 1)}": Peer(
            column, Contender(call, functools.partial(limited, count)), count
        )
        for name, (column, call) in calls.items()
        for count in threads
    }


def _numkong(query: NDArray[Any], documents: list[Any], levels: list[str]) -> dict[str, Peer]:
    found = {}
    for level in levels:
        around = functools.partial(_numkong_limit, level)
        with around():
            few = {dtype: _numkong_call(query, documents[:20], dtype, around) for dtype in _numkong_types()}
            seconds = take_turns(few, 9, warm=True)
            best = min(seconds, key=seconds.__getitem__)
            whole = _numkong_call(query, documents, best, around)
        found[f"NumKong {best}, {level}"] = Peer("NumKong", whole, 1, level)
    return found


def _numkong_types() -> dict[str, Any]:
    types: dict[str, Any] = {"f32": np.float32, "f16": np.float16}
    if importable("ml_dtypes"):
        import ml_dtypes

        types["bf16"] = ml_dtypes.bfloat16
    return types


def _numkong_call(query: NDArray[Any], documents: list[Any], dtype: str, around: Any) -> Contender:
    import numkong

    storage = _numkong_types()[dtype]
    rows, Q = query.astype(storage), len(query)
    packed = [numkong.maxsim_pack(document.astype(storage), dtype) for document in documents]

    def call() -> Any:
        one = numkong.maxsim_pack(rows, dtype)
        return Q - np.array([numkong.maxsim_packed(one, document) for document in packed])

    return Contender(call, around)


@contextlib.contextmanager
def _numkong_limit(level: str) -> Iterator[None]:
    import numkong

    allowed = NUMKONG_LEVELS.get(level)
    present = [name for name, on in numkong.get_capabilities().items() if on]
    banned = [] if allowed is None else [name for name in present if name not in allowed]
    for name in banned:
        numkong.disable_capability(name)
    try:
        yield
    finally:
        for name in banned:
            numkong.enable_capability(name)
