"""What LlamaIndex asks of every postprocessor integration, and of its constructor."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore
from pydantic import ValidationError

from llama_index.postprocessor.rank_plugins import RankPluginsRerank
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder


def test_class() -> None:
    """The convention of the host's repository."""
    names_of_base_classes = [base.__name__ for base in RankPluginsRerank.__mro__]
    assert BaseNodePostprocessor.__name__ in names_of_base_classes
    assert RankPluginsRerank.class_name() == "RankPluginsRerank"


def test_defaults() -> None:
    made = RankPluginsRerank()
    assert (made.model, made.top_n, made.model_kwargs) == ("rank-maxsim", 5, {})
    assert (made.score_threshold, made.keep_retrieval_score) == (None, True)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"model": "rank-maxsin"}, InputError, "did you mean.*rank-maxsim"),
        ({"model": 7}, InputTypeError, "model: expected a name or a rank_plugins Reranker, got int"),
        ({"top_n": 0}, InputError, "top_n: expected at least 1, got 0"),
        ({"top_n": 2.5}, InputTypeError, "top_n: expected a whole number"),
        ({"top_n": True}, InputTypeError, "top_n: expected a whole number"),
        ({"model_kwargs": {"scores": "mean"}}, InputTypeError, "scores"),
        ({"model_kwargs": {"score": "median"}}, InputError, "score: expected one of sum, mean"),
        ({"model_kwargs": ["score"]}, InputTypeError, "model_kwargs: expected a dict"),
        ({"model": MaxSimReranker(HashEncoder()), "model_kwargs": {"score": "mean"}}, InputTypeError, "already made"),
        ({"score_threshold": "0.5"}, InputTypeError, "score_threshold: expected a number"),
        ({"score_threshold": True}, InputTypeError, "score_threshold: expected a number"),
        ({"score_threshold": float("nan")}, InputError, "score_threshold: expected a number, got NaN"),
        ({"score_threshold": float("inf")}, ValidationError, "score_threshold"),  # which JSON cannot hold
        ({"device": "cpu"}, TypeError, "device"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_at_construction(options: dict[str, Any], error: type[Exception], match: str) -> None:
    """Each names the argument; nothing waits for the first query."""
    with pytest.raises(error, match=match):
        RankPluginsRerank(**options)


def test_the_model_cannot_be_replaced() -> None:
    """An assignment that would change nothing is refused; the others count from the next call on."""
    made = RankPluginsRerank(model_kwargs={"encoder": HashEncoder()})
    with pytest.raises(ValidationError, match="frozen"):
        made.model = "rank-fusion"


def test_top_n_may_be_changed_later(postprocessor: RankPluginsRerank, nodes: list[NodeWithScore]) -> None:
    postprocessor.top_n = 2
    assert len(postprocessor.postprocess_nodes(nodes, query_str="red")) == 2
    postprocessor.top_n = 0
    with pytest.raises(InputError, match="top_n: expected at least 1, got 0"):
        postprocessor.postprocess_nodes(nodes, query_str="red")


def test_the_callers_options_are_not_kept() -> None:
    """What the caller does with its dict afterwards changes nothing."""
    options = {"encoder": HashEncoder()}
    made = RankPluginsRerank(model_kwargs=options)
    options.clear()
    assert list(made.model_kwargs) == ["encoder"]


def test_a_missing_query_is_what_the_host_calls_it(postprocessor: RankPluginsRerank) -> None:
    with pytest.raises(ValueError, match=r"Missing query bundle in extra info\."):
        postprocessor.postprocess_nodes([])


def test_close_lets_go_of_what_was_made_here_alone(nodes: list[NodeWithScore]) -> None:
    """A Reranker of the caller's stays open; a postprocessor that was closed ranks again."""
    encoder = HashEncoder(64)
    cached = MaxSimReranker(encoder, cache="1MB")
    closed: list[str] = []
    cached.close = lambda: closed.append("caller's")  # type: ignore[method-assign]
    RankPluginsRerank(cached).close()
    assert closed == []
    named = RankPluginsRerank(model_kwargs={"encoder": encoder}, top_n=1)
    before = named.postprocess_nodes(nodes, query_str="red")
    named.close()
    assert named.postprocess_nodes(nodes, query_str="red") == before
