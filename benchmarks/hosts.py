"""What the adapters cost, beside what their hosts bring themselves.

    python benchmarks/hosts.py [overhead] [peers] [heartbeat] [kernel] [--runs 5] [--json]

overhead   milliseconds that each adapter adds to the reranker inside it, 100 SciFact abstracts: measured around a
           reranker that answers at once, and as a share of rank-maxsim's own time; the whole call stands beside.
           "stored" is a table that holds the documents' token embeddings, so that only the query is encoded.
peers      seconds of each host's own best local reranker, and of ours in that host on the same weights: a
           cross-encoder of MiniLM's size with random weights, and MiniLM's token embeddings. Models are loaded before.
heartbeat  how late an event loop's timer of 1 ms is while 8 coroutines rerank 100 documents each, in milliseconds.
kernel     sentence_transformers.util.maxsim as it is and after use_kernel(): one query and 32 of 32 tokens against
           1000 documents of 60 to 300 tokens, 128 dimensions; 1000 pairs; a training step of 16 against 64.

Contenders take turns; numbers are medians. Packages that are not here are left out. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _host_calls import Instant, Task, bare, hosts
from _host_peers import peers, save_cross_encoder
from _timing import Contender, machine, print_table, take_turns

from rank_plugins import encoders, rerankers
from rank_plugins._threads import thread_count

DATA = Path(__file__).parents[1] / "examples" / "data"
AT_ONCE = 8
BEAT = 0.001
INSTANT_RUNS = 200


def scifact() -> Task:
    """Return the first claim of the sample and its 100 candidates."""
    documents, queries = (
        [json.loads(line) for line in (DATA / name).open(encoding="utf-8")]
        for name in ("documents.jsonl", "queries.jsonl")
    )
    ids = queries[0]["candidates"]
    texts_of = {row["id"]: row["text"] for row in documents}
    texts = [texts_of[i] for i in ids]
    with contextlib.closing(encoders.load("minilm")) as encoder:
        return Task(queries[0]["text"], ids, texts, encoder.encode_documents(texts))


def overhead(task: Task, runs: int) -> list[dict[str, Any]]:
    instant, real = Instant(len(task.ids)), rerankers.load("rank-maxsim")
    times = []
    for reranker, count, warm in ((instant, INSTANT_RUNS, True), (real, runs, False)):
        calls = {("bare", name): call for name, call in bare(reranker, task).items()}
        found = hosts(reranker, task)
        calls |= {("host", name): host.call for name, host in found.items()}
        times.append(take_turns({key: Contender(call) for key, call in calls.items()}, count, warm))  # type: ignore[misc]
    rows = []
    for name, host in found.items():
        added = times[0]["host", name] - times[0]["bare", host.bare]  # type: ignore[index]
        alone, through = times[1]["bare", host.bare], times[1]["host", name]  # type: ignore[index]
        rows.append(
            {
                "adapter": name,
                "added ms": added * 1e3,
                "share %": 100 * added / alone,
                "rank-maxsim ms": alone * 1e3,
                "through it ms": through * 1e3,
            }
        )
    return rows


def compare(task: Task, runs: int) -> list[dict[str, Any]]:
    rows = []
    # Hosts show progress bars on stderr.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        path = Path(folder, "cross-encoder")
        save_cross_encoder(path)
        for name, make in peers(task, str(path)):
            try:
                theirs, ours = make()
            except ModuleNotFoundError as error:
                rows.append({"host and its reranker": name, "left out": str(error)})
                continue
            times = take_turns({"theirs": Contender(theirs), "ours": Contender(ours)}, runs, warm=False)
            rows.append(
                {
                    "host and its reranker": name,
                    "its s": times["theirs"],
                    "ours s": times["ours"],
                    "times as fast": times["theirs"] / times["ours"],
                }
            )
    return rows


def heartbeat(task: Task, runs: int) -> list[dict[str, Any]]:
    reranker = rerankers.load("rank-maxsim")
    reranker.warm_up()
    coroutines: dict[str, Callable[[], Any]] = {
        "nothing": lambda: asyncio.sleep(1),
        "rerank_async": lambda: reranker.rerank_async(task.query, task.texts),
    }
    coroutines |= {name: host.coroutine for name, host in hosts(reranker, task).items() if host.coroutine}
    rows = []
    for name, coroutine in coroutines.items():
        late = np.array(sorted(asyncio.run(_beats(coroutine, runs)))) * 1e3
        p50, p99 = np.quantile(late, [0.5, 0.99])
        rows.append({"in": name, "beats": len(late), "median ms": p50, "p99 ms": p99, "largest ms": late[-1]})
    return rows


async def _beats(coroutine: Callable[[], Any], runs: int) -> list[float]:
    """Return how late the timer was at each beat."""
    late: list[float] = []
    for _ in range(runs):
        work = asyncio.gather(*(coroutine() for _ in range(AT_ONCE)))
        while not work.done():
            started = time.perf_counter()
            await asyncio.sleep(BEAT)
            late.append(max(0.0, time.perf_counter() - started - BEAT))
        await work
    return late


def kernel(runs: int) -> list[dict[str, Any]]:
    import torch
    from sentence_transformers.util import maxsim, maxsim_pairwise

    from rank_plugins.compat.sentence_transformers import use_kernel

    torch.set_num_threads(thread_count(None))
    rng = np.random.default_rng(0)

    def rows(lengths: Any) -> list[Any]:
        parts = [torch.from_numpy(rng.standard_normal((length, 128), np.float32)) for length in lengths]
        return [torch.nn.functional.normalize(part, dim=1) for part in parts]

    documents = rows(rng.integers(60, 301, 1000))
    padded = torch.nn.utils.rnn.pad_sequence(documents, batch_first=True)
    one, some, many = rows([32]), rows([32] * 32), rows([32] * 1000)

    def step() -> None:
        queries = torch.stack(some[:16]).requires_grad_()
        maxsim(queries, padded[:64].clone().requires_grad_()).sum().backward()

    calls: dict[str, Callable[[], Any]] = {
        "1 query, a list of 1000": lambda: maxsim(one, documents),
        "1 query, 1000 padded": lambda: maxsim(one, padded),
        "32 queries, a list of 1000": lambda: maxsim(some, documents),
        "32 queries, 1000 padded": lambda: maxsim(some, padded),
        "1000 pairs": lambda: maxsim_pairwise(many, documents),
        "16 queries, 64 padded, with gradients": step,
    }
    found = []
    for name, call in calls.items():
        times = take_turns({"theirs": Contender(call), "ours": Contender(call, use_kernel)}, runs, warm=True)
        found.append(
            {
                "util.maxsim": name,
                "its ms": times["theirs"] * 1e3,
                "ours ms": times["ours"] * 1e3,
                "times as fast": times["theirs"] / times["ours"],
            }
        )
    return found


PARTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "overhead": lambda runs: overhead(scifact(), runs),
    "peers": lambda runs: compare(scifact(), runs),
    "heartbeat": lambda runs: heartbeat(scifact(), runs),
    "kernel": kernel,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"expected {', '.join(PARTS)}, got {', '.join(unknown)}")
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")  # hosts' and ours: texts that are cut
    logging.disable()
    results = {}
    for part in options.parts or PARTS:
        rows = results[part] = PARTS[part](options.runs)
        if options.json:
            continue
        print(f"\n{part}; {machine()}\n")
        measured = [row for row in rows if "left out" not in row]
        print_table(measured[0], [map(_shown, row.values()) for row in measured])
        for row in rows:
            if "left out" in row:
                print("left out:", *row.values(), sep=" ")
        sys.stdout.flush()
    if options.json:
        print(json.dumps({"machine": machine(), "threads": thread_count(None), **results}, indent=2))


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
