"""What becomes of nodes: new objects with their ids, metadata and scores; the caller's stay as they were."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)

from llama_index.postprocessor.rank_plugins import RankPluginsRerank
from rank_plugins.errors import InputTypeError
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.testing import HashEncoder


def both(postprocessor: RankPluginsRerank, nodes: list[NodeWithScore], query: str = "red") -> list[NodeWithScore]:
    """Return what both ways of calling give, which is the same."""
    result = postprocessor.postprocess_nodes(nodes, QueryBundle(query))
    assert asyncio.run(postprocessor.apostprocess_nodes(nodes, QueryBundle(query))) == result
    return result


@pytest.mark.parametrize("keep", [False, True])
def test_nothing_of_the_callers_changes(nodes: list[NodeWithScore], keep: bool) -> None:
    """Neither the list, nor the scores, nor the nodes and their metadata."""
    before, same = copy.deepcopy(nodes), list(nodes)
    made = RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)}, keep_retrieval_score=keep)
    result = both(made, nodes)
    assert nodes == before
    assert all(a is b for a, b in zip(nodes, same, strict=True))
    assert not {id(node) for node in result} & {id(node) for node in nodes}


def test_nodes_are_the_callers_own_where_nothing_of_them_changes(nodes: list[NodeWithScore]) -> None:
    """Only the NodeWithScore is new, so that embeddings and relationships are not copied."""
    postprocessor = RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)}, keep_retrieval_score=False)
    given_nodes = {node.node_id: node.node for node in nodes}
    assert all(node.node is given_nodes[node.node_id] for node in both(postprocessor, nodes))


def test_no_retrieval_score_of_a_node_without_one(postprocessor: RankPluginsRerank) -> None:
    [result] = both(postprocessor, [NodeWithScore(node=TextNode(text="red"))])
    assert result.metadata == {}


def test_every_part_of_a_node_comes_back(postprocessor: RankPluginsRerank) -> None:
    node = TextNode(
        text="red",
        id_="a",
        embedding=[0.5, 1.0],
        metadata={"file": "x"},
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="parent")},
    )
    [result] = both(postprocessor, [NodeWithScore(node=node, score=0.25)])
    assert result.node.embedding == node.embedding
    assert result.metadata == {"file": "x", "retrieval_score": 0.25}
    assert result.node.ref_doc_id == "parent"  # type: ignore[attr-defined, unused-ignore]


def test_metadata_that_is_embedded_is_ranked(postprocessor: RankPluginsRerank) -> None:
    """The text is what the host embeds: metadata counts, unless it is hidden from the embedding."""
    seen = NodeWithScore(node=TextNode(text="pie", id_="seen", metadata={"colour": "red"}))
    hidden = TextNode(text="pie", id_="hidden", metadata={"colour": "red"}, excluded_embed_metadata_keys=["colour"])
    result = both(postprocessor, [NodeWithScore(node=hidden), seen])
    assert [node.node_id for node in result] == ["seen", "hidden"]
    assert result[0].get_score() > result[1].get_score()


def test_retrieval_score_is_kept_out_of_prompts(nodes: list[NodeWithScore]) -> None:
    """The score that a node came with is in the metadata of a copy; no text of the node shows it."""
    made = RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)}, keep_retrieval_score=True)
    given_nodes = {node.node_id: node for node in nodes}
    for result in both(made, nodes):
        old = given_nodes[result.node_id]
        assert result.metadata == {**old.metadata, "retrieval_score": old.score}
        for mode in (MetadataMode.EMBED, MetadataMode.LLM):
            assert result.get_content(mode) == old.get_content(mode)


def test_reranking_twice_keeps_the_last_score_before(nodes: list[NodeWithScore]) -> None:
    """The key is hidden once, and what the first reranking wrote does not change the second's scores."""
    made = RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)}, keep_retrieval_score=True)
    once = made.postprocess_nodes(nodes, query_str="red")
    twice = made.postprocess_nodes(once, query_str="red")
    assert [node.score for node in twice] == [node.score for node in once]
    assert [node.metadata["retrieval_score"] for node in twice] == [node.score for node in once]
    assert twice[0].node.excluded_llm_metadata_keys == ["retrieval_score"]


@pytest.mark.parametrize("threshold", [0.5, 0.0, -2e9])
def test_threshold_drops_what_is_below(
    postprocessor: RankPluginsRerank, nodes: list[NodeWithScore], threshold: float
) -> None:
    """A node without any token has no score to compare, and goes at every threshold."""
    nodes = [NodeWithScore(node=TextNode(text=node.text, id_=node.node_id)) for node in nodes]
    every = both(postprocessor, nodes)
    made = RankPluginsRerank(postprocessor.model, None, postprocessor.model_kwargs, score_threshold=threshold)
    assert both(made, nodes) == [node for node in every[:-1] if node.get_score() >= threshold]


def test_a_score_of_the_threshold_stays(postprocessor: RankPluginsRerank, nodes: list[NodeWithScore]) -> None:
    every = both(postprocessor, nodes)
    best = every[0].score
    exact = RankPluginsRerank(postprocessor.model, None, postprocessor.model_kwargs, score_threshold=best)
    assert both(exact, nodes) == [node for node in every if node.score == best]


def test_other_kinds_of_nodes(postprocessor: RankPluginsRerank) -> None:
    """Documents, index nodes and images are ranked by their text, and keep their class."""
    kinds: list[Any] = [
        ImageNode(image_path="a.png", id_="image"),
        Document(text="tea", id_="document"),
        IndexNode(text="red", index_id="other", id_="index"),
    ]
    result = both(postprocessor, [NodeWithScore(node=node) for node in kinds])
    assert [type(node.node) for node in result] == [IndexNode, Document, ImageNode]
    assert result[-1].score == -1e9


class Noting(Reranker):
    """Notes what reaches it."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def _rank(self, requests: Any, top_k: int | None) -> list[Ranking]:
        self.requests += requests
        return [Ranking.from_scores([0.0] * len(request.documents), top_k) for request in requests]


@pytest.mark.parametrize(("missing", "expected"), [(False, [0.9, 0.5, 0.4, 0.1]), (True, None)])
def test_ids_and_first_stage_scores_reach_the_reranker(
    nodes: list[NodeWithScore], missing: bool, expected: list[float] | None
) -> None:
    """Ids always, scores where every node has one."""
    if missing:
        nodes[2] = NodeWithScore(node=nodes[2].node)
    noting = Noting()
    both(RankPluginsRerank(noting), nodes)
    for request in noting.requests:
        assert request.ids == ["node 0", "node 1", "node 2", "node 3"]
        assert (None if request.scores is None else request.scores.tolist()) == expected


def test_first_stage_takes_part_in_a_fusion(nodes: list[NodeWithScore]) -> None:
    """rank-fusion with first_stage=True reads the scores that nodes came with."""
    parts = {"rerankers": ["rank-maxsim"], "first_stage": True}
    only_first = RankPluginsRerank("rank-fusion", None, {**parts, "weights": [0, 1]})
    assert [node.node_id for node in both(only_first, nodes)] == [f"node {i}" for i in range(4)]


@given(
    texts=st.lists(st.sampled_from(["red", "tea", "red pie", "", "blue red tea"]), max_size=12),
    top_n=st.none() | st.integers(1, 15),
)
def test_every_ranking_is_the_rerankers_own(texts: list[str], top_n: int | None) -> None:
    """Each node has the score of its text, best first, ties in the order of the input, top_n of them."""
    encoder = HashEncoder(64)
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(i))) for i, text in enumerate(texts)]
    result = RankPluginsRerank("rank-maxsim", top_n, {"encoder": encoder}).postprocess_nodes(
        nodes, query_str="red tea tea"
    )
    vectors = encoder.encode_queries(["red tea tea"])[0]
    scores = [
        float((vectors @ encoder.encode_documents([text])[0].T).max(axis=1).sum()) if text else -1e9 for text in texts
    ]
    order = sorted(range(len(texts)), key=lambda i: (-round(scores[i], 3), i))[:top_n]
    assert [int(node.node_id) for node in result] == order
    assert [node.score for node in result] == [pytest.approx(scores[i], abs=1e-5) for i in order]


@pytest.mark.parametrize("wrap", [iter, lambda nodes: [one.node for one in nodes], lambda nodes: None])
def test_what_is_no_list_of_nodes_is_refused(postprocessor: RankPluginsRerank, nodes: Any, wrap: Any) -> None:
    """An iterator would be used up by the host's events, and nothing be left to rank."""
    with pytest.raises(InputTypeError, match="nodes.*: expected a"):
        postprocessor.postprocess_nodes(wrap(nodes), query_str="red")
    with pytest.raises(InputTypeError, match="nodes.*: expected a"):
        asyncio.run(postprocessor.apostprocess_nodes(wrap(nodes), query_str="red"))
