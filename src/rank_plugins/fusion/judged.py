"""Runs beside judgments: the lists of the judged queries, gathered once, and the grades of their documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rank_plugins.errors import InputError
from rank_plugins.fusion.gathering import Gathered, gather
from rank_plugins.fusion.lists import Floats, Integers, Lists
from rank_plugins.runs.convert import as_qrels, as_run


@dataclass(frozen=True)
class Judged:
    """The lists of Nq queries and what is known of their documents."""

    queries: list[Any]
    lists: Lists
    gathered: Gathered
    grades: Floats
    """Of each document of the unions, float64 [U]; NaN where nobody judged it."""
    all_grades: list[Floats]
    """All judgments of each query, the highest grade first."""

    @property
    def judged_offsets(self) -> Integers:
        """The judgments of query i are judged_offsets[i] to judged_offsets[i + 1] when joined, int64 [Nq + 1]."""
        return np.concatenate([[0], np.cumsum([len(grades) for grades in self.all_grades])]).astype(np.int64)


def judge(
    qrels: Any,
    runs: Sequence[Any],
    higher: Sequence[bool] | None = None,
    no_evidence: Sequence[Any] = (),
    relevance_level: float = 1,
) -> Judged:
    """Gather the lists of the queries that have judgments, and of the queries of `no_evidence`, which come last.

    Raises:
        InputError: no judged query, no document for any of them, a query of `no_evidence` with a relevant document,
            or what `gather` refuses.
        InputTypeError: another type of runs.

    """
    table = as_qrels(qrels)
    grades_of = table if isinstance(table, dict) else table.to_dict()
    for query in no_evidence:
        relevant = [document for document, grade in grades_of.get(query, {}).items() if grade >= relevance_level]
        if relevant:
            raise InputError(
                f"no_evidence: expected queries without relevant documents, got {query!r}, of which {relevant[0]!r} is"
                " one; correct the judgments or the declaration"
            )
    without = set(no_evidence)
    queries = [query for query, row in grades_of.items() if len(row) and query not in without]
    if not queries:
        raise InputError("qrels: expected judgments of at least one query, got none")
    read = [as_run(run) for run in runs]
    lists, gathered = gather(read, [*queries, *no_evidence], higher or [True] * len(read))
    if not len(lists.code):
        raise InputError("runs: expected documents for the queries of qrels, got none; do the query ids match?")
    rows = [grades_of[query] for query in queries]
    ends = lists.unions.tolist()
    grades: list[Any] = []
    for i, row in enumerate(rows):
        grades += map(row.get, gathered.names[ends[i] : ends[i + 1]])
    grades += [None] * (lists.documents - len(grades))
    known = np.array(grades, np.float64)  # None, where nobody judged, becomes NaN
    ordered = [-np.sort(-np.fromiter(row.values(), np.float64, len(row))) for row in rows]
    return Judged(queries, lists, gathered, known, ordered)
