"""RankPluginsFusionRetriever: what several LangChain retrievers return, fused into one list by rank_plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from pydantic import ConfigDict, SkipValidation

from langchain_rank_plugins import documents as ours
from rank_plugins.errors import InputError
from rank_plugins.fusion import Trained
from rank_plugins.fusion.keyed import fuse_keyed, method_options
from rank_plugins.rerankers.hosting import count, listed


class RankPluginsFusionRetriever(BaseRetriever):  # type: ignore[misc, unused-ignore]  # typed if installed
    """Asks several retrievers and fuses what they return, best first; see `rank_plugins.fuse`.

    A document that several retrievers return comes back once, as a copy of the first one's, with the fused score as
    "relevance_score" in its metadata and its rank in each retriever's list as "ranks" (from 1, None where a list
    does not have it). Documents are the same if their names are: what the metadata has under `id_key`, else
    Document.id; a document without a name is the same as the first one with its text. One that stands in a list
    twice counts once. Methods that read scores take them from "relevance_score" in the metadata.

    `invoke` asks one retriever after the other, `ainvoke` all at once. Both may run several times at once.

    Raises:
        InputError: no retriever, an unknown method, weights of another number, or a `k` below 1.
        InputTypeError: another type, or an unknown parameter of the method.
        pydantic.ValidationError: an unknown field, or a retriever that is no Runnable.

    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retrievers: list[RetrieverLike]
    """The retrievers: Runnables from a query to a list of Documents, best first."""
    weights: SkipValidation[Sequence[float] | None] = None
    """One per retriever, 0 or more, used as they are; None gives each 1."""
    method: SkipValidation[str | Trained | Callable[..., Any]] = "rrf"
    """A name that `rank_plugins.fusion.names()` lists, or what else `rank_plugins.fuse` takes."""
    method_kwargs: SkipValidation[dict[str, Any] | None] = None
    """Other arguments of `rank_plugins.fuse`, such as {"k": 20} for rrf or {"norm": "zmuv"} for sums of scores."""
    k: SkipValidation[int | None] = None
    """How many documents to return at most; None returns all. `invoke(query, k=...)` goes before it."""
    id_key: str | None = None
    """The metadata key that names a document."""

    if not TYPE_CHECKING:  # type checkers know the arguments from the fields

        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)
            if not self.retrievers:
                raise InputError("retrievers: expected at least one, got none")
            self._fused([[] for _ in self.retrievers], count(self.k, "k"))  # names and numbers are checked now

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        top = count(self.k if k is None else k, "k")
        lists = [
            retriever.invoke(query, config={"callbacks": run_manager.get_child(tag=f"retriever_{i}")})
            for i, retriever in enumerate(self.retrievers, start=1)
        ]
        return self._fused(lists, top)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        top = count(self.k if k is None else k, "k")
        calls = [
            retriever.ainvoke(query, config={"callbacks": run_manager.get_child(tag=f"retriever_{i}")})
            for i, retriever in enumerate(self.retrievers, start=1)
        ]
        return self._fused(await asyncio.gather(*calls), top)

    def _fused(self, lists: Sequence[Sequence[Document]], top: int | None) -> list[Document]:
        lists = [listed(documents, Document, f"retrievers[{i}] returned") for i, documents in enumerate(lists)]
        options = method_options(self.method_kwargs)
        fused = fuse_keyed(ours.keyed(lists, self.id_key), self.method, weights=self.weights, top=top, **options)
        return [ours.scored(lists[one.source][one.position], one.score, ranks=one.ranks) for one in fused]
