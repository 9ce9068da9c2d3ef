"""What calibrated MaxSim scores are worth on SciFact: fitted and thresholds chosen on train, measured on test.

    python benchmarks/calibration.py --data FOLDER [--scores FILE] [--svg FILE] [--json]

rank-maxsim with score="mean" over BM25's top 100. Calibration: the expected calibration error (15 bins of equal mass)
of the pairs of each list's top 10, beside that of score / Q clipped to [0, 1]. Abstention: the threshold whose 95 %
upper bound of the false-evidence rate on train is at most epsilon, with the queries of another collection as those
without evidence, every second one for train and the others for test. Nothing of test is used to choose anything.
--scores keeps the scores in a file, so that the next run computes none. Needs bm25s and PyStemmer.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import beir
import numpy as np

from rank_plugins.evaluation import calibration, evaluate
from rank_plugins.evaluation.abstention import counted
from rank_plugins.evaluation.reports import reliability_svg
from rank_plugins.evaluation.rerankers import evaluate_reranker
from rank_plugins.pipelines.cached import CachedReranker
from rank_plugins.pipelines.calibrated import CalibratedReranker
from rank_plugins.rerankers.maxsim import MaxSimReranker

METHODS = ("isotonic", "platt")
EPSILONS = (0.05, 0.10)
FOREIGN = ("cranfield", "nfcorpus")


@dataclasses.dataclass
class Half:
    """Queries of SciFact with judgments, and queries of other collections, with candidates in SciFact's corpus."""

    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    run: dict[str, dict[str, float]]
    foreign: dict[str, list[str]]  # collection: its queries here

    def of(self, collection: str) -> list[str]:
        """Return the queries with evidence and those of one other collection."""
        return [*self.qrels, *self.foreign[collection]]


def halves(folder: Path) -> tuple[dict[str, str], Half, Half]:
    """Return the corpus, train and test."""
    made = []
    for place, split in enumerate(("train.tsv", "test.tsv")):
        scifact = beir.load(folder / "scifact", split)
        queries, foreign = dict(scifact.queries), {}
        for name in FOREIGN:
            rows = beir._json_lines(folder / name / "queries.jsonl")[place::2]
            foreign[name] = [f"{name} {row['_id']}" for row in rows]
            queries |= {f"{name} {row['_id']}": row["text"] for row in rows}
        candidates, scores = beir.bm25(queries, scifact.documents, beir.CANDIDATES)
        run = {query: dict(zip(row, scores[query], strict=True)) for query, row in candidates.items()}
        made.append(Half(queries, scifact.qrels, run, foreign))
    return scifact.documents, made[0], made[1]


def errors(
    reranker: Any, fitted: dict[str, CalibratedReranker], corpus: dict[str, str], test: Half, svg: Path | None
) -> dict[str, float]:
    """Return the calibration errors on test."""
    raw = evaluate_reranker(reranker, test.queries, corpus, test.run, test.qrels, "ndcg@10", batch_size=64).run
    pairs = calibration.labelled(test.qrels, raw, at_k=10)
    given = {"score / Q, clipped": np.clip(pairs.scores, 0.0, 1.0)}
    given |= {method: one.calibrator(pairs.scores) for method, one in fitted.items()}
    if svg:
        svg.write_text(reliability_svg(given[METHODS[0]], pairs.labels, name=f"rank-maxsim, {METHODS[0]}"))
    return {name: calibration.ece(p, pairs.labels, bins=15, binning="mass") for name, p in given.items()}


def abstention(
    fitted: CalibratedReranker, corpus: dict[str, str], train: Half, test: Half, collection: str, epsilon: float
) -> dict[str, float]:
    """Choose a threshold on train, and return what it does there and on test."""
    names = train.of(collection)
    chosen = fitted.select(
        {query: train.queries[query] for query in names}, corpus, train.run, train.qrels, train.foreign[collection],
        max_false_evidence=epsilon, batch_size=64,
    )  # fmt: skip
    whole, cut = (answers(reranker, corpus, test, test.of(collection)) for reranker in (fitted, chosen))
    found = counted(np.array([0.0 if cut[query] else -np.inf for query in test.foreign[collection]]), 0.0, 0.95)
    ndcg = [
        evaluate(test.qrels, {query: given[query] for query in test.qrels}, "ndcg@10")["ndcg@10"]
        for given in (whole, cut)
    ]
    return {
        "threshold": chosen.selection.threshold,
        "train rate": chosen.selection.false_evidence.rate,
        "train bound": chosen.selection.false_evidence.upper,
        "test rate": found.rate,
        "test bound": found.upper,
        "test queries": found.n,
        "coverage": float(np.mean([bool(cut[query]) for query in test.qrels])),
        "ndcg@10 without": ndcg[0],
        "ndcg@10": ndcg[1],
    }


def answers(reranker: Any, corpus: dict[str, str], half: Half, queries: list[str]) -> dict[str, list[str]]:
    """Return the documents that a reranker returns for each query, best first."""
    documents = [list(half.run[query]) for query in queries]
    rankings = reranker.rerank_batch(
        [half.queries[query] for query in queries], [[corpus[name] for name in row] for row in documents]
    )
    return {
        query: [row[i] for i, _ in ranking] for query, row, ranking in zip(queries, documents, rankings, strict=True)
    }


def measure(folder: Path, scores: Path, svg: Path | None) -> dict[str, Any]:
    """Return all figures."""
    corpus, train, test = halves(folder)
    with CachedReranker(MaxSimReranker("minilm", score="mean", cache="2GB"), scores) as reranker:
        own = {query: train.queries[query] for query in train.qrels}
        fitted = {
            method: CalibratedReranker.fit(
                reranker, own, corpus, train.run, train.qrels, method=method, top_k=10, batch_size=64
            )
            for method in METHODS
        }
        return {
            "ece": errors(reranker, fitted, corpus, test, svg),
            "abstention": [
                {"calibrator": method, "without evidence": name, "epsilon": epsilon}
                | abstention(fitted[method], corpus, train, test, name, epsilon)
                for method in METHODS
                for name in FOREIGN
                for epsilon in EPSILONS
            ],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--scores", type=Path, help="file that keeps the scores for the next run")
    parser.add_argument("--svg", type=Path, help=f"write the reliability diagram of {METHODS[0]} on test")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    folder = beir.data_folder(options)
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(folder, options.scores or Path(scratch) / "scores.sqlite", options.svg)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print("| pairs of the top 10, SciFact test | ECE |\n|---|--:|")
    for name, error in found["ece"].items():
        print(f"| {name} | {error:.4f} |")
    print("\n| calibrator, without evidence | ε | threshold | train | test | answered | nDCG@10 |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for row in found["abstention"]:
        rates = [f"{row[f'{half} rate']:.3f} (≤ {row[f'{half} bound']:.3f})" for half in ("train", "test")]
        print(
            f"| {row['calibrator']}, {row['without evidence']} | {row['epsilon']:.2f} | {row['threshold']:.3f} |"
            f" {rates[0]} | {rates[1]} | {row['coverage']:.1%} |"
            f" {row['ndcg@10']:.4f} of {row['ndcg@10 without']:.4f} |"
        )


if __name__ == "__main__":
    main()
