"""BEIR's layout, in folders made here and in real ones."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from rank_plugins.datasets import load_beir, load_ir_datasets
from rank_plugins.errors import InputError

QUERIES = [{"_id": "q1", "text": "what is it", "metadata": {}}, {"_id": "q2", "text": "not in this split"}]
CORPUS = [{"_id": "d1", "title": "A title", "text": "and text"}, {"_id": "d2", "text": "no title"}]


@pytest.fixture
def folder(tmp_path: Path):
    """Write a collection."""

    def written(queries: Any = QUERIES, corpus: Any = CORPUS, qrels: str = "q1\td1\t2\nq1\td2\t0.5\n") -> Path:
        (tmp_path / "qrels").mkdir(exist_ok=True)
        for name, rows in (("queries", queries), ("corpus", corpus)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
        return tmp_path

    return written


def test_a_folder(folder) -> None:
    collection = load_beir(folder())
    queries, corpus, qrels = collection
    assert queries == {"q1": "what is it"}
    assert corpus == {"d1": {"title": "A title", "text": "and text"}, "d2": {"title": "", "text": "no title"}}
    assert qrels == {"q1": {"d1": 2, "d2": 0.5}}
    assert collection.qrels is qrels


def test_pitfall_11_queries_that_are_documents(folder) -> None:
    corpus = [*CORPUS, {"_id": "q1", "title": "what is", "text": "it"}]
    path = folder(corpus=corpus, qrels="q1\tq1\t1\nq1\td1\t1\n")
    with pytest.warns(UserWarning, match=r"1 of 1 queries are documents .*drop_identical_ids=True"):
        assert load_beir(path).qrels == {"q1": {"q1": 1, "d1": 1}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_beir(path, drop_identical_ids=True).qrels == {"q1": {"d1": 1}}
        load_beir(folder(corpus=[*CORPUS, {"_id": "q1", "text": "another text"}]))  # equal ids, by chance


def test_what_is_wrong_is_said(folder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a split among test, got 'dev'"):
        load_beir(folder(), "dev")
    with pytest.raises(InputError, match=r"got 1 others, such as 'q3'"):
        load_beir(folder(qrels="q3\td1\t1\n"))
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 3: expected every id once, got 'd1' again"):
        load_beir(folder(corpus=[*CORPUS, CORPUS[0]]))
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1: expected an object with an id \(_id\) and text"):
        load_beir(folder(corpus=[{"_id": "d1"}]))
    with pytest.raises(InputError, match=r"'scifcat'; did you mean 'scifact'\?"):
        load_beir("scifcat")
    (folder() / "queries.jsonl").unlink()
    with pytest.raises(InputError, match=r"queries\.jsonl: expected a file, found none"):
        load_beir(tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "documents", "queries", "judgments"),
    [
        ("scifact", "test", 5183, 300, 339),
        ("scifact", "train", 5183, 809, 919),
        ("nfcorpus", "test", 3633, 323, 12334),
        ("limit-small", "test", 46, 1000, 2000),
        ("cranfield", "test", 1400, 225, 1837),
        ("trec-dl19-pool", "test.full", 11843, 43, 9260),
    ],
)
def test_real_collections_have_their_published_sizes(
    data: Path, name: str, split: str, documents: int, queries: int, judgments: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collection = load_beir(data / name, split)
    assert len(collection.corpus) == documents
    assert len(collection.queries) == len(collection.qrels) == queries
    assert sum(map(len, collection.qrels.values())) == judgments


def test_ir_datasets(tmp_path: Path) -> None:
    ir_datasets = pytest.importorskip("ir_datasets")
    (tmp_path / "docs.tsv").write_text("d1\tfirst text\nd2\tsecond text\n")
    (tmp_path / "queries.tsv").write_text("q1\twhat is it\nq2\tnot judged\n")
    (tmp_path / "qrels").write_text("q1 0 d1 2\n")
    paths = {
        f"{what}": str(tmp_path / name) for what, name in (("docs_tsv", "docs.tsv"), ("queries_tsv", "queries.tsv"))
    }
    queries, corpus, qrels = load_ir_datasets(ir_datasets.create_dataset(**paths, qrels_trec=str(tmp_path / "qrels")))
    assert queries == {"q1": "what is it"}
    assert corpus == {"d1": {"title": "", "text": "first text"}, "d2": {"title": "", "text": "second text"}}
    assert qrels == {"q1": {"d1": 2}}
    with pytest.raises(InputError, match="found no qrels"):
        load_ir_datasets(ir_datasets.create_dataset(**paths))
    with pytest.raises(InputError, match="expected the id of a dataset, got 'no/such'"):
        load_ir_datasets("no/such")
