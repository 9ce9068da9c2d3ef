"""A LangChain document compressor over a ranker; the host's own needs a `langchain` older than 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict

from rank_plugins.rerankers.hosting import count
from rank_plugins_rerankers.host import RankedResults


class RerankerLangChainCompressor(BaseDocumentCompressor):  # type: ignore[misc, unused-ignore]  # typed if installed
    """Keeps the `k` documents most relevant to the query, best first, with the score in their metadata.

    Documents are copied: id, type and metadata stay, and "relevance_score" is added to the copy's metadata, where
    a score that was there before becomes "retrieval_score".
    """

    model_config = ConfigDict(extra="forbid")

    model: Any
    """The ranker: a MaxSimRanker."""
    k: int | None = 10
    """How many documents to keep at most; None keeps all."""

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - the host's signature
        *,
        k: int | None = None,
    ) -> Sequence[Document]:
        """Return the best documents; a `k` given here goes before the compressor's own."""
        kept = count(self.k if k is None else k, "k")
        return _best(documents, self.model.rank(query, _texts(documents)), kept)

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - the host's signature
        *,
        k: int | None = None,
    ) -> Sequence[Document]:
        """Do the same without blocking the event loop."""
        kept = count(self.k if k is None else k, "k")
        return _best(documents, await self.model.rank_async(query, _texts(documents)), kept)


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _best(documents: Sequence[Document], results: RankedResults, k: int | None) -> list[Document]:
    """Copy the first k; ids are positions, for the texts went in without any."""
    best = []
    for result in results[:k]:
        document = documents[result.doc_id]
        metadata = dict(document.metadata)
        if "relevance_score" in metadata:
            metadata["retrieval_score"] = metadata["relevance_score"]
        metadata["relevance_score"] = result.score
        best.append(document.model_copy(update={"metadata": metadata}))
    return best
