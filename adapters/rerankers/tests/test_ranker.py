"""MaxSimRanker: what goes in, what comes out, and that nothing of the caller's is changed."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

from rerankers import Document
from rerankers.models.ranker import BaseRanker
from rerankers.results import RankedResults, Result

from rank_plugins import rerankers as core
from rank_plugins.errors import InputError, InputTypeError, RankPluginsError
from rank_plugins.rerankers.reranker import Request
from rank_plugins_rerankers import MaxSimRanker, Reranker

TEXTS = ["green tea leaves", "the red apple", "an apple pie", "a red apple tree"]
QUERY = "red apple"


def order(query: str, texts: list[str], toy: Any) -> list[int]:
    """Return the ranking of the core, to which the adapter must add nothing."""
    return [index for index, _ in core.load("rank-maxsim", encoder=toy).rerank(query, texts)]


def ids(results: RankedResults) -> list[Any]:
    return [result.doc_id for result in results]


def snapshot(documents: list[Document]) -> list[dict[str, Any]]:
    return [copy.deepcopy(vars(document)) for document in documents]


def test_results_are_the_hosts_own(ranker: MaxSimRanker) -> None:
    """A list of str gives rerankers' RankedResults of Results, ranks from 1, float scores, positions as ids."""
    results = ranker.rank(QUERY, TEXTS)
    assert isinstance(results, RankedResults)
    assert results.has_scores
    assert results.query == QUERY
    assert results.results_count() == len(TEXTS)
    assert [result.rank for result in results] == [1, 2, 3, 4]
    assert all(type(result) is Result and type(result.score) is float for result in results)
    assert all(type(result.document) is Document for result in results)
    assert [result.text for result in results] == [TEXTS[result.doc_id] for result in results]
    assert results.top_k(2) == results.results[:2]
    json.dumps([(result.doc_id, result.score) for result in results])


def test_order_and_scores_are_those_of_the_core(ranker: MaxSimRanker, toy: Any) -> None:
    """The adapter neither reorders nor rescales what rank_plugins returns."""
    expected = list(core.load("rank-maxsim", encoder=toy).rerank(QUERY, TEXTS))
    results = ranker.rank(QUERY, TEXTS)
    assert [(result.doc_id, result.score) for result in results] == expected
    assert {result.doc_id for result in results.results[:2]} == {1, 3}
    assert results.get_score_by_docid(1) == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize("many", [list, tuple, np.array], ids=["list", "tuple", "array"])
def test_sequences_of_text(ranker: MaxSimRanker, many: Any) -> None:
    """Any ordered collection of texts ranks as a list does."""
    assert ids(ranker.rank(QUERY, many(TEXTS))) == ids(ranker.rank(QUERY, TEXTS))


@pytest.mark.parametrize("doc", ["a red apple", Document("a red apple")], ids=["str", "Document"])
def test_one_document(ranker: MaxSimRanker, doc: Any) -> None:
    """A single text or Document gives one Result with rank 1 and a score."""
    results = ranker.rank(QUERY, doc)
    assert results.results_count() == 1
    assert (results[0].rank, results[0].doc_id, results[0].text) == (1, 0, "a red apple")
    assert results[0].score == ranker.score(QUERY, doc) == pytest.approx(2.0, abs=1e-5)


def test_one_document_with_id_and_metadata(ranker: MaxSimRanker) -> None:
    """A single text takes a list of one id and of one dict."""
    result = ranker.rank(QUERY, "a red apple", ["a"], [{"year": 1}])[0]
    assert (result.doc_id, result.year) == ("a", 1)


def test_ids_and_metadata_of_the_call(ranker: MaxSimRanker, toy: Any) -> None:
    """Ids and metadata given beside texts follow them through the ranking."""
    metadata = [{"place": place} for place in range(len(TEXTS))]
    results = ranker.rank(QUERY, TEXTS, ["a", "b", "c", "d"], metadata)
    expected = order(QUERY, TEXTS, toy)
    assert ids(results) == ["abcd"[i] for i in expected]
    assert [result.place for result in results] == expected
    assert [result.text for result in results] == [TEXTS[i] for i in expected]


def test_documents_keep_ids_and_metadata(ranker: MaxSimRanker, toy: Any) -> None:
    """Ids of any type and metadata of Documents come back on the right document."""
    given: list[Any] = ["a", 7, ("t", 1), "d"]
    documents = [
        Document(text, doc_id=doc_id, metadata={"place": i})
        for i, (text, doc_id) in enumerate(zip(TEXTS, given, strict=True))
    ]
    results = ranker.rank(QUERY, documents)
    expected = order(QUERY, TEXTS, toy)
    assert ids(results) == [given[i] for i in expected]
    assert [result.metadata for result in results] == [{"place": i} for i in expected]


def test_documents_without_ids_get_positions(ranker: MaxSimRanker, toy: Any) -> None:
    """Where no Document has an id, positions are stored as ids, which the host's own helper forgets to do."""
    documents = [Document(text) for text in TEXTS]
    assert ids(ranker.rank(QUERY, documents)) == order(QUERY, TEXTS, toy)
    assert [document.doc_id for document in documents] == [None] * 4


def test_some_ids(ranker: MaxSimRanker, toy: Any) -> None:
    """Where only some have an id no id is invented, for it could be the id of another document."""
    documents = [Document(TEXTS[0], doc_id=1), *TEXTS[1:3], Document(TEXTS[3])]
    results = ranker.rank(QUERY, documents)
    expected = order(QUERY, TEXTS, toy)
    assert ids(results) == [1 if i == 0 else None for i in expected]
    assert [result.text for result in results] == [TEXTS[i] for i in expected]


def test_mixed_texts_and_documents(ranker: MaxSimRanker, toy: Any) -> None:
    """Texts and Documents may stand in one list."""
    results = ranker.rank(QUERY, [TEXTS[0], Document(TEXTS[1]), TEXTS[2], Document(TEXTS[3])])
    assert ids(results) == order(QUERY, TEXTS, toy)


def test_explicit_ids_and_metadata_replace(ranker: MaxSimRanker) -> None:
    """Ids and metadata of the call go before those of the Documents, silently and on copies."""
    documents = [Document(text, doc_id=i, metadata={"old": 1}) for i, text in enumerate(TEXTS)]
    before = snapshot(documents)
    results = ranker.rank(QUERY, documents, list("abcd"), [{"new": i} for i in range(4)])
    assert sorted(ids(results)) == list("abcd")
    assert all(result.metadata == {"new": "abcd".index(result.doc_id)} for result in results)
    assert snapshot(documents) == before


def test_nothing_of_the_caller_is_changed(ranker: MaxSimRanker) -> None:
    """Lists, dicts and Documents are as before, and writing to a result does not reach them."""
    documents = [Document(text, metadata={"n": i}) for i, text in enumerate(TEXTS)]
    metadata: list[dict[str, Any]] = [{"m": i} for i in range(4)]
    doc_ids = list("abcd")
    before = snapshot(documents)
    for results in (ranker.rank(QUERY, documents), ranker.rank(QUERY, TEXTS, doc_ids, metadata)):
        for result in results:
            result.document.metadata["relevance"] = result.score
            result.document.doc_id = "written"
    assert snapshot(documents) == before
    assert (doc_ids, metadata) == (list("abcd"), [{"m": i} for i in range(4)])


def test_attributes_of_a_subclass_survive(ranker: MaxSimRanker) -> None:
    """A Document of the caller's own class comes back as that class with everything on it."""

    class Page(Document):  # type: ignore[misc, unused-ignore]
        number = 0

    page = Page("a red apple")
    page.number = 5
    result = ranker.rank(QUERY, [page, "tea"])[0]
    assert isinstance(result.document, Page)
    assert result.document.number == 5


def test_equal_texts_stay_apart(ranker: MaxSimRanker) -> None:
    """Two documents of the same text are two results, in input order, each with its own id and metadata."""
    texts = ["a red apple", "tea", "a red apple", "tea"]
    results = ranker.rank(QUERY, texts, ["w", "x", "y", "z"], [{"n": i} for i in range(4)])
    assert ids(results) == ["w", "y", "x", "z"]
    assert [result.n for result in results] == [0, 2, 1, 3]
    assert results[0].score == results[1].score


def test_equal_ids_stay_apart(ranker: MaxSimRanker) -> None:
    """An id given twice loses no document."""
    results = ranker.rank(QUERY, TEXTS, ["same"] * 4)
    assert sorted(result.text for result in results) == sorted(TEXTS)


@pytest.mark.parametrize("empty", [[], ()], ids=["list", "tuple"])
def test_no_documents(empty: Any) -> None:
    """An empty list gives empty results, even with the embedded encoder, which is not loaded for it."""
    ranker = Reranker("rank-maxsim", verbose=0)
    results = ranker.rank("", empty)
    assert isinstance(results, RankedResults)
    assert (results.results_count(), list(results), results.top_k(3)) == (0, [], [])
    assert ranker.reranker._encoder is None


def test_a_document_without_tokens_comes_last(ranker: MaxSimRanker) -> None:
    """Whitespace scores -1e9 where the core says -inf, so that sums, sorting and JSON work."""
    results = ranker.rank(QUERY, ["  ", "tea", ""])
    assert ids(results) == [1, 0, 2]
    assert [result.score for result in results.results[1:]] == [-1e9, -1e9]
    assert ranker.score(QUERY, "") == -1e9


@pytest.mark.parametrize("query", ["", "  \n\t"], ids=["empty", "whitespace"])
def test_empty_query(ranker: MaxSimRanker, query: str) -> None:
    """A query without text is refused, not ranked as if it had some."""
    with pytest.raises(InputError, match="query: expected text"):
        ranker.rank(query, TEXTS)
    with pytest.raises(InputError, match="query: expected text"):
        ranker.score(query, "text")


def test_a_score_does_not_depend_on_neighbours(ranker: MaxSimRanker) -> None:
    """`score` gives what `rank` gives, whatever stands beside the document."""
    for result in ranker.rank(QUERY, TEXTS):
        assert ranker.score(QUERY, result.text) == result.score


def test_score_takes_one_document(ranker: MaxSimRanker) -> None:
    """`score` of a list is an error, not the first or a vector."""
    with pytest.raises(InputTypeError, match="doc: expected a str or a rerankers.Document, got list"):
        ranker.score(QUERY, ["text"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"doc_ids": ["a"]}, r"doc_ids: expected 4 of them \(one per document\), got 1"),
        ({"doc_ids": []}, "doc_ids: expected 4"),
        ({"doc_ids": list("abcde")}, "doc_ids: expected 4 of them .* got 5"),
        ({"doc_ids": "abcd"}, "doc_ids: expected a list, got str"),
        ({"doc_ids": {"a", "b", "c", "d"}}, "doc_ids: expected a list, got set"),
        ({"metadata": [{}]}, "metadata: expected 4 of them .* got 1"),
        ({"metadata": {"a": 1}}, "metadata: expected a list, got dict"),
        ({"metadata": [{}, {}, "x", {}]}, r"metadata\[2\]: expected a dict, got str"),
    ],
)
@pytest.mark.parametrize("kind", [str, Document], ids=["str", "Document"])
def test_columns_that_do_not_fit(ranker: MaxSimRanker, options: dict[str, Any], message: str, kind: Any) -> None:
    """Ids or metadata that are not parallel to the documents are refused, for texts and Documents alike."""
    with pytest.raises((InputError, InputTypeError), match=message):
        ranker.rank(QUERY, [kind(text) for text in TEXTS], **options)


def test_columns_beside_no_documents(ranker: MaxSimRanker) -> None:
    """An id too many is an error for an empty list too."""
    with pytest.raises(InputError, match="doc_ids: expected 0 of them"):
        ranker.rank(QUERY, [], doc_ids=["a"])


@pytest.mark.parametrize(
    ("docs", "message"),
    [
        (None, "docs: expected a str, a Document or a list of them, got NoneType"),
        (5, "docs: expected .* got int"),
        (b"bytes", "docs: expected .* got bytes"),
        ({"a": "b"}, "docs: expected .* got dict"),
        ((text for text in TEXTS), "docs: expected .* got generator"),
        (["a", None], r"docs\[1\]: expected a str or a rerankers.Document, got NoneType"),
        ([["a"]], r"docs\[0\]: expected a str or a rerankers.Document, got list"),
        (["a", Document(document_type="image", base64="x")], r"docs\[1\]: expected a Document of text, .*'image'"),
        ([Document(5)], r"docs\[0\].text: expected a str, got int"),
    ],
)
def test_documents_that_are_none(ranker: MaxSimRanker, docs: Any, message: str) -> None:
    """What is no text is refused with its place, never turned into text."""
    with pytest.raises((InputError, InputTypeError), match=message):
        ranker.rank(QUERY, docs)


def test_options_reach_load(toy: Any) -> None:
    """Keyword options go to `rank_plugins.rerankers.load`: "mean" divides by the tokens of the query."""
    raw = Reranker("rank-maxsim", verbose=0, encoder=toy, threads=1).rank(QUERY, TEXTS)
    mean = Reranker("rank-maxsim", verbose=0, encoder=toy, score="mean").rank(QUERY, TEXTS)
    assert ids(mean) == ids(raw)
    assert [result.score for result in mean] == pytest.approx([result.score / 2 for result in raw])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "max"}, "score: expected one of sum, mean, got 'max'"),
        ({"threads": 0}, "threads: expected at least 1"),
        ({"encoder": 5}, "encoder: expected a name, a folder or an Encoder, got int"),
        ({"encoder": "toy", "batch": 3}, "batch cannot change an Encoder"),
    ],
)
def test_options_that_cannot_be_used(toy: Any, options: dict[str, Any], message: str) -> None:
    """A wrong option is an error of the factory's call, never None."""
    options = {key: toy if value == "toy" else value for key, value in options.items()}
    with pytest.raises(RankPluginsError, match=message):
        Reranker("rank-maxsim", verbose=0, **options)


def test_an_unknown_option_of_the_encoder() -> None:
    """An unknown option beside an encoder that is loaded later is an error at once, not a silent default."""
    with pytest.raises(InputTypeError, match="banana"):
        Reranker("rank-maxsim", verbose=0, encoder="minilm", banana=1)


@pytest.mark.parametrize("name", ["rank-maxsin", "", "./models/rank-maxsim", None, 5, ["rank-maxsim"]])
def test_names_that_are_none(name: Any) -> None:
    """The class itself says which names it takes and where a folder goes."""
    with pytest.raises(InputError, match="model_name: expected one of rank-maxsim.*got .*passed as encoder="):
        MaxSimRanker(name)


def test_a_reranker_instance(toy: Any) -> None:
    """A reranker of rank_plugins made by hand is used as it is, and takes no options any more."""
    made = core.load("rank-maxsim", encoder=toy, score="mean")
    assert MaxSimRanker(made).rank(QUERY, TEXTS)[0].score == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(InputTypeError, match="score cannot change a Reranker that is already made"):
        MaxSimRanker(made, score="sum")


class Faulty(core.Reranker):
    """Looks up a key that is not there, as a defect of somebody's reranker could."""

    def _rank(self, requests: Any, top_k: int | None) -> list[core.Ranking]:
        raise KeyError("missing")


def test_no_key_error_escapes_from_scoring() -> None:
    """A KeyError while ranking becomes an error of this package with the key in it."""
    ranker = MaxSimRanker(Faulty())
    for call in (ranker.rank, ranker.score):
        with pytest.raises(RankPluginsError, match="failed to look up 'missing'") as caught:
            call(QUERY, "text")
        assert not isinstance(caught.value, KeyError)


class Watching(core.Reranker):
    """Keeps the requests that reach it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def _rank(self, requests: Any, top_k: int | None) -> list[core.Ranking]:
        self.requests += requests
        return [core.Ranking.from_scores(np.zeros(len(request.documents)), top_k) for request in requests]


def test_ids_that_are_all_text_reach_the_reranker() -> None:
    """Stable names go on to the reranker for its store; positions and numbers do not, for they name nothing."""
    watching = Watching()
    ranker = MaxSimRanker(watching)
    ranker.rank(QUERY, ["x", "y"], ["a", "b"])
    ranker.rank(QUERY, ["x", "y"], [1, 2])
    ranker.rank(QUERY, ["x", "y"])
    assert [request.ids for request in watching.requests] == [["a", "b"], None, None]


def test_it_is_a_ranker_of_the_host(ranker: MaxSimRanker) -> None:
    """Code that checks for the host's base class, or reads its attributes, finds them."""
    assert isinstance(ranker, BaseRanker)
    assert (ranker.verbose, ranker.ranking_type) == (0, "pointwise")


def test_close(toy: Any) -> None:
    """Closing leaves an encoder open that the caller made."""
    ranker = Reranker("rank-maxsim", verbose=0, encoder=toy)
    ranker.close()
    assert not toy.closed
    assert ranker.rank(QUERY, TEXTS).results_count() == 4


def test_close_leaves_a_reranker_open_that_the_caller_made() -> None:
    """Others may use it."""

    class Owned(core.Reranker):
        closed = False

        def _rank(self, requests: Any, top_k: int | None) -> list[core.Ranking]:
            raise NotImplementedError

        def close(self) -> None:
            self.closed = True

    owned = Owned()
    MaxSimRanker(owned).close()
    assert not owned.closed
