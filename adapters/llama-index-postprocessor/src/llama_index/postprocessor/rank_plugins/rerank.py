"""RankPluginsRerank: a reranker of rank_plugins as a node postprocessor. It converts; it ranks nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined, unused-ignore]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from pydantic.json_schema import SkipJsonSchema

from rank_plugins.errors import InputTypeError
from rank_plugins.rerankers import Ranking, Reranker, hosting

RETRIEVAL_SCORE = "retrieval_score"

dispatcher = get_dispatcher(__name__)

_making = threading.Lock()  # a copy makes its reranker at its first use, which several threads may be


class RankPluginsRerank(BaseNodePostprocessor):  # type: ignore[misc, unused-ignore]  # typed if installed
    """Keeps the nodes most relevant to the query, best first, in new NodeWithScore objects.

    What is ranked is a node's content as the host embeds it, its metadata included (MetadataMode.EMBED). The scores
    that nodes come with, where all have one, are the first stage of a reranker that reads them. One object may serve
    several threads and tasks.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: str | SkipJsonSchema[Reranker] = Field(frozen=True, description="Name of a reranker, or a Reranker.")
    top_n: int | None = Field(description="How many nodes to return at most; None returns all.")
    model_kwargs: dict[str, Any] = Field(frozen=True, description="Options of the reranker that is named.")
    score_threshold: float | None = Field(allow_inf_nan=False, description="The lowest score to keep.")
    keep_retrieval_score: bool = Field(description="Keep the score that a node came with in its metadata.")
    _reranker: Reranker | None = PrivateAttr(None)

    def __init__(
        self,
        model: str | Reranker = "rank-maxsim",
        top_n: int | None = 5,
        model_kwargs: dict[str, Any] | None = None,
        score_threshold: float | None = None,
        keep_retrieval_score: bool = True,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        """Choose the reranker; no model is loaded before nodes are ranked.

        Args:
            model: a name that `rank_plugins.rerankers.names()` lists, or a Reranker of rank_plugins.
            top_n: how many nodes to return at most; None returns all.
            model_kwargs: options of `rank_plugins.rerankers.load` for that name.
            score_threshold: leave out nodes whose score is below it, on the scale of the reranker.
            keep_retrieval_score: keep the score that a node came with as "retrieval_score" in the metadata of a copy
                of the node; neither the embedding nor the LLM gets to read it.
            callback_manager: of LlamaIndex.

        Raises:
            InputError: an unknown name, top_n < 1, or an option or score_threshold whose value cannot be used.
            InputTypeError: an unknown option, another type, or options beside a Reranker.
            ValidationError: an infinite score_threshold, keep_retrieval_score of another type; a ValueError of the
                host's.

        """
        hosting.count(top_n, "top_n")
        reranker = hosting.reranker_of(model, model_kwargs)
        fields: dict[str, Any] = {
            "model": model,
            "top_n": top_n,
            "model_kwargs": dict(model_kwargs or {}),
            "score_threshold": hosting.threshold(score_threshold),
            "keep_retrieval_score": keep_retrieval_score,
            "callback_manager": callback_manager or CallbackManager(),
        }
        super().__init__(**fields)
        self._reranker = reranker

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which the host serialises it."""
        return "RankPluginsRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Rank nodes, best first.

        Raises:
            ValueError: no query.
            InputError: an empty query, a top_n set meanwhile that is below 1.
            InputTypeError: no list of NodeWithScore.

        """
        query, nodes = _query(query_bundle), hosting.listed(nodes, NodeWithScore, "nodes")
        if not nodes:
            return []
        with self._events(nodes, query) as kept:
            kept += self._kept(nodes, self._made().rerank(query, **self._request(nodes)))
        return kept

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Do the same while the event loop goes on: the work is done on threads of rank_plugins."""
        query, nodes = _query(query_bundle), hosting.listed(nodes, NodeWithScore, "nodes")
        if not nodes:
            return []
        with self._events(nodes, query) as kept:
            ranking = await self._made().rerank_async(query, **self._request(nodes))
            kept += self._kept(nodes, ranking)
        return kept

    def close(self) -> None:
        """Let go of the model, if it was asked for by name; ranking again loads it again."""
        if self._reranker is not None and self._reranker is not self.model:
            self._reranker.close()

    def _made(self) -> Reranker:
        with _making:
            if self._reranker is None:
                self._reranker = hosting.reranker_of(self.model, self.model_kwargs)
            return self._reranker

    def _request(self, nodes: Sequence[NodeWithScore]) -> dict[str, Any]:
        """Return what goes to the reranker beside the query."""
        texts = _texts(nodes)
        return {
            "documents": texts,
            "top_k": hosting.count(self.top_n, "top_n"),
            "ids": hosting.names([node.node.node_id for node in nodes], texts),
            "scores": hosting.first_stage(node.score for node in nodes),
        }

    def _kept(self, nodes: Sequence[NodeWithScore], ranking: Ranking) -> list[NodeWithScore]:
        """Return the nodes of a ranking in new NodeWithScore objects."""
        kept = []
        for index, score in hosting.pairs(ranking, hosting.threshold(self.score_threshold)):
            changes: dict[str, Any] = {"score": score}
            if self.keep_retrieval_score and nodes[index].score is not None:
                changes["node"] = _with_retrieval_score(nodes[index])
            kept.append(nodes[index].model_copy(update=changes))
        return kept

    @contextmanager
    def _events(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Tell both event systems of the host that a reranking starts and ends; yields the list to fill."""
        name = self.model if isinstance(self.model, str) else type(self.model).__name__
        top_n = len(nodes) if self.top_n is None else self.top_n
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        kept: list[NodeWithScore] = []
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name))
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield kept
            event.on_end(payload={EventPayload.NODES: kept})
        dispatcher.event(ReRankEndEvent(nodes=kept))

    # A copy makes its own reranker from the fields, which `model_copy` may change.

    def __copy__(self) -> RankPluginsRerank:
        copied: RankPluginsRerank = super().__copy__()
        copied._reranker = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> RankPluginsRerank:
        """Return one of the same fields; models are shared, not copied."""
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        """Return the constructor's arguments; the reranker is made again from them.

        Raises:
            InputTypeError: the model or one of its options cannot be pickled; the host would leave it out, and the
                copy would silently rank with another one.

        """
        bare = self.model_copy()
        bare.__pydantic_private__ = None
        state = super(RankPluginsRerank, bare).__getstate__()
        for field in ("model", "model_kwargs"):
            if field not in state["__dict__"]:
                raise InputTypeError(
                    f"{field}: expected what can be pickled, got {getattr(self, field)!r}; name the reranker and its"
                    " options in place of objects"
                )
        return state


def _query(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise ValueError("Missing query bundle in extra info.")  # the host's words
    return bundle.query_str


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [node.node.get_content(metadata_mode=MetadataMode.EMBED) or "" for node in nodes]


def _with_retrieval_score(scored: NodeWithScore) -> BaseNode:
    """Return a copy of the node that has the score it came with in its metadata, hidden from prompts."""
    node = scored.node
    hidden = {
        field: [key for key in getattr(node, field) if key != RETRIEVAL_SCORE] + [RETRIEVAL_SCORE]
        for field in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    }
    return node.model_copy(update={"metadata": {**node.metadata, RETRIEVAL_SCORE: scored.score}, **hidden})
