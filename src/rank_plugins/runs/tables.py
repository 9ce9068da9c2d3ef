"""Data frames, and columns as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from rank_plugins._checks import on_cpu
from rank_plugins._extras import importable
from rank_plugins.runs.build import build, ids_of, numbers_of, pick
from rank_plugins.runs.run import Qrels, Run


def is_table(x: object) -> bool:
    """Return whether `x` has named columns."""
    if isinstance(x, np.ndarray):
        return x.dtype.names is not None
    return _is_pandas(x) or hasattr(x, "__arrow_c_stream__") or hasattr(x, "__dataframe__")


def from_table(table: Any, kind: str, what: str, *, name: str | None = None, duplicates: str = "error") -> Run | Qrels:
    """Build a run or qrels of a pandas or polars frame, a structured array, or whatever gives Arrow data.

    Raises:
        InputError: a column is missing or has nulls, NaN, or a document twice in a query.
        InputTypeError: columns of types that are no ids or no numbers.

    """
    if isinstance(table, np.ndarray):
        return _from_named(table, list(table.dtype.names or ()), kind, what, name=name, duplicates=duplicates)
    if _is_pandas(table):
        columns = list(table.columns)
        table = table[[column for column in pick(columns, kind, what) if column is not None]]
        if not _gives_arrow(table):
            return _from_named(table, columns, kind, what, name=name, duplicates=duplicates)
    if hasattr(table, "__arrow_c_stream__"):
        from rank_plugins.runs.arrow import from_arrow

        return from_arrow(table, kind, what, name=name, duplicates=duplicates)
    from rank_plugins.runs.interchange import from_interchange

    return from_interchange(table, kind, what, name=name, duplicates=duplicates)


def from_columns(
    columns: Any, kind: str, what: str, *, name: str | None = None, duplicates: str = "error"
) -> Run | Qrels:
    """Build a run or qrels of three columns: queries, documents, numbers.

    Raises:
        InputError: columns of other lengths, NaN, or a document twice in a query.
        InputTypeError: ids of several types, numbers that are none.

    """
    queries, documents, numbers = map(_plain, columns)
    return build(
        kind,
        ids_of(queries, f"{what}: query ids"),
        ids_of(documents, f"{what}: document ids"),
        numbers_of(numbers, f"{what}: {'scores' if kind == 'run' else 'grades'}"),
        name=name,
        duplicates=duplicates,
    )


def _from_named(
    table: Any, names: list[Any], kind: str, what: str, *, name: str | None, duplicates: str
) -> Run | Qrels:
    picked = pick(names, kind, what)
    values = np.asarray(table[picked.value or picked.rank])
    return build(
        kind,
        ids_of(np.asarray(table[picked.query]), f"{what}: column {picked.query!r}"),
        ids_of(np.asarray(table[picked.document]), f"{what}: column {picked.document!r}"),
        numbers_of(values, f"{what}: column {picked.value or picked.rank!r}"),
        name=name,
        duplicates=duplicates,
        subtopics=ids_of(np.asarray(table[picked.subtopic]), f"{what}: subtopics") if picked.subtopic else None,
        ranked=picked.value is None,
    )


def _is_pandas(x: object) -> bool:
    return type(x).__module__.partition(".")[0] == "pandas" and hasattr(x, "columns")


def _gives_arrow(frame: Any) -> bool:
    """Return whether a pandas frame can be had as Arrow data, which is faster: that needs pyarrow and whole columns."""
    if not hasattr(frame, "__arrow_c_stream__") or not importable("pyarrow"):
        return False
    return all(frame[column].dtype != object for column in frame.columns)


def _plain(column: Any) -> Any:
    """Return a column as a list or an array: a tensor, a Series and the like become arrays."""
    return column if isinstance(column, (list, tuple)) else np.asarray(on_cpu(column))
