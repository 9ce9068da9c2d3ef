"""How per-query numbers are added up, in rank order and in float64, so that they equal trec_eval's to the bit.

NumPy's `bincount` adds one weight after the other; `sum`, `add.reduceat` and sums by matrix product do not.
Logarithms come from the C library, because NumPy's own vector version differs in the last bit.

Arrays that several metrics need are kept in `table.cache`, under the keys "hits", "judged",
"interpolated" and those that begin with "ideal"; "source" is what delegated metrics need of the lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rank_plugins.evaluation.ranks import JudgedRanks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cutoff = int | Ints | None

# log2(i) for i = 0, 1, 2, ...: grows to the deepest rank seen below DEEP; the first two stand for nothing.
DEEP = 1 << 20
_LOG2: Floats = np.zeros(2)


def log2(numbers: Ints) -> Floats:
    """Return log2 of whole numbers >= 2, as the C library rounds it."""
    global _LOG2
    largest = int(numbers.max(initial=0))
    if largest >= DEEP:
        return np.fromiter(map(math.log2, numbers.tolist()), np.float64, len(numbers))
    known = _LOG2
    if largest >= len(known):
        more = range(len(known), max(largest + 1, 2 * len(known)))
        known = np.concatenate([known, np.fromiter(map(math.log2, more), np.float64, len(more))])
        _LOG2 = known
    found: Floats = known[numbers]
    return found


def total(table: JudgedRanks, weights: NDArray[Any], rows: Ints | None = None) -> Floats:
    """Return the sum of weights [J] (or of those of `rows`) of each query, added in rank order: float64[Nq]."""
    qidx = table.qidx if rows is None else table.qidx[rows]
    return np.bincount(qidx, weights=weights, minlength=len(table.n)).astype(np.float64, copy=False)


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """Return above / below, and 0 where `below` is 0."""
    result: Floats = np.divide(above, below, out=np.zeros(len(above)), where=np.asarray(below) != 0)
    return result


def of_rows(table: JudgedRanks, cutoff: Cutoff) -> int | Ints:
    """Return the cut-off of each row: a number stays one, None is beyond every rank, an int64[Nq] becomes int64[J]."""
    if cutoff is None:
        return int(table.n.max(initial=0))
    return cutoff[table.qidx] if isinstance(cutoff, np.ndarray) else cutoff


def chance(table: JudgedRanks, cutoff: Cutoff) -> NDArray[Any]:
    """Return how likely each row lies in the top `cutoff`: bool[J], or float64[J] where ties are averaged.

    Of a group of t equal scores below a documents, min(max(k - a, 0), t) lie in the top k, each as likely as the other.
    """
    limit = of_rows(table, cutoff)
    if table.above is None or table.tied is None:
        inside: NDArray[np.bool_] = table.rank <= limit
        return inside
    share: Floats = np.clip(limit - table.above, 0, table.tied) / table.tied
    return share


def hits(table: JudgedRanks, cutoff: Cutoff = None) -> Floats:
    """Return H(k), the number of relevant documents in the top `cutoff` of each list: float64[Nq].

    With averaged ties it is the expected number.
    """
    weights = chance(table, cutoff)
    if weights.dtype == bool:
        counts: Floats = np.bincount(table.qidx[weights & table.hit], minlength=len(table.n)).astype(np.float64)
        return counts
    return total(table, weights * table.hit)


def hits_so_far(table: JudgedRanks) -> Ints:
    """Return H(rank) of each row, itself included: int64[J]. Kept as cache["hits"]."""
    if "hits" not in table.cache:
        before = np.concatenate([[0], np.cumsum(table.hit, dtype=np.int64)])
        table.cache["hits"] = before[1:] - before[table.first[:-1]][table.qidx]
    found: Ints = table.cache["hits"]
    return found


def judged_places(table: JudgedRanks) -> tuple[Ints, Ints]:
    """Return query and 0-based place of every judgment, highest grade first: int64[Jall] twice. cache["judged"]."""
    if "judged" not in table.cache:
        counts = np.diff(table.judged_offsets)
        qidx = np.repeat(np.arange(len(counts)), counts)
        table.cache["judged"] = qidx, np.arange(len(qidx)) - table.judged_offsets[qidx]
    found: tuple[Ints, Ints] = table.cache["judged"]
    return found


def running(first: Ints, values: Floats, combine: Callable[[Any, Any], Any]) -> Floats:
    """Return values combined with all before them in their segment, one after the other: float64[len(values)].

    Segment i is values[first[i]:first[i + 1]]. Takes as many steps as the longest segment has values.
    """
    result = values.copy()
    counts = np.diff(first)
    order = np.argsort(-counts, kind="stable")
    starts = first[:-1][order]
    # How many segments have more than p values, for p = 0, 1, ...
    lasting = len(counts) - np.cumsum(np.bincount(counts)) if len(counts) else np.zeros(1, np.int64)
    for place in range(1, len(lasting)):
        here = starts[: lasting[place]] + place
        result[here] = combine(result[here - 1], result[here])
    return result
