"""`RankPluginsRerank`: what becomes of documents, ids, metadata, scores and the arguments."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the host package langchain-core is not installed")

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ValidationError

from langchain_rank_plugins import RankPluginsRerank
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import Ranking, Reranker, load
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder


class Recorder(Reranker):
    """Scores documents 1, 2, 3, ... in input order and keeps the requests; the last document gets -inf."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.closed = 0

    def _rank(self, requests: Any, top_k: int | None) -> list[Ranking]:
        self.requests += requests
        sizes = [len(request.documents) for request in requests]
        return [Ranking.from_scores([*range(1, n), float("-inf")], top_k) for n in sizes]

    def close(self) -> None:
        self.closed += 1


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


def test_scores_are_those_of_the_reranker(rerank: RankPluginsRerank, documents: list[Document]) -> None:
    """The core's own ranking, document by document."""
    expected = list(load("rank-maxsim", encoder=HashEncoder(64)).rerank(QUERY, DOCUMENTS))
    found = [(d.metadata["page"], d.metadata["relevance_score"]) for d in rerank.compress_documents(documents, QUERY)]
    assert found[:-1] == expected[:-1]
    assert found[-1] == (3, -1e9)


def test_ids_types_and_metadata_are_kept_and_nothing_is_changed(
    rerank: RankPluginsRerank, documents: list[Document]
) -> None:
    """New Documents of the same class; the caller's are as they were, all the way down."""

    class Page(Document):
        number: int = 0

    documents[2] = Page(page_content=documents[2].page_content, id="own", metadata={"page": 2}, number=7)
    before = copy.deepcopy(documents)
    found = rerank.compress_documents(documents, QUERY)
    assert documents == before
    assert {d.metadata["page"]: d.id for d in found} == {i: d.id for i, d in enumerate(before)}
    for one in found:
        original = before[one.metadata["page"]]
        assert one is not documents[one.metadata["page"]]
        assert type(one) is type(original)
        assert one.metadata == {**original.metadata, "relevance_score": one.metadata["relevance_score"]}
        assert one.model_dump(exclude={"metadata"}) == original.model_dump(exclude={"metadata"})


def test_an_earlier_score_is_kept_and_given_to_the_reranker() -> None:
    """All have one: first-stage scores, else none; a key of the user's own is never overwritten by the spread."""
    recorder = Recorder()
    scored = [Document(page_content="a", id="x", metadata={"relevance_score": s}) for s in (3, 2.5)]
    rerank = RankPluginsRerank(model=recorder, top_n=None)
    found = rerank.compress_documents(scored, "q")
    assert [d.metadata for d in found] == [
        {"relevance_score": 1.0, "retrieval_score": 3},
        {"relevance_score": -1e9, "retrieval_score": 2.5},
    ]
    assert [d.metadata for d in scored] == [{"relevance_score": 3}, {"relevance_score": 2.5}]
    rerank.compress_documents([*scored, Document(page_content="c")], "q")
    assert [None if r.scores is None else r.scores.tolist() for r in recorder.requests] == [[3.0, 2.5], None]


def test_a_fusion_with_the_first_stage_reads_the_scores_of_the_retriever() -> None:
    """The lower-scored document of the first stage is fused with weight 0, so that its order alone counts."""
    kwargs = {
        "rerankers": [load("rank-maxsim", encoder=HashEncoder(16))],
        "first_stage": True,
        "weights": [0, 1],
    }
    rerank = RankPluginsRerank(model="rank-fusion", model_kwargs=kwargs)
    found = rerank.compress_documents(
        [
            Document(page_content="apple", metadata={"relevance_score": 0.1}),
            Document(page_content="pear", metadata={"relevance_score": 0.9}),
        ],
        "apple",
    )
    assert contents(found) == ["pear", "apple"]


def test_ids_reach_the_reranker_if_all_documents_have_one() -> None:
    """Stores and caches know documents by their ids."""
    recorder = Recorder()
    rerank = RankPluginsRerank(model=recorder)
    rerank.compress_documents([Document(page_content="a", id="1"), Document(page_content="b", id="2")], "q")
    rerank.compress_documents([Document(page_content="a", id="1"), Document(page_content="b")], "q")
    assert [request.ids for request in recorder.requests] == [["1", "2"], None]


def test_top_n_of_the_call_goes_before_the_constructors(documents: list[Document]) -> None:
    """3 by default, as elsewhere in the ecosystem; a cut leaves the best."""
    options: dict[str, Any] = {"model_kwargs": {"encoder": HashEncoder(64)}}
    whole = contents(RankPluginsRerank(**options, top_n=None).compress_documents(documents, QUERY))
    rerank = RankPluginsRerank(**options)
    assert len(whole) == len(documents)
    assert contents(rerank.compress_documents(documents, QUERY)) == whole[:3]
    assert contents(rerank.compress_documents(documents, QUERY, top_n=1)) == whole[:1]
    assert contents(asyncio.run(rerank.acompress_documents(documents, QUERY, top_n=5))) == whole[:5]
    rerank.top_n = 2
    assert contents(rerank.compress_documents(documents, QUERY)) == whole[:2]


@pytest.mark.parametrize(("threshold", "kept"), [(None, 4), (-2e9, 3), (0, 3), (2, 2), (2.5, 1), (4, 0)])
def test_a_threshold_keeps_what_reaches_it(threshold: float | None, kept: int) -> None:
    """Equal is enough; a document with nothing to score reaches none."""
    rerank = RankPluginsRerank(model=Recorder(), top_n=None, score_threshold=threshold)
    documents = [Document(page_content=c) for c in "abcd"]
    assert contents(rerank.compress_documents(documents, "q")) == ["c", "b", "a", "d"][:kept]
    assert contents(asyncio.run(rerank.acompress_documents(documents, "q"))) == ["c", "b", "a", "d"][:kept]


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"model": "rank-maxsin"}, InputError, "did you mean 'rank-maxsim'"),
        ({"model": 7}, InputTypeError, "model: expected a name"),
        ({"model_kwargs": {"scores": "mean"}}, InputTypeError, "scores"),
        ({"model_kwargs": {"score": "max"}}, InputError, "score: expected one of sum, mean"),
        ({"model_kwargs": ["score"]}, InputTypeError, "model_kwargs: expected a dict"),
        ({"model": Recorder(), "model_kwargs": {"score": "mean"}}, InputTypeError, "cannot change a Reranker"),
        ({"top_n": 0}, InputError, "top_n: expected at least 1"),
        ({"top_n": "3"}, InputTypeError, "top_n: expected a whole number"),
        ({"score_threshold": "0.5"}, InputTypeError, "score_threshold: expected a number"),
        ({"score_threshold": True}, InputTypeError, "score_threshold: expected a number"),
        ({"score_threshold": float("nan")}, InputError, "score_threshold: expected a number, got NaN"),
        ({"top_k": 3}, ValidationError, "top_k"),
    ],
)
def test_wrong_fields_are_refused_at_construction(fields: dict[str, Any], error: type[Exception], words: str) -> None:
    """The error of the core where the core decides, of pydantic for an unknown field."""
    with pytest.raises(error, match=words):
        RankPluginsRerank(**fields)


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (["text"], r"documents\[0\]: expected a Document, got str"),
        ([Document(page_content="a"), None], r"documents\[1\]: expected a Document, got NoneType"),
        ("text", "documents: expected a list of Documents, got str"),
        (Document(page_content="a"), "documents: expected a list of Documents, got Document"),
        (iter([]), "documents: expected a list of Documents"),
    ],
)
def test_what_is_no_list_of_documents_is_refused(rerank: RankPluginsRerank, documents: Any, words: str) -> None:
    """With and without a coroutine."""
    with pytest.raises(InputTypeError, match=words):
        rerank.compress_documents(documents, QUERY)
    with pytest.raises(InputTypeError, match=words):
        asyncio.run(rerank.acompress_documents(documents, QUERY))


def test_a_coroutine_leaves_the_default_executor_alone(rerank: RankPluginsRerank, documents: list[Document]) -> None:
    """Other libraries of the process wait for that one."""

    class Closed(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            pytest.fail("the default executor was used")

    async def main() -> list[Document]:
        asyncio.get_running_loop().set_default_executor(Closed())
        return await rerank.acompress_documents(documents, QUERY)

    assert asyncio.run(main()) == rerank.compress_documents(documents, QUERY)


def test_close_lets_go_of_what_was_made_here_only() -> None:
    """A Reranker that was given stays its owner's; a closed compressor still ranks."""
    recorder, encoder = Recorder(), HashEncoder(8)
    RankPluginsRerank(model=recorder).close()
    assert recorder.closed == 0
    rerank = RankPluginsRerank(model_kwargs={"encoder": encoder})
    rerank.close()
    assert len(rerank.compress_documents([Document(page_content="a")], "a")) == 1


def test_copies_pickles_and_dumps_are_compressors_with_the_same_fields(documents: list[Document]) -> None:
    """After use, when sessions and locks are there; `model_copy` may change the model too."""
    rerank = RankPluginsRerank(model_kwargs={"score": "mean"}, top_n=2)
    expected = rerank.compress_documents(documents, QUERY)
    copies = [
        pickle.loads(pickle.dumps(rerank)),  # noqa: S301 - made here
        copy.copy(rerank),
        copy.deepcopy(rerank),
        rerank.model_copy(deep=True),
        RankPluginsRerank(**rerank.model_dump()),
        RankPluginsRerank.model_validate_json(rerank.model_dump_json()),
    ]
    for one in copies:
        assert one.compress_documents(documents, QUERY) == expected
    other = rerank.model_copy(update={"model": Recorder(), "model_kwargs": None})
    assert contents(other.compress_documents(documents, QUERY)) == contents(documents[-2:-4:-1])


def test_model_and_options_stay_as_they_were_made() -> None:
    """A field that would change nothing any more cannot be set."""
    rerank = RankPluginsRerank()
    with pytest.raises(ValidationError, match="frozen"):
        rerank.model = "rank-fusion"
    assert issubclass(RankPluginsRerank, BaseDocumentCompressor)


def test_a_copy_that_many_threads_use_first_makes_one_reranker(documents: list[Document], tmp_path: Path) -> None:
    """A store that is written to can be open once."""
    options = {"encoder": HashEncoder(16), "store": str(tmp_path), "update": True}
    rerank = RankPluginsRerank(model_kwargs=options)
    copied = copy.copy(rerank)
    rerank.close()
    start = threading.Barrier(8)

    def rank(_: int) -> int:
        start.wait(30)
        return len(copied.compress_documents(documents, QUERY))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(rank, range(8))) == [3] * 8


def test_a_threshold_set_later_is_checked_when_it_is_used(rerank: RankPluginsRerank, documents: list[Document]) -> None:
    """NaN would leave out everything without a word."""
    rerank.score_threshold = float("nan")
    with pytest.raises(InputError, match="score_threshold: expected a number, got NaN"):
        rerank.compress_documents(documents, QUERY)


def test_a_document_without_text_is_an_empty_one(rerank: RankPluginsRerank) -> None:
    """The host refuses None, but not everywhere."""
    found = rerank.compress_documents([Document.model_construct(page_content=None), Document(page_content="a")], "a")
    assert [document.page_content for document in found] == ["a", None]
    assert found[1].metadata["relevance_score"] == -1e9


@given(st.lists(st.text(alphabet="ab \n", max_size=6), max_size=12), st.integers(1, 15))
def test_documents_come_back_once_with_their_own_scores(texts: list[str], top_n: int) -> None:
    """Whatever the texts: who is alone gets the same score, and the cut is the core's own ranking."""
    core = load("rank-maxsim", encoder=HashEncoder(16))
    rerank = RankPluginsRerank(model=core, top_n=None)
    documents = [Document(page_content=text, metadata={"at": i}) for i, text in enumerate(texts)]
    found = rerank.compress_documents(documents, "a b", top_n=top_n)
    ranking = list(core.rerank("a b", texts))[:top_n]
    assert [(d.metadata["at"], d.page_content) for d in found] == [(i, texts[i]) for i, _ in ranking]
    assert [d.metadata["relevance_score"] for d in found] == [max(score, -1e9) for _, score in ranking]


def test_an_id_of_two_texts_does_not_stop_a_store(tmp_path: Path) -> None:
    """Chunks of one page often share its id; a store keeps one text under an id, so it knows these by their texts."""
    documents = [Document(page_content=text, id="page") for text in ("red pie", "tea")]
    rerank = RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64), "store": str(tmp_path / "s"), "update": True})
    assert [document.page_content for document in rerank.compress_documents(documents, "red")] == ["red pie", "tea"]
    rerank.close()
