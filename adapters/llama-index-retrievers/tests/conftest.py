"""Retrievers that return what they are told to, and note how they were asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode


class Listed(BaseRetriever):
    """Returns a list, whatever the query."""

    def __init__(self, nodes: Sequence[NodeWithScore]) -> None:
        self.nodes = list(nodes)
        self.threads: list[int] = []
        self.queries: list[str] = []
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.threads.append(threading.get_ident())
        self.queries.append(query_bundle.query_str)
        return self.nodes


@pytest.fixture(scope="session")
def listed() -> Callable[..., Listed]:
    """Return a function that makes a retriever of (id, score) pairs; the text is the id."""

    def make(*pairs: tuple[str, float | None], **fields: Any) -> Listed:
        return Listed([NodeWithScore(node=TextNode(text=i, id_=i, **fields), score=score) for i, score in pairs])

    return make


@pytest.fixture(scope="session")
def of() -> Callable[..., Listed]:
    """Return a function that makes a retriever of nodes, whose scores fall from 1."""
    return lambda *nodes: Listed([NodeWithScore(node=node, score=1 - i / 100) for i, node in enumerate(nodes)])
