"""Turns, tables, and what a kernel's time is held against: read bandwidth and FMA peak.

The two probes are a few lines of C, compiled into a temporary folder when a compiler is found (CC, cc, gcc or clang).
Without one NumPy stands in: an xor of all words for reading, a matrix product for the multiplications.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import random
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins import simd
from rank_plugins._threads import usable_cores

VECTOR_BYTES = {"scalar": 16, "neon": 16, "avx2": 32, "avx512": 64, "amx": 64}
FMA_ROUNDS = 400_000  # about a millisecond: long beside the call and the start of a thread
ACCUMULATORS = 12  # enough to hide a latency of 4 cycles at 2 (and of 6 at 2) multiplications each cycle

SOURCE = """
#include <stddef.h>
#include <stdint.h>
typedef uint64_t line __attribute__((vector_size(64), aligned(1), may_alias));
uint64_t probe_read(const char *p, size_t bytes)
{
    line a = {0}, b = a, c = a, d = a;
    for (size_t i = 0; i + 256 <= bytes; i += 256, p += 256) {
        for (int k = 0; k < 256; k += 64)
            __builtin_prefetch(p + 512 + k); /* as our kernels do: somewhat faster than without */
        a ^= *(const line *)p, b ^= *(const line *)(p + 64);
        c ^= *(const line *)(p + 128), d ^= *(const line *)(p + 192);
    }
    a ^= b ^ c ^ d;
    return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}
#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11)
#define START(i) v x##i = z + (float)i;
#define STEP(i) x##i = x##i * factor + term;
#define ADD(i) z += x##i;
#define PROBE(bytes) float probe_fma_##bytes(long rounds, float f, float t) \\
{ \\
    typedef float v __attribute__((vector_size(bytes))); \\
    v z = {0}, factor = z + f, term = z + t; \\
    EACH(START) \\
    while (rounds--) { EACH(STEP) __asm__ volatile("" ::: "memory"); } \\
    EACH(ADD) \\
    return z[0]; \\
}
PROBE(16) PROBE(32) PROBE(64)
"""


class Contender(NamedTuple):
    """A call to time, and the context (a level, a number of threads) that it runs in, entered outside the time."""

    call: Callable[[], Any]
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


def take_turns(contenders: dict[str, Contender], runs: int, warm: bool) -> dict[str, float]:
    """Return the median seconds of each; every run is in another order, so that no one inherits the same cache.

    `warm` calls each once before it is timed, so that small inputs lie in the cache for all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(0).shuffle
    for run in range(runs + 1):
        shuffle(order)
        for name in order:
            call, around = contenders[name]
            with around():
                if warm or not run:  # the first run only makes everything ready
                    call()
                if run:
                    started = time.perf_counter()
                    call()
                    seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


class Probes:
    """The machine's own speed, as calls that take turns with the contenders."""

    def __init__(self) -> None:
        self._library = _compiled()
        self.kind = "C" if self._library else "NumPy (no compiler)"

    def read(self, array: NDArray[Any], threads: int) -> Callable[[], None]:
        """Return a call that reads every byte of `array`."""
        flat = array.reshape(-1).view(np.uint8)
        words = flat[: len(flat) // 8 * 8].view(np.uint64)
        parts = [part for part in np.array_split(words, threads) if len(part)]
        if self._library is None:
            return _together([_reduction(part) for part in parts])
        read = self._library.probe_read
        return _together([_bound(read, ctypes.c_void_p(p.ctypes.data), ctypes.c_size_t(p.nbytes)) for p in parts])

    def multiply(self, level: str, threads: int) -> tuple[Callable[[], None], float]:
        """Return a call that multiplies and adds as fast as vectors of the level can, and its operations."""
        if self._library is None:
            square = np.ones((512, 512), np.float32)
            return _together([lambda: square @ square] * threads), threads * 2.0 * 512**3
        width = VECTOR_BYTES[level]
        fma = self._library[f"probe_fma_{width}"]
        arguments = (ctypes.c_long(FMA_ROUNDS), ctypes.c_float(0.999), ctypes.c_float(0.0017))
        return _together([_bound(fma, *arguments)] * threads), threads * 2.0 * ACCUMULATORS * width / 4 * FMA_ROUNDS


def machine() -> str:
    """Return a line that says what ran: processor, cores, levels."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        parts = dict(line.split("\t:", 1) for line in lines if "\t:" in line)
        fields = {key.strip(): value.strip() for key, value in parts.items()}
        model = f"{fields['model name']} (family {fields['cpu family']}, model {fields['model']})"
    return f"{model}, {usable_cores()} cores, levels {' '.join(simd.supported())}"


def print_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table in Markdown, names on the left and numbers on the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    ruler = ["-" * (width if i == 0 else width - 1) + ("" if i == 0 else ":") for i, width in enumerate(widths)]
    for row in [cells[0], ruler, *cells[1:]]:
        aligned = [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]  # noqa: B905
        print("| " + " | ".join(aligned) + " |")


def _bound(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)


def _reduction(words: NDArray[np.uint64]) -> Callable[[], Any]:
    return lambda: np.bitwise_xor.reduce(words)


def _together(calls: list[Callable[[], Any]]) -> Callable[[], None]:
    """Return a call that runs all of them at once, the first on the caller's thread."""
    if len(calls) == 1:
        return calls[0]

    def run() -> None:
        helpers = [threading.Thread(target=call) for call in calls[1:]]
        for helper in helpers:
            helper.start()
        calls[0]()
        for helper in helpers:
            helper.join()

    return run


def _compiled() -> ctypes.CDLL | None:
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compiler = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "probe.c"), Path(folder, "probe.so")
        source.write_text(SOURCE, encoding="ascii")
        options = ["-O3", "-ffp-contract=fast", "-shared", "-fPIC", str(source), "-o", str(library)]
        native = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
        result = subprocess.run([compiler, native, *options], capture_output=True, check=False)
        return ctypes.CDLL(str(library)) if result.returncode == 0 else None  # stays loaded when the file is gone
