"""RankPluginsRerank: a rank_plugins reranker as a LangChain document compressor. It converts; it ranks nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableConfig, RunnableLambda
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation

from langchain_rank_plugins import documents as ours
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.hosting import count, listed, names, pairs, reranker_of, threshold

_making = threading.Lock()  # a copy makes its reranker at its first use, which several threads may be


class _Request(TypedDict):
    """What a trace shows as the inputs of the rerank step."""

    query: str
    documents: Sequence[Document]
    top_n: int | None


class RankPluginsRerank(BaseDocumentCompressor):  # type: ignore[misc, unused-ignore]  # typed if installed
    """Keeps the documents most relevant to the query, best first, with their scores in the metadata.

    Documents are copied: id, type and metadata stay. The copy has the score as "relevance_score"; a score that was
    there before becomes "retrieval_score", and where all documents came with one, the reranker gets to know them.
    Methods may be called from several threads. The work of the async method is done on rank_plugins' own threads.
    Each call is a child run of the `callbacks` that it is given.

    Raises:
        InputError: an unknown model, an option, `top_n` or `score_threshold` whose value cannot be used.
        InputTypeError: another type, an unknown option, or options beside a Reranker.
        pydantic.ValidationError: an unknown field.

    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())

    model: SkipValidation[str | Reranker] = Field("rank-maxsim", frozen=True)
    """A name that `rank_plugins.rerankers.names()` lists, or a Reranker; loaded when documents are first ranked."""
    model_kwargs: SkipValidation[dict[str, Any] | None] = Field(None, frozen=True)
    """The options of `rank_plugins.rerankers.load`; None beside a Reranker."""
    top_n: SkipValidation[int | None] = 3
    """How many documents to keep at most; None keeps all."""
    score_threshold: SkipValidation[float | None] = None
    """Keep only documents whose score is at least this; None keeps all."""

    _reranker: Reranker | None = PrivateAttr(None)

    if not TYPE_CHECKING:  # type checkers know the arguments from the fields

        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)
            count(self.top_n, "top_n")
            threshold(self.score_threshold)
            self._made()

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        *,
        top_n: int | None = None,
    ) -> list[Document]:
        """Return copies of the best documents.

        Args:
            documents: the documents, in any order; ties keep it. An empty list is returned as one.
            query: text.
            callbacks: those of the run that this is a part of.
            top_n: how many to keep at most, in place of the compressor's own.

        Raises:
            InputError: an empty query, top_n < 1.
            InputTypeError: another type.

        """
        step, config = self._step(callbacks)
        request = _Request(query=query, documents=documents, top_n=self._count(top_n))
        kept: list[Document] = step.invoke(request, config)
        return kept

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        *,
        top_n: int | None = None,
    ) -> list[Document]:
        """Do as `compress_documents` without blocking the event loop."""
        step, config = self._step(callbacks)
        request = _Request(query=query, documents=documents, top_n=self._count(top_n))
        kept: list[Document] = await step.ainvoke(request, config)
        return kept

    def close(self) -> None:
        """Let go of the model, unless it is a Reranker that was given; documents ranked later load it again."""
        if self._reranker is not None and self._reranker is not self.model:
            self._reranker.close()

    def _count(self, top_n: int | None) -> int | None:
        return count(self.top_n if top_n is None else top_n, "top_n")

    def _step(self, callbacks: Callbacks | None) -> tuple[RunnableLambda[_Request, list[Document]], RunnableConfig]:
        """Return the work as a runnable, which is what shows in traces, and how to run it."""
        name = self.model if isinstance(self.model, str) else type(self.model).__name__
        config = RunnableConfig(callbacks=callbacks, metadata={"reranker": name})
        return RunnableLambda(self._rank, self._arank, name=type(self).__name__), config

    def _rank(self, request: _Request) -> list[Document]:
        documents = listed(request["documents"], Document, "documents")
        ranking = self._made().rerank(request["query"], **_arguments(documents, request["top_n"]))
        return self._best(documents, ranking)

    async def _arank(self, request: _Request) -> list[Document]:
        documents = listed(request["documents"], Document, "documents")
        ranking = await self._made().rerank_async(request["query"], **_arguments(documents, request["top_n"]))
        return self._best(documents, ranking)

    def _best(self, documents: Sequence[Document], ranking: Ranking) -> list[Document]:
        return [ours.scored(documents[i], score) for i, score in pairs(ranking, threshold(self.score_threshold))]

    def _made(self) -> Reranker:
        with _making:
            if self._reranker is None:
                self._reranker = reranker_of(self.model, self.model_kwargs)
            return self._reranker

    # A copy makes its own reranker from the fields, for `model_copy` may change them, and what a reranker holds
    # (sessions, locks, files) can be neither copied nor pickled. The models themselves are shared all the same.

    def __copy__(self) -> RankPluginsRerank:
        copied: RankPluginsRerank = super().__copy__()
        copied._reranker = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> RankPluginsRerank:
        return self.__copy__()

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__pydantic_private__": {"_reranker": None}}


def _arguments(documents: Sequence[Document], top_n: int | None) -> dict[str, Any]:
    """Return the arguments of `rerank` beside the query."""
    texts = [document.page_content or "" for document in documents]
    ids = names([document.id for document in documents], texts)
    return {"documents": texts, "top_k": top_n, "ids": ids, "scores": ours.scores(documents)}
