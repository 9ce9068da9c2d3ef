"""Inside the host's own retriever and pipeline of compressors, which are in langchain-classic."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain_classic", reason="langchain-classic is not installed")

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.runnables import RunnableLambda

from langchain_rank_plugins import RankPluginsFusionRetriever, RankPluginsRerank
from rank_plugins.testing import QUERY

ASYNC = pytest.mark.parametrize("use_async", [False, True], ids=["sync", "async"])


class Reverse(BaseDocumentTransformer):
    """A transformer of the host's kind, to stand before a reranker."""

    def transform_documents(self, documents: Any, **kwargs: Any) -> list[Document]:
        return list(reversed(documents))

    async def atransform_documents(self, documents: Any, **kwargs: Any) -> list[Document]:
        return list(reversed(documents))


def ask(retriever: Any, use_async: bool, **config: Any) -> list[Document]:
    return asyncio.run(retriever.ainvoke(QUERY, config)) if use_async else retriever.invoke(QUERY, config)


@ASYNC
def test_in_a_contextual_compression_retriever(
    rerank: RankPluginsRerank, documents: list[Document], runs: Any, use_async: bool
) -> None:
    """Over a fusion of two retrievers; the rerank step is a child of the retriever's run."""
    base = RankPluginsFusionRetriever(retrievers=[RunnableLambda(lambda query: documents)] * 2)
    retriever = ContextualCompressionRetriever(base_compressor=rerank, base_retriever=base)
    found = ask(retriever, use_async, callbacks=[runs])
    expected = rerank.compress_documents(documents, QUERY)
    assert [d.id for d in found] == [d.id for d in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.metadata["relevance_score"] == other.metadata["relevance_score"]
        assert one.metadata["ranks"] == [one.metadata["page"] + 1] * 2 if one.page_content else True
        assert one.metadata["retrieval_score"] == pytest.approx(2 / (60 + one.metadata["ranks"][0]))
    step = runs.named("RankPluginsRerank")
    assert step["parent"] == runs.named("ContextualCompressionRetriever")["id"]
    assert runs.ended[step["id"]] == found


@ASYNC
def test_in_a_pipeline_of_compressors(
    rerank: RankPluginsRerank, documents: list[Document], runs: Any, use_async: bool
) -> None:
    """After a transformer and before another reranker, which keeps one; both are runs of their own."""
    last = RankPluginsRerank(model=rerank._made(), top_n=1)
    pipeline = DocumentCompressorPipeline(transformers=[Reverse(), rerank, last])
    retriever = ContextualCompressionRetriever(
        base_compressor=pipeline, base_retriever=RunnableLambda(lambda query: documents)
    )
    (found,) = ask(retriever, use_async, callbacks=[runs])
    assert found.id == rerank.compress_documents(documents, QUERY)[0].id
    assert found.metadata["retrieval_score"] == found.metadata["relevance_score"]
    first, second = [run for run in runs.started if run["name"] == "RankPluginsRerank"]
    assert first["inputs"]["documents"] == documents[::-1]
    assert second["inputs"]["documents"] == runs.ended[first["id"]]
    assert runs.ended[second["id"]] == [found]
    assert first["parent"] == second["parent"] == runs.named("ContextualCompressionRetriever")["id"]


@ASYNC
def test_a_retriever_that_finds_nothing(rerank: RankPluginsRerank, use_async: bool) -> None:
    """Nothing in, nothing out."""
    nothing: Any = RunnableLambda(lambda query: [])
    assert ask(ContextualCompressionRetriever(base_compressor=rerank, base_retriever=nothing), use_async) == []
