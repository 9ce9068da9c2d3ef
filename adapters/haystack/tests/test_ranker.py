"""RankPluginsRanker: what goes in, what comes out, and how it is saved."""

from __future__ import annotations

import asyncio
import copy
import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from haystack import Document
from haystack.core.errors import SerializationError
from haystack.utils.misc import _deduplicate_documents
from hypothesis import given
from hypothesis import strategies as st

from haystack_integrations.common.rank_plugins import distinct
from haystack_integrations.components.rankers.rank_plugins import RankPluginsRanker
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.rerankers.reranker import Request
from rank_plugins.testing import HashEncoder

TYPE = "haystack_integrations.components.rankers.rank_plugins.ranker.RankPluginsRanker"
DEFAULTS: dict[str, Any] = {
    "model": "rank-maxsim",
    "model_kwargs": None,
    "top_k": 10,
    "score_threshold": None,
    "meta_fields_to_embed": [],
    "embedding_separator": "\n",
}


class ByLength(Reranker):
    """Scores a text by its length, -inf if it is empty, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closed = False

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        self.requests += requests
        return [Ranking.from_scores([len(t) or -math.inf for t in one.documents], top_k) for one in requests]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def model() -> ByLength:
    return ByLength()


@pytest.fixture
def ranker(model: ByLength) -> RankPluginsRanker:
    return RankPluginsRanker(model=model)


def run(ranker: RankPluginsRanker, documents: list[Document], **arguments: Any) -> list[Document]:
    """Run both ways, which must agree."""
    found = ranker.run(query="q", documents=documents, **arguments)
    assert asyncio.run(ranker.run_async(query="q", documents=documents, **arguments)) == found
    assert list(found) == ["documents"]
    return found["documents"]


def test_init_default() -> None:
    ranker = RankPluginsRanker()
    assert {name: getattr(ranker, name) for name in DEFAULTS} == DEFAULTS


def test_arguments_are_keywords() -> None:
    with pytest.raises(TypeError, match="positional"):
        RankPluginsRanker("rank-maxsim")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"model": "rank-maxim"}, InputError, "did you mean 'rank-maxsim'"),
        ({"model": 7}, InputTypeError, "model: expected a name"),
        ({"model_kwargs": {"scores": "mean"}}, InputTypeError, "scores"),
        ({"model_kwargs": ["mean"]}, InputTypeError, "model_kwargs: expected a dict, got list"),
        ({"model": ByLength(), "model_kwargs": {"score": "mean"}}, InputTypeError, "score cannot change"),
        ({"top_k": 0}, InputError, "top_k: expected at least 1, got 0"),
        ({"top_k": -3}, InputError, "top_k: expected at least 1, got -3"),
        ({"top_k": 2.5}, InputTypeError, "top_k: expected a whole number"),
        ({"score_threshold": "0.5"}, InputTypeError, "score_threshold: expected a number, got str '0.5'"),
        ({"score_threshold": math.nan}, InputError, "score_threshold: expected a number, got NaN"),
        ({"meta_fields_to_embed": "title"}, InputTypeError, "meta_fields_to_embed: expected a list of names"),
        ({"embedding_separator": None}, InputTypeError, "embedding_separator: expected a str, got NoneType"),
    ],
)
def test_init_with_incorrect_input(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        RankPluginsRanker(**arguments)


def test_to_dict_and_from_dict_default() -> None:
    saved = RankPluginsRanker().to_dict()
    assert saved == {"type": TYPE, "init_parameters": DEFAULTS}
    assert RankPluginsRanker.from_dict(saved).to_dict() == saved


def test_to_dict_and_from_dict_custom() -> None:
    custom = {
        "model": "rank-fusion",
        "model_kwargs": {"rerankers": ["rank-maxsim", {"name": "rank-maxsim", "score": "mean"}], "weights": [2, 1]},
        "top_k": None,
        "score_threshold": 0.5,
        "meta_fields_to_embed": ["title"],
        "embedding_separator": " | ",
    }
    ranker = RankPluginsRanker(**custom)  # type: ignore[arg-type]
    assert ranker.to_dict() == {"type": TYPE, "init_parameters": custom}
    assert RankPluginsRanker.from_dict(ranker.to_dict()).to_dict() == ranker.to_dict()


def test_an_instance_cannot_be_saved(ranker: RankPluginsRanker) -> None:
    with pytest.raises(SerializationError, match="expected model to be a name, got a ByLength"):
        ranker.to_dict()


@pytest.mark.parametrize("documents", ["text", None, 7, Document(content="alone"), {"a": 1}])
def test_run_refuses_what_is_no_list(ranker: RankPluginsRanker, documents: Any) -> None:
    with pytest.raises(TypeError, match="documents: expected a list of Documents, got"):
        ranker.run(query="q", documents=documents)


@pytest.mark.parametrize("wrong", ["text", None, 7])
def test_run_refuses_what_is_no_document(ranker: RankPluginsRanker, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"documents\[1\]: expected a Document, got"):
        ranker.run(query="q", documents=[Document(content="a"), wrong])


@pytest.mark.parametrize("query", ["", " \n"])
def test_run_refuses_an_empty_query(ranker: RankPluginsRanker, query: str) -> None:
    with pytest.raises(ValueError, match="query: expected text"):
        ranker.run(query=query, documents=[Document(content="a")])


@pytest.mark.parametrize("query", [None, 7, b"q"])
def test_run_refuses_a_query_of_another_type(ranker: RankPluginsRanker, query: Any) -> None:
    with pytest.raises(TypeError, match="query"):
        ranker.run(query=query, documents=[Document(content="a")])


@pytest.mark.parametrize("top_k", [0, -3])
def test_run_refuses_top_k_below_one(ranker: RankPluginsRanker, top_k: int) -> None:
    """A 0 does not fall back to the component's own, with Documents or without."""
    for documents in ([Document(content="a")], []):
        with pytest.raises(ValueError, match=f"top_k: expected at least 1, got {top_k}"):
            ranker.run(query="q", documents=documents, top_k=top_k)
        with pytest.raises(ValueError, match=f"top_k: expected at least 1, got {top_k}"):
            asyncio.run(ranker.run_async(query="q", documents=documents, top_k=top_k))


def test_no_documents(ranker: RankPluginsRanker, model: ByLength) -> None:
    assert run(ranker, []) == []
    assert model.requests == []


def test_ranking() -> None:
    """The documents that have the query's words come first; scores are plain floats."""
    ranker = RankPluginsRanker(model=MaxSimReranker(HashEncoder(64)), top_k=2)
    texts = ["wind tunnels", "the drag of a wing", "aspirin and blood"]
    found = ranker.run(query="wing drag", documents=[Document(content=text) for text in texts])["documents"]
    assert found[0].content == "the drag of a wing"
    assert found[0].score == pytest.approx(2, abs=1e-5)
    assert [type(document.score) for document in found] == [float, float]


def test_top_k_of_the_call_goes_first(ranker: RankPluginsRanker) -> None:
    documents = [Document(content="x" * n) for n in range(1, 13)]
    assert len(run(ranker, documents)) == 10
    assert len(run(ranker, documents, top_k=11)) == 11
    assert [document.score for document in run(ranker, documents, top_k=2)] == [12, 11]
    assert len(run(RankPluginsRanker(model=ByLength(), top_k=None), documents)) == 12


def test_score_threshold(model: ByLength) -> None:
    """Those at the threshold stay; 0 is a threshold; none lets a Document without content pass."""
    ranker = RankPluginsRanker(model=model, score_threshold=2)
    documents = [Document(content="x" * n) for n in range(4)]
    assert [document.score for document in run(ranker, documents)] == [3, 2]
    assert [document.score for document in run(ranker, documents, score_threshold=0)] == [3, 2, 1]
    assert [document.score for document in run(ranker, documents, score_threshold=-2e9)] == [3, 2, 1]
    assert [document.score for document in run(RankPluginsRanker(model=model), documents)] == [3, 2, 1, -1e9]
    with pytest.raises(InputError, match="got NaN"):
        ranker.run(query="q", documents=documents, score_threshold=math.nan)


def test_results_are_copies(ranker: RankPluginsRanker) -> None:
    """Everything of a Document stays but its score; the old one is in the metadata of the copy."""
    documents = [
        Document(id="a", content="long text", meta={"page": 3}, score=0.25, embedding=[0.5]),
        Document(id="b", content="text", meta={"retrieval_score": "first"}),
        Document(id="c", content=None, meta={}),
    ]
    before = copy.deepcopy(documents)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the host warns where a Document is changed
        found = run(ranker, documents)
    assert documents == before
    assert [document.to_dict(flatten=False) for document in found] == [
        before[0].to_dict(flatten=False) | {"score": 9.0, "meta": {"page": 3, "retrieval_score": 0.25}},
        before[1].to_dict(flatten=False) | {"score": 4.0},
        before[2].to_dict(flatten=False) | {"score": -1e9},
    ]
    found[0].meta["page"] = 4
    assert documents[0].meta == {"page": 3}


def test_what_the_reranker_gets(ranker: RankPluginsRanker, model: ByLength) -> None:
    """Ids, and the first stage's scores where all Documents have one."""
    ranker.run(query="q", documents=[Document(id="a", content="x", score=2), Document(id="b", content=None, score=1)])
    ranker.run(query="q", documents=[Document(id="a", content="x", score=2), Document(id="b", content="y")])
    first, second = model.requests
    assert (first.documents, first.ids) == (["x", ""], ["a", "b"])
    assert first.scores is not None
    assert first.scores.tolist() == [2, 1]
    assert second.scores is None


def test_the_first_stage_takes_part_in_a_fusion() -> None:
    options = {"rerankers": [ByLength()], "first_stage": True, "weights": [0, 1]}
    ranker = RankPluginsRanker(model="rank-fusion", model_kwargs=options)
    documents = [Document(content="long text", score=0.5), Document(content="x", score=0.75)]
    assert [document.content for document in run(ranker, documents)] == ["x", "long text"]


def test_meta_fields_to_embed(model: ByLength) -> None:
    """In the order of the fields, before the content; fields that are missing or None are left out."""
    ranker = RankPluginsRanker(model=model, meta_fields_to_embed=["title", "year"], embedding_separator=" | ")
    metas: list[dict[str, Any]] = [{"year": 0, "title": "T"}, {"title": None, "year": 1999}, {}]
    documents = [Document(content=f"text {i}", meta=meta) for i, meta in enumerate(metas)]
    found = ranker.run(query="q", documents=documents)["documents"]
    assert model.requests[0].documents == ["T | 0 | text 0", "1999 | text 1", "text 2"]
    assert {document.content for document in found} == {"text 0", "text 1", "text 2"}


def test_an_id_is_ranked_once(ranker: RankPluginsRanker) -> None:
    """The Document with the best score stands for its id."""
    documents = [Document(id="a", content="x", score=0.1), Document(id="a", content="xx", score=0.2)]
    assert [(document.content, document.meta) for document in run(ranker, documents)] == [
        ("xx", {"retrieval_score": 0.2})
    ]


scores = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 2.0])


@given(st.lists(st.tuples(st.sampled_from("abc"), scores), max_size=8))
def test_the_same_documents_as_the_host_keeps(rows: list[tuple[str, float | None]]) -> None:
    documents = [Document(id=name, content=str(i), score=score) for i, (name, score) in enumerate(rows)]
    assert distinct(documents) == _deduplicate_documents(documents)


def test_signatures_are_the_same() -> None:
    assert inspect.signature(RankPluginsRanker.run) == inspect.signature(RankPluginsRanker.run_async)


def test_close_leaves_an_instance_alone(ranker: RankPluginsRanker, model: ByLength) -> None:
    """Who made it closes it."""
    ranker.close()
    asyncio.run(ranker.close_async())
    assert not model.closed
