"""fuse: several rankings of the same queries made into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion._python import check_kinds
from rank_plugins.fusion.explain import Fused, explanations
from rank_plugins.fusion.gathering import finish, fuse_ranks, gather
from rank_plugins.fusion.plan import Plan, known_plan, plan
from rank_plugins.fusion.trained import Trained
from rank_plugins.runs import Ids, Run
from rank_plugins.runs.convert import as_run

QUERIES_AT_ONCE = 512  # bounds the memory of the tables, m * U numbers each


def fuse(
    runs: Sequence[Any],
    method: str | Trained | Callable[..., Any] = "rrf",
    *,
    weights: Sequence[float] | None = None,
    norm: Any = None,
    missing: str | float | None = None,
    top: int | None = None,
    explain: bool = False,
    higher_is_better: bool | Sequence[bool] = True,
    keep: bool = False,
    **parameters: Any,
) -> Any:
    """Fuse runs, or the lists of one query.

    Documents stand by score, then by their best single rank, then by id, the larger first; inside a list by score,
    then by id (ids alone, without scores, keep the list's own order). Documents are told apart by their ids alone.
    A score of -inf (a distance of +inf) means that the list does not have the document; a query that some runs lack
    is fused from the others.

    Args:
        runs: whole runs, whatever `evaluate` takes: {query: {document: score}}, Run, table or file; or the lists of
            one query: of pairs (document, score), or of documents, best first.
        method: a name of `names()`, what `train` returned, or a function that takes `Lists` and returns one score per
            document, float64 [U]. Defaults to reciprocal rank fusion.
        weights: one per list, 0 or more, used as they are; 1 each by default. A list of weight 0 contributes nothing.
        norm: how scores are made comparable, per query and list, over the documents that were returned: a name of
            `NORMS`, a function of scores (such as a Calibrator), or a list of these, one per list. Methods that read
            ranks take none; for the others see `METHODS`, most often "minmax".
        missing: what a list says of a document that it does not have: "zero", "min" (its own lowest), a number, or
            "skip" (nothing). By default rrf and normalised sums take "zero", sums of norm "zmuv" or "none" take "min",
            and methods over the lists that have the document take "skip".
        top: how many documents to return for a query; None returns all.
        explain: return a Fused, or for one query a list of Explanation.
        higher_is_better: False for distances; one for all, or one per list.
        keep: keep documents that only lists of weight 0 have, with a score of 0.
        parameters: those of the method, such as k=60 and convention="paper" of rrf, phi=0.8 of rbc, gamma of gmnz,
            sigma=0.01 of logn_isr, cap=1000 of condorcet; and of the norm: constant= (of a list whose scores are all
            equal), lower= and upper= (minmax), ddof= (dbsf).

    Returns:
        For whole runs {query: {document: score}} if the first run is a dict, else a Run; for the lists of one query
        a list of pairs (document, score); always best first.

    Raises:
        InputError: an unknown name, a value out of range, NaN, a document twice in a list, infinite scores where a
            norm needs a range.
        InputTypeError: an unknown parameter, or another type.

    """
    if isinstance(runs, (str, bytes, Mapping)) or not isinstance(runs, Sequence) or not len(runs):
        raise InputTypeError(f"runs: expected a list of runs, or of the lists of one query, got {_shown(runs)}")
    if top is not None:
        top = whole_number(top, "top", 1)
    chosen = _plan(len(runs), method, weights, norm, missing, keep, parameters)
    higher = directions(higher_is_better, len(runs))
    single = [_is_list(run) for run in runs]
    if all(single):
        return _one_query(chosen, runs, higher, top, explain)
    if any(single):
        raise InputTypeError("runs: expected whole runs, or the lists of one query, got both")
    read = [as_run(run) for run in runs]
    fused = _whole(chosen, read, higher, top, isinstance(runs[0], Mapping))
    return Fused(fused, chosen, read, higher) if explain else fused


def _plan(
    count: int,
    method: Any,
    weights: Sequence[float] | None,
    norm: Any,
    missing: str | float | None,
    keep: bool,
    parameters: dict[str, Any],
) -> Plan:
    """Return the plan of the arguments, one from before where names and numbers alone describe it."""
    if isinstance(method, str) and (norm is None or isinstance(norm, str)):
        try:
            given = None if weights is None else tuple(weights)
            return known_plan(count, method, given, norm, missing, keep, tuple(parameters.items()))
        except TypeError as error:
            if isinstance(error, InputTypeError):
                raise  # else something cannot be hashed, such as lower=[...]
    return plan(count, method, weights=weights, norm=norm, missing=missing, keep=keep, parameters=parameters)


def directions(higher_is_better: bool | Sequence[bool], count: int) -> list[bool]:
    """Return for each of `count` lists whether higher is better.

    Raises:
        InputTypeError: not bool.
        InputError: another number of them.

    """
    if higher_is_better is True:
        return [True] * count
    given = [higher_is_better] * count if isinstance(higher_is_better, (bool, np.bool_)) else higher_is_better
    if not isinstance(given, Sequence) or not all(isinstance(one, (bool, np.bool_)) for one in given):
        raise InputTypeError(f"higher_is_better: expected a bool, or one per list, got {higher_is_better!r}")
    if len(given) != count:
        raise InputError(f"higher_is_better: expected {count} (one per list), got {len(given)}")
    return [bool(one) for one in given]


def _one_query(chosen: Plan, runs: Sequence[Any], higher: list[bool], top: int | None, explain: bool) -> list[Any]:
    fused: list[Any] = []
    if not explain and fuse_ranks(chosen, runs, None, higher, top, fused):
        return fused
    lists, gathered = gather(runs, None, higher)
    if explain:
        return list(explanations(chosen, lists, gathered, higher, top))
    fused.clear()
    finish(gathered, chosen.scores(lists), chosen.tiebreak(lists), top, fused)
    return fused


def _whole(chosen: Plan, runs: Sequence[Any], higher: list[bool], top: int | None, as_dict: bool) -> Any:
    queries = list(dict.fromkeys(chain.from_iterable(run if isinstance(run, dict) else run.queries for run in runs)))
    check_kinds(queries, "query ids")
    table: dict[Any, dict[Any, float]] = {}
    if as_dict and fuse_ranks(chosen, runs, queries, higher, top, table):
        return table
    table.clear()
    documents: list[Any] = []
    values: list[float] = []
    counts: list[int] = []
    kinds: list[Any] = []  # a document id of each part; within a part they are of one kind
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        lists, gathered = gather(runs, queries[start : start + QUERIES_AT_ONCE], higher)
        kinds += gathered.names[:1]
        check_kinds(kinds, "document ids")
        scores, tiebreak = chosen.scores(lists), chosen.tiebreak(lists)
        if as_dict:
            finish(gathered, scores, tiebreak, top, table)
            continue
        codes, begins = finish(gathered, scores, tiebreak, top)
        documents += map(gathered.names.__getitem__, codes.tolist())
        values += scores[codes].tolist()
        counts += np.diff(begins).tolist()
    if as_dict:
        return table
    return Run(queries, np.cumsum([0, *counts]), Ids.from_list(documents), values)


def _is_list(run: Any) -> bool:
    """Return whether `run` is the list of one query: pairs or ids."""
    if not isinstance(run, (list, tuple)):
        return False
    if not run:
        return True
    first = run[0]
    return isinstance(first, (str, bytes, int, np.integer)) or (isinstance(first, (tuple, list)) and len(first) == 2)


def _shown(runs: Any) -> str:
    return "none" if isinstance(runs, Sequence) and not len(runs) else type(runs).__name__
