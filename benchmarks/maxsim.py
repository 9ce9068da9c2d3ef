"""MaxSim of one query (32 tokens) against ragged documents: ours beside its peers, same inputs, one run.

    python benchmarks/maxsim.py [--workloads 100 1000 384 pages 50000 one overhead] [--levels avx512 ...]
                                [--dtypes int8 ...] [--runs N] [--json]

Ours is a row per dtype, level and number of threads, over a TokenEmbeddings; entering from a list of arrays is a row
of its own. "binary" is a float query against bits, "binary x2" bits against bits. Peers that are installed take part:
NumPy, torch einsum, sentence-transformers, maxsim-cpu and NumKong (see _peers.py); those in torch run with two threads
as well. All take turns in an order that changes with every run; times are medians. A column "x peer" is the peer's
time divided by ours, above 1 ours is faster: a row of n threads is compared with the peer on n threads, and with
NumKong limited to the same instructions. "x 1 thread" is our own time on one thread divided by that on two.

"error" is the largest difference to float64 of the original floats. Ours ends the run where a score leaves the
a-priori bound |error| <= gamma_n * sum |q_i d_i| around float64 of the converted operands. "% read" is the share of
the machine's read bandwidth: the documents' bytes over the time it takes to read the same buffer; "% FMA" is the share
of the peak of multiplications in float32 with vectors of that level. Both are measured in the same turns, with as
many threads. Documents of more than 32 MB come from memory, smaller ones from the cache.

"overhead" is what the public call on 10 documents takes above the kernel alone, on the same buffers.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")

import argparse
import functools
import importlib.metadata
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from _peers import Peer, peers, trouble
from _timing import Contender, Probes, machine, print_table, take_turns
from numpy.typing import NDArray

from rank_plugins import TokenEmbeddings, maxsim, simd
from rank_plugins._arrays import level_that_answers
from rank_plugins._maxsim import Queries
from rank_plugins._threads import usable_cores
from rank_plugins.quantize import converted, dequantize, quantize, widened

Q = 32
KINDS = {  # our rows: the documents' dtype and the kernel
    "float32": ("float32", "F32"),
    "float16": ("float16", "F16"),
    "bfloat16": ("bfloat16", "BF16"),
    "int8": ("int8", "I8"),
    "binary": ("binary", "F32_B1"),
    "binary x2": ("binary", "B1"),
}
FLOAT32_PRODUCTS = ("float32", "float16")  # the FMA peak bounds no other
WORKLOADS: dict[str, tuple[str, Callable[[Any], Any], int, int]] = {  # what, tokens, K, runs
    "100": ("100 documents of 20 to 300 tokens", lambda rng: rng.integers(20, 301, 100), 128, 40),
    "1000": ("1,000 documents of 20 to 512 tokens", lambda rng: rng.integers(20, 513, 1000), 128, 20),
    "384": ("100 documents of 20 to 300 tokens", lambda rng: rng.integers(20, 301, 100), 384, 40),
    "pages": ("20 documents of 1,030 tokens (page images)", lambda rng: np.full(20, 1030), 128, 40),
    "50000": ("50,000 documents of 64 tokens", lambda rng: np.full(50_000, 64), 128, 5),
    "one": ("1 document of 180 tokens (latency)", lambda rng: np.array([180]), 128, 200),
}
CACHED = 32 << 20
SAMPLE = 200  # documents whose scores are checked
OVERHEAD_RUNS = 400
PACKAGES = ("numpy", "torch", "sentence-transformers", "maxsim-cpu", "numkong")


class Data:
    """The inputs of one workload, and what float64 says about them."""

    def __init__(self, tokens: NDArray[np.int64], dim: int) -> None:
        rng = np.random.default_rng(0)
        self.query, values = unit(rng, Q, dim), unit(rng, int(tokens.sum()), dim)
        self.offsets = np.concatenate(([0], np.cumsum(tokens)))
        self.documents = np.split(values, self.offsets[1:-1])
        self._full = TokenEmbeddings(values, self.offsets)
        self.sample = np.unique(np.linspace(0, len(tokens) - 1, SAMPLE).astype(np.int64))
        self.exact = float64_scores(self.query, self._full[self.sample])[0]

    @functools.cache  # noqa: B019 - one workload lives at a time, and is dropped with its copies
    def embeddings(self, dtype: str) -> TokenEmbeddings:
        """Return the documents in a dtype, converted once."""
        return quantize(self._full, dtype)

    def bytes(self, dtype: str) -> int:
        """Return how much there is to read."""
        embeddings = self.embeddings(dtype)
        scales = 4 * len(embeddings.contiguous()[0]) if dtype == "int8" else 0
        return int(embeddings.contiguous()[0].nbytes) + scales

    def check(self, name: str, kind: str, scores: NDArray[Any]) -> float:
        """Return the largest error; end the run where a score leaves the bound on its converted operands."""
        dtype = KINDS[kind][0]
        dim, query = self.query.shape[1], self.query
        if kind != "binary":
            rows, scales = converted(query, dtype)
            query = widened(rows, dtype, dim, scales) / np.float32(np.sqrt(dim) if dtype == "binary" else 1)
        exact, size = float64_scores(query, dequantize(self.embeddings(dtype)[self.sample]))
        found = scores[self.sample].astype(np.float64)
        n = (dim + Q + 8) * 2.0**-24  # 8: scales, lengths and the last rounding
        off = np.abs(found - exact) / (n / (1 - n) * size)
        if not off.max() <= 1:
            raise SystemExit(f"{name}: expected scores within the bound around float64, got {off.max():.1f} times that")
        return float(np.abs(found - self.exact).max())


def unit(rng: Any, count: int, dim: int) -> NDArray[np.float32]:
    """Return random vectors of length 1."""
    vectors: NDArray[np.float32] = rng.standard_normal((count, dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def float64_scores(query: NDArray[Any], documents: TokenEmbeddings) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the scores in float64, and what the bound multiplies: sum over i of max over j of sum |q_i d_j|."""
    q = query.astype(np.float64)
    wide = [document.astype(np.float64).T for document in documents]
    return tuple(
        np.array([(a @ (np.abs(d) if a is not q else d)).max(axis=1).sum() for d in wide]) for a in (q, np.abs(q))
    )


def ours(data: Data, levels: list[str], kinds: list[str], threads: list[int]) -> dict[str, tuple[str, str, int, Any]]:
    """Return our rows: name -> (kind, level, threads, contender); a level that another answers for is left out."""
    rows = {}
    for kind in kinds:
        dtype, kernel = KINDS[kind]
        query = converted(data.query, "binary")[0] if kernel == "B1" else data.query
        mine = [level for level in levels if level_that_answers(level, kernel) == level]
        for level in mine:
            around = functools.partial(simd.limit, level)
            for count in threads:
                call = functools.partial(maxsim, query, data.embeddings(dtype), threads=count)
                rows[f"{kind}, {level}, {count}"] = (kind, level, count, Contender(call, around))
        if kind == "float32" and mine:
            call = functools.partial(maxsim, query, data.documents, threads=1)
            rows[f"{kind}, {mine[-1]}, 1, from a list"] = (kind, mine[-1], 1, Contender(call, around))
    return rows


def probes(data: Data, rows: dict[str, Any], cached: bool) -> tuple[dict[Any, Contender], dict[Any, float]]:
    """Return what measures the machine for these rows, and the bytes or operations of each.

    Reading a small buffer takes less time than starting a thread: there, one thread is all that is measured.
    """
    probe = Probes()
    contenders: dict[Any, Contender] = {}
    work: dict[Any, float] = {}
    for kind, level, count, _ in rows.values():
        if cached and count > 1:
            continue
        values = data.embeddings(KINDS[kind][0]).contiguous()[0]
        contenders["read", KINDS[kind][0], count] = Contender(probe.read(values, count))
        work["read", KINDS[kind][0], count] = values.nbytes
        call, operations = probe.multiply(level, count)
        contenders["FMA", level, count], work["FMA", level, count] = Contender(call), operations
    return contenders, work


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one workload; return its title and rows."""
    title, lengths, dim, runs = WORKLOADS[name]
    tokens = lengths(np.random.default_rng(1))
    data = Data(tokens, dim)
    threads = [1, 2] if len(tokens) > 1 and usable_cores() > 1 else [1]
    mine = ours(data, options.levels, options.dtypes, threads)
    others = peers(data.query, data.documents, options.levels, threads)
    rows: dict[str, dict[str, Any]] = {}
    for row, (kind, _, _, contender) in mine.items():
        with contender.around():
            rows[row] = {"error": data.check(row, kind, contender.call())}
    broken = trouble(dim) if "maxsim-cpu" in others else None
    for row, peer in others.items():
        if row == "maxsim-cpu" and broken:
            rows[row] = {"broken": broken}
            continue
        with peer.contender.around():
            rows[row] = {"error": float(np.abs(peer.contender.call()[data.sample] - data.exact).max())}
    cached = data.bytes("float32") <= CACHED
    machine_probes, work = probes(data, mine, cached)
    turns: dict[Any, Contender] = {row: parts[3] for row, parts in mine.items()} | machine_probes
    turns |= {row: peer.contender for row, peer in others.items() if "broken" not in rows[row]}
    seconds = take_turns(turns, options.runs or runs, warm=cached)
    for row in rows:
        if row in seconds:
            rows[row] |= {"ms": seconds[row] * 1e3, "documents/s": len(tokens) / seconds[row]}
    operations = 2.0 * Q * dim * int(tokens.sum())
    for row, (kind, level, count, _) in mine.items():
        dtype, took = KINDS[kind][0], seconds[row]
        rows[row]["ratios"] = ratios(row, level, count, others, seconds, rows)
        read, fma = ("read", dtype, count), ("FMA", level, count)
        if read in work and name != "one":
            rows[row]["% read"] = 100 * data.bytes(dtype) / took * seconds[read] / work[read]
        if fma in work and kind in FLOAT32_PRODUCTS:
            rows[row]["% FMA"] = 100 * operations / took * seconds[fma] / work[fma]
        if count > 1:
            rows[row]["ratios"]["1 thread"] = seconds[f"{kind}, {level}, 1"] / took
    measured = {
        f"{what} {of}, {count} thread{'s' * (count > 1)}": work[what, of, count] / seconds[what, of, count] * 1e-9
        for what, of, count in work
    }
    return {"title": f"{title}, K {dim}, Q {Q}", "rows": rows, "GB/s and GFLOP/s": measured}


def ratios(
    row: str, level: str, count: int, others: dict[str, Peer], seconds: dict[Any, float], rows: dict[str, Any]
) -> dict[str, Any]:
    """Return the peers' times divided by ours, by column."""
    found: dict[str, Any] = {}
    for name, peer in others.items():
        if peer.threads == count and peer.level in (None, level):
            broken = rows[name].get("broken")
            found[peer.column] = broken.split(",")[0] if broken else seconds[name] / seconds[row]
    return found


def overhead(options: argparse.Namespace) -> dict[str, Any]:
    """Measure public calls on 10 documents, and the kernel alone on the same buffers."""
    data = Data(np.random.default_rng(2).integers(20, 301, 10), 128)
    level = options.levels[-1]
    turns: dict[str, Contender] = {}
    for kind in options.dtypes:
        dtype, kernel = KINDS[kind]
        query = converted(data.query, "binary")[0] if kernel == "B1" else data.query
        embeddings = data.embeddings(dtype)
        around = functools.partial(simd.limit, level)
        turns[kind] = Contender(functools.partial(maxsim, query, embeddings, threads=1), around)
        with around():
            queries = Queries(query, np.array([0, Q]), embeddings)
            scores = queries.scores(embeddings, 1)
        starts, scales = embeddings._addresses  # type: ignore[misc] - there since the call
        arguments = (starts, scales, embeddings.tokens, scores, (0, len(embeddings)))
        turns[f"{kind}, kernel"] = Contender(functools.partial(queries._packed.maxsim, *arguments), around)
    seconds = take_turns(turns, options.runs or OVERHEAD_RUNS, warm=True)
    rows = {}
    for kind in options.dtypes:
        call, kernel = seconds[kind] * 1e6, seconds[f"{kind}, kernel"] * 1e6
        rows[kind] = {"call": call, "kernel": kernel, "overhead": call - kernel}
    return {"title": f"10 documents of 20 to 300 tokens, K 128, Q {Q}, {level}: microseconds", "rows": rows}


def versions() -> str:
    """Return the peers that are installed, with their versions."""
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return ", ".join(f"{name} {found[name]}" for name in PACKAGES if name in found)


def show(result: dict[str, Any]) -> None:
    """Print one workload as a table."""
    rows = result["rows"]
    print(f"\n### {result['title']}\n")
    if "GB/s and GFLOP/s" not in result:
        print_table(["", *next(iter(rows.values()))], [[n, *(f"{v:.1f}" for v in r.values())] for n, r in rows.items()])
        return
    columns = list(dict.fromkeys(column for row in rows.values() for column in row.get("ratios", {})))
    lines = []
    for name, row in rows.items():
        if "broken" in row:
            lines.append([name, "", *[""] * len(columns), row["broken"], "", "", ""])
            continue
        found = [row.get("ratios", {}).get(column, "") for column in columns]
        cells = [cell if isinstance(cell, str) else f"{cell:.2f}" for cell in found]
        shares = [f"{row[key]:.0f}" if key in row else "" for key in ("% read", "% FMA")]
        lines.append([name, f"{row['ms']:.4g}", *cells, f"{row['error']:.1e}", f"{row['documents/s']:,.0f}", *shares])
    print_table(["", "ms", *(f"x {c}" for c in columns), "error", "documents/s", "% read", "% FMA"], lines)
    speeds = ", ".join(f"{key} {value:.0f}" for key, value in result["GB/s and GFLOP/s"].items())
    print(f"\nmeasured, GB/s read and GFLOP/s in FMA: {speeds}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    levels = [level for level in simd.supported() if level not in ("numpy", "scalar")]
    names = [*WORKLOADS, "overhead"]
    parser.add_argument("--workloads", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--levels", nargs="+", choices=simd.supported()[1:], default=levels, metavar="LEVEL")
    parser.add_argument("--dtypes", nargs="+", choices=KINDS, default=list(KINDS), metavar="DTYPE")
    parser.add_argument("--runs", type=int, help="turns of each contender instead of the workload's own number")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    options.levels.sort(key=simd.LEVELS.index)
    results = {}
    if not options.json:
        print(f"{machine()}; {versions()}; times are medians, bandwidth and peak measured by {Probes().kind}")
    for name in options.workloads:
        results[name] = overhead(options) if name == "overhead" else measure(name, options)
        if not options.json:
            show(results[name])
    if options.json:
        print(json.dumps({"machine": machine(), "peers": versions(), "workloads": results}, indent=2))


if __name__ == "__main__":
    main()
