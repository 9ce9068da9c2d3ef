"""What each way to keep documents costs in nDCG@10: BM25's top 100 reranked with the embedded encoder.

    python benchmarks/storage.py --data FOLDER [--collections NAME ...] [--rows NAME ...] [--cache FOLDER] [--json]

Every row is a codec of `EmbeddingStore`: a dtype or code, after a projection to so many dimensions (PCA) and pooling of
so many tokens where it says so; what is fitted is fitted to 2,000 documents. "binary x2" is binary with binary queries.
`lost` is the nDCG@10 of the row it is held against, float32 or float32 of the same projection, less that of the row;
`at most` is the aim. `documents/s` is what the codec alone does on one thread. "same top 10" is the mean share of
float32's best ten that the row finds too. --cache keeps the token embeddings (a file per collection, up to 3 GB;
encoding takes minutes) and uses them when they are there. Needs scipy, bm25s, PyStemmer and pytrec-eval-terrier.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import beir
import numpy as np
from _timing import print_table

from rank_plugins import TokenEmbeddings, maxsim
from rank_plugins.encoders.onnx import minilm
from rank_plugins.quantize import converted
from rank_plugins.store import TokenReduction
from rank_plugins.store.codec import Codec

SAMPLE = 2000  # documents that projections and codebooks are fitted to
WHOLE = "float32"


class Row(NamedTuple):
    """A codec; the row it is held against; nDCG@10 lost, at most."""

    codec: Codec
    against: str = WHOLE
    aim: float | None = None


ROWS = {
    WHOLE: Row(Codec("float32")),
    "float16": Row(Codec("float16"), aim=0.001),
    "bfloat16": Row(Codec("bfloat16"), aim=0.001),
    "int8": Row(Codec("int8"), aim=0.002),
    "binary": Row(Codec("binary")),
    "binary x2": Row(Codec("binary")),
    "residual4": Row(Codec("residual4")),
    "residual2": Row(Codec("residual2")),
    "residual1": Row(Codec("residual1")),
    "pq": Row(Codec("pq")),
    "int8, pool 2": Row(Codec("int8", reduction=TokenReduction(pool=2)), aim=0.005),
    "int8, pool 3": Row(Codec("int8", reduction=TokenReduction(pool=3))),
    "int8, PCA 192": Row(Codec("int8", 192), aim=0.004),
    "int8, PCA 192, pool 2": Row(Codec("int8", 192, TokenReduction(pool=2))),
    "float32, PCA 128": Row(Codec("float32", 128)),
    "int8, PCA 128": Row(Codec("int8", 128), "float32, PCA 128"),
    "residual4, PCA 128": Row(Codec("residual4", 128), "float32, PCA 128"),
    "residual2, PCA 128": Row(Codec("residual2", 128), "float32, PCA 128", 0.01),
    "residual1, PCA 128": Row(Codec("residual1", 128), "float32, PCA 128"),
    "pq, PCA 128": Row(Codec("pq", 128), "float32, PCA 128"),
    "residual2, PCA 128, pool 2": Row(Codec("residual2", 128, TokenReduction(pool=2)), "float32, PCA 128"),
}


def encoded(collection: beir.Collection, cache: Path | None) -> tuple[TokenEmbeddings, TokenEmbeddings]:
    """Return the documents' and the queries' token embeddings, from the file `cache` where it exists."""
    if cache and cache.is_file():
        with np.load(cache) as arrays:
            found = TokenEmbeddings(arrays["v"], arrays["o"]), TokenEmbeddings(arrays["qv"], arrays["qo"])
        sizes = len(collection.documents), len(collection.queries)
        if (len(found[0]), len(found[1])) != sizes:
            raise SystemExit(f"{cache}: expected {sizes} documents and queries, got {found}; remove the file")
        return found
    encoder = minilm(long_documents="windows")
    documents = encoder.encode_documents(list(collection.documents.values()))
    queries = encoder.encode_queries(list(collection.queries.values()))
    encoder.close()
    if cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        (values, offsets), (query_values, query_offsets) = documents.contiguous(), queries.contiguous()
        np.savez(cache, v=values, o=offsets, qv=query_values, qo=query_offsets)
    return documents, queries


def positions(collection: beir.Collection) -> list[list[int]]:
    """Return every query's candidates as indices into the collection's documents."""
    place = {document: i for i, document in enumerate(collection.documents)}
    return [[place[document] for document in collection.candidates[query]] for query in collection.queries]


def measure(collection: beir.Collection, cache: Path | None, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return nDCG@10 and what was lost, by row."""
    full, queries = encoded(collection, cache)
    candidates = positions(collection)
    ids = list(collection.documents)
    chosen = np.random.default_rng(0).permutation(len(full))[:SAMPLE]
    rows: dict[str, dict[str, Any]] = {}
    reference: dict[str, list[str]] = {}
    for name in names:
        codec = ROWS[name].codec
        fitted = codec if codec.fitted else codec.fit(full[np.sort(chosen)])
        started = time.perf_counter()
        documents = fitted.encode(full)
        seconds = time.perf_counter() - started
        rankings: dict[str, list[str]] = {}
        for query, vectors, places in zip(collection.queries, queries, candidates, strict=True):
            projected = fitted.project(vectors)
            bits = converted(projected, "binary")[0] if name == "binary x2" else projected
            order = np.argsort(-maxsim(bits, documents[places]), kind="stable")
            rankings[query] = [ids[places[i]] for i in order]
        reference = reference or rankings
        same = [len({*rankings[query][:10]} & {*reference[query][:10]}) / 10 for query in rankings]
        stored = documents.contiguous()[0]
        token = stored.itemsize * stored.shape[1] + 4 * (documents.scales is not None)
        rows[name] = {
            "bytes per token": token,
            "KB per document": token * int(documents.tokens.sum()) / len(documents) / 1e3,
            "documents/s": None if documents is full else len(documents) / seconds,
            "nDCG@10": beir.ndcg(collection, rankings),
            "same top 10": float(np.mean(same)),
        }
        rows[name]["lost"] = rows[ROWS[name].against]["nDCG@10"] - rows[name]["nDCG@10"]
        print(f"{collection.name}: {name} {rows[name]['nDCG@10']:.4f}", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--collections", nargs="+", default=["scifact", "nfcorpus"], metavar="NAME")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS, metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--cache", type=Path, help="folder that keeps token embeddings")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    folder = beir.data_folder(options)
    asked = {*options.rows, *(ROWS[name].against for name in options.rows), WHOLE}
    names = [name for name in ROWS if name in asked]
    results: dict[str, Any] = {}
    for name in options.collections:
        collection = beir.load(folder / name)
        results[name] = measure(collection, options.cache and options.cache / f"{name}.npz", names)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, rows in results.items():
        print(f"\n### {name}, BM25's top {beir.CANDIDATES} reranked\n")
        lines = []
        for row, cells in rows.items():
            aim = ROWS[row].aim
            met = "" if aim is None else f"{aim} {'met' if cells['lost'] <= aim else 'MISSED'}"
            numbers = [f"{cells['nDCG@10']:.4f}", f"{cells['lost']:.4f}", met, f"{cells['same top 10']:.3f}"]
            sizes = (f"{cells['bytes per token']:.0f}", f"{cells['KB per document']:.1f}")
            speed = "" if cells["documents/s"] is None else f"{cells['documents/s']:.0f}"
            lines.append([row, *sizes, speed, *numbers])
        header = ["bytes per token", "KB per document", "documents/s", "nDCG@10", "lost", "at most", "same top 10"]
        print_table(["documents", *header], lines)


if __name__ == "__main__":
    main()
