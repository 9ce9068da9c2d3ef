"""judged_ranks: qrels and a run to the table of JudgedRanks, with every rule that comes before a metric."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins import _columns, _objects
from rank_plugins._threads import run_each, thread_count
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import _dicts
from rank_plugins.evaluation.ranks import Found, JudgedRanks, table
from rank_plugins.runs import Qrels, Run
from rank_plugins.runs.convert import as_qrels, as_run
from rank_plugins.runs.identical import warn_of_identical_ids

Judgments: TypeAlias = "Mapping[Any, Mapping[Any, float]] | Qrels"
Scores: TypeAlias = "Mapping[Any, Mapping[Any, float]] | Run"
CHOICES = {
    "ties": ("id_desc", "id_asc", "input", "average", "best", "worst"),
    "score_dtype": ("float64", "float32"),
    "missing": ("zero", "skip", "error"),
    "nan": ("error", "last"),
}
CHUNK = 64  # queries that a thread takes at a time


@dataclass(frozen=True)
class Lookup:
    """A table, and the queries that only one side has."""

    ranks: JudgedRanks
    absent: list[Any]
    """Judged, but not in the run."""
    ignored: list[Any]
    """In the run, but not judged."""


def judged_ranks(
    qrels: Any,
    run: Any,
    *,
    relevance_level: float = 1,
    ties: str = "id_desc",
    score_dtype: str = "float64",
    missing: str = "zero",
    judged_only: bool = False,
    nan: str = "error",
    threads: int | None = None,
) -> Lookup:
    """Look up the judged documents of a run; see `evaluate` for the arguments.

    Raises:
        InputError: an unknown choice, NaN, no judged query, or with missing="error" a query that the run lacks.
        InputTypeError: numbers or ids of a wrong type.

    """
    for name, value in {"ties": ties, "score_dtype": score_dtype, "missing": missing, "nan": nan}.items():
        if value not in CHOICES[name]:
            raise InputError(f"{name}: expected one of {', '.join(CHOICES[name])}, got {value!r}")
    qrels, run = _alike(as_qrels(qrels), as_run(run))
    warn_of_identical_ids(run)
    query_ids, absent, ignored = _queries(qrels, run, missing)
    options: dict[str, Any] = {"ties": ties, "single": score_dtype == "float32", "nan_last": nan == "last"}
    if isinstance(qrels, Qrels):
        judged = np.fromiter(map(qrels.rows.__getitem__, query_ids), np.int64, len(query_ids))
        lengths = np.diff(qrels.offsets)[judged]
    else:
        lengths = np.fromiter((len(qrels[query]) for query in query_ids), np.int64, len(query_ids))
    offsets = np.r_[0, np.cumsum(lengths)]
    if isinstance(qrels, Qrels):
        found = _columns_found(qrels, run, query_ids, offsets, thread_count(threads), **options)
    elif _columns.WALKS:
        found = _objects_found(qrels, run, query_ids, offsets, **options)
    else:
        found = _dicts.look_up_dicts(qrels, run, query_ids, offsets, **options)
    n, grades, rows = found
    ranks = table(query_ids, n, offsets, grades, rows, level=relevance_level, ties=ties, judged_only=judged_only)
    return Lookup(ranks, absent, ignored)


def _alike(qrels: Judgments, run: Scores) -> tuple[Any, Any]:
    """Return both as dicts of dicts, or both in columns: a run of dicts stays what it is."""
    if isinstance(qrels, Qrels):
        qrels = qrels.flat()
    if not isinstance(run, Run) or not _columns.NATIVE:
        return (
            qrels.to_dict() if isinstance(qrels, Qrels) else qrels,
            run.to_dict() if isinstance(run, Run) else run,
        )
    return qrels if isinstance(qrels, Qrels) else Qrels.from_dict(qrels), run


def _queries(qrels: Any, run: Any, missing: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the queries to evaluate, those that the run lacks, and those that nobody judged."""
    names = qrels.queries if isinstance(qrels, Qrels) else list(qrels)
    have = run.rows if isinstance(run, Run) else run
    if isinstance(qrels, Qrels):
        empty = [names[i] for i in np.flatnonzero(np.diff(qrels.offsets) == 0).tolist()]
    else:
        empty = [query for query in names if not qrels[query]]
    if empty:
        warnings.warn(
            f"qrels: {len(empty)} queries have no judgments and are left out, {empty[0]!r} first", stacklevel=4
        )
        without = set(empty)
        names = [query for query in names if query not in without]
    if not names:
        raise InputError("qrels: expected at least one query with judgments, got none")
    _check_one_type("qrels", names)
    _check_one_type("run", have)
    judged = set(names)
    lacking, unjudged = judged.difference(have), set(have).difference(judged)
    absent = [query for query in names if query in lacking] if lacking else []
    ignored = [query for query in have if query in unjudged] if unjudged else []
    if len(absent) == len(names) and have:
        _check_query_types(names[0], next(iter(have)))
    if absent and missing == "error":
        raise InputError(
            f"run: expected every judged query, {len(absent)} of {len(names)} are not there, the first {absent[0]!r};"
            ' add them, or pass missing="zero" or "skip"'
        )
    if absent and missing == "skip":
        names = [query for query in names if query in have]
        if not names:
            raise InputError("run: expected at least one judged query, got none; compare the query ids of both files")
    return list(names), absent, ignored


def _check_one_type(what: str, queries: Any) -> None:
    """Refuse query ids of several types, of which some could not be found."""
    types = set(map(type, queries))
    if len(types) > 1 and len({next((kind for kind in (str, bytes) if issubclass(t, kind)), int) for t in types}) > 1:
        names = ", ".join(sorted(t.__name__ for t in types))
        raise InputTypeError(f"{what}: expected query ids that are all str, all int or all bytes, got {names}")


def _check_query_types(judged: Any, listed: Any) -> None:
    if type(judged) is not type(listed):
        raise InputTypeError(
            f"evaluate: expected query ids of one type in qrels and run, got {type(judged).__name__} {judged!r} and"
            f" {type(listed).__name__} {listed!r}; convert one of them"
        )


def _columns_found(
    qrels: Qrels,
    run: Run,
    query_ids: list[Any],
    offsets: NDArray[np.int64],
    threads: int,
    *,
    ties: str,
    single: bool,
    nan_last: bool,  # noqa: ARG001 - a Run holds no NaN
) -> tuple[NDArray[np.int64], NDArray[np.float64], Found]:
    _check_ids(qrels, run)
    judged = np.fromiter(map(qrels.rows.__getitem__, query_ids), np.int64, len(query_ids))
    listed = np.fromiter(map(run.rows.get, query_ids, repeat(-1)), np.int64, len(query_ids))
    n = np.zeros(len(query_ids), np.int64)
    grades = np.empty(int(offsets[-1]))
    found = Found.empty(len(query_ids), len(grades))
    work = _columns.JudgedSearch(qrels, run, judged, listed, offsets, n, grades, found, ties=ties, single=single)
    parts = [(start, min(start + CHUNK, len(query_ids))) for start in range(0, len(query_ids), CHUNK)]
    run_each(work, parts, threads)
    return n, grades, found


def _check_ids(qrels: Qrels, run: Run) -> None:
    if len(qrels.documents) and len(run.documents) and qrels.documents.kind != run.documents.kind:
        raise InputTypeError(
            f"evaluate: expected document ids of one type in qrels and run, got {qrels.documents.kind}"
            f" {qrels.documents[0]!r} and {run.documents.kind} {run.documents[0]!r}; convert one of them"
        )


def _objects_found(
    qrels: _dicts.Dicts,
    run: _dicts.Dicts,
    query_ids: list[Any],
    offsets: NDArray[np.int64],
    *,
    ties: str,
    single: bool,
    nan_last: bool,
) -> tuple[NDArray[np.int64], NDArray[np.float64], Found]:
    n = np.zeros(len(query_ids), np.int64)
    grades = np.empty(int(offsets[-1]))
    found = Found.empty(len(query_ids), len(grades))
    refused = _objects.walk_judged(
        qrels, run, query_ids, offsets, n, grades, found, ties=ties, single=single, nan_last=nan_last
    )
    if refused < 0:
        return n, grades, found
    # Something is wrong with this query, or its dicts are of another class: Python looks again, and says what it is.
    query = query_ids[refused]
    alone = np.array([0, len(qrels[query])])
    _dicts.look_up_dicts(qrels, run, [query], alone, ties=ties, single=single, nan_last=nan_last)
    return _dicts.look_up_dicts(qrels, run, query_ids, offsets, ties=ties, single=single, nan_last=nan_last)
