"""The best 10 of BM25's top 1,000 on SciFact without scoring all in full: screened in int8, and by heuristics.

    python benchmarks/screening.py --data FOLDER [--cache FILE.npz] [--queries N] [--levels avx512 ...] [--runs N]
                                   [--json]

Token embeddings are the embedded encoder's (K 384); --cache keeps them (3 GB; encoding takes minutes) and uses
them when they are there. Times are of one thread, from a query's vectors and a selection of 1,000 documents to the
ten best, medians over queries; "x float32" is the median over queries of the time of scoring all in float32 divided
by that of the row, at the same level and in turns. "in full" is the share of documents scored in float32. The screen
must give float32's own result for every query, or the run ends; the heuristics (alpha 0.05 on BM25's scores, beta 4
in BM25's order, see maxsim_top_k) may not, so their agreement and nDCG@10 stand beside.

The aims of the screen: 2.5 times as fast with AMX, 1.5 times at avx512, and on random vectors, where nothing can be
ruled out, at most 1.3 times as long. Needs bm25s, PyStemmer and pytrec-eval-terrier.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any
from unittest import mock

import beir
import numpy as np
from _timing import Contender, machine, print_table, take_turns
from numpy.typing import NDArray
from storage import encoded, positions

from rank_plugins import TokenEmbeddings, _topk, maxsim_top_k, simd
from rank_plugins.quantize import quantize

DEPTH, TOP_K = 1000, 10
ALPHA, BETA = 0.05, 4
LEVELS = ("avx2", "avx512", "amx", "neon")
RANDOM_QUERIES = 20


class Counting(_topk.Queries):
    """Queries that count the documents they score in full."""

    counted = 0

    def scores(self, documents: TokenEmbeddings, threads: int) -> NDArray[np.float32]:
        """Score as ever."""
        if documents.dtype == "float32":
            Counting.counted += len(documents)
        return super().scores(documents, threads)


def methods(screen: TokenEmbeddings, first_scores: Any) -> dict[str, dict[str, Any]]:
    """Return the rows: the options of maxsim_top_k for each."""
    rows: dict[str, dict[str, Any]] = {"float32": {}, "screen": {"screen": screen}}
    if first_scores is not None:
        rows["alpha"] = {"first_scores": first_scores, "alpha": ALPHA}
        rows["beta"] = {"first_scores": first_scores, "beta": BETA}
        rows["alpha, beta"] = rows["alpha"] | rows["beta"]
    return rows


def one_query(
    query: NDArray[Any], documents: TokenEmbeddings, screen: TokenEmbeddings, first_scores: Any, runs: int
) -> dict[str, dict[str, Any]]:
    """Return of every method its seconds, its best documents and the share it scored in full."""
    found: dict[str, dict[str, Any]] = {}
    turns = {}
    for name, options in methods(screen, first_scores).items():

        def call(options: dict[str, Any] = options) -> Any:
            return maxsim_top_k(query, documents, TOP_K, threads=1, **options)

        Counting.counted = 0
        with mock.patch.object(_topk, "Queries", Counting):
            best, scores = call()
        found[name] = {"best": best, "scores": scores, "in full": Counting.counted / len(documents)}
        turns[name] = Contender(call)
    exact, screened = found["float32"], found["screen"]
    if not (np.array_equal(exact["best"], screened["best"]) and np.array_equal(exact["scores"], screened["scores"])):
        raise SystemExit(f"screen: expected float32's best {exact['best']}, got {screened['best']}")
    for name, seconds in take_turns(turns, runs, warm=False).items():
        found[name]["seconds"] = seconds
    return found


def summary(found: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return a row per method: medians of times and of ratios, means of shares."""
    return {
        name: {
            "ms": statistics.median(query[name]["seconds"] for query in found) * 1e3,
            "x float32": statistics.median(query["float32"]["seconds"] / query[name]["seconds"] for query in found),
            "in full": statistics.fmean(query[name]["in full"] for query in found),
            "same top 10": statistics.fmean(
                len({*query[name]["best"].tolist()} & {*query["float32"]["best"].tolist()})
                / len(query["float32"]["best"])
                for query in found
            ),
        }
        for name in found[0]
    }


def scifact(collection: beir.Collection, cache: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    """Return the rows of every level on real text."""
    full, vectors = encoded(collection, cache)
    screen = quantize(full, "int8")
    names, ids = list(collection.queries), list(collection.documents)
    candidates = positions(collection)
    picked = sorted({*np.linspace(0, len(names) - 1, options.queries or len(names)).astype(int).tolist()})
    part = dataclasses.replace(collection, qrels={names[m]: collection.qrels[names[m]] for m in picked})
    results = {}
    for level in options.levels:
        found = []
        with simd.limit(level):
            for m in picked:
                first = np.array(collection.scores[names[m]], np.float32)
                chosen = candidates[m]
                found.append(one_query(vectors[m], full[chosen], screen[chosen], first, options.runs))
        rows = summary(found)
        for name in rows:
            best = {names[m]: [ids[candidates[m][i]] for i in f[name]["best"]] for m, f in zip(picked, found)}  # noqa: B905
            rows[name]["nDCG@10"] = beir.ndcg(part, best)
        results[f"SciFact, {len(picked)} queries, {level}"] = rows
    return results


def random_vectors(options: argparse.Namespace) -> dict[str, Any]:
    """Return the rows of every level on vectors of which the screen can rule out none."""
    rng = np.random.default_rng(0)

    def unit(count: int) -> NDArray[np.float32]:
        vectors = rng.standard_normal((count, 128), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    offsets = np.concatenate(([0], np.cumsum(rng.integers(20, 301, DEPTH))))
    documents = TokenEmbeddings(unit(int(offsets[-1])), offsets)
    screen = quantize(documents, "int8")
    queries = [unit(32) for _ in range(RANDOM_QUERIES)]
    results = {}
    for level in options.levels:
        with simd.limit(level):
            found = [one_query(query, documents, screen, None, options.runs) for query in queries]
        results[f"random vectors, K 128, Q 32, {RANDOM_QUERIES} queries, {level}"] = summary(found)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    levels = [level for level in simd.supported() if level in LEVELS]
    parser.add_argument("--cache", type=Path, help="file that keeps the token embeddings")
    parser.add_argument("--queries", type=int, help="how many of SciFact's, evenly spread; default: all")
    parser.add_argument("--levels", nargs="+", choices=simd.supported()[1:], default=levels, metavar="LEVEL")
    parser.add_argument("--runs", type=int, default=3, help="turns per query")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    collection = beir.load(beir.data_folder(options) / "scifact", depth=DEPTH)
    results = random_vectors(options) | scifact(collection, options.cache, options)
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    print(f"{machine()}; one thread; the best {TOP_K} of {DEPTH:,} documents; screen: identical for every query")
    for title, rows in results.items():
        print(f"\n### {title}\n")
        lines = []
        for name, row in rows.items():
            cells = [f"{row['ms']:.2f}", f"{row['x float32']:.2f}", f"{100 * row['in full']:.1f} %"]
            quality = f"{row['nDCG@10']:.4f}" if "nDCG@10" in row else ""
            lines.append([name, *cells, f"{row['same top 10']:.3f}", quality])
        print_table(["", "ms", "x float32", "in full", "same top 10", "nDCG@10"], lines)


if __name__ == "__main__":
    main()
