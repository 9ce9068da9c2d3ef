"""The table of bad input: nothing crashes, and no document is lost or reordered silently."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

from rank_plugins.errors import InputTypeError
from rank_plugins_rerankers import MaxSimRanker

QUERIES = {
    "1 MB": "apple " * 170_000,
    "one character": "a",
    "emoji": "\U0001f34e \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "right to left": "\u05ea\u05e4\u05d5\u05d7 \u0623\u062d\u0645\u0631",
    "NUL": "red\x00 apple",
    "only NUL": "\x00",
    "lone surrogate": "red \ud83c apple",
}
DOCUMENTS = {
    "one character": ["a", "b", ".", "\u00e9"],
    "whitespace": [" ", "\t\n", "", "\u00a0\u3000"],
    "emoji": ["\U0001f34e", "\U0001f34f red", "\U0001f1e9\U0001f1ea"],
    "right to left": ["\u05ea\u05e4\u05d5\u05d7", "\u0623\u062d\u0645\u0631 red", "\u202ered\u202c"],
    "NUL": ["\x00", "red\x00apple", "red \x00 apple"],
    "lone surrogates": ["\ud800", "red \udfff apple", "\udc00\ud800"],
    "1 MB": ["apple " * 170_000, "red"],
    "equal": ["red apple", "red apple", "red apple"],
    "long word": ["x" * 100_000, "red"],
}


@pytest.mark.parametrize("docs", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_nothing_is_lost(ranker: MaxSimRanker, query: str, docs: list[str]) -> None:
    """Every document comes back once with its own text and metadata, in an order that its score explains."""
    names = [f"d{i}" for i in range(len(docs))]
    results = ranker.rank(query, docs, names, [{"n": i} for i in range(len(docs))])
    assert sorted(result.doc_id for result in results) == names
    assert all(result.text == docs[result.n] and result.doc_id == names[result.n] for result in results)
    keys = [(-result.score, result.n) for result in results]
    assert keys == sorted(keys)
    assert [result.rank for result in results] == list(range(1, len(docs) + 1))


def test_ten_thousand_documents(ranker: MaxSimRanker) -> None:
    """A long list is ranked whole; ties among equal texts keep its order."""
    docs = [f"word{i % 50} red" if i % 7 else " " for i in range(10_000)]
    docs[1234] = "red apple"
    results = ranker.rank("red apple", docs)
    assert results.results_count() == 10_000
    assert results[0].doc_id == 1234
    assert sorted(result.doc_id for result in results) == list(range(10_000))
    keys = [(-result.score, result.doc_id) for result in results]
    assert keys == sorted(keys)


@pytest.mark.parametrize("query", [None, 5, b"red", ["red"]], ids=["None", "int", "bytes", "list"])
def test_queries_that_are_no_text(ranker: MaxSimRanker, query: Any) -> None:
    """A query of another type is refused by name and type."""
    with pytest.raises(InputTypeError, match="query: expected a str"):
        ranker.rank(query, ["red"])
    with pytest.raises(InputTypeError, match="query: expected a str"):
        ranker.score(query, "red")


def test_none_among_many_documents(ranker: MaxSimRanker) -> None:
    """None is neither skipped nor scored as text: the error names its place."""
    with pytest.raises(InputTypeError, match=r"docs\[500\]: expected a str or a rerankers.Document, got NoneType"):
        ranker.rank("red", [*["red"] * 500, None])  # type: ignore[list-item]


def test_a_surrogate_stays_in_the_result(ranker: MaxSimRanker) -> None:
    """The text that comes back is the caller's, although the encoder saw a replacement character."""
    assert ranker.rank("red", ["\ud83c red"])[0].text == "\ud83c red"
