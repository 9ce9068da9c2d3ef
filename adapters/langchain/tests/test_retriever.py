"""`RankPluginsFusionRetriever`: which documents are one, what they carry, and how the retrievers are asked."""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the host package langchain-core is not installed")

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, RunnableLambda
from pydantic import ValidationError

from langchain_rank_plugins import RankPluginsFusionRetriever
from rank_plugins.errors import InputError, InputTypeError


class Fixed(BaseRetriever):
    """Returns the same documents for every query."""

    found: list[Any]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return self.found


def fusion(*lists: Sequence[Any], **fields: Any) -> RankPluginsFusionRetriever:
    return RankPluginsFusionRetriever(retrievers=[Fixed(found=list(one)) for one in lists], **fields)


def doc(text: str, name: str | None = None, **metadata: Any) -> Document:
    return Document(page_content=text, id=name, metadata=metadata)


def shown(documents: list[Document]) -> list[tuple[str, list[int | None]]]:
    return [(document.page_content, document.metadata["ranks"]) for document in documents]


A, B, C = doc("a", "1", source="left"), doc("b", "2"), doc("c", "3")


def test_scores_and_ranks_are_in_the_metadata() -> None:
    """Reciprocal rank fusion by hand: 1 / (60 + rank), summed."""
    found = fusion([A, B], [B, C]).invoke("q")
    assert shown(found) == [("b", [2, 1]), ("a", [1, None]), ("c", [None, 2])]
    assert [d.metadata["relevance_score"] for d in found] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])
    assert [d.id for d in found] == ["2", "1", "3"]
    assert found[1].metadata["source"] == "left"


def test_weights_and_parameters_count() -> None:
    """Weights are used as they are, and k of rrf is not the number of documents."""
    found = fusion([A, B], [B, C], weights=[2, 1], method_kwargs={"k": 1}).invoke("q")
    assert [d.page_content for d in found] == ["b", "a", "c"]
    assert [d.metadata["relevance_score"] for d in found] == pytest.approx([2 / 3 + 1 / 2, 2 / 2, 1 / 3])


def test_k_of_the_call_goes_before_the_constructors() -> None:
    """None returns all; `configurable_fields` makes it a setting of a run."""
    retriever = fusion([A, B], [B, C], k=2)
    assert len(fusion([A, B], [B, C]).invoke("q")) == 3
    assert [d.page_content for d in retriever.invoke("q")] == ["b", "a"]
    assert [d.page_content for d in retriever.invoke("q", k=1)] == ["b"]
    assert [d.page_content for d in asyncio.run(retriever.ainvoke("q", k=3))] == ["b", "a", "c"]
    setting = retriever.configurable_fields(k=ConfigurableField(id="k"))
    assert len(setting.invoke("q", {"configurable": {"k": 1}})) == 1


def test_a_document_twice_in_a_list_counts_once() -> None:
    """Where it stands best; later ranks close up."""
    found = fusion([A, A, A, B], [B]).invoke("q")
    assert shown(found) == [("b", [2, 1]), ("a", [1, None])]
    assert found[0].metadata["relevance_score"] == pytest.approx(1 / 62 + 1 / 61)


def test_equal_texts_of_different_ids_are_two_documents() -> None:
    """The id comes before the text, which the host's own ensemble goes by."""
    assert shown(fusion([doc("same", "1")], [doc("same", "2")]).invoke("q")) == [
        ("same", [1, None]),
        ("same", [None, 1]),
    ]


def test_equal_texts_without_ids_are_one_document_whatever_the_metadata() -> None:
    """The first one comes back."""
    found = fusion([doc("same", page=1)], [doc("same", page=2), doc("other")]).invoke("q")
    assert shown(found) == [("same", [1, 1]), ("other", [None, 2])]
    assert found[0].metadata["page"] == 1


@pytest.mark.parametrize("turned", [False, True])
def test_an_index_that_keeps_ids_and_one_that_does_not_are_fused_by_text(turned: bool) -> None:
    """Such as a vector store, which gives ids, beside a keyword index, which does not."""
    lists = [[doc("a", "1"), doc("b", "2")], [doc("b"), doc("c")]]
    found = fusion(*(lists[::-1] if turned else lists)).invoke("q")
    ranks = {text: ranks[::-1] if turned else ranks for text, ranks in shown(found)}
    assert ranks == {"b": [2, 1], "a": [1, None], "c": [None, 2]}


def test_the_key_in_the_metadata_goes_before_the_id() -> None:
    """Numbers and their text are one name; a document without the key falls back to its id."""
    left = [doc("a, as html", "x", key=1), doc("b", "2")]
    right = [doc("b again", "2"), doc("a, as text", "y", key="1")]
    assert shown(fusion(left, right, id_key="key").invoke("q")) == [("a, as html", [1, 2]), ("b", [2, 1])]
    assert len(fusion(left, right).invoke("q")) == 3


@pytest.mark.parametrize("text", ["b", "id b"])
def test_an_id_is_never_taken_for_a_text(text: str) -> None:
    """A document whose id is another one's text, or looks like it inside."""
    assert len(fusion([doc("a", "b")], [doc(text)]).invoke("q")) == 2


def test_nothing_of_the_retrievers_is_changed() -> None:
    """What they return may be what they keep."""
    kept = [doc("a", "1", relevance_score=0.5, nested={"x": [1]}), doc("b", "2", relevance_score=0.25)]
    before = copy.deepcopy(kept)
    found = fusion(kept, kept).invoke("q")
    assert kept == before
    assert found[0].metadata == {
        "relevance_score": pytest.approx(2 / 61),
        "retrieval_score": 0.5,
        "nested": {"x": [1]},
        "ranks": [1, 1],
    }


def test_methods_that_read_scores_take_those_of_the_metadata() -> None:
    """The sum of raw scores, by hand; without scores the method says what it needs."""
    scored = [doc("a", "1", relevance_score=5), doc("b", "2", relevance_score=3.5)]
    options: dict[str, Any] = {"method": "sum", "method_kwargs": {"norm": "none", "missing": "zero"}}
    found = fusion(scored, [doc("b", "2", relevance_score=4.0)], **options).invoke("q")
    assert [(d.id, d.metadata["relevance_score"]) for d in found] == [("2", 7.5), ("1", 5.0)]
    with pytest.raises(InputError, match="needs scores"):
        fusion(scored, [B], **options).invoke("q")


def test_scores_that_do_not_follow_the_order_are_not_read() -> None:
    """A distance, or what is left of an earlier step: the retriever's own order counts."""
    near = [doc("a", "1", relevance_score=0.1), doc("b", "2", relevance_score=0.7)]
    assert shown(fusion(near).invoke("q")) == [("a", [1]), ("b", [2])]
    with pytest.raises(InputError, match="needs scores"):
        fusion(near, method="sum").invoke("q")


@pytest.mark.parametrize("lists", [[[]], [[], []]])
def test_retrievers_that_find_nothing(lists: list[list[Document]]) -> None:
    """Nothing comes of nothing, and one that finds nothing does not disturb the others."""
    assert fusion(*lists).invoke("q") == []
    assert shown(fusion(*lists, [A]).invoke("q")) == [("a", [None] * len(lists) + [1])]


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"method": "rff"}, InputError, "did you mean 'rsf' or 'rrf'"),
        ({"weights": [1.0]}, InputError, "weights"),
        ({"weights": [1.0, -1.0]}, InputError, "weights"),
        ({"method_kwargs": {"kk": 1}}, InputTypeError, "kk"),
        ({"method_kwargs": {"weights": [1, 2]}}, InputTypeError, "method_kwargs: .*'weights'"),
        ({"method_kwargs": ["k"]}, InputTypeError, "method_kwargs: expected a dict"),
        ({"k": 0}, InputError, "k: expected at least 1"),
        ({"k": "2"}, InputTypeError, "k: expected a whole number"),
        ({"top_n": 2}, ValidationError, "top_n"),
    ],
)
def test_wrong_fields_are_refused_at_construction(fields: dict[str, Any], error: type[Exception], words: str) -> None:
    """Before any retriever is asked."""
    with pytest.raises(error, match=words):
        fusion([A], [B], **fields)


def test_no_retriever_and_what_is_none_are_refused() -> None:
    """A function is no Runnable; RunnableLambda makes it one."""
    with pytest.raises(InputError, match="retrievers: expected at least one"):
        RankPluginsFusionRetriever(retrievers=[])
    with pytest.raises(ValidationError, match="retrievers"):
        RankPluginsFusionRetriever(retrievers=[lambda query: []])


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused_before_anyone_is_asked(k: int) -> None:
    """Not taken for all of them."""
    retriever = RankPluginsFusionRetriever(retrievers=[RunnableLambda(lambda query: pytest.fail("asked"))])
    with pytest.raises(InputError, match="k: expected at least 1"):
        retriever.invoke("q", k=k)
    with pytest.raises(InputError, match="k: expected at least 1"):
        asyncio.run(retriever.ainvoke("q", k=k))


@pytest.mark.parametrize(("found", "words"), [(["text"], r"\[0\]: expected a Document, got str"), ("text", "got str")])
def test_a_retriever_that_returns_something_else_is_named(found: Any, words: str) -> None:
    """The second one, counted from 0."""
    with pytest.raises(InputTypeError, match=r"retrievers\[1\] returned.*" + words):
        RankPluginsFusionRetriever(retrievers=[Fixed(found=[A]), RunnableLambda(lambda query: found)]).invoke("q")


def test_a_coroutine_asks_all_retrievers_at_once() -> None:
    """Each waits until the other one was asked too; one after the other would wait for ever."""
    asked: list[str] = []

    async def main() -> list[Document]:
        both = asyncio.Event()

        async def find(query: str, name: str) -> list[Document]:
            asked.append(name)
            if len(asked) == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 10)
            return [doc(name)]

        def sync(query: str) -> list[Document]:
            pytest.fail("the coroutine was not used")

        async def left(query: str) -> list[Document]:
            return await find(query, "left")

        async def right(query: str) -> list[Document]:
            return await find(query, "right")

        retrievers = [RunnableLambda(sync, left), RunnableLambda(sync, right)]
        return await RankPluginsFusionRetriever(retrievers=retrievers).ainvoke("q")

    assert [document.page_content for document in asyncio.run(main())] == ["left", "right"]
    assert sorted(asked) == ["left", "right"]


def test_batches_run_in_threads_and_as_coroutines() -> None:
    """Each query gets its own answer."""
    echo = RunnableLambda(lambda query: [doc(query), doc("common")])
    retriever = RankPluginsFusionRetriever(retrievers=[echo, RunnableLambda(lambda query: [doc("common")])])
    queries = [str(i) for i in range(40)]
    expected = [[("common", [2, 1]), (query, [1, None])] for query in queries]
    assert [shown(found) for found in retriever.batch(queries)] == expected
    assert [shown(found) for found in asyncio.run(retriever.abatch(queries))] == expected


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), min_size=1, max_size=4), st.data())
def test_fused_scores_are_reciprocal_ranks(lists: list[list[str]], data: st.DataObject) -> None:
    """The formula on each list's distinct documents, whatever the lists and weights."""
    weights = data.draw(st.lists(st.integers(1, 5), min_size=len(lists), max_size=len(lists)))
    expected: dict[str, float] = defaultdict(float)
    ranks: dict[str, list[int | None]] = defaultdict(lambda: [None] * len(lists))
    for j, (weight, one) in enumerate(zip(weights, lists, strict=True)):
        for rank, text in enumerate(dict.fromkeys(one), start=1):
            expected[text] += weight / (60 + rank)
            ranks[text][j] = rank
    found = fusion(*([doc(text) for text in one] for one in lists), weights=weights).invoke("q")
    assert {d.page_content: d.metadata["relevance_score"] for d in found} == pytest.approx(dict(expected))
    assert dict(shown(found)) == dict(ranks)
    scores = [d.metadata["relevance_score"] for d in found]
    assert scores == sorted(scores, reverse=True)
