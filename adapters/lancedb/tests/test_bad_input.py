"""What is refused: at construction what cannot be meant, at a rerank what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the host package lancedb is not installed")

import pyarrow as pa

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins_lancedb import RankPluginsReranker


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "rank-maxsin"}, InputError, "rank-maxsim"),
        ({"model": 7}, InputTypeError, "model: expected a name"),
        ({"model_kwargs": {"scores": "sum"}}, InputTypeError, "scores"),
        ({"model_kwargs": {"score": "max"}}, InputError, "score: expected one of"),
        ({"return_score": "both"}, InputError, "relevance or all, got 'both'"),
        ({"column": None}, InputTypeError, "column: expected the name"),
        ({"vector_column": 3}, InputTypeError, "vector_column: expected the name"),
    ],
)
def test_at_construction(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """Names and options are checked before anything is searched."""
    with pytest.raises(error, match=message):
        RankPluginsReranker(**options)


def test_options_beside_an_instance(model: Any) -> None:
    """A reranker that is made has its options."""
    with pytest.raises(InputTypeError, match="score"):
        RankPluginsReranker(model, {"score": "mean"})


def test_columns(model: Any) -> None:
    """A column of numbers is no text; NULL alone is."""
    reranker = RankPluginsReranker(model)
    with pytest.raises(InputTypeError, match="'text' to be a column of text, got int64"):
        reranker.rerank_vector("red", pa.table({"text": [1, 2]}))
    found = reranker.rerank_vector("red", pa.table({"text": pa.nulls(2)}))
    assert found["_relevance_score"].to_pylist() == [-1e9, -1e9]
    encoded = pa.table({"text": pa.array(["pear", "red"]).dictionary_encode()})
    assert reranker.rerank_vector("red", encoded)["text"].to_pylist() == ["red", "pear"]


def test_row_ids(model: Any) -> None:
    """Where rows must be told apart, the column that does is asked for."""
    reranker, table = RankPluginsReranker(model), pa.table({"text": ["red"]})
    with pytest.raises(InputError, match=r"'_rowid'.*with_row_id"):
        reranker.rerank_hybrid("red", table, table)
    with pytest.raises(InputError, match=r"'_rowid'.*with_row_id"):
        reranker.rerank_multivector([table, table], "red", deduplicate=True)
    with pytest.raises(InputError, match="at least one search"):
        reranker.rerank_multivector([], "red")


def test_the_query(model: Any) -> None:
    """A query of another type, such as the None of a search by vectors, is refused."""
    with pytest.raises(InputTypeError, match="query: expected a str"):
        RankPluginsReranker(model).rerank_multivector([pa.table({"text": ["red"]})], None)


def test_the_results_stay_as_they_are(model: Any) -> None:
    """A new table comes back."""
    table = pa.table({"text": ["pear", "red"], "_distance": pa.array([0.1, 0.2], pa.float32())})
    before = table.to_pydict()
    assert RankPluginsReranker(model).rerank_vector("red", table).column_names == ["text", "_relevance_score"]
    assert table.to_pydict() == before


def test_close(model: Any) -> None:
    """What the user made stays open; what was made from a name is let go of."""
    for given, expected in ((model, []), ("rank-maxsim", [True])):
        reranker, closed = RankPluginsReranker(given), []
        reranker.reranker.close = lambda closed=closed: closed.append(True)  # type: ignore[method-assign]
        reranker.close()
        assert closed == expected
