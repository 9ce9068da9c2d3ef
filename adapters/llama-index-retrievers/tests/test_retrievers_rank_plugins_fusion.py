"""RankPluginsFusionRetriever: weights, identity, scores, ranks, and nothing of the retrievers' changed."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document, ImageNode, IndexNode, MetadataMode, NodeWithScore, TextNode

from llama_index.retrievers.rank_plugins import RankPluginsFusionRetriever
from rank_plugins.errors import InputError, InputTypeError


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node_id for node in nodes]


def test_class() -> None:
    """The convention of the host's repository."""
    assert BaseRetriever.__name__ in [base.__name__ for base in RankPluginsFusionRetriever.__mro__]


def test_reciprocal_rank_fusion_by_hand(listed: Callable[..., Any]) -> None:
    """The fused score is the node's score, and its ranks are in the metadata."""
    sources = [listed(("a", 0.9), ("b", 0.8), ("c", 0.1)), listed(("b", 7.0), ("d", 2.0))]
    result = RankPluginsFusionRetriever(sources, weights=[1, 3], similarity_top_k=None).retrieve("q")
    assert ids(result) == ["b", "d", "a", "c"]
    expected = [1 / 62 + 3 / 61, 3 / 62, 1 / 61, 1 / 63]
    assert [node.score for node in result] == pytest.approx(expected, rel=1e-12)
    assert all(type(node.score) is float for node in result)
    assert [node.metadata["ranks"] for node in result] == [[2, 1], [None, 2], [1, None], [3, None]]


def test_weights_decide(listed: Callable[..., Any]) -> None:
    """The heavier source comes first, which QueryFusionRetriever's reciprocal ranks leave out of account."""
    sources = [listed(("a", 0.9)), listed(("b", 0.9))]
    for weights, first in (([1, 2], "b"), ([2, 1], "a"), ([0, 1], "b")):
        assert ids(RankPluginsFusionRetriever(sources, weights, similarity_top_k=1).retrieve("q")) == [first]


@pytest.mark.parametrize(
    ("mode", "method"),
    [
        ("reciprocal_rerank", "llamaindex-rrf"),
        ("relative_score", "llamaindex-relative"),
        ("dist_based_score", "llamaindex-dbsf"),
        ("simple", "llamaindex-simple"),
    ],
)
def test_the_hosts_own_scores(listed: Callable[..., Any], mode: Any, method: str) -> None:
    """Each mode of QueryFusionRetriever has a method of the same scores: moving over changes nothing."""
    lists = [(("a", 0.9), ("b", 0.8), ("c", 0.1)), (("b", 7.0), ("d", 2.5), ("a", 1.0)), (("e", 0.5), ("c", 0.25))]
    ours = RankPluginsFusionRetriever([listed(*one) for one in lists], method=method, similarity_top_k=None)
    theirs = QueryFusionRetriever(
        [listed(*one) for one in lists], llm=MockLLM(), mode=mode, num_queries=1, use_async=False, similarity_top_k=10
    )
    expected = {node.node_id: pytest.approx(node.score, rel=1e-9) for node in theirs.retrieve("q")}
    assert {node.node_id: node.score for node in ours.retrieve("q")} == expected


def test_default_top_k_is_the_hosts(listed: Callable[..., Any]) -> None:
    sources = [listed(("a", 0.9), ("b", 0.8), ("c", 0.1))]
    assert ids(RankPluginsFusionRetriever(sources).retrieve("q")) == ["a", "b"]


def test_nothing_of_the_retrievers_changes(listed: Callable[..., Any]) -> None:
    """Retrievers may return objects that they keep, and the same fusion asked twice gives the same."""
    sources = [listed(("a", 0.9), ("b", 0.8), page=1), listed(("b", 7.0), ("a", 2.0), page=1)]
    before = [copy.deepcopy(source.nodes) for source in sources]
    fusion = RankPluginsFusionRetriever(sources)
    once = fusion.retrieve("q")
    assert [source.nodes for source in sources] == before
    assert fusion.retrieve("q") == once


def test_ranks_are_kept_out_of_prompts(of: Callable[..., Any]) -> None:
    """What the embedding and the LLM read of a node is the same as before."""
    node = TextNode(text="tea", metadata={"page": 1, "file": "x"}, excluded_llm_metadata_keys=["file"])
    [result] = RankPluginsFusionRetriever([of(node)]).retrieve("q")
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert result.get_content(mode) == node.get_content(mode)
    assert result.metadata == {"page": 1, "file": "x", "ranks": [1]}
    assert node.excluded_llm_metadata_keys == ["file"]


def test_a_node_twice_in_a_list_counts_once(listed: Callable[..., Any]) -> None:
    """Otherwise a source that repeats itself would vote twice."""
    sources = [listed(("a", 0.9), ("b", 0.8), ("b", 0.7), ("b", 0.6)), listed(("a", 0.5))]
    result = RankPluginsFusionRetriever(sources, similarity_top_k=None).retrieve("q")
    assert [(node.node_id, node.metadata["ranks"]) for node in result] == [("a", [1, 1]), ("b", [2, None])]


class TestIdentity:
    """Nodes are one by their id, or by their text and metadata."""

    def test_same_id(self, of: Callable[..., Any]) -> None:
        """The first retriever's copy comes back, also where the second has another text for the id."""
        fusion = RankPluginsFusionRetriever([of(TextNode(text="long", id_="a")), of(TextNode(text="short", id_="a"))])
        [result] = fusion.retrieve("q")
        assert (result.text, result.metadata["ranks"]) == ("long", [1, 1])

    def test_same_content_of_two_indices(self, of: Callable[..., Any]) -> None:
        """Two indices over the same documents give them different ids; users expect one node."""
        fusion = RankPluginsFusionRetriever([of(TextNode(text="tea", id_="a")), of(TextNode(text="tea", id_="b"))])
        [result] = fusion.retrieve("q")
        assert (result.node_id, result.metadata["ranks"]) == ("a", [1, 1])

    def test_same_text_of_two_files_stays_two(self, of: Callable[..., Any]) -> None:
        nodes = [TextNode(text="tea", id_=name, metadata={"file": name}) for name in "ab"]
        assert ids(RankPluginsFusionRetriever([of(nodes[0]), of(nodes[1])]).retrieve("q")) == ["a", "b"]

    def test_a_chain_of_both(self, of: Callable[..., Any]) -> None:
        """The same id and then the same text as that: one node."""
        lists = [of(TextNode(text="old", id_="a")), of(TextNode(text="new", id_="a")), of(TextNode(text="new"))]
        [result] = RankPluginsFusionRetriever(lists).retrieve("q")
        assert result.metadata["ranks"] == [1, 1, 1]

    @pytest.mark.parametrize(
        "make",
        [
            lambda name: IndexNode(text="table", index_id=name, id_=name),
            lambda name: TextNode(text="", id_=name),
            lambda name: ImageNode(image_path=f"{name}.png", id_=name),
            lambda name: Document(text=" ", id_=name),
        ],
        ids=["index nodes", "no text", "images", "blank documents"],
    )
    def test_what_text_does_not_tell_apart(self, make: Callable[[str], Any], of: Callable[..., Any]) -> None:
        """What stands for something else than its text is known by its id alone."""
        assert ids(RankPluginsFusionRetriever([of(make("a")), of(make("b"))]).retrieve("q")) == ["a", "b"]

    def test_fusion_of_fusions(self, of: Callable[..., Any]) -> None:
        """The ranks that an inner fusion wrote do not make two nodes of equal text."""
        inner = RankPluginsFusionRetriever([of(TextNode(text="tea", id_="a"))])
        [result] = RankPluginsFusionRetriever([inner, of(TextNode(text="tea", id_="b"))]).retrieve("q")
        assert result.metadata["ranks"] == [1, 1]
        assert result.node.excluded_llm_metadata_keys == ["ranks"]


def test_empty_sources(listed: Callable[..., Any]) -> None:
    assert RankPluginsFusionRetriever([listed(), listed()]).retrieve("q") == []
    assert ids(RankPluginsFusionRetriever([listed(), listed(("a", 1.0))]).retrieve("q")) == ["a"]


def test_sources_without_scores(listed: Callable[..., Any]) -> None:
    """Ranks need none; a method that reads scores says that it lacks them."""
    sources = [listed(("a", None), ("b", None)), listed(("b", 0.5))]
    assert ids(RankPluginsFusionRetriever(sources).retrieve("q")) == ["b", "a"]
    with pytest.raises(InputError, match="score"):
        RankPluginsFusionRetriever(sources, method="sum").retrieve("q")


def test_parameters_of_the_method(listed: Callable[..., Any]) -> None:
    sources = [listed(("a", 4.0), ("b", 2.0))]
    [first, _] = RankPluginsFusionRetriever(sources, method_kwargs={"k": 9}).retrieve("q")
    assert first.score == pytest.approx(1 / 10)
    [first, _] = RankPluginsFusionRetriever(sources, method="sum", method_kwargs={"norm": "none"}).retrieve("q")
    assert first.score == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"retrievers": []}, InputError, "retrievers: expected at least one"),
        ({"retrievers": 3}, InputTypeError, "retrievers: expected a list of BaseRetrievers, got int"),
        ({"retrievers": ["bm25"]}, InputTypeError, r"retrievers\[0\]: expected a BaseRetriever, got str"),
        ({"weights": [1]}, InputError, "weights: expected 2"),
        ({"weights": [1, -1]}, InputError, "weights"),
        ({"method": "reciprocal_rerank"}, InputError, "method: expected one of rrf"),
        ({"similarity_top_k": 0}, InputError, "similarity_top_k: expected at least 1"),
        ({"similarity_top_k": "2"}, InputTypeError, "similarity_top_k: expected a whole number"),
        ({"method_kwargs": {"kk": 1}}, InputTypeError, "did you mean 'k'"),
        ({"method_kwargs": {"top": 1}}, InputTypeError, "method_kwargs: .*'top'"),
        ({"method_kwargs": [("k", 1)]}, InputTypeError, "method_kwargs: expected a dict"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_at_construction(
    listed: Callable[..., Any], options: dict[str, Any], error: type[Exception], match: str
) -> None:
    """Each names the argument; nothing waits for the first query."""
    with pytest.raises(error, match=match):
        RankPluginsFusionRetriever(**{"retrievers": [listed(), listed()], **options})


def test_index_nodes_are_followed(of: Callable[..., Any]) -> None:
    """object_map and objects work as in every retriever of the host."""
    pointer, table = IndexNode(text="a table", index_id="t", id_="p"), TextNode(text="the table", id_="table")
    by_map = RankPluginsFusionRetriever([of(pointer)], object_map={"t": table})
    by_object = RankPluginsFusionRetriever([of(pointer)], objects=[IndexNode(text="a table", index_id="t", obj=table)])
    for fusion in (by_map, by_object):
        [result] = fusion.retrieve("q")
        assert (result.node_id, result.score) == ("table", 1 / 61)
        assert ids(asyncio.run(fusion.aretrieve("q"))) == ["table"]


@given(
    lists=st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6), min_size=1, max_size=4),
    data=st.data(),
)
def test_against_the_formula(of: Callable[..., Any], lists: list[list[str]], data: Any) -> None:
    """Weighted reciprocal ranks, computed here; equal scores stand by best rank, then by source and place."""
    weights = data.draw(st.lists(st.integers(1, 3), min_size=len(lists), max_size=len(lists)))
    sources = [of(*(TextNode(text=name, id_=name) for name in names)) for names in lists]
    result = RankPluginsFusionRetriever(sources, weights, similarity_top_k=None).retrieve("q")
    ranks = {
        name: [names.index(name) + 1 if name in names else None for names in lists] for names in lists for name in names
    }
    scores = {
        name: sum(weight / (60 + rank) for weight, rank in zip(weights, places, strict=True) if rank)
        for name, places in ranks.items()
    }
    assert {node.node_id: node.metadata["ranks"] for node in result} == ranks
    assert {node.node_id: node.score for node in result} == {name: pytest.approx(s) for name, s in scores.items()}
    places = {name: next(i for i, rank in enumerate(r) if rank) for name, r in ranks.items()}
    given = {node.node_id: node.score for node in result}  # whose last bits decide between sums that are equal on paper
    assert ids(result) == sorted(ranks, key=lambda name: (-given[name], min(filter(None, ranks[name])), places[name]))
