"""Columns of the host's Arrow tables, as rank_plugins takes documents: a list of str, or token embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError


def texts(table: pa.Table, name: str) -> list[str]:
    """Return the texts of a column; NULL is an empty text.

    Raises:
        InputError: no such column.
        InputTypeError: a column of another type.

    """
    column = _column(table, name, "column")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise InputTypeError(f"column: expected {name!r} to be a column of text, got {column.type}")
    return [text or "" for text in column.to_pylist()]


def token_embeddings(table: pa.Table, name: str) -> TokenEmbeddings | list[str]:
    """Return the token vectors of a multivector column, one document per row; NULL is a document without tokens.

    The vectors go from the column's memory to the embeddings as one array, which is not copied where the column is
    in one piece. Where no row has a token, and so nothing can be scored, the documents are empty texts.

    Raises:
        InputError: no such column, vectors that are NULL, of several lengths, or have values that are not finite.
        InputTypeError: a column of another type.

    """
    column = _column(table, name, "vector_column")
    if not (_is_list(column.type) and _is_list(column.type.value_type)):
        raise InputTypeError(
            f"vector_column: expected {name!r} to be a multivector column, list<fixed_size_list<float>>,"
            f" got {column.type}"
        )
    numbers = column.type.value_type.value_type
    if not pa.types.is_floating(numbers):
        raise InputTypeError(f"vector_column: expected {name!r} to hold float16, float32 or float64, got {numbers}")
    tokens = _array(pc.fill_null(pc.list_value_length(column), 0))
    offsets = np.concatenate(([0], np.cumsum(tokens, dtype=np.int64)))
    vectors = pc.list_flatten(column)
    if not len(vectors):
        return [""] * len(column)
    dims = _array(pc.fill_null(pc.list_value_length(vectors), -1))
    if wrong := np.flatnonzero((dims != dims[0]) | (dims < 1)).tolist():
        row = int(np.searchsorted(offsets, wrong[0], side="right")) - 1
        found = "NULL" if dims[wrong[0]] < 0 else f"{dims[wrong[0]]} numbers"
        raise InputError(
            f"vector_column: expected every vector of {name!r} to have the same length,"
            f" got {found} after {dims[0]} at row {row}, token {wrong[0] - int(offsets[row])}"
        )
    try:
        return TokenEmbeddings(_array(pc.list_flatten(vectors)).reshape(len(vectors), -1), offsets)
    except InputError as error:
        raise InputError(f"vector_column: {name!r}, the vectors of all rows as one array: {error}") from None


def _column(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise InputError(
            f"{what}: expected a column {name!r} in the results, got {', '.join(table.column_names)};"
            f" add {name!r} to .select([...]), or name another column"
        )
    return table.column(name)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _array(values: pa.ChunkedArray) -> NDArray[Any]:
    """Return numbers as NumPy sees them; a column in one piece is not copied."""
    whole = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()  # which copies one piece too
    array: NDArray[Any] = whole.to_numpy(zero_copy_only=False)
    return array
