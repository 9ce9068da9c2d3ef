"""A postprocessor over an encoder that needs no model, and nodes to rank."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.postprocessor.rank_plugins import RankPluginsRerank
from rank_plugins.testing import HashEncoder


@pytest.fixture
def postprocessor() -> RankPluginsRerank:
    return RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)}, top_n=None)


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    """Return four nodes, of which "red pie" and "red" match the query "red"."""
    texts = {"tea": 0.9, "red pie": 0.5, "": 0.4, "red": 0.1}
    return [
        NodeWithScore(node=TextNode(text=text, id_=f"node {i}", metadata={"page": i}), score=score)
        for i, (text, score) in enumerate(texts.items())
    ]
