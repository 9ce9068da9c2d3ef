"""What a dtype of the documents costs in nDCG@10: BM25's top 100 reranked with the embedded encoder.

    python benchmarks/quantization.py --data FOLDER [--collections scifact nfcorpus] [--cache FOLDER] [--json]

"binary" is a float query against bits, "binary x2" bits against bits. --cache keeps the token embeddings (a file
per collection, up to 3 GB; encoding takes minutes) and uses them when they are there. "lost" is the nDCG@10 of
float32 less that of the row; the aim is at most 0.001 for float16 and bfloat16 and 0.002 for int8. "same top 10" is
the mean share of float32's best ten that the row finds too. Needs bm25s, PyStemmer and pytrec-eval-terrier.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import beir
import numpy as np
from _timing import print_table

from rank_plugins import TokenEmbeddings, maxsim
from rank_plugins.encoders.onnx import minilm
from rank_plugins.quantize import converted, quantize

AIMS = {"float16": 0.001, "bfloat16": 0.001, "int8": 0.002}  # nDCG@10 lost, at most
ROWS = ("float32", "float16", "bfloat16", "int8", "binary", "binary x2")


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


def measure(collection: beir.Collection, cache: Path | None) -> dict[str, dict[str, float]]:
    """Return nDCG@10 and what was lost, by row."""
    full, queries = encoded(collection, cache)
    candidates = positions(collection)
    ids = list(collection.documents)
    rows: dict[str, dict[str, float]] = {}
    reference: dict[str, list[str]] = {}
    for row in ROWS:
        documents = quantize(full, row.split()[0])
        rankings: dict[str, list[str]] = {}
        for name, query, chosen in zip(collection.queries, queries, candidates, strict=True):
            bits = converted(query, "binary")[0] if row == "binary x2" else query
            order = np.argsort(-maxsim(bits, documents[chosen]), kind="stable")
            rankings[name] = [ids[chosen[i]] for i in order]
        reference = reference or rankings
        same = [len({*rankings[name][:10]} & {*reference[name][:10]}) / 10 for name in rankings]
        stored = documents.contiguous()[0]
        rows[row] = {
            "bytes per token": stored.itemsize * stored.shape[1] + 4 * (row == "int8"),
            "nDCG@10": beir.ndcg(collection, rankings),
            "same top 10": float(np.mean(same)),
        }
        rows[row]["lost"] = rows["float32"]["nDCG@10"] - rows[row]["nDCG@10"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--collections", nargs="+", default=["scifact", "nfcorpus"], metavar="NAME")
    parser.add_argument("--cache", type=Path, help="folder that keeps token embeddings")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    folder = beir.data_folder(options)
    results: dict[str, Any] = {}
    for name in options.collections:
        collection = beir.load(folder / name)
        results[name] = measure(collection, options.cache and options.cache / f"{name}.npz")
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, rows in results.items():
        print(f"\n### {name}, BM25's top {beir.CANDIDATES} reranked\n")
        lines = []
        for row, cells in rows.items():
            aim = f"{AIMS[row]} {'met' if cells['lost'] <= AIMS[row] else 'MISSED'}" if row in AIMS else ""
            numbers = [f"{cells['nDCG@10']:.4f}", f"{cells['lost']:.4f}", aim, f"{cells['same top 10']:.3f}"]
            lines.append([row, f"{cells['bytes per token']:.0f}", *numbers])
        print_table(["documents", "bytes per token", "nDCG@10", "lost", "at most", "same top 10"], lines)


if __name__ == "__main__":
    main()
