"""Random signs and random samples of queries, in chunks whose numbers depend on the seed alone.

Each chunk has its own generator, PCG64 seeded with (seed, chunk), of which only raw 64-bit words are used: these never
change between versions of NumPy. A chunk is worked on by one thread, and sums run in one fixed order, so results are
the same bytes for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import whole_number
from rank_plugins._threads import run_each, thread_count
from rank_plugins.errors import InputError

SIGNS = 4096  # sign vectors in a chunk
DRAWS = 65_536  # drawn queries in a chunk of bootstrap samples
LARGEST_SEED = 2**63

Floats = NDArray[np.float64]


class SignFlips:
    """Sums of columns whose rows change sign at random: sum_q eps_q x_qc with eps_q = +1 or -1.

    All 2^n sign vectors are taken once where they are at most `resamples` (`exact`).
    """

    def __init__(self, columns: Floats, resamples: int, seed: int) -> None:
        """Take columns [n, C], how many sign vectors to draw, and the seed."""
        n = len(columns)
        self.exact = n < 63 and 2**n <= resamples
        self.count = 2**n if self.exact else resamples
        self.chunks = -(-self.count // SIGNS)
        self._seed = seed
        self._tables = _signed_sums(columns)

    def sums(self, chunk: int) -> Floats:
        """Return the sums [rows, C] of the sign vectors of one chunk."""
        groups, _, width = self._tables.shape
        rows = min(SIGNS, self.count - chunk * SIGNS)
        signs = self._signs(chunk, groups)
        total = np.zeros((rows, width))
        part = np.empty((rows, width))
        place = np.empty(rows, np.intp)
        for table, sign in zip(self._tables, signs, strict=True):
            place[:] = sign[:rows]
            table.take(place, axis=0, out=part, mode="clip")  # no value is clipped; "raise" would copy once more
            total += part
        return total

    def _signs(self, chunk: int, groups: int) -> NDArray[np.uint8]:
        """Return a byte, the signs of 8 rows, for each group and sign vector, [groups, SIGNS]."""
        if self.exact:
            numbers = np.arange(chunk * SIGNS, (chunk + 1) * SIGNS, dtype="<u8")
            return numbers.view(np.uint8).reshape(-1, 8).T[:groups]
        return _words(self._seed, chunk, groups * SIGNS // 8).view(np.uint8).reshape(groups, SIGNS)


class Samples:
    """Means of columns over units drawn with replacement: sum of x_uc / sum of w_u over the n units drawn.

    A unit is a query (w = 1), or a cluster with the sums of its queries and their number.
    """

    def __init__(self, columns: Floats, sizes: Floats | None, resamples: int, seed: int) -> None:
        """Take columns [n, C], the queries of each unit [n] (None: one each), how many samples, and the seed."""
        self.n = len(columns)
        self.count = resamples
        self._rows = max(1, DRAWS // self.n)
        self.chunks = -(-resamples // self._rows)
        self._seed = seed
        self._columns = np.ascontiguousarray(columns.T)
        self._sizes = sizes

    def means(self, chunk: int) -> Floats:
        """Return the means [rows, C] of the samples of one chunk."""
        drawn = self.drawn(chunk)
        values = np.empty(drawn.shape)
        result = np.empty((len(drawn), len(self._columns)))
        for c, column in enumerate(self._columns):
            column.take(drawn, out=values, mode="clip")
            values.sum(axis=1, out=result[:, c])
        if self._sizes is None:
            result /= self.n
        else:
            result /= self._sizes[drawn].sum(axis=1)[:, None]
        return result

    def drawn(self, chunk: int) -> NDArray[np.intp]:
        """Return the units [rows, n] of the samples of one chunk."""
        rows = min(self._rows, self.count - chunk * self._rows)
        words = _words(self._seed, chunk, (self._rows * self.n + 1) // 2)
        # The high half of 32 random bits times n is even over 0 ... n - 1 up to n / 2^32.
        wide = words.view("<u4")[: rows * self.n].astype(np.uint64) * np.uint64(self.n)
        return (wide >> np.uint64(32)).astype(np.intp).reshape(rows, self.n)


def in_chunks(work: Callable[[int], Any], chunks: int, threads: int | None) -> list[Any]:
    """Call `work` with each chunk number, on several threads, and return the results in the order of the chunks."""
    results: list[Any] = [None] * chunks

    def one(chunk: int) -> None:
        results[chunk] = work(chunk)

    run_each(one, range(chunks), thread_count(threads))
    return results


def cluster_numbers(clusters: Sequence[Any] | ArrayLike | None, n: int) -> NDArray[np.intp] | None:
    """Return the number 0, 1, ... of the cluster of each of n queries, in order of appearance; None stays None.

    Raises:
        InputError: not one cluster per query.

    """
    if clusters is None:
        return None
    names = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)  # type: ignore[arg-type]
    if len(names) != n:
        raise InputError(f"clusters: expected the cluster of each of {n} queries, got {len(names)}")
    place: dict[Any, int] = {}
    return np.array([place.setdefault(name, len(place)) for name in names], np.intp)


def cluster_sums(columns: Floats, numbers: NDArray[np.intp] | None) -> tuple[Floats, Floats | None]:
    """Return the sums of columns [n, C] by cluster and how many queries each has; without clusters what came."""
    if numbers is None:
        return columns, None
    sizes = np.bincount(numbers).astype(np.float64)
    sums = np.empty((len(sizes), columns.shape[1]))
    for c in range(columns.shape[1]):
        sums[:, c] = np.bincount(numbers, weights=columns[:, c])
    return sums, sizes


def check_drawing(resamples: int, seed: int) -> tuple[int, int]:
    """Return the two as int.

    Raises:
        InputError: no resamples, or a seed below 0 or of more than 63 bits.
        InputTypeError: not whole numbers.

    """
    resamples = whole_number(resamples, "resamples", 1)
    seed = whole_number(seed, "seed", 0)
    if seed >= LARGEST_SEED:
        raise InputError(f"seed: expected less than 2**63, got {seed}")
    return resamples, seed


def _words(seed: int, chunk: int, count: int) -> NDArray[np.uint64]:
    generator = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(chunk,)))
    return generator.random_raw(count).astype("<u8", copy=False)


def _signed_sums(columns: Floats) -> Floats:
    """Return for each 8 rows the sums under all 256 choices of signs, [groups, 256, C]; a set bit is a minus."""
    n, width = columns.shape
    groups = -(-n // 8)
    padded = np.zeros((groups * 8, width))
    padded[:n] = columns
    rows = padded.reshape(groups, 8, 1, width)
    table = np.zeros((groups, 1, width))
    for bit in range(8):
        table = np.concatenate([table + rows[:, bit], table - rows[:, bit]], axis=1)
    return table
