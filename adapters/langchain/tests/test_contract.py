"""The contract of rank_plugins' rerankers, through the compressor."""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_core", reason="the host package langchain-core is not installed")

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document

from langchain_rank_plugins import RankPluginsRerank
from rank_plugins.rerankers import Reranker
from rank_plugins.testing import AdapterContract


class TestContract(AdapterContract):
    """`RankPluginsRerank` as retrievers call it."""

    top_name = "top_n"

    def adapt(self, model: str | Reranker, model_kwargs: dict[str, Any] | None) -> RankPluginsRerank:
        return RankPluginsRerank(model=model, model_kwargs=model_kwargs, top_n=None)

    def rank(
        self, reranker: RankPluginsRerank, query: str, documents: Sequence[str], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Rank by the host's call; positions stand in the metadata."""
        return pairs(reranker.compress_documents(to_documents(documents), query, top_n=top_k))

    async def rank_async(
        self, reranker: RankPluginsRerank, query: str, documents: Sequence[str], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        return pairs(await reranker.acompress_documents(to_documents(documents), query, top_n=top_k))


def to_documents(texts: Sequence[str]) -> list[Document]:
    """Return Documents; `model_construct` because the host refuses lone surrogates, which may come from elsewhere."""
    return [Document.model_construct(page_content=text, metadata={"at": i}) for i, text in enumerate(texts)]


def pairs(documents: Sequence[Document]) -> list[tuple[int, float]]:
    return [(document.metadata["at"], document.metadata["relevance_score"]) for document in documents]
