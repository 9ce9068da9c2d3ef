"""The host's own queries over an embedded database: vector, full-text, hybrid and several vectors."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the host package lancedb is not installed")

import pyarrow as pa
from lancedb.query import BoostQuery, MatchQuery, PhraseQuery
from lancedb.rerankers import Reranker as HostReranker

from rank_plugins.errors import InputTypeError
from rank_plugins_lancedb import RankPluginsReranker

QUERY = "red apples"


def check(result: pa.Table, expected: dict[int, float]) -> list[int]:
    """Return the ids of rows that stand best first, each once, with the scores they should have."""
    assert result.schema.field("_relevance_score").type == pa.float32()
    ids, scores = result["id"].to_pylist(), result["_relevance_score"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([expected[i] for i in ids], rel=1e-5, abs=1e-5)
    return list(ids)


def test_vector(table: Any, model: Any, query_vector: Any, expected: dict[int, float], encoder: Any) -> None:
    """All candidates come back by score, those with nothing to score last; the query is encoded once."""
    search = table.search(query_vector, vector_column_name="vector").limit(8)
    found = search.rerank(RankPluginsReranker(model), query_string=QUERY).to_arrow()
    assert set(check(found, expected)[:2]) == {0, 5}
    assert set(found["id"].to_pylist()[-2:]) == {2, 4}
    assert set(found.column_names) == {"id", "text", "vector", "tokens", "_relevance_score"}
    assert encoder.queries == [QUERY]


def test_the_limit_is_the_number_of_candidates(
    table: Any, model: Any, query_vector: Any, expected: dict[int, float]
) -> None:
    """A limit of the query cuts before the rerank, and every row it leaves comes back."""
    search = table.search(query_vector, vector_column_name="vector").limit(3)
    nearest = set(search.to_arrow()["id"].to_pylist())
    ids = check(search.rerank(RankPluginsReranker(model), query_string=QUERY).to_arrow(), expected)
    assert set(ids) == nearest


def test_full_text(table: Any, model: Any, expected: dict[int, float]) -> None:
    """The rows that have a word of the query, by score."""
    found = table.search(QUERY, query_type="fts").rerank(RankPluginsReranker(model)).to_arrow()
    assert sorted(check(found, expected)) == [0, 3, 5]
    assert "_score" not in found.column_names


@pytest.mark.parametrize("query", [MatchQuery(QUERY, "text"), PhraseQuery(QUERY, "text")], ids=["match", "phrase"])
def test_full_text_query_objects(table: Any, model: Any, expected: dict[int, float], query: Any) -> None:
    """The host hands on its query object; its words are what is ranked for."""
    assert check(table.search(query, query_type="fts").rerank(RankPluginsReranker(model)).to_arrow(), expected)


def test_full_text_query_without_one_text(table: Any, model: Any) -> None:
    """A query put together of several is refused with what to do."""
    query = BoostQuery(MatchQuery("red", "text"), MatchQuery("fox", "text"))
    with pytest.raises(InputTypeError, match="BoostQuery.*rerank_fts"):
        table.search(query, query_type="fts").rerank(RankPluginsReranker(model)).to_arrow()


def hybrid(table: Any, query_vector: Any, limit: int = 8) -> Any:
    search = table.search(query_type="hybrid", vector_column_name="vector", fts_columns="text")
    return search.vector(query_vector).text(QUERY).limit(limit)


def test_hybrid(table: Any, model: Any, query_vector: Any, expected: dict[int, float]) -> None:
    """A row that both searches found comes once."""
    found = hybrid(table, query_vector).rerank(RankPluginsReranker(model)).to_arrow()
    assert sorted(check(found, expected)) == list(range(8))
    assert not {"_rowid", "_score", "_distance"} & set(found.column_names)


def test_hybrid_keeps_the_best_of_the_union(
    table: Any, model: Any, query_vector: Any, expected: dict[int, float]
) -> None:
    """The host cuts the union to the limit; what it cuts is the end."""
    ids = check(hybrid(table, query_vector, 2).rerank(RankPluginsReranker(model)).to_arrow(), expected)
    assert set(ids) == {0, 5}


def test_hybrid_with_all_scores(table: Any, model: Any, query_vector: Any, expected: dict[int, float]) -> None:
    """return_score="all" keeps row ids and both searches' own scores, for every row that they found."""
    search = hybrid(table, query_vector).with_row_id(True)
    found = search.rerank(RankPluginsReranker(model, return_score="all")).to_arrow()
    check(found, expected)
    rows = {row["id"]: row for row in found.to_pylist()}
    bm25 = {row["id"]: row["_score"] for row in table.search(QUERY, query_type="fts").to_list()}
    near = table.search(query_vector, vector_column_name="vector").limit(8).to_list()
    assert {i: row["_score"] for i, row in rows.items() if row["_score"] is not None} == pytest.approx(bm25)
    assert {i: row["_distance"] for i, row in rows.items()} == pytest.approx({r["id"]: r["_distance"] for r in near})
    assert all(row["_rowid"] is not None for row in rows.values())


@pytest.mark.parametrize("kind", ["vector", "fts"])
def test_all_scores(table: Any, model: Any, query_vector: Any, kind: str) -> None:
    """return_score="all" keeps the search's score and the row id."""
    reranker = RankPluginsReranker(model, return_score="all")
    if kind == "vector":
        search = table.search(query_vector, vector_column_name="vector").rerank(reranker, query_string=QUERY)
    else:
        search = table.search(QUERY, query_type="fts").rerank(reranker)
    kept = {"vector": "_distance", "fts": "_score"}[kind]
    assert {kept, "_rowid", "_relevance_score"} < set(search.to_arrow().column_names)


def test_nothing_found(table: Any, model: Any, query_vector: Any, encoder: Any) -> None:
    """No rows give no rows, with the column, before anything is encoded."""
    reranker = RankPluginsReranker(model)
    ours = [
        table.search("unheard", query_type="fts").rerank(reranker).to_arrow(),
        table.search(query_vector, vector_column_name="vector")
        .where("id > 99").rerank(reranker, query_string=QUERY).to_arrow(),
        reranker.rerank_fts(QUERY, pa.table({"_score": pa.array([], pa.float32())})),  # without the other columns
    ]  # fmt: skip
    assert all(not {"_score", "_distance"} & set(result.column_names) for result in ours)
    hosts = hybrid(table, query_vector).where("id > 99").rerank(reranker).to_arrow()  # where the host asks nobody
    for result in (*ours, hosts):
        assert result.num_rows == 0
        assert result.schema.field("_relevance_score").type == pa.float32()
    assert encoder.queries == encoder.documents == []


def test_one_side_of_a_hybrid_search_is_empty(
    table: Any, model: Any, query_vector: Any, expected: dict[int, float]
) -> None:
    """Words that no row has leave the vectors' results."""
    search = table.search(query_type="hybrid", vector_column_name="vector", fts_columns="text")
    found = search.vector(query_vector).text("unheard").rerank(RankPluginsReranker(model)).to_arrow()
    assert found.num_rows == len(expected)


def test_several_vectors(table: Any, model: Any, query_vector: Any, expected: dict[int, float]) -> None:
    """Results of several searches, as tables or as queries, with each row once where that is asked for."""
    reranker = RankPluginsReranker(model)
    searches = [
        table.search(vector, vector_column_name="vector").with_row_id(True).limit(6)
        for vector in (query_vector, [-x for x in query_vector])
    ]
    tables = [search.to_arrow() for search in searches]
    found = reranker.rerank_multivector(tables, QUERY, deduplicate=True)
    assert sorted(check(found, expected)) == list(range(8))
    assert reranker.rerank_multivector(searches, QUERY, deduplicate=True).equals(found)
    assert reranker.rerank_multivector(tables, QUERY).num_rows == 12


def test_reranked_twice(table: Any, model: Any, expected: dict[int, float]) -> None:
    """The score of an earlier rerank is replaced."""
    reranker = RankPluginsReranker(model)
    once = reranker.rerank_fts("green tea", table.search(QUERY, query_type="fts").to_arrow())
    twice = reranker.rerank_fts(QUERY, once)
    assert twice.column_names.count("_relevance_score") == 1
    check(twice, expected)


def test_first_stage_scores_reach_a_fusion(table: Any, query_vector: Any) -> None:
    """rank-fusion may weigh the search's own order: distances count as lower is better."""
    options = {"rerankers": ["rank-maxsim"], "first_stage": True, "weights": [0, 1]}
    fused = RankPluginsReranker("rank-fusion", options)
    search = table.search(query_vector, vector_column_name="vector").where("text != ''").limit(6)
    nearest = search.to_arrow()["id"].to_pylist()
    assert search.rerank(fused, query_string=QUERY).to_arrow()["id"].to_pylist() == nearest
    words = table.search(QUERY, query_type="fts")
    best = words.to_arrow().sort_by([("_score", "descending")])["id"].to_pylist()
    assert words.rerank(fused).to_arrow()["id"].to_pylist() == best


def test_shown_in_plans(table: Any, model: Any, query_vector: Any) -> None:
    """The host prints the reranker in the plan of a hybrid query."""
    plan = hybrid(table, query_vector).rerank(RankPluginsReranker(vector_column="tokens")).explain_plan()
    assert "RankPluginsReranker(model=rank-maxsim, column=tokens)" in plan
    assert str(RankPluginsReranker(model)) == "RankPluginsReranker(model=MaxSimReranker, column=text)"
    assert isinstance(RankPluginsReranker(model), HostReranker)
