"""Makes presets.json: lists of one query fused by the frameworks themselves.

pip install haystack-ai llama-index-core qdrant-client langchain-classic && python tests/fusion/golden/make_presets.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Lists = list[list[tuple[str, float]]]

CASES: dict[str, Lists] = {
    "two lists": [
        [("a", 12.5), ("b", 11.25), ("c", 7.5), ("d", 0.5)],
        [("c", 0.9), ("e", 0.85), ("a", 0.4), ("f", 0.1)],
    ],
    "three lists, negative scores": [
        [("a", -1.5), ("b", -2.25), ("c", -9.0)],
        [("d", 3.0), ("a", 2.0), ("e", 1.0), ("b", 0.25), ("f", -0.5)],
        [("f", 0.99), ("a", 0.98)],
    ],
    "a lone hit and a list of equal scores": [
        [("a", 0.7)],
        [("c", 2.0), ("b", 2.0)],  # equal scores by id, the larger first, as ours orders them
        [("c", 5.0), ("a", 4.0), ("d", 1.0)],
    ],
}


def qdrant(method: str) -> Callable[[Lists, Any], dict[str, float]]:
    from qdrant_client.http.models import ScoredPoint
    from qdrant_client.hybrid import fusion

    def fuse(lists: Lists, weights: Any) -> dict[str, float]:
        numbers = {name: i for i, name in enumerate("abcdef")}
        responses = [[ScoredPoint(id=numbers[d], version=0, score=s) for d, s in items] for items in lists]
        if method == "rrf":
            fused = fusion.reciprocal_rank_fusion(responses, limit=100, weights=weights)
        else:
            fused = fusion.distribution_based_score_fusion(responses, limit=100)
        return {"abcdef"[point.id]: point.score for point in fused}

    return fuse


def haystack(mode: str) -> Callable[[Lists, Any], dict[str, float]]:
    from haystack import Document
    from haystack.components.joiners import DocumentJoiner

    def fuse(lists: Lists, weights: Any) -> dict[str, float]:
        joiner = DocumentJoiner(join_mode=mode, weights=weights)
        documents = [[Document(id=d, content=d, score=s) for d, s in items] for items in lists]
        return {one.id: one.score for one in joiner.run(documents=documents)["documents"]}

    return fuse


def llamaindex(mode: str) -> Callable[[Lists, Any], dict[str, float]]:
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
    from llama_index.core.schema import NodeWithScore, TextNode

    class Fixed(BaseRetriever):
        def __init__(self, items: list[tuple[str, float]]) -> None:
            super().__init__()
            self.items = items

        def _retrieve(self, _: Any) -> list[NodeWithScore]:
            return [NodeWithScore(node=TextNode(id_=d, text=d), score=s) for d, s in self.items]

    def fuse(lists: Lists, weights: Any) -> dict[str, float]:
        retriever = QueryFusionRetriever(
            [Fixed(items) for items in lists], llm=MockLLM(), mode=mode, similarity_top_k=100, num_queries=1,
            use_async=False, retriever_weights=weights,
        )  # fmt: skip
        return {one.node.node_id: one.score for one in retriever.retrieve("q")}

    return fuse


def langchain(lists: Lists, weights: Any) -> list[str]:
    """Return the order alone: the scores stay inside."""
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    class Fixed(BaseRetriever):
        items: list[tuple[str, float]]

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document(page_content=d) for d, _ in self.items]

    retrievers = [Fixed(items=items) for items in lists]
    ensemble = EnsembleRetriever(retrievers=retrievers, **({"weights": weights} if weights else {}))
    return [one.page_content for one in ensemble.invoke("q")]


def main() -> None:
    makers = {
        "qdrant-rrf": (qdrant("rrf"), True),
        "qdrant-dbsf": (qdrant("dbsf"), False),
        "haystack-rrf": (haystack("reciprocal_rank_fusion"), True),
        "haystack-merge": (haystack("merge"), True),
        "haystack-dbsf": (haystack("distribution_based_rank_fusion"), False),
        "llamaindex-rrf": (llamaindex("reciprocal_rerank"), False),
        "llamaindex-relative": (llamaindex("relative_score"), True),
        "llamaindex-dbsf": (llamaindex("dist_based_score"), True),
        "llamaindex-simple": (llamaindex("simple"), False),
        "langchain-rrf": (langchain, True),
    }
    made = [
        {"preset": name, "case": case, "weights": weights, "fused": fuse(lists, weights)}
        for name, (fuse, weighted) in makers.items()
        for case, lists in CASES.items()
        for weights in [None, [0.5, 2.0, 1.0][: len(lists)]][: 1 + weighted]
    ]
    packages = ("qdrant-client", "haystack-ai", "llama-index-core", "langchain-classic")
    result = {"made with": {name: version(name) for name in packages}, "cases": CASES, "results": made}
    Path(__file__).with_name("presets.json").write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
