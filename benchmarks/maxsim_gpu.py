"""MaxSim of one query on a GPU: the fused kernel beside torch einsum and sentence-transformers, in one run.

    python benchmarks/maxsim_gpu.py [--documents 1000 100000] [--query 32] [--dim 128] [--runs 20] [--json]

Documents have 20 to 300 tokens. The kernel reads them ragged; einsum and sentence-transformers (util.similarity.maxsim)
read them padded, with the padding and its mask made beforehand and not timed: their best case. Times are medians of
CUDA events. Before each run 1 GB is overwritten: then no input is in the cache, and the device is busy while the host
starts the call, so that starting it is not timed. "call ms" is the median on the host's clock of a call and a wait for
its end. "copy" is the rate at which the kernel takes in its inputs, as a share of the bytes read and written per second
by a copy of 1 GB on the same device in the same run. "extra" is the peak of memory above the inputs, as a share of
them. "error" is the largest difference from float64 on a sample; it includes rounding the inputs to the dtype. Without
CUDA the GPU figures stay open, and a small table of the plain torch path is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from rank_plugins._extras import importable
from rank_plugins._torch import _has_kernel, ragged_maxsim

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "int8": torch.int8}
SAMPLE = 200  # documents scored in float64 to state the error


def inputs(count: int, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Return a query [Q, K] and ragged documents of length 1, float32, on `device`."""
    torch.manual_seed(0)
    tokens = torch.randint(20, 301, (count,))
    values = torch.empty(int(tokens.sum()), options.dim, device=device).normal_()
    query = torch.randn(options.query, options.dim).to(device)
    for rows in (values, query):
        rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    starts = tokens.cumsum(0) - tokens
    return {"query": query, "values": values, "starts": starts.to(device), "tokens": tokens.to(device)}


def quantized(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scales = rows.abs().amax(1) / 127
    return (rows / scales[:, None]).round().to(torch.int8), scales


def ours(data: dict[str, Any], dtype: torch.dtype) -> tuple[Callable[[], Any], int]:
    """Return the call and the bytes of its inputs."""
    scaled: dict[str, Any] = {}
    if dtype == torch.int8:
        query, scaled["query_scales"] = quantized(data["query"])
        values, scaled["scales"] = quantized(data["values"])
    else:
        query, values = data["query"].to(dtype), data["values"].to(dtype)
    offsets = torch.tensor([0, len(query)])
    used = [query, values, data["starts"], data["tokens"], *scaled.values()]
    call = lambda: ragged_maxsim(query, offsets, values, data["starts"], data["tokens"], **scaled)[0]  # noqa: E731
    return call, sum(tensor.nbytes for tensor in used)


def padded(data: dict[str, Any], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return query [1, Q, K], documents [N, D, K] and their mask [N, D]."""
    tokens, K = data["tokens"], data["values"].shape[1]
    mask = torch.arange(int(tokens.max()), device=tokens.device) < tokens[:, None]
    documents = torch.zeros(*mask.shape, K, dtype=dtype, device=tokens.device)
    documents[mask] = data["values"].to(dtype)
    return data["query"][None].to(dtype), documents, mask


def einsum(data: dict[str, Any], dtype: torch.dtype) -> tuple[Callable[[], Any], int]:
    query, documents, mask = padded(data, dtype)

    def call() -> Any:
        similarities = torch.einsum("qk,ndk->nqd", query[0], documents)
        similarities.masked_fill_(~mask[:, None], -torch.inf)
        return similarities.amax(-1).float().sum(-1)

    return call, documents.nbytes + mask.nbytes


def sentence_transformers(data: dict[str, Any], dtype: torch.dtype) -> tuple[Callable[[], Any], int]:
    from sentence_transformers.util import maxsim as peer

    query, documents, mask = padded(data, dtype)
    return lambda: peer(query, documents, b_mask=mask)[0], documents.nbytes + mask.nbytes


def contenders() -> dict[str, tuple[Callable[..., Any], torch.dtype]]:
    table = {f"rank-plugins, {name}": (ours, dtype) for name, dtype in DTYPES.items()}
    for name in ("float32", "float16"):
        table[f"torch einsum, padded, {name}"] = (einsum, DTYPES[name])
        if importable("sentence_transformers"):
            table[f"sentence-transformers, padded, {name}"] = (sentence_transformers, DTYPES[name])
    return table


def host_ms(call: Callable[[], Any], runs: int, wait: Callable[[], None]) -> float:
    times = []
    for _ in range(runs + 2):
        wait()
        started = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:]) * 1e3


def device_ms(call: Callable[[], Any], runs: int) -> float:
    flush = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(runs + 2)]
    for start, stop in marks:
        flush.zero_()
        start.record()
        call()
        stop.record()
    torch.cuda.synchronize()
    return statistics.median([start.elapsed_time(stop) for start, stop in marks[2:]])


def copy_bandwidth(runs: int) -> float:
    """Return bytes per millisecond, read and written, of a copy on the device."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / device_ms(lambda: target.copy_(source), runs)


def exact(data: dict[str, Any], chosen: list[int]) -> torch.Tensor:
    query, values = data["query"].double(), data["values"]
    rows = [(int(data["starts"][n]), int(data["tokens"][n])) for n in chosen]
    return torch.stack([(query @ values[start : start + count].double().T).amax(1).sum() for start, count in rows])


def measure(count: int, options: argparse.Namespace, device: torch.device) -> dict[str, dict[str, float]]:
    """Return one row per contender that `device` has the memory for."""
    on_gpu = device.type == "cuda"
    data = inputs(count, options, device)
    chosen = torch.linspace(0, count - 1, min(count, SAMPLE)).long().tolist()
    expected = exact(data, chosen)
    copied = copy_bandwidth(options.runs) if on_gpu else 0.0
    rows: dict[str, dict[str, float]] = {}
    for name, (make, dtype) in contenders().items():
        try:
            call, size = make(data, dtype)
            row = {"error": float((call()[chosen].double() - expected).abs().max())}
            row["call ms"] = host_ms(call, options.runs, torch.cuda.synchronize if on_gpu else lambda: None)
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                call()
                row["extra"] = (torch.cuda.max_memory_allocated() - before) / size
                row["ms"] = device_ms(call, options.runs)
                if make is ours:
                    row["copy"] = size / row["ms"] / copied
            else:
                row["ms"] = row["call ms"]
            rows[name] = row
        except torch.cuda.OutOfMemoryError:
            rows[name] = {}
        call = None
        if on_gpu:
            torch.cuda.empty_cache()
    for name, row in rows.items():
        base = rows.get("rank-plugins, " + name.rsplit(", ", 1)[1], {})
        if "ms" in row and "ms" in base:
            row["x ours"] = row["ms"] / base["ms"]
    return rows


def show(count: int, rows: dict[str, dict[str, float]]) -> None:
    formats = {"ms": ".3f", "call ms": ".3f", "x ours": ".1f", "copy": ".0%", "extra": ".1%", "error": ".1e"}
    print(f"\n{count:,} documents\n")
    print("| contender | ms | call ms | x ours, same dtype | copy | extra | error |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, row in rows.items():
        cells = [
            f"{row[key]:{shape}}" if key in row else "open" if row else "no memory" for key, shape in formats.items()
        ]
        if not name.startswith("rank-plugins") and row:
            cells[3] = ""  # stated for our kernel alone
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", help="default 1000 100000; without CUDA 200")
    parser.add_argument("--query", type=int, default=32, help="query tokens")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    options.documents = options.documents or ([1000, 100_000] if on_gpu else [200])
    tables = {count: measure(count, options, device) for count in options.documents}
    path = "fused kernel" if _has_kernel(device) else "plain torch path"
    machine = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    if options.json:
        print(json.dumps({"machine": machine, "path": path, "shape": vars(options), "rows": tables}, indent=2))
        return
    if not on_gpu:
        print("No CUDA device: the GPU figures (ms, copy, extra) are open. Below, the same calls on this CPU.")
    print(f"{machine}; {path}; torch {torch.__version__}; Q {options.query}, K {options.dim}")
    for count, rows in tables.items():
        show(count, rows)


if __name__ == "__main__":
    main()
