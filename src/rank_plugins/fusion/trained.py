"""Methods that learn from judged queries how often each list is right at each rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins._saved import Saved
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.lists import Floats, Integers, Lists
from rank_plugins.fusion.methods import Method

BUCKETS = (0, 5, 10, 15, 20, 30, 100, 200, 500, 1000)
"""BayesFuse's ranges of ranks."""
SEGMENTS = tuple(10 * 2 ** (k - 1) - 5 for k in range(1, 11))
"""Where SegFuse's segments end: 5, 15, 35, ..., 5115."""
NEVER = math.log(0.001 / 0.999)
"""BayesFuse's log-odds of a document that a list does not have, or has below rank 1000."""


@dataclass(frozen=True)
class Hits:
    """Which entries are relevant: `hit` bool [E] beside the Lists, and the number of relevant documents [Nq]."""

    lists: Lists
    hit: Any
    relevant: Integers

    def at(self, j: int) -> tuple[Any, Integers, Integers, int]:
        """Return hits, ranks and list lengths of the entries of list j, and the number of queries."""
        mine = self.lists.of_list == j
        lengths = self.lists.each(self.lists.lengths.reshape(-1))
        return self.hit[mine].astype(np.float64), self.lists.rank[mine], lengths[mine], len(self.relevant)


def _mean_average_precision(hits: Hits, j: int, _: int) -> Floats:
    lists = hits.lists
    before = np.concatenate([[0], np.cumsum(hits.hit)])
    found = before[1:] - before[lists.segments[lists.of_segment]]  # relevant so far in the list, this one included
    share = np.where(hits.hit, found / lists.rank, 0.0) / np.maximum(hits.relevant, 1)[lists.of_segment // lists.m]
    return np.array([share[lists.of_list == j].sum() / max(len(hits.relevant), 1)])


def _at_ranks(hits: Hits, j: int, _: int) -> Floats:
    """Return the share of relevant documents at each rank, among the lists that are long enough."""
    hit, rank = hits.at(j)[:2]
    return np.bincount(rank - 1, hit) / np.maximum(np.bincount(rank - 1), 1)


def _in_parts(hits: Hits, j: int, parts: int) -> Floats:
    """Return the mean share of relevant documents in each of `parts` equal parts of the list."""
    hit, rank, length, queries = hits.at(j)
    size = -(-length // parts)
    part = (rank - 1) // size
    shares = hit / np.minimum(size, length - part * size)
    return np.bincount(part, shares, minlength=parts) / max(queries, 1)


def _in_ranges(hits: Hits, j: int, edges: Sequence[int]) -> Floats:
    """Return the mean share of relevant documents in each range of ranks, whether the list fills it or not."""
    hit, rank, _, queries = hits.at(j)
    found = np.histogram(rank[hit > 0], np.array(edges) + 0.5)[0]
    return found / np.diff(edges) / max(queries, 1)


def _log_odds(hits: Hits, j: int, _: int) -> Floats:
    shares = _in_ranges(hits, j, BUCKETS)
    shares = np.where(shares == 0, 0.001, shares)
    return np.log(shares / np.where(shares == 1, 0.001, 1 - shares))


def _looked_up(table: Floats, index: Integers, otherwise: float = 0.0) -> Floats:
    return np.append(table, otherwise)[np.minimum(index, len(table))]


def _map_points(lists: Lists, table: Floats, _: int) -> Floats:
    return np.asarray(table[0] / lists.rank)


def _pos_points(lists: Lists, table: Floats, _: int) -> Floats:
    return _looked_up(table, lists.rank - 1)


def _prob_points(lists: Lists, table: Floats, parts: int) -> Floats:
    part = (lists.rank - 1) // -(-lists.each(lists.lengths.reshape(-1)) // parts)
    return np.asarray(table[part] / (part + 1))


def _seg_points(lists: Lists, table: Floats, _: int) -> Floats:
    return _looked_up(table, np.searchsorted(SEGMENTS, lists.rank)) * (lists.score + 1)


def _slide_points(lists: Lists, table: Floats, window: int) -> Floats:
    length = lists.each(lists.lengths.reshape(-1))
    first = np.maximum(lists.rank - 1 - window, 0)
    after = np.minimum(lists.rank + window, length)
    sums = np.concatenate([[0.0], np.cumsum(table)])
    inside = sums[np.minimum(after, len(table))] - sums[np.minimum(first, len(table))]
    return np.asarray(inside / (after - first))


def _bayes_points(lists: Lists, table: Floats, _: int) -> Floats:
    return _looked_up(table, np.searchsorted(BUCKETS[1:], lists.rank), NEVER)


@dataclass(frozen=True)
class _Kind:
    """How a method learns its table for list j, and what it makes of it."""

    learn: Callable[[Hits, int, int], Floats]
    points: Callable[[Lists, Floats, int], Floats]
    parameter: str | None = None
    default: int = 0
    least: int = 1


TRAINED = {
    "bayesfuse": _Kind(_log_odds, _bayes_points),
    "mapfuse": _Kind(_mean_average_precision, _map_points),
    "posfuse": _Kind(_at_ranks, _pos_points),
    "probfuse": _Kind(_in_parts, _prob_points, "segments", 10),
    "segfuse": _Kind(lambda hits, j, _: _in_ranges(hits, j, (0, *SEGMENTS)), _seg_points),
    "slidefuse": _Kind(_at_ranks, _slide_points, "window", 5, 0),
}
"""BayesFuse (Aslam and Montague 2001), MAPFuse and PosFuse (Lillis et al. 2010), ProbFuse (2006), SegFuse
(Shokouhi 2007), SlideFuse (Lillis et al. 2008)."""


@dataclass(frozen=True)
class Trained(Saved):
    """A trained method, which `fuse` takes in place of a name, for the same lists in the same order."""

    method: str
    tables: tuple[tuple[float, ...], ...]
    """For each list what was learnt: probabilities, log-odds or the mean average precision."""
    parameter: int
    """`segments` of probfuse, `window` of slidefuse."""

    def as_method(self, count: int) -> Method:
        """Return the method that fuses `count` lists.

        Raises:
            InputError: it was trained on another number of lists.

        """
        if count != len(self.tables):
            raise InputError(f"{self.method}: expected the {len(self.tables)} lists it was trained on, got {count}")
        kind = TRAINED[self.method]
        tables = [np.array(table) for table in self.tables]

        def points(lists: Lists, _: Floats, __: Mapping[str, Any]) -> Floats:
            values = np.empty(len(lists.code))
            for j, table in enumerate(tables):
                mine = lists.of_list == j
                values[mine] = kind.points(lists, table, self.parameter)[mine]
            return values

        if self.method == "bayesfuse":
            return Method(
                self.method, points, missing=None, absent=lambda lists, _: np.full(lists.lengths.shape, NEVER)
            )
        if self.method == "segfuse":
            return Method(self.method, points, norm="minmax")
        return Method(self.method, points)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, of str, int and float."""
        return {"method": self.method, "tables": [list(table) for table in self.tables], "parameter": self.parameter}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trained:
        """Return the method that `to_dict` described.

        Raises:
            InputError: something else.

        """
        try:
            method, tables, parameter = data["method"], data["tables"], data["parameter"]
            made = cls(str(method), tuple(tuple(map(float, table)) for table in tables), int(parameter))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"Trained: expected what to_dict returned, got {error!r}") from None
        kind = TRAINED.get(made.method)
        finite = all(table and all(map(math.isfinite, table)) for table in made.tables)
        if kind is None or not finite or (made.method == "probfuse" and any(len(t) != parameter for t in made.tables)):
            raise InputError(f"Trained: expected a method of {', '.join(TRAINED)} with its tables, got {method!r}")
        return made


def train(qrels: Any, runs: Sequence[Any], method: str, *, relevance_level: float = 1, **parameters: int) -> Trained:
    """Learn a method from the queries of `qrels`; see `TRAINED` for the sources.

    Args:
        qrels: judgments, whatever `evaluate` takes.
        runs: the lists, whatever `fuse` takes for whole runs.
        method: bayesfuse, mapfuse, posfuse, probfuse, segfuse or slidefuse.
        relevance_level: the grade from which a document is relevant.
        parameters: probfuse takes segments=10, slidefuse window=5.

    Raises:
        InputError: an unknown method, no judged query, or what `fuse` refuses.
        InputTypeError: an unknown parameter.

    """
    from rank_plugins.fusion.arguments import unknown
    from rank_plugins.fusion.judged import judge

    kind = TRAINED.get(method)
    if kind is None:
        raise InputError(unknown("method", method, TRAINED))
    for name in parameters:
        if name != kind.parameter:
            raise InputTypeError(f"{method}: unknown parameter {name!r}; it takes {kind.parameter or 'none'}")
    parameter = kind.default
    if kind.parameter is not None:
        parameter = whole_number(parameters.get(kind.parameter, kind.default), kind.parameter, kind.least)
    judged = judge(qrels, runs)
    relevant = np.array([sum(grade >= relevance_level for grade in grades) for grades in judged.all_grades])
    hits = Hits(judged.lists, judged.grades[judged.lists.code] >= relevance_level, relevant)  # NaN, unjudged, is no hit
    tables = []
    for j in range(judged.lists.m):
        if not (judged.lists.of_list == j).any():
            raise InputError(f"runs[{j}]: expected documents for the judged queries, got none")
        tables.append(tuple(kind.learn(hits, j, parameter).tolist()))
    return Trained(method, tuple(tables), parameter)
