"""Run and Qrels: scores and judgments of documents by query, in columns."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins import _columns
from rank_plugins._checks import int_array
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs.ids import Id, Ids


class Table:
    """What a Run and Qrels have in common: documents by query, each with a number. Immutable; input order is kept."""

    _number = "value"

    def __init__(
        self, queries: Sequence[Id], offsets: ArrayLike, documents: Ids, values: ArrayLike, *, name: str | None = None
    ) -> None:
        """Hold columns: the documents of query i are offsets[i] to offsets[i + 1].

        Raises:
            InputError: columns that do not fit, NaN, or a document twice in a query.
            InputTypeError: values that are no numbers, or ids of several types.

        """
        what = type(self).__name__
        self.queries: list[Any] = list(queries)
        self.offsets = int_array(offsets, f"{what}: offsets")
        self.documents = documents
        self.name = name
        self._values = _numbers(values, f"{what}: {self._number}s")
        counts = np.diff(self.offsets)
        if len(self.offsets) != len(self.queries) + 1 or self.offsets[0] != 0 or (counts < 0).any():
            raise InputError(
                f"{what}: expected offsets from 0 up, one more than the {len(self.queries)} queries, got"
                f" {len(self.offsets)} of them"
            )
        if not len(documents) == len(self._values) == self.offsets[-1]:
            raise InputError(
                f"{what}: expected {int(self.offsets[-1])} documents and {self._number}s, as the offsets say, got"
                f" {len(documents)} and {len(self._values)}"
            )
        if len(set(self.queries)) != len(self.queries):
            seen: set[Any] = set()
            twice = next(query for query in self.queries if query in seen or seen.add(query))  # type: ignore[func-returns-value]
            raise InputError(f"{what}: expected every query once, got {twice!r} twice")
        self._check_values()
        self._check_duplicates()
        self.offsets.flags.writeable = False

    @classmethod
    def from_dict(cls, table: Mapping[Any, Any], *, name: str | None = None) -> Any:
        """Hold {query: {document: number}}; see the class.

        Raises:
            InputTypeError: another structure, numbers that are none, or ids of several types.
            InputError: NaN.

        """
        documents: list[Any] = []
        values: list[Any] = []
        counts = []
        for query, row in table.items():
            if not isinstance(row, Mapping):
                raise InputTypeError(
                    f"{cls.__name__}: expected {{query: {{document: {cls._number}}}}}, got {type(row).__name__} for"
                    f" {query!r}"
                )
            documents.extend(row)
            values.extend(row.values())
            counts.append(len(row))
        ids = Ids.from_list(documents, f"{cls.__name__}: document ids")
        return cls(list(table), np.cumsum([0, *counts]), ids, values, name=name)

    def __len__(self) -> int:
        return len(self.queries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} queries, {len(self.documents)} documents, name={self.name!r})"

    @functools.cached_property
    def rows(self) -> dict[Any, int]:
        """The place of each query."""
        return {query: i for i, query in enumerate(self.queries)}

    def _dicts(self, values: list[Any]) -> dict[Any, dict[Any, Any]]:
        documents, ends = self.documents.tolist(), self.offsets.tolist()
        return {
            query: dict(zip(documents[ends[i] : ends[i + 1]], values[ends[i] : ends[i + 1]], strict=True))
            for i, query in enumerate(self.queries)
        }

    def _place(self, entry: int) -> str:
        query = int(np.searchsorted(self.offsets, entry, "right")) - 1
        return f"document {self.documents[entry]!r} of query {self.queries[query]!r}"

    def _check_values(self) -> None:
        bad = np.isnan(self._values)
        if bad.any():
            raise InputError(
                f"{type(self).__name__}: expected numbers, got NaN for {self._place(int(bad.argmax()))}"
                f" ({int(bad.sum())} such); remove or repair them"
            )

    def _check_duplicates(self) -> None:
        entry = _columns.first_duplicate(self.offsets, self.documents)
        if entry >= 0:
            raise InputError(
                f"{type(self).__name__}: expected every document once in a query, got {self._place(entry)} twice;"
                ' remove one, or keep the best with duplicates="max"'
            )


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
        for row in table.values():
            if pairs == {True}:
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
        names, order, offsets = grouped(queries)
        ids = documents if isinstance(documents, Ids) else _ids(documents)
        values = _numbers(scores, "Run: scores")
        if not len(order) == len(ids) == len(values):
            raise InputError(
                f"Run: expected three columns of one length, got {len(order)}, {len(ids)} and {len(values)}"
            )
        if not _ascending(order):
            ids, values = ids.take(order), values[order]
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
        names, order, offsets = grouped(queries)
        ids = documents if isinstance(documents, Ids) else _ids(documents)
        values = _numbers(grades, "Qrels: grades")
        if not len(order) == len(ids) == len(values):
            raise InputError(
                f"Qrels: expected three columns of one length, got {len(order)}, {len(ids)} and {len(values)}"
            )
        ordered = subtopics.take(order) if subtopics is not None else None
        return cls(names, offsets, ids.take(order), values[order], name=name, subtopics=ordered)

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


def grouped(queries: ArrayLike | Sequence[Id]) -> tuple[list[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct queries of rows [T] in order of appearance, the rows by query, and where each begins.

    Raises:
        InputTypeError: query ids of several types.

    """
    ids = queries if isinstance(queries, Ids) else _ids(queries, "query ids")
    count = len(ids)
    if not count:
        return [], np.empty(0, np.int64), np.zeros(1, np.int64)
    starts = np.flatnonzero(np.r_[True, ids.differs_from_previous()])
    names = ids.take(starts).tolist()
    place: dict[Any, int] = {}
    group = np.fromiter((place.setdefault(name, len(place)) for name in names), np.int64, len(names))
    lengths = np.diff(np.r_[starts, count])
    if len(place) == len(names):  # the rows of each query follow one another, as in nearly all files
        return names, np.arange(count), np.r_[starts, count]
    by_row = np.repeat(group, lengths)
    offsets = np.r_[0, np.cumsum(np.bincount(by_row, minlength=len(place)))]
    return list(place), np.argsort(by_row, kind="stable"), offsets


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


def _ids(values: ArrayLike | Sequence[Id] | Iterable[Id], what: str = "document ids") -> Ids:
    if isinstance(values, np.ndarray):
        return Ids.from_array(values, what)
    return Ids.from_list(list(values), what)  # type: ignore[arg-type]


def _ascending(order: NDArray[np.int64]) -> bool:
    return bool(len(order) == 0 or (order[0] == 0 and order[-1] == len(order) - 1 and (np.diff(order) == 1).all()))


def _is_pairs(query: Any, row: Any) -> bool | None:
    """Return whether a list holds pairs (document, score); None for an empty one."""
    if isinstance(row, (str, bytes)) or not isinstance(row, Sequence):
        raise InputTypeError(f"Run: expected a dict or a list for query {query!r}, got {type(row).__name__}")
    if not row:
        return None
    return isinstance(row[0], (tuple, list)) and len(row[0]) == 2


def _numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        array = np.empty(0, np.float64)
    if array.dtype.kind not in "fiub":
        raise InputTypeError(f"{what}: expected numbers, got dtype {array.dtype.name}")
    if array.ndim != 1:
        raise InputError(f"{what}: expected 1 axis [T], got shape {array.shape}")
    result = array.astype(np.float64)  # a copy, which nobody else can change
    result.flags.writeable = False
    return result
