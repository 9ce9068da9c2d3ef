"""A LangChain document compressor over a ranker; the host's own needs a `langchain` older than 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins_rerankers.host import RankedResults


class RerankerLangChainCompressor(BaseDocumentCompressor):  # type: ignore[misc, unused-ignore]  # typed if installed
    """Keeps the `k` documents most relevant to the query, best first, with the score in their metadata.

    Documents are copied: id, type and metadata stay, and "relevance_score" is added to the copy's metadata.
    """

    model_config = ConfigDict(extra="forbid")

    model: Any
    """The ranker: a MaxSimRanker."""
    k: int = 10
    """How many documents to keep at most."""

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - the host's signature
        *,
        k: int | None = None,
    ) -> Sequence[Document]:
        """Return the best documents; a `k` given here goes before the compressor's own."""
        count = check_k(self.k if k is None else k)
        return _best(documents, self.model.rank(query, _texts(documents)), count)

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - the host's signature
        *,
        k: int | None = None,
    ) -> Sequence[Document]:
        """Do the same without blocking the event loop."""
        count = check_k(self.k if k is None else k)
        return _best(documents, await self.model.rank_async(query, _texts(documents)), count)


def check_k(k: object) -> int:
    """Return `k`.

    Raises:
        InputTypeError: not a whole number.
        InputError: less than 1.

    """
    if not isinstance(k, int) or isinstance(k, bool):
        raise InputTypeError(f"k: expected a whole number, got {type(k).__name__} {k!r}")
    if k < 1:
        raise InputError(f"k: expected at least 1, got {k}")
    return k


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _best(documents: Sequence[Document], results: RankedResults, k: int) -> list[Document]:
    """Copy the first k; ids are positions, for the texts went in without any."""
    best = []
    for result in results[:k]:
        document = documents[result.doc_id]
        metadata = {**document.metadata, "relevance_score": result.score}
        best.append(document.model_copy(update={"metadata": metadata}))
    return best
