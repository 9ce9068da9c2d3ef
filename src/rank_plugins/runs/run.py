"""Run and Qrels: scores and judgments of documents by query, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs.ids import Id, Ids
from rank_plugins.runs.table import Table, by_query


class Run(Table):
    """What a system found: documents and scores by query, higher is better.

    Lists of bare ids have `ranked_only` set, and n, n - 1, ..., 1 for scores.
    """

    _number = "score"

    def __init__(
        self,
        queries: Sequence[Id],
        offsets: ArrayLike,
        documents: Ids,
        scores: ArrayLike,
        *,
        name: str | None = None,
        ranked_only: bool = False,
    ) -> None:
        """Hold columns: the documents of query i are offsets[i] to offsets[i + 1] (int64 [Nq + 1])."""
        super().__init__(queries, offsets, documents, scores, name=name)
        self.ranked_only = ranked_only

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores float64 [T], parallel to `documents`."""
        return self._values

    @classmethod
    def from_dict(cls, table: Mapping[Any, Any], *, name: str | None = None) -> Run:
        """Hold {query: {document: score}}, {query: [(document, score), ...]} or {query: [document, ...]}, best first.

        Raises:
            InputTypeError: another structure, scores that are no numbers, or ids of several types.
            InputError: NaN, or a document twice in a query.

        """
        if all(isinstance(row, Mapping) for row in table.values()):
            run: Run = super().from_dict(table, name=name)
            return run
        documents: list[Any] = []
        scores: list[Any] = []
        counts = []
        pairs = {_is_pairs(query, row) for query, row in table.items()} - {None}
        if len(pairs) > 1:
            raise InputTypeError("Run: expected lists that all hold ids, or all pairs (document, score), got both")
        for query, row in table.items():
            if pairs == {True}:
                bad = next((item for item in row if not (isinstance(item, (tuple, list)) and len(item) == 2)), None)
                if bad is not None:
                    raise InputTypeError(
                        f"Run: expected pairs (document, score), as the first is, got {bad!r} for query {query!r}"
                    )
                documents.extend(document for document, _ in row)
                scores.extend(score for _, score in row)
            else:
                documents.extend(row)
                scores.extend(range(len(row), 0, -1))
            counts.append(len(row))
        ids = Ids.from_list(documents, "Run: document ids")
        return cls(list(table), np.cumsum([0, *counts]), ids, scores, name=name, ranked_only=pairs != {True})

    @classmethod
    def from_arrays(
        cls,
        queries: ArrayLike | Sequence[Id],
        documents: ArrayLike | Sequence[Id] | Ids,
        scores: ArrayLike,
        *,
        name: str | None = None,
        duplicates: str = "error",
    ) -> Run:
        """Hold rows in any order, three columns [T]; queries stand in the order of their first rows.

        Args:
            queries: the query of each row.
            documents: its document.
            scores: its score.
            name: what to call the run.
            duplicates: a document twice in a query is an "error", or the "first" or "max" (best) row is kept.

        Raises:
            InputError: columns of other lengths, NaN, or a document twice in a query.
            InputTypeError: ids of several types, or scores that are no numbers.

        """
        names, offsets, ids, values, _ = by_query(queries, documents, scores, "Run: scores")
        if duplicates != "error":
            ids, values, offsets = _unique(ids, values, offsets, duplicates)
        return cls(names, offsets, ids, values, name=name)

    def to_dict(self) -> dict[Any, dict[Any, float]]:
        """Return {query: {document: score}}, in the order of the columns."""
        return self._dicts(self.scores.tolist())

    def save(self, path: str | Path) -> None:
        """Write the run to a file; the suffix decides the format, see `rank_plugins.runs.write`."""
        from rank_plugins.runs.files import write

        write(self, path)


class Qrels(Table):
    """Relevance judgments: documents and grades by query. A grade below 0 means: pooled, but not judged."""

    _number = "grade"

    def __init__(
        self,
        queries: Sequence[Id],
        offsets: ArrayLike,
        documents: Ids,
        grades: ArrayLike,
        *,
        name: str | None = None,
        subtopics: Ids | None = None,
    ) -> None:
        """Hold columns: the judgments of query i are offsets[i] to offsets[i + 1] (int64 [Nq + 1]).

        `subtopics` name what each judgment is about, for measures of diversity; a document may then stand once
        for each of them.
        """
        self.subtopics = subtopics
        super().__init__(queries, offsets, documents, grades, name=name)

    @property
    def grades(self) -> NDArray[np.float64]:
        """Grades float64 [T], parallel to `documents`."""
        return self._values

    @classmethod
    def from_arrays(
        cls,
        queries: ArrayLike | Sequence[Id],
        documents: ArrayLike | Sequence[Id] | Ids,
        grades: ArrayLike,
        *,
        name: str | None = None,
        subtopics: Ids | None = None,
    ) -> Qrels:
        """Hold rows in any order, three columns [T]; queries stand in the order of their first rows.

        Raises:
            InputError: columns of other lengths, NaN, or a document judged twice.
            InputTypeError: ids of several types, or grades that are no numbers.

        """
        names, offsets, ids, values, order = by_query(queries, documents, grades, "Qrels: grades")
        ordered = subtopics.take(order) if subtopics is not None else None
        return cls(names, offsets, ids, values, name=name, subtopics=ordered)

    def to_dict(self) -> dict[Any, dict[Any, float]]:
        """Return {query: {document: grade}}; grades that are whole numbers are int."""
        values = self.grades
        whole = bool((values == np.floor(values)).all()) and bool((np.abs(values) < 2**53).all())
        return self._dicts(values.astype(np.int64).tolist() if whole else values.tolist())

    def save(self, path: str | Path) -> None:
        """Write the judgments to a file; the suffix decides the format, see `rank_plugins.runs.write`."""
        from rank_plugins.runs.files import write

        write(self, path)

    def flat(self) -> Qrels:
        """Return judgments with one grade for each document: the highest that any of its subtopics has."""
        if self.subtopics is None:
            return self
        table: dict[Any, dict[Any, float]] = {}
        documents, grades, ends = self.documents.tolist(), self.grades.tolist(), self.offsets.tolist()
        for query, start, end in zip(self.queries, ends, ends[1:], strict=False):
            row = table.setdefault(query, {})
            for document, grade in zip(documents[start:end], grades[start:end], strict=True):
                row[document] = max(grade, row.get(document, grade))
        flat: Qrels = Qrels.from_dict(table, name=self.name)
        return flat

    def _check_values(self) -> None:
        super()._check_values()
        if not np.isfinite(self._values).all():
            entry = int(np.isinf(self._values).argmax())
            raise InputError(f"Qrels: expected finite grades, got {self._values[entry]} for {self._place(entry)}")

    def _check_duplicates(self) -> None:
        if self.subtopics is None:
            super()._check_duplicates()
            return
        seen: set[Any] = set()
        query = np.repeat(np.arange(len(self)), np.diff(self.offsets)).tolist()
        for entry, key in enumerate(zip(query, self.documents.tolist(), self.subtopics.tolist(), strict=True)):
            if key in seen:
                raise InputError(
                    f"Qrels: expected every document once for a subtopic, got {self._place(entry)} twice for subtopic"
                    f" {key[2]!r}; remove one"
                )
            seen.add(key)


def _unique(
    ids: Ids, values: NDArray[np.float64], offsets: NDArray[np.int64], duplicates: str
) -> tuple[Ids, NDArray[np.float64], NDArray[np.int64]]:
    """Keep one row of each document in a query."""
    if duplicates not in ("first", "max"):
        raise InputError(f'duplicates: expected "error", "first" or "max", got {duplicates!r}')
    names, ends = ids.tolist(), offsets.tolist()
    kept: list[int] = []
    counts = []
    for start, end in pairwise(ends):
        best: dict[Any, int] = {}
        for i in range(start, end):
            other = best.setdefault(names[i], i)
            if duplicates == "max" and values[i] > values[other]:
                best[names[i]] = i
        kept.extend(best.values())
        counts.append(len(best))
    rows = np.array(kept, np.int64)
    return ids.take(rows), values[rows], np.cumsum([0, *counts])


def _is_pairs(query: Any, row: Any) -> bool | None:
    """Return whether a list holds pairs (document, score); None for an empty one."""
    if isinstance(row, (str, bytes)) or not isinstance(row, Sequence):
        raise InputTypeError(f"Run: expected a dict or a list for query {query!r}, got {type(row).__name__}")
    if not row:
        return None
    return isinstance(row[0], (tuple, list)) and len(row[0]) == 2
