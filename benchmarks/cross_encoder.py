"""A cross-encoder of MiniLM's size in each engine, beside sentence-transformers: 200 queries x 20 SciFact abstracts.

    python benchmarks/cross_encoder.py --data FOLDER [--queries 200] [--candidates 20] [--json]

Weights are random, from configuration, and the same for all; texts are cut at 512 tokens by all.

predict     `sentence_transformers.CrossEncoder.predict` in float32, a call for each query, as its users call it
per query   ours on the same graph: a batch for each query, padded to its longest document; batches side by side on all
            cores
bucketed    ours, `rerank_batch`: the pairs of all queries sorted by length, in batches of bounded tokens

Contenders take turns over groups of queries, so that all of them see the same moods of a shared machine; seconds are
summed. "padded" is tokens with padding for each real token. Differences are to predict's scores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import beir
import numpy as np
from _host_peers import WINDOW, save_cross_encoder
from _timing import machine, print_table
from tqdm import tqdm

from rank_plugins import cross_encoders, rerankers
from rank_plugins._extras import importable
from rank_plugins._threads import run_each, thread_count
from rank_plugins.export import export

GROUPS = 10
Task = list[tuple[str, list[str]]]
Scores = list[list[float]]


class Contender:
    """What scores the documents of a group of queries; adds up seconds and tokens."""

    def __init__(self, score: Callable[[Task], tuple[Scores, int, int]]) -> None:
        self.score = score
        self.seconds, self.real, self.padded = 0.0, 0, 0
        self.scores: Scores = []

    def run(self, task: Task) -> None:
        started = time.perf_counter()
        scores, real, padded = self.score(task)
        self.seconds += time.perf_counter() - started
        self.real, self.padded = self.real + real, self.padded + padded
        self.scores += scores


def predict(folder: str) -> Contender:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(folder, device="cpu", max_length=WINDOW)

    def score(task: Task) -> tuple[Scores, int, int]:
        return [model.predict([(query, text) for text in texts]).tolist() for query, texts in task], 0, 0

    return Contender(score)


def per_query(folder: str, engine: str) -> Contender:
    model = cross_encoders.load(folder, engine)

    def score(task: Task) -> tuple[Scores, int, int]:
        found: Scores = [[] for _ in task]
        tokens: list[tuple[int, int]] = []

        def work(i: int) -> None:
            query, texts = task[i]
            pieces, _ = model.pieces([(query, text) for text in texts], first_only=True)
            tokens.append((sum(p.tokens for p in pieces), len(pieces) * max(p.tokens for p in pieces)))
            found[i] = model.activated(model.run([piece.content for piece in pieces]), "default").tolist()

        run_each(work, range(len(task)), thread_count(None))
        return found, sum(real for real, _ in tokens), sum(padded for _, padded in tokens)

    return Contender(score)


def bucketed(folder: str, engine: str) -> Contender:
    reranker = rerankers.load(
        "rank-cross-encoder", model=folder, engine=engine, long_documents="first", max_length=WINDOW
    )

    def score(task: Task) -> tuple[Scores, int, int]:
        rankings = reranker.rerank_batch([query for query, _ in task], [texts for _, texts in task])
        tokens = rankings[0].details["tokens"]
        return [[dict(one)[i] for i in range(len(one))] for one in rankings], tokens["real"], tokens["padded"]

    return Contender(score)


def contenders(folder: Path) -> dict[str, Contender]:
    save_cross_encoder(folder / "torch")
    weights = str(folder / "torch")
    for name, quantize in (("float32", None), ("int8", "int8")):
        export(weights, folder / name, task="cross-encoder", quantize=quantize)
    single, whole = str(folder / "float32"), str(folder / "int8")
    found = {
        "sentence-transformers, predict": predict(weights),
        "sentence-transformers, bucketed": bucketed(weights, "sentence-transformers"),
        "onnxruntime float32, per query": per_query(single, "onnxruntime"),
        "onnxruntime float32, bucketed": bucketed(single, "onnxruntime"),
        "onnxruntime int8, per query": per_query(whole, "onnxruntime"),
        "onnxruntime int8, bucketed": bucketed(whole, "onnxruntime"),
    }
    if importable("openvino"):
        found["openvino, bucketed"] = bucketed(single, "openvino")
    return found


def measure(task: Task) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        found = contenders(Path(folder))
        for one in found.values():
            one.score(task[:1])  # loads the model
        step = -(-len(task) // GROUPS)
        for start in tqdm(range(0, len(task), step), "groups of queries", file=sys.__stderr__):
            names = list(found)
            turn = start // step % len(names)
            for name in names[turn:] + names[:turn]:
                found[name].run(task[start : start + step])
    first = next(iter(found.values()))
    exact = np.concatenate(first.scores)
    return [
        {
            "contender": name,
            "seconds": one.seconds,
            "pairs/s": len(exact) / one.seconds,
            "times predict": first.seconds / one.seconds,
            "padded": one.padded / one.real if one.real else None,
            "real tokens": one.real or None,
            "difference": float(np.abs(np.concatenate(one.scores) - exact).max()),
        }
        for name, one in found.items()
    ]


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return what is asked of the engines."""
    seconds = {row["contender"]: row["seconds"] for row in rows}
    fastest = min((name for name in seconds if "predict" not in name), key=seconds.__getitem__)
    return {
        f"fastest ({fastest}) to predict": seconds["sentence-transformers, predict"] / seconds[fastest],
        "bucketed to per query, float32": seconds["onnxruntime float32, per query"]
        / seconds["onnxruntime float32, bucketed"],
        "bucketed to per query, int8": seconds["onnxruntime int8, per query"] / seconds["onnxruntime int8, bucketed"],
        "int8 to float32, bucketed": seconds["onnxruntime float32, bucketed"] / seconds["onnxruntime int8, bucketed"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    collection = beir.load(beir.data_folder(options) / "scifact", depth=options.candidates)
    task = [
        (text, [collection.documents[document] for document in collection.candidates[query]])
        for query, text in list(collection.queries.items())[: options.queries]
    ]
    rows = measure(task)
    if options.json:
        print(json.dumps({"machine": machine(), "rows": rows, "ratios": ratios(rows)}, indent=2))
        return
    print(f"{machine()}; {len(task)} queries x {options.candidates} SciFact abstracts\n")
    shown = [
        [
            row["contender"],
            f"{row['seconds']:.1f}",
            f"{row['pairs/s']:.1f}",
            f"{row['times predict']:.2f}",
            f"{row['padded']:.3f}" if row["padded"] else "",
            f"{row['difference']:.1e}",
        ]
        for row in rows
    ]
    print_table(["", "seconds", "pairs/s", "times predict", "padded", "difference"], shown)
    print()
    print_table(["ratio", ""], [[name, f"{value:.2f}"] for name, value in ratios(rows).items()])


if __name__ == "__main__":
    main()
