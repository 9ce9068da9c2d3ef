"""MaxSim of one query against ragged documents on one thread: ours beside its peers, same inputs, one run.

    python benchmarks/maxsim.py [--documents 100] [--query 32] [--dim 128] [--runs 40] [--json]

Peers that are installed take part: maxsim-cpu, sentence-transformers (util.similarity.maxsim) and NumPy.
Every contender's largest error against float64 is printed; ours ends the run where it exceeds the a-priori bound
|error| <= gamma_n * sum |q_i d_i|. The contenders take turns, the median of each is printed, and the ratios are of
medians: above 1 is how many times faster ours is.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rank_plugins import TokenEmbeddings, maxsim, simd
from rank_plugins._extras import importable


def contenders(query: Any, documents: list[Any]) -> dict[str, Callable[[], Any]]:
    """Return each contender as a call without arguments that returns scores [N]."""
    embeddings = TokenEmbeddings.from_list(documents)
    calls: dict[str, Callable[[], Any]] = {}

    def ours(level: str, source: Any) -> Callable[[], Any]:
        def call() -> Any:
            with simd.limit(level):
                return maxsim(query, source, threads=1)

        return call

    for level in simd.supported()[1:]:
        calls[f"rank-plugins {level}"] = ours(level, embeddings)
    calls[f"rank-plugins {simd.active()}, from a list"] = ours(simd.active(), documents)
    calls["NumPy, a loop"] = lambda: np.array([(query @ d.T).max(axis=1).sum() for d in documents])
    if importable("maxsim_cpu"):
        import maxsim_cpu

        calls["maxsim-cpu"] = lambda: maxsim_cpu.maxsim_scores_variable(query, documents)
    if importable("sentence_transformers"):
        import torch
        from sentence_transformers.util import maxsim as peer

        torch.set_num_threads(1)
        tensors = [torch.from_numpy(document) for document in documents]
        one = [torch.from_numpy(query)]
        calls["sentence-transformers"] = lambda: peer(one, tensors)[0].numpy()
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--query", type=int, default=32, help="query tokens")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, 301, options.documents)
    vectors = [rng.standard_normal((D, options.dim), np.float32) for D in [options.query, *tokens]]
    query, *documents = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors]
    calls = contenders(query, documents)
    exact = np.array([(query.astype(np.float64) @ d.astype(np.float64).T).max(axis=1).sum() for d in documents])
    errors = {name: float(np.abs(call() - exact).max()) for name, call in calls.items()}
    largest = max((np.abs(query) @ np.abs(d).T).max(axis=1).sum(dtype=np.float64) for d in documents)
    bound = (options.dim + options.query + 2) * 2.0**-24 * largest
    for name, error in errors.items():
        if name.startswith("rank-plugins") and error > bound:
            raise SystemExit(f"{name}: expected scores within {bound:.1e} of float64, got a difference of {error:.1e}")
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.runs):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    work = 2.0 * options.query * options.dim * int(tokens.sum())
    rows = {name: {"ms": statistics.median(s) * 1e3, "largest error": errors[name]} for name, s in seconds.items()}
    base = rows[f"rank-plugins {simd.active()}"]["ms"]
    for row in rows.values():
        row |= {"GFLOP/s": work / row["ms"] * 1e-6, "times slower than ours": row["ms"] / base}
    if options.json:
        print(json.dumps({"shape": vars(options), "rows": rows}, indent=2))
        return
    print(f"one thread, Q {options.query}, K {options.dim}, {options.documents} documents of 20 to 300 tokens")
    print("| contender | ms | GFLOP/s | x ours | largest error |\n|---|--:|--:|--:|--:|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['ms']:.3f} | {row['GFLOP/s']:.0f} | {row['times slower than ours']:.2f} "
            f"| {row['largest error']:.1e} |"
        )


if __name__ == "__main__":
    main()
