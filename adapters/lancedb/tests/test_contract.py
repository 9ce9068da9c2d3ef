"""The contract of adapters, through tables as the host's queries return them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the host package lancedb is not installed")

import lancedb
import pyarrow as pa

from rank_plugins.testing import AdapterContract
from rank_plugins_lancedb import RankPluginsReranker, rerank_async


class TestContract(AdapterContract):
    """`RankPluginsReranker` as LanceDB calls it, and `rerank_async` over a table of the host."""

    test_top_k_below_one_is_refused: Any = None  # the host cuts by the query's limit; for rerank_async see test_async

    def adapt(self, model: Any, model_kwargs: Any) -> Any:
        return RankPluginsReranker(model, model_kwargs)

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        return _pairs(reranker.rerank_vector(query, _table(documents)), top_k)

    async def rank_async(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        database = await lancedb.connect_async("memory://")
        table = await database.create_table("documents", _table(documents))
        return _pairs(await rerank_async(table.query(), reranker, query_string=query, limit=top_k), None)


def _table(documents: Sequence[str]) -> pa.Table:
    texts = [text.encode(errors="replace").decode() for text in documents]  # Arrow cannot hold lone surrogates
    return pa.table({"place": pa.array(range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())})


def _pairs(table: pa.Table, top_k: int | None) -> list[tuple[int, float]]:
    rows = table.slice(0, top_k)
    return list(zip(rows["place"].to_pylist(), rows["_relevance_score"].to_pylist(), strict=True))
