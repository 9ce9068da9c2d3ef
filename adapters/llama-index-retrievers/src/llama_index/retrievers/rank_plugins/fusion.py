"""RankPluginsFusionRetriever: several retrievers fused by rank_plugins.fusion. It converts; it ranks nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from inspect import getattr_static  # the host's wrapped methods are another object at each ordinary look-up
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.schema import BaseNode, IndexNode, MetadataMode, NodeWithScore, QueryBundle

from rank_plugins.errors import InputError
from rank_plugins.fusion.keyed import Fused, fuse_keyed, method_options
from rank_plugins.fusion.trained import Trained
from rank_plugins.rerankers import hosting

RANKS = "ranks"
OURS = (RANKS, "retrieval_score")  # metadata that rank_plugins adds: no part of what a node says
ASYNC = ("aretrieve", "_aretrieve")


class RankPluginsFusionRetriever(BaseRetriever):  # type: ignore[misc, unused-ignore]  # typed if installed
    """Asks several retrievers the same query and fuses what they return; no LLM takes part.

    Nodes are one if they have the same id, or the same text and metadata: the first retriever's copy is returned, and
    a node that is twice in a list counts once. Each node returned is a copy whose score is the fused one and whose
    metadata has "ranks", its rank in each retriever's list from 1, None where it is not there; neither the
    embedding nor the LLM gets to read these. What the retrievers return stays as it is.
    """

    def __init__(
        self,
        retrievers: Sequence[BaseRetriever],
        weights: Sequence[float] | None = None,
        method: str | Trained | Callable[..., Any] = "rrf",
        similarity_top_k: int | None = DEFAULT_SIMILARITY_TOP_K,
        method_kwargs: dict[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        """Choose the retrievers and how they are fused.

        Args:
            retrievers: any retrievers of LlamaIndex, at least one.
            weights: one per retriever, 0 or more, used as they are; 1 each by default.
            method: as in `rank_plugins.fuse`; "rrf" reads ranks, "sum" and others need scores of every retriever, and
                "llamaindex-rrf", "-relative", "-dbsf" and "-simple" give QueryFusionRetriever's own scores.
            similarity_top_k: how many nodes to return at most; None returns all.
            method_kwargs: others of `rank_plugins.fuse`, such as {"k": 20} of rrf or {"norm": "zmuv"} of sum.
            callback_manager: of LlamaIndex, as are the next three.
            object_map: what index nodes stand for, by index_id.
            objects: index nodes with their objects.
            verbose: let LlamaIndex print how it follows index nodes.

        Raises:
            InputError: no retriever, an unknown method, weights of another number, similarity_top_k < 1.
            InputTypeError: another type, or an unknown parameter of the method.

        """
        self._retrievers = hosting.listed(retrievers, BaseRetriever, "retrievers")  # type: ignore[type-abstract, unused-ignore]
        if not self._retrievers:
            raise InputError("retrievers: expected at least one, got none")
        self.similarity_top_k = hosting.count(similarity_top_k, "similarity_top_k")
        self._fusion = {"method": method, "weights": weights, **method_options(method_kwargs)}
        fuse_keyed([[]] * len(self._retrievers), **self._fusion)  # checks the arguments now, not at the first query
        super().__init__(callback_manager=callback_manager, object_map=object_map, objects=objects, verbose=verbose)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Ask the retrievers one after the other, and fuse."""
        return self._fused([retriever.retrieve(query_bundle) for retriever in self._retrievers])

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Ask the retrievers at the same time, and fuse."""
        return self._fused(await asyncio.gather(*(_ask(retriever, query_bundle) for retriever in self._retrievers)))

    def _fused(self, lists: Sequence[Sequence[NodeWithScore]]) -> list[NodeWithScore]:
        """Fuse what the retrievers returned."""
        key = _Keys()
        keyed = [[(key(one.node), _number(one.score)) for one in nodes] for nodes in lists]
        fused = fuse_keyed(keyed, top=self.similarity_top_k, **self._fusion)
        return [_copy(lists[one.source][one.position], one) for one in fused]


class _Keys:
    """Gives nodes that are one the same key: the id by which the first of them was seen."""

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}
        self._by_content: dict[tuple[type, str], str] = {}

    def __call__(self, node: BaseNode) -> str:
        name, content = node.node_id, _content(node)
        key = self._by_id.get(name)
        if key is None:
            key = name if content is None else self._by_content.get(content, name)
            self._by_id[name] = key
        if content is not None:
            self._by_content.setdefault(content, key)
        return key


def _content(node: BaseNode) -> tuple[type, str] | None:
    """Return what the node says, as the host hashes it; None where the id alone tells nodes apart."""
    if isinstance(node, IndexNode) or not node.get_content(metadata_mode=MetadataMode.NONE).strip():
        return None
    if any(name in node.metadata for name in OURS):
        plain = {name: value for name, value in node.metadata.items() if name not in OURS}
        return type(node), node.model_copy(update={"metadata": plain}).hash
    return type(node), node.hash


def _number(score: float | None) -> float | None:
    return None if score is None else float(score)


def _copy(scored: NodeWithScore, fused: Fused) -> NodeWithScore:
    """Return a copy with the fused score and the ranks, which prompts do not show."""
    node = scored.node
    hidden = {
        field: [name for name in getattr(node, field) if name != RANKS] + [RANKS]
        for field in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    }
    copy = node.model_copy(update={"metadata": {**node.metadata, RANKS: fused.ranks}, **hidden})
    return scored.model_copy(update={"node": copy, "score": fused.score})


async def _ask(retriever: BaseRetriever, query: QueryBundle) -> list[NodeWithScore]:
    """Ask one retriever without holding up the event loop.

    A retriever without async code of its own would run on the loop (the host's default `_aretrieve` calls
    `_retrieve` there), and so is asked on a thread.
    """
    if any(getattr_static(type(retriever), name) is not getattr_static(BaseRetriever, name) for name in ASYNC):
        return await retriever.aretrieve(query)
    return await asyncio.to_thread(retriever.retrieve, query)
