"""rerank_async: queries of an AsyncTable, reranked off the event loop's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the host package lancedb is not installed")

import lancedb
import pyarrow as pa
from lancedb.rerankers import RRFReranker

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins_lancedb import RankPluginsReranker, rerank_async

QUERY = "red apples"


class Noting(RankPluginsReranker):
    """Notes the threads that rank."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.threads: set[int] = set()

    def _ranked(self, *args: Any, **options: Any) -> pa.Table:
        self.threads.add(threading.get_ident())
        return super()._ranked(*args, **options)


def run(folder: Path, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await work(await (await lancedb.connect_async(folder)).open_table("documents"))

    return asyncio.run(main())


@pytest.mark.parametrize("column", [None, "tokens"], ids=["text", "vectors"])
@pytest.mark.parametrize("kind", ["vector", "fts", "hybrid"])
def test_same_as_the_sync_query(
    folder: Path, table: Any, model: Any, query_vector: Any, kind: str, column: str | None
) -> None:
    """Every kind of query gives the rows, order and scores of its sync twin, computed on another thread."""
    reranker = Noting(model, vector_column=column)
    sync = {
        "vector": lambda: table.search(query_vector, vector_column_name="vector").rerank(reranker, query_string=QUERY),
        "fts": lambda: table.search(QUERY, query_type="fts").rerank(reranker),
        "hybrid": lambda: table.search(query_type="hybrid", vector_column_name="vector", fts_columns="text")
        .vector(query_vector).text(QUERY).rerank(reranker),
    }  # fmt: skip
    expected = sync[kind]().limit(5).to_arrow()
    reranker.threads.clear()

    async def ask(table: Any) -> pa.Table:
        query = table.query()
        if kind != "fts":
            query = query.nearest_to(query_vector).column("vector")
        if kind != "vector":
            query = query.nearest_to_text(QUERY, columns=["text"])
        return await rerank_async(query.limit(5), reranker, query_string=QUERY if kind == "vector" else None)

    found = run(folder, ask)
    assert (
        found.select(["id", "_relevance_score"]).to_pydict() == expected.select(["id", "_relevance_score"]).to_pydict()
    )
    assert set(found.column_names) == set(expected.column_names)
    assert reranker.threads
    assert threading.get_ident() not in reranker.threads


def test_limit_keeps_the_best(folder: Path, model: Any, query_vector: Any) -> None:
    """A limit cuts after the rerank; the query's own limit is the number of candidates."""
    reranker = RankPluginsReranker(model)

    def ask(limit: int | None) -> Any:
        return lambda table: rerank_async(
            table.query().nearest_to(query_vector).column("vector").limit(6), reranker, query_string=QUERY, limit=limit
        )

    every = run(folder, ask(None))
    assert every.num_rows == 6
    assert run(folder, ask(2)).equals(every.slice(0, 2))
    assert run(folder, ask(99)).equals(every)
    for wrong in (0, -1):
        with pytest.raises(InputError, match="limit"):
            run(folder, ask(wrong))


def test_full_text_for_another_query(folder: Path, model: Any) -> None:
    """A question may be ranked for where keywords were searched."""
    found = run(
        folder,
        lambda table: rerank_async(
            table.query().nearest_to_text("red", columns=["text"]), RankPluginsReranker(model), query_string="eats fox"
        ),
    )
    assert found.to_pylist()[0]["id"] == 5
    assert found.to_pylist()[0]["_relevance_score"] == pytest.approx(2)


def test_any_reranker_of_the_host(folder: Path, query_vector: Any) -> None:
    """The helper is not for our reranker alone."""
    found = run(
        folder,
        lambda table: rerank_async(
            table.query().nearest_to(query_vector).column("vector").nearest_to_text(QUERY), RRFReranker(), limit=3
        ),
    )
    assert found.num_rows == 3


def test_the_query_stays_as_it_is(folder: Path, model: Any, query_vector: Any) -> None:
    """One hybrid query may be reranked several times at once, each by its own reranker, and keeps the host's own."""

    async def ask(table: Any) -> list[list[float]]:
        query = table.query().nearest_to(query_vector).column("vector").nearest_to_text(QUERY, columns=["text"])
        before = await query.to_arrow()
        tables = await asyncio.gather(
            *(rerank_async(query, one) for one in (RankPluginsReranker(model), RRFReranker()) * 4)
        )
        return [one["_relevance_score"].to_pylist() for one in (before, await query.to_arrow(), *tables)]

    before, after, *found = run(folder, ask)
    assert after == before
    assert found[1::2] == [before] * 4
    assert [scores[0] for scores in found[::2]] == pytest.approx([2] * 4)


def test_many_at_once(folder: Path, model: Any, query_vector: Any) -> None:
    """More queries than threads end, each with its own answer."""
    reranker = RankPluginsReranker(model)

    async def ask(table: Any) -> list[pa.Table]:
        texts = ["red", "green", "pears", "fox"] * 5
        queries = [
            rerank_async(table.query().nearest_to(query_vector).column("vector").nearest_to_text(one), reranker)
            for one in texts
        ]
        return list(zip(texts, await asyncio.gather(*queries), strict=True))

    for text, found in run(folder, ask):
        assert text in found["text"].to_pylist()[0]


def test_what_cannot_be_awaited(folder: Path, table: Any, model: Any, query_vector: Any) -> None:
    """Wrong arguments are refused before anything is searched."""
    reranker = RankPluginsReranker(model)
    with pytest.raises(InputTypeError, match="query of an AsyncTable, got LanceVectorQueryBuilder"):
        asyncio.run(rerank_async(table.search(query_vector, vector_column_name="vector"), reranker))

    async def forgotten(table: Any) -> None:
        search = table.search(query_vector, vector_column_name="vector")
        try:
            await rerank_async(search, reranker)
        finally:
            search.close()

    with pytest.raises(InputTypeError, match="got coroutine; await table.search"):
        run(folder, forgotten)
    with pytest.raises(InputTypeError, match=r"lancedb\.rerankers\.Reranker, got str"):
        run(folder, lambda table: rerank_async(table.query(), "rank-maxsim"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="query_string: expected the text"):
        run(folder, lambda table: rerank_async(table.query().nearest_to(query_vector), reranker))
    with pytest.raises(InputError, match="a hybrid query has its text"):
        run(
            folder,
            lambda table: rerank_async(
                table.query().nearest_to(query_vector).nearest_to_text(QUERY), reranker, query_string=QUERY
            ),
        )
