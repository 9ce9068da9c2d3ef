"""Test collections in BEIR's layout, the BM25 first stage and nDCG, for the benchmarks."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

CANDIDATES = 100


@dataclasses.dataclass
class Collection:
    """Queries with judgments, their documents, and candidates (up to the depth asked for) in first-stage order."""

    name: str
    queries: dict[str, str]
    documents: dict[str, str]
    qrels: dict[str, dict[str, int]]
    candidates: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    scores: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # of the candidates, from BM25 alone


def data_option(parser: argparse.ArgumentParser) -> None:
    """Add --data, whose default is RANK_PLUGINS_DATA."""
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("RANK_PLUGINS_DATA"), help="folder of the test collections"
    )


def data_folder(options: argparse.Namespace) -> Path:
    """Return the folder, or end with a message that says how to name it."""
    if not options.data or not Path(options.data).is_dir():
        sys.exit("name the folder of test collections: --data FOLDER or RANK_PLUGINS_DATA")
    return Path(options.data)


def load(folder: Path, qrels: str = "test.tsv", run: str | None = None, depth: int = CANDIDATES) -> Collection:
    """Read a collection; candidates, `depth` for a query, come from the TREC run of that name, or from BM25."""
    documents = {
        row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in _json_lines(folder / "corpus.jsonl")
    }
    judged = _qrels(folder / "qrels" / qrels)
    queries = {row["_id"]: row["text"] for row in _json_lines(folder / "queries.jsonl") if row["_id"] in judged}
    collection = Collection(folder.name, queries, documents, judged)
    if run:
        collection.candidates = _trec_run(folder / "runs" / run, depth)
    else:
        collection.candidates, collection.scores = bm25(queries, documents, depth)
    return collection


def bm25(
    queries: dict[str, str], documents: dict[str, str], depth: int
) -> tuple[dict[str, list[str]], dict[str, list[float]]]:
    """Return the best documents of each query, and their scores, by bm25s: Lucene, k1 0.9, b 0.4, English stems."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")

    def tokenize(texts: list[str]) -> object:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    index.index(tokenize(list(documents.values())), show_progress=False)
    ids = list(documents)
    found, scores = index.retrieve(
        tokenize(list(queries.values())), k=min(depth, len(ids)), show_progress=False, n_threads=1
    )
    ranked = {query: [ids[i] for i in row] for query, row in zip(queries, found.tolist(), strict=True)}
    return ranked, dict(zip(queries, scores.tolist(), strict=True))


def ndcg(collection: Collection, rankings: dict[str, list[str]], depth: int = 10) -> float:
    """Return the mean nDCG over all judged queries, by trec_eval through pytrec_eval."""
    import pytrec_eval

    run = {query: {document: -float(rank) for rank, document in enumerate(ids)} for query, ids in rankings.items()}
    measured = pytrec_eval.RelevanceEvaluator(collection.qrels, {f"ndcg_cut.{depth}"}).evaluate(run)
    return sum(scores[f"ndcg_cut_{depth}"] for scores in measured.values()) / len(collection.qrels)


def _json_lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged.setdefault(query, {})[document] = int(grade)
    return judged


def _trec_run(path: Path, depth: int) -> dict[str, list[str]]:
    ranked: dict[str, list[tuple[float, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, document, _, score, _ = line.split()
        ranked.setdefault(query, []).append((-float(score), document))
    return {query: [document for _, document in sorted(rows)[:depth]] for query, rows in ranked.items()}
