"""as_langchain_compressor: a working LangChain compressor, and a clear error without LangChain."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

from rank_plugins.errors import InputError, InputTypeError, MissingExtraError
from rank_plugins_rerankers import MaxSimRanker

QUERY = "red apple"


@pytest.fixture
def documents() -> list[Any]:
    """LangChain documents with ids and metadata, one of them an old score."""
    host = pytest.importorskip("langchain_core.documents", reason="langchain-core is not installed")
    texts = ["green tea", "red apple", "apple pie", "red apple"]
    return [
        host.Document(page_content=text, id=f"id{i}", metadata={"n": i, "relevance_score": "old"})
        for i, text in enumerate(texts)
    ]


def test_best_documents_with_scores(ranker: MaxSimRanker, documents: list[Any]) -> None:
    """The k best come back in order as copies with id, metadata and a new relevance_score."""
    before = [document.model_copy(deep=True) for document in documents]
    best = ranker.as_langchain_compressor(k=3).compress_documents(documents, QUERY)
    assert [document.id for document in best] == ["id1", "id3", "id2"]
    assert [document.metadata["n"] for document in best] == [1, 3, 2]
    assert [document.page_content for document in best] == ["red apple", "red apple", "apple pie"]
    assert all(type(document.metadata["relevance_score"]) is float for document in best)
    assert best[0].metadata["relevance_score"] == ranker.score(QUERY, "red apple")
    assert documents == before
    best[0].metadata["written"] = True
    assert documents == before


def test_it_is_a_compressor_of_langchain(ranker: MaxSimRanker, documents: list[Any]) -> None:
    """LangChain's own base class is the base, the host's default k stands, and an empty list stays empty."""
    from langchain_core.documents import BaseDocumentCompressor

    compressor = ranker.as_langchain_compressor()
    assert isinstance(compressor, BaseDocumentCompressor)
    assert compressor.k == 10
    assert len(compressor.compress_documents(documents, QUERY)) == 4
    assert compressor.compress_documents([], "") == []


def test_k_of_a_call(ranker: MaxSimRanker, documents: list[Any]) -> None:
    """As in the host's compressor, k may be given with the call."""
    compressor = ranker.as_langchain_compressor(k=3)
    assert len(compressor.compress_documents(documents, QUERY, k=1)) == 1
    assert len(asyncio.run(compressor.acompress_documents(documents, QUERY, k=2))) == 2


def test_an_earlier_score_is_kept(ranker: MaxSimRanker, documents: list[Any]) -> None:
    """As "retrieval_score", and nothing of the caller's is changed."""
    del documents[0].metadata["relevance_score"]
    before = [dict(one.metadata) for one in documents]
    best = ranker.as_langchain_compressor(k=None).compress_documents(documents, QUERY)
    assert {one.id: one.metadata.get("retrieval_score") for one in best} == {
        one.id: one.metadata.get("relevance_score") for one in documents
    }
    assert [one.metadata for one in documents] == before


def test_async_is_the_same(ranker: MaxSimRanker, documents: list[Any]) -> None:
    """The asynchronous method gives the same documents, by way of rank_async."""
    compressor = ranker.as_langchain_compressor(k=2)
    expected = compressor.compress_documents(documents, QUERY)
    assert asyncio.run(compressor.acompress_documents(documents, QUERY)) == expected


def test_a_document_without_tokens(ranker: MaxSimRanker, documents: list[Any]) -> None:
    """An empty document stays in the list with -1e9."""
    empty = documents[0].model_copy(update={"page_content": "  "})
    best = ranker.as_langchain_compressor().compress_documents([empty, documents[1]], QUERY)
    assert [document.metadata["relevance_score"] for document in best][1] == -1e9


@pytest.mark.parametrize(
    ("k", "error"), [(0, InputError), (-1, InputError), (True, InputTypeError), ("3", InputTypeError)]
)
def test_k_that_cannot_be_used(ranker: MaxSimRanker, documents: list[Any], k: Any, error: type[Exception]) -> None:
    """A k below 1 or of another type is refused, when the compressor is made and when it is called."""
    with pytest.raises(error, match="k: expected"):
        ranker.as_langchain_compressor(k=k)
    with pytest.raises(error, match="k: expected"):
        ranker.as_langchain_compressor().compress_documents(documents, QUERY, k=k)


def test_without_langchain(ranker: MaxSimRanker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without langchain-core an error names the extra; nothing is printed and None is not returned."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "langchain_core"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "rank_plugins_rerankers.compressor", raising=False)
    monkeypatch.setitem(sys.modules, "langchain_core", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rank-plugins-rerankers\[langchain\]"'):
        ranker.as_langchain_compressor()
