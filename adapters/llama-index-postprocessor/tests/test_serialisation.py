"""to_dict, to_json, pickle and the JSON schema: a copy ranks as the original does, or there is none."""

from __future__ import annotations

import copy
import json
import pickle
import threading

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from llama_index.core.schema import NodeWithScore

from llama_index.postprocessor.rank_plugins import RankPluginsRerank
from rank_plugins.errors import InputTypeError
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder

CUSTOM = {
    "model": "rank-maxsim",
    "top_n": None,
    "model_kwargs": {"score": "mean", "long_documents": "first"},
    "score_threshold": 0.25,
    "keep_retrieval_score": True,
}


def test_to_dict_is_the_constructors_arguments() -> None:
    made = RankPluginsRerank(**CUSTOM)
    assert made.to_dict() == {**CUSTOM, "class_name": "RankPluginsRerank"}


@pytest.mark.parametrize("way", ["dict", "json", "pickle", "copy"])
def test_round_trip(nodes: list[NodeWithScore], way: str) -> None:
    """The copy has the same arguments, and its own reranker that gives the same scores."""
    made = RankPluginsRerank(**CUSTOM)
    if way == "dict":
        back = RankPluginsRerank.from_dict(made.to_dict())
    elif way == "json":
        back = RankPluginsRerank.from_json(made.to_json())
    elif way == "copy":
        back = copy.deepcopy(made)
    else:
        back = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own bytes
    assert back.to_dict() == made.to_dict()
    expected = made.postprocess_nodes(nodes, query_str="red")
    assert expected
    assert back.postprocess_nodes(nodes, query_str="red") == expected


def test_a_deep_copy_shares_the_callers_reranker(nodes: list[NodeWithScore]) -> None:
    """A Reranker holds locks and models, which nobody wants twice."""
    made = RankPluginsRerank(MaxSimReranker(HashEncoder(64)), top_n=1)
    back = copy.deepcopy({"steps": [made]})["steps"][0]
    assert back is not made
    assert back.model is made.model
    assert back.postprocess_nodes(nodes, query_str="red") == made.postprocess_nodes(nodes, query_str="red")


def test_pickle_after_use(caplog: pytest.LogCaptureFixture, nodes: list[NodeWithScore]) -> None:
    """A model in memory is not pickled, and the host has nothing to warn about."""
    made = RankPluginsRerank()
    made.postprocess_nodes(nodes, query_str="red")
    assert len(pickle.dumps(made)) < 10_000
    assert caplog.records == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"model": MaxSimReranker()}, {"model_kwargs": {"encoder": HashEncoder()}}])
def test_what_cannot_be_pickled_is_not_left_out(options: dict[str, object]) -> None:
    """The host drops such attributes, and the copy would rank with the default model instead."""
    if "model_kwargs" in options:
        options["model_kwargs"]["encoder"].lock = threading.Lock()  # type: ignore[index]
    made = RankPluginsRerank(**options)
    with pytest.raises(InputTypeError, match=f"{next(iter(options))}: expected what can be pickled"):
        pickle.dumps(made)


def test_json_schema() -> None:
    """Tools that list a component's fields can; an instance has no JSON."""
    properties = RankPluginsRerank.model_json_schema()["properties"]
    assert properties["model"]["type"] == "string"
    assert {"top_n", "model_kwargs", "score_threshold", "keep_retrieval_score"} < set(properties)
    json.dumps(properties)


def test_a_model_copy_ranks_with_its_own_fields(nodes: list[NodeWithScore]) -> None:
    """`model_copy` may change the model; the copy's `close` is no business of the original."""
    made = RankPluginsRerank(model_kwargs={"score": "sum"})
    expected = made.postprocess_nodes(nodes, query_str="red wine")
    other = made.model_copy(update={"model_kwargs": {"score": "mean"}})
    means = other.postprocess_nodes(nodes, query_str="red wine")
    assert [one.node_id for one in means] == [one.node_id for one in expected]
    assert means[0].score < expected[0].score
    other.close()
    assert made.postprocess_nodes(nodes, query_str="red wine") == expected
