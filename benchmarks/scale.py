"""A store of a million documents: open, gather, search, memory; docs/scaling.md quotes it.

    python benchmarks/scale.py --store FOLDER [--documents 1000000] [--tokens 60] [--dim 128] [--codec int8] [--json]

The store is made of random unit vectors when FOLDER holds none (8 GB at the defaults, some minutes), and kept. Every
figure is of a new process, so that nothing is shared but the page cache: `cold` gathers documents that no one has
read since their pages were dropped (posix_fadvise), `warm` the same documents again. Times are medians over queries;
memory is RssAnon, what the process holds for itself, and RssFile, the pages of the files that it has mapped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _timing import Probes, machine, print_table

from rank_plugins import TokenEmbeddings, maxsim
from rank_plugins._threads import usable_cores
from rank_plugins.store import EmbeddingStore

DOCUMENTS_AT_ONCE = 20_000
CANDIDATES = 1000
QUERY_TOKENS = 32
QUERIES = 11


def make(options: argparse.Namespace) -> float:
    """Fill the store up to the number of documents; return seconds spent in `add`, 0 if it was there."""
    rng = np.random.default_rng(0)
    seconds = 0.0
    with EmbeddingStore.open(options.store, "a", codec=options.codec) as store:
        while len(store) < options.documents:
            first = len(store)
            count = min(DOCUMENTS_AT_ONCE, options.documents - first)
            vectors = rng.standard_normal((count * options.tokens, options.dim), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            embeddings = TokenEmbeddings(vectors, np.arange(count + 1) * options.tokens)
            started = time.perf_counter()
            store.add([f"document-{first + i}" for i in range(count)], embeddings)
            seconds += time.perf_counter() - started
            print(f"\r{len(store)} documents", end="", file=sys.stderr)
    return seconds


def forget(folder: Path) -> None:
    """Have the system drop the pages of the store's files."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def memory() -> dict[str, float]:
    """Return megabytes of this process, by kind."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {kind: int(fields[kind].split()[0]) / 1e3 for kind in ("RssAnon", "RssFile")}


def part(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Measure one thing; called in a process of its own."""
    rng = np.random.default_rng(1)
    if name in ("open cold", "gather cold"):
        forget(Path(options.store))
    started = time.perf_counter()
    store = EmbeddingStore.open(options.store)
    opened = time.perf_counter() - started
    if name.startswith("open"):
        return {"ms": opened * 1e3, **memory()}
    queries = rng.standard_normal((QUERIES, QUERY_TOKENS, store.dim or 0), np.float32)
    if name == "search":
        first = time.perf_counter()
        store.search(queries[0], 10, threads=options.threads)
        first = time.perf_counter() - first
        seconds = []
        for query in queries[1:]:
            started = time.perf_counter()
            store.search(query, 10, threads=options.threads)
            seconds.append(time.perf_counter() - started)
        return {"ms": statistics.median(seconds) * 1e3, "first ms": first * 1e3, **memory()}
    chosen = [[f"document-{i}" for i in rng.choice(len(store), CANDIDATES, replace=False)] for _ in queries]
    if name == "gather warm":
        for query, ids in zip(queries, chosen, strict=True):
            maxsim(query, store.get(ids), threads=options.threads)
    gather, score = [], []
    for query, ids in zip(queries, chosen, strict=True):
        started = time.perf_counter()
        documents = store.get(ids)
        got = time.perf_counter()
        maxsim(query, documents, threads=options.threads)
        gather.append(got - started)
        score.append(time.perf_counter() - got)
    total = [a + b for a, b in zip(gather, score, strict=True)]
    parts = {"get ms": statistics.median(gather) * 1e3, "score ms": statistics.median(score) * 1e3}
    return {"ms": statistics.median(total) * 1e3, **parts, **memory()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="folder of the synthetic store")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--codec", default="int8")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(part(options.part, options)))
        return
    made = make(options)
    command = [sys.executable, *sys.argv]
    parts = ("open cold", "open warm", "gather cold", "gather warm", "search")
    rows: dict[str, Any] = {}
    for name in parts:
        output = subprocess.run([*command, "--part", name], capture_output=True, text=True, check=True).stdout
        rows[name] = json.loads(output)
    with EmbeddingStore.open(options.store) as store:
        stats = store.stats()
    read = bandwidth(options.threads)
    rows["search"]["GB/s"] = stats["tokens"] * stats["bytes per token"] / rows["search"]["ms"] / 1e6
    facts = {"machine": machine(), "store": stats, "seconds in add": made, "read GB/s": read, "rows": rows}
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{facts['machine']}, {options.threads} threads; {stats['documents']} documents x {options.tokens} tokens")
    print(f"x {options.dim} {stats['codec']}, {stats['bytes'] / 1e9:.2f} GB; plain reading {read:.1f} GB/s\n")
    columns = ("ms", "first ms", "get ms", "score ms", "GB/s", "RssAnon", "RssFile")
    print_table(
        ["", *columns],
        [[name, *(f"{row[c]:.1f}" if c in row else "" for c in columns)] for name, row in rows.items()],
    )


def bandwidth(threads: int) -> float:
    """Return the gigabytes a second at which plain reading goes."""
    array = np.ones(1 << 26, np.float32)
    read = Probes().read(array, threads)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - started)
    return array.nbytes / statistics.median(seconds) / 1e9


if __name__ == "__main__":
    main()
