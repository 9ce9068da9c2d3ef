"""The contract of rank_plugins' adapters, through the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index.postprocessor.rank_plugins import RankPluginsRerank
from rank_plugins.testing import AdapterContract


class TestContract(AdapterContract):
    """RankPluginsRerank as users of LlamaIndex call it."""

    top_name = "top_n"

    def adapt(self, model: Any, model_kwargs: dict[str, Any] | None) -> RankPluginsRerank:
        return RankPluginsRerank(model=model, model_kwargs=model_kwargs, top_n=None)

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        postprocessor = _cut(reranker, top_k)
        return _pairs(postprocessor.postprocess_nodes(_nodes(documents), QueryBundle(query)))

    async def rank_async(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        postprocessor = _cut(reranker, top_k)
        return _pairs(await postprocessor.apostprocess_nodes(_nodes(documents), query_str=query))


def _cut(postprocessor: RankPluginsRerank, top_n: int | None) -> RankPluginsRerank:
    if top_n is None:
        return postprocessor
    return RankPluginsRerank(postprocessor.model, top_n, postprocessor.model_kwargs)


def _nodes(documents: Sequence[str]) -> list[NodeWithScore]:
    # model_construct: the host's own check refuses lone surrogates, which stores may yet hand over
    return [NodeWithScore(node=TextNode.model_construct(id_=str(i), text=text)) for i, text in enumerate(documents)]


def _pairs(nodes: Sequence[NodeWithScore]) -> list[tuple[int, Any]]:
    return [(int(node.node_id), node.score) for node in nodes]
