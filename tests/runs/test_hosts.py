"""Objects of other libraries, the real ones."""

from __future__ import annotations

from typing import Any

import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import Ranking
from rank_plugins.runs.convert import as_qrels, as_run

TABLE = {"q": {"a": 0.75, "b": 0.5}, "r": {"c": 1.0}}


def test_ranx() -> None:
    ranx = pytest.importorskip("ranx")
    run = as_run(ranx.Run(TABLE, name="bm25"))
    assert run.to_dict() == TABLE
    assert run.name == "bm25"
    assert as_qrels(ranx.Qrels({"q": {"a": 1, "b": 2}})).to_dict() == {"q": {"a": 1, "b": 2}}


def test_what_looks_like_ranx() -> None:
    class Run:
        name = "bm25"

        def to_dict(self) -> dict[str, dict[str, float]]:
            return TABLE

    run = as_run(Run())
    assert run.to_dict() == TABLE
    assert run.name == "bm25"
    assert as_run(Run(), name="other").name == "other"


def test_ir_measures() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    rows = [ir_measures.ScoredDoc(query, doc, score) for query, row in TABLE.items() for doc, score in row.items()]
    assert as_run(rows).to_dict() == TABLE
    assert as_run(iter(rows)).to_dict() == TABLE
    qrels = as_qrels([ir_measures.Qrel("q", "a", 1), ir_measures.Qrel("q", "b", 0)])
    assert qrels.to_dict() == {"q": {"a": 1, "b": 0}}
    assert qrels.subtopics is None
    qrels = as_qrels([ir_measures.Qrel("q", "a", 1, "x"), ir_measures.Qrel("q", "a", 0, "y")])
    assert qrels.subtopics.tolist() == ["x", "y"]


def test_rerankers() -> None:
    results = pytest.importorskip("rerankers.results")
    documents = pytest.importorskip("rerankers.documents")

    def ranked(row: dict[str, float | None]) -> Any:
        found = [
            results.Result(document=documents.Document(text="the same", doc_id=name), score=score, rank=rank)
            for rank, (name, score) in enumerate(row.items(), 1)
        ]
        return results.RankedResults(results=found, query="what", has_scores=True)

    assert as_run({query: ranked(row) for query, row in TABLE.items()}).to_dict() == TABLE
    assert as_run({query: ranked(row).results for query, row in TABLE.items()}).to_dict() == TABLE
    run = as_run({"q": ranked({"b": None, "a": None})})
    assert run.ranked_only
    assert run.to_dict() == {"q": {"b": 2, "a": 1}}
    with pytest.raises(InputError, match="a score for all documents of query 'q' or for none, got 1"):
        as_run({"q": ranked({"a": 1.0, "b": None})})
    with pytest.raises(InputTypeError, match="got RankedResults"):
        as_run(ranked({"a": 1.0}))


def test_langchain() -> None:
    documents = pytest.importorskip("langchain_core.documents")

    def document(name: str | None, **metadata: Any) -> Any:
        return documents.Document(page_content="the same", id=name, metadata=metadata)

    table = {query: [document(d, relevance_score=s) for d, s in row.items()] for query, row in TABLE.items()}
    assert as_run(table).to_dict() == TABLE
    table = {query: [document(None, doc_id=d, score=s) for d, s in row.items()] for query, row in TABLE.items()}
    assert as_run(table).to_dict() == TABLE
    table = {query: [(document(d), s) for d, s in row.items()] for query, row in TABLE.items()}
    assert as_run(table).to_dict() == TABLE
    assert as_run({"q": [document("b"), document("a")]}).ranked_only


def test_pitfall_15_documents_are_never_known_by_their_text() -> None:
    documents = pytest.importorskip("langchain_core.documents")
    with pytest.raises(InputError, match="expected documents with ids, got one without for query 'q'"):
        as_run({"q": [documents.Document(page_content="the same", metadata={"relevance_score": 1.0})]})


def test_llama_index() -> None:
    schema = pytest.importorskip("llama_index.core.schema")

    def nodes(row: dict[str, float]) -> Any:
        return [
            schema.NodeWithScore(node=schema.TextNode(text="the same", id_=name), score=score)
            for name, score in row.items()
        ]

    assert as_run({query: nodes(row) for query, row in TABLE.items()}).to_dict() == TABLE
    assert as_run({"q": nodes({"b": None, "a": None})}).ranked_only


def test_our_rankings_come_with_ids() -> None:
    rankings = {"q": (Ranking([2, 0], [0.75, 0.5]), ["b", "x", "a"]), "r": (Ranking([0], [1.0]), ["c"])}
    assert as_run(rankings).to_dict() == TABLE
    with pytest.raises(InputTypeError, match=r"as \{'q': \(ranking, ids\)\}"):
        as_run({"q": Ranking([0], [1.0])})
    with pytest.raises(InputError, match="ids for all documents of query 'q', got 1"):
        as_run({"q": (Ranking([2, 0], [0.75, 0.5]), ["b"])})


def test_empty_results_stay_queries() -> None:
    assert as_run({"q": [], "r": [("c", 1.0)]}).to_dict() == {"q": {}, "r": {"c": 1.0}}
