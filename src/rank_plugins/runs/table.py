"""Table: documents by query, each with a number, in columns; what a Run and Qrels have in common."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
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
        Ids.from_list(self.queries, f"{what}: query ids")
        if not isinstance(documents, Ids):
            raise InputTypeError(
                f"{what}: expected documents as Ids, got {type(documents).__name__}; see Ids.from_list"
            )
        self.offsets = int_array(offsets, f"{what}: offsets")
        self.documents = documents
        self.name = name
        self._values = numbers_of(values, f"{what}: {self._number}s")
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


def by_query(
    queries: ArrayLike | Sequence[Id], documents: ArrayLike | Sequence[Id] | Ids, values: ArrayLike, what: str
) -> tuple[list[Any], NDArray[np.int64], Ids, NDArray[np.float64], NDArray[np.int64]]:
    """Return three columns of rows [T] by query: the queries, where each begins, documents, numbers, and the order.

    Raises:
        InputError: columns of other lengths.
        InputTypeError: ids of several types, or values that are no numbers.

    """
    names, order, offsets = grouped(queries)
    ids, numbers = documents if isinstance(documents, Ids) else ids_of(documents), numbers_of(values, what)
    if not len(order) == len(ids) == len(numbers):
        raise InputError(
            f"{what}: expected three columns of one length, got {len(order)}, {len(ids)} and {len(numbers)}"
        )
    if not ascending(order):
        ids, numbers = ids.take(order), numbers[order]
    return names, offsets, ids, numbers, order


def grouped(queries: ArrayLike | Sequence[Id]) -> tuple[list[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct queries of rows [T] in order of appearance, the rows by query, and where each begins.

    Raises:
        InputTypeError: query ids of several types.

    """
    ids = queries if isinstance(queries, Ids) else ids_of(queries, "query ids")
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


def ids_of(values: ArrayLike | Sequence[Id] | Iterable[Id], what: str = "document ids") -> Ids:
    """Return a column of ids, from an array or a list."""
    if isinstance(values, np.ndarray):
        return Ids.from_array(values, what)
    return Ids.from_list(list(values), what)  # type: ignore[arg-type]


def numbers_of(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return a column of numbers as float64 [T], a copy that cannot be changed."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputTypeError(f"{what}: expected numbers, got lists among them") from None
    if array.size == 0 and array.ndim == 1:
        array = np.empty(0, np.float64)
    if array.dtype.kind not in "fiub":
        raise InputTypeError(f"{what}: expected numbers, got dtype {array.dtype.name}")
    if array.ndim != 1:
        raise InputError(f"{what}: expected 1 axis [T], got shape {array.shape}")
    result = array.astype(np.float64)  # a copy, which nobody else can change
    result.flags.writeable = False
    return result


def ascending(order: NDArray[np.int64]) -> bool:
    """Return whether `order` is 0, 1, 2, ..."""
    return bool(len(order) == 0 or (order[0] == 0 and order[-1] == len(order) - 1 and (np.diff(order) == 1).all()))
