"""From the caller's runs to Lists, and from scores back to the caller's kind: in C where it can, else in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rank_plugins import _columns, _objects
from rank_plugins.fusion import _python
from rank_plugins.fusion.lists import Floats, Integers, Lists

if TYPE_CHECKING:
    from rank_plugins.fusion.plan import Plan

DEEP = 1 << 20  # entries of a table of points, beyond which none is made


@dataclass(frozen=True)
class Gathered:
    """What `finish` needs to know of the lists that `gather` read."""

    queries: list[Any] | None
    """None: the lists were those of one query, which has no id."""
    names: list[Any]
    """The document ids of all unions, [U]."""
    unions: Integers


def gather(runs: Sequence[Any], queries: list[Any] | None, higher: Sequence[bool]) -> tuple[Lists, Gathered]:
    """Read the lists of `queries` from every run.

    Args:
        runs: dict of dict or Run; or without queries lists of pairs (document, score) or of documents.
        queries: the queries to read; one that a run does not have gives an empty list.
        higher: for each run whether higher scores are better; the scores of others are negated.

    Raises:
        InputError: NaN, or a document twice in a list.
        InputTypeError: scores that are no numbers, ids of several types.

    """
    if _columns.WALKS:
        scored = _scored(runs, queries)
        read = _objects.gather_objects(list(runs), queries, higher, scored)
        if read is not None:
            names, columns = read
            best = columns.pop("best")
            lists = Lists(len(runs), scored=scored, complete=True, **columns)
            lists.__dict__["best"] = best  # the value of a cached property
            return lists, Gathered(queries, names, lists.unions)
    # What C does not read, Python does, or says what is wrong with it.
    lists, names = _python.gather(runs, [None] if queries is None else queries, higher)
    return lists, Gathered(queries, names, lists.unions)


def fuse_ranks(
    plan: Plan, runs: Sequence[Any], queries: list[Any] | None, higher: Sequence[bool], top: int | None, out: Any
) -> bool:
    """Fuse in C alone, where scores are sums of points for ranks; return whether that could be done.

    Args:
        plan: what to compute.
        runs: as for `gather`.
        queries: as for `gather`.
        higher: as for `gather`.
        top: as for `finish`.
        out: as for `finish`.

    """
    if not _columns.WALKS or not plan.method.ranked:
        return False
    read = runs if isinstance(runs, list) else list(runs)
    counted = _objects.count_entries(read, queries)
    if counted is None or counted[1] > DEEP:
        return False
    points = plan.points(1 << counted[1].bit_length())
    if points is None:
        return False
    scored = bytes(_scored(runs, queries))
    return _objects.fuse_objects(read, queries, bytes(higher), scored, points, counted[1], top, out)


def finish(
    gathered: Gathered, scores: Floats, tiebreak: Integers, top: int | None, out: Any = None
) -> tuple[Integers, Integers]:
    """Order the documents of each query, best first: by score, then the smaller `tiebreak`, then the larger id.

    Args:
        gathered: what `gather` returned.
        scores: float64 [U]; NaN drops the document.
        tiebreak: int64 [U].
        top: how many to keep of a query; None keeps all.
        out: a dict that gets {document: score} of each query, or for one query a list that gets pairs.

    Returns:
        The codes of the documents that are kept, and where each query begins, int64 [Nq + 1].

    """
    queries, names = gathered.queries, gathered.names
    if _columns.WALKS:
        return _objects.finish_objects(names, gathered.unions, scores, tiebreak, top, queries, out)
    codes, begins = _python.order(names, gathered.unions, scores, tiebreak, top)
    if out is not None:
        pairs = list(zip(map(names.__getitem__, codes.tolist()), scores[codes].tolist(), strict=True))
        if queries is None:
            out.extend(pairs)
        else:
            for query, (start, end) in zip(queries, pairwise(begins.tolist()), strict=True):
                out[query] = dict(pairs[start:end])
    return codes, begins


def _scored(runs: Sequence[Any], queries: list[Any] | None) -> list[bool]:
    """Return for each run whether it has scores: all but lists of bare ids do."""
    return [queries is not None or not row or isinstance(row[0], (tuple, list)) for row in runs]
