"""Stored multivector columns: scored as they are, whatever their Arrow layout."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the host package lancedb is not installed")

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import rank_plugins
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.testing import HashEncoder
from rank_plugins_lancedb import RankPluginsReranker
from rank_plugins_lancedb.columns import token_embeddings

QUERY = "red apples"


def test_scores_are_those_of_maxsim(table: Any, model: Any, encoder: Any, query_vector: Any) -> None:
    """The rows' scores are rank_plugins.maxsim's of the stored vectors; no document is encoded."""
    reranker = RankPluginsReranker(model, vector_column="tokens")
    search = table.search(query_vector, vector_column_name="vector").limit(8).select(["id", "tokens"])
    found = search.rerank(reranker, query_string=QUERY).to_arrow()
    query = HashEncoder(16).encode_queries([QUERY])[0]
    for row in found.to_pylist():
        if row["tokens"]:
            stored = np.array(row["tokens"], np.float32)
            assert row["_relevance_score"] == rank_plugins.maxsim(query, [stored])[0]
        else:
            assert row["_relevance_score"] == -1e9
    assert {row["id"] for row in found.to_pylist()[:2]} == {0, 5}
    assert {row["id"] for row in found.to_pylist()[-2:]} == {2, 4}
    assert (encoder.queries, encoder.documents) == ([QUERY], [])


def test_the_same_as_text(table: Any, model: Any, expected: dict[int, float]) -> None:
    """Full-text results by stored vectors have the scores that their texts have."""
    search = table.search(QUERY, query_type="fts").rerank(RankPluginsReranker(model, vector_column="tokens"))
    found = search.to_arrow()
    scores = found["_relevance_score"].to_pylist()
    assert scores == pytest.approx([expected[i] for i in found["id"].to_pylist()], rel=1e-5)
    assert len(scores) == 3


def test_left_out_of_the_select(table: Any, model: Any) -> None:
    """A column that the query did not select is asked for."""
    for reranker in (RankPluginsReranker(model, vector_column="tokens"), RankPluginsReranker(model, column="body")):
        with pytest.raises(InputError, match=r"expected a column '(tokens|body)'.*got id, text.*\.select"):
            table.search(QUERY, query_type="fts").select(["id", "text"]).rerank(reranker).to_arrow()


VECTOR = st.lists(st.floats(-2, 2, width=16), min_size=3, max_size=3)
DOCUMENT = st.none() | st.lists(VECTOR, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(DOCUMENT, min_size=1, max_size=6),
    cut=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    pieces=st.integers(1, 3),
    number=st.sampled_from([pa.float16(), pa.float32(), pa.float64()]),
    outer=st.sampled_from([pa.list_, pa.large_list]),
    inner=st.sampled_from([lambda t: pa.list_(t, 3), pa.list_, pa.large_list]),
)
def test_any_layout(rows: Any, cut: Any, pieces: int, number: Any, outer: Any, inner: Any) -> None:
    """Sliced, in pieces, of any width of numbers and lists: the documents are those that Arrow itself reads."""
    column = pa.chunked_array([pa.array(rows, outer(inner(number)))] * pieces).slice(*cut)
    found = token_embeddings(pa.table({"tokens": column}), "tokens")
    kept = column.to_pylist()
    assert len(found) == len(kept)
    if isinstance(found, list):  # no row has a token
        assert not any(kept)
        return
    assert found.dtype == ("float16" if number == pa.float16() else "float32")
    for one, row in zip(found, kept, strict=True):
        assert one.tolist() == (row or [])


def test_one_piece_is_not_copied() -> None:
    """The embeddings are a view of the column's own memory."""
    column = pa.array([[[1.0, 2.0]], None, [[3.0, 4.0], [5.0, 6.0]]], pa.list_(pa.list_(pa.float32(), 2)))
    found = token_embeddings(pa.table({"tokens": column}), "tokens")
    assert not isinstance(found, list)
    start = found[0].__array_interface__["data"][0]
    memory = column.values.values.buffers()[1]
    assert memory.address <= start < memory.address + memory.size


def test_what_lies_under_null_does_not_count() -> None:
    """A NULL row may have vectors in memory, by the format; they are not the next row's."""
    vectors = pa.array([[1.0, 0.0], [9.0, 9.0], [0.0, 1.0]], pa.list_(pa.float32(), 2))
    column = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3]), vectors, mask=pa.array([False, True, False]))
    found = token_embeddings(pa.table({"tokens": column}), "tokens")
    assert [one.tolist() for one in found] == [[[1.0, 0.0]], [], [[0.0, 1.0]]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (pa.array(["a"]), InputTypeError, "multivector column.*got string"),
        (pa.array([[1.0]]), InputTypeError, r"multivector column.*got list<\w+: double>"),
        (pa.array([[[1]]]), InputTypeError, "float16, float32 or float64, got int64"),
        (pa.array([[[1.0, 2.0]], None, [[1.0, 2.0], [1.0]]]), InputError, "got 1 numbers after 2 at row 2, token 1"),
        (pa.array([None, [[1.0], None]]), InputError, "got NULL after 1 at row 1, token 1"),
        (pa.array([[[]]], pa.list_(pa.list_(pa.float32()))), InputError, "got 0 numbers"),
        (pa.array([[[1.0, None]]]), InputError, "vector_column: 'tokens'.*finite"),
    ],
)
def test_columns_that_cannot_be_scored(model: Any, column: Any, error: type[Exception], message: str) -> None:
    """What is no multivector column is refused, with the place."""
    with pytest.raises(error, match=message):
        RankPluginsReranker(model, vector_column="tokens").rerank_vector(QUERY, pa.table({"tokens": column}))


def test_rows_without_any_vector(model: Any) -> None:
    """Where nothing can be scored every row comes back, in its order."""
    column = pa.array([None, [], None], pa.list_(pa.list_(pa.float32())))
    table = pa.table({"id": [7, 8, 9], "tokens": column})
    found = RankPluginsReranker(model, vector_column="tokens").rerank_vector(QUERY, table)
    assert found.to_pydict() == {"id": [7, 8, 9], "tokens": [None, [], None], "_relevance_score": [-1e9] * 3}


def test_a_model_that_reads_text(table: Any) -> None:
    """A cross-encoder cannot score vectors, and says so."""
    reranker = RankPluginsReranker("rank-cross-encoder", vector_column="tokens")
    with pytest.raises(InputTypeError, match="expected query and documents as text"):
        table.search(QUERY, query_type="fts").rerank(reranker).to_arrow()
