"""The host's own standard tests for retrievers."""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_tests", reason="the host's standard tests, langchain-tests, are not installed")

from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_rank_plugins import RankPluginsFusionRetriever
from rank_plugins.testing import DOCUMENTS, QUERY

# The suite expects pytest-asyncio's auto mode, which would take hold of every test here; the mark does without.
pytest.mark.asyncio(RetrieversIntegrationTests.test_ainvoke_returns_documents)


class TestFusionRetriever(RetrieversIntegrationTests):
    """All five, over two vector stores of the host."""

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RankPluginsFusionRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        stores = [InMemoryVectorStore(DeterministicFakeEmbedding(size=8)) for _ in range(2)]
        for store in stores:
            store.add_documents([Document(page_content=text) for text in DOCUMENTS])
        return {"retrievers": [store.as_retriever() for store in stores]}

    @property
    def retriever_query_example(self) -> str:
        return QUERY
