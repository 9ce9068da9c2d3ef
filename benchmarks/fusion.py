"""Fusing runs: ours beside ranx and plain Python, in one run on the same data.

    python benchmarks/fusion.py [--queries N] [--depth N] [--runs N] [--peers NAME ...] [--json]
    python benchmarks/fusion.py --online    # two lists of one query, as a server fuses them
    python benchmarks/fusion.py --tune      # the weights of three runs of 1,000 queries by 100 documents

Two runs of half-overlapping documents, best first, from {query: {document: score}} to the same. "plain Python" is the
loop that people write: a dict of sums, sorted. ranx is timed with its conversion in and out. Everybody must give the
same scores, or the run ends. pip install ranx.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
from collections.abc import Callable
from typing import Any

from _timing import Contender, machine, print_table, take_turns

from rank_plugins.fusion import fuse, tune

Run = dict[str, dict[str, float]]
CALLS = 2000  # of the online case, timed together


def drawn(queries: int, depth: int, runs: int) -> list[Run]:
    """Return runs whose lists share about half of their documents; no two scores of a list are equal."""
    rng = random.Random(0)
    made: list[Run] = [{} for _ in range(runs)]
    for q in range(queries):
        pool = rng.sample(range(10_000_000), 2 * depth)
        for run in made:
            documents = [f"D{document:07d}" for document in rng.sample(pool, depth)]
            run[f"q{q:06d}"] = {document: (depth - i) * 0.25 for i, document in enumerate(documents)}
    return made


def plain_list(lists: list[list[str]], k: int = 60) -> list[tuple[str, float]]:
    """Return the reciprocal rank fusion of ranked documents, in plain Python."""
    sums: dict[str, float] = {}
    for documents in lists:
        for rank, document in enumerate(documents, 1):
            sums[document] = sums.get(document, 0.0) + 1 / (k + rank)
    return sorted(sums.items(), key=lambda item: -item[1])


def plain(runs: list[Run]) -> Run:
    """Return the reciprocal rank fusion of runs, in plain Python."""
    fused = {}
    for query in runs[0]:
        lists = [sorted(run[query], key=run[query].__getitem__, reverse=True) for run in runs]
        fused[query] = dict(plain_list(lists))
    return fused


def by_ranx(runs: list[Run], norm: str | None = None, method: str = "rrf") -> Run:
    """Return ranx's fusion, from dicts to dicts."""
    import ranx

    fused = ranx.fuse([ranx.Run(run) for run in runs], norm=norm, method=method)
    return {query: dict(documents) for query, documents in fused.to_dict().items()}


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per implementation of a fusion of two whole runs."""
    runs = drawn(arguments.queries, arguments.depth, 2)
    gc.collect()
    gc.freeze()
    calls: dict[str, Callable[[], Run]] = {
        "RRF, rank-plugins": lambda: fuse(runs, "rrf"),
        "RRF, plain Python": lambda: plain(runs),
    }
    if "ranx" in arguments.peers:
        calls["RRF, ranx"] = lambda: by_ranx(runs)
    calls["CombMNZ of min-max, rank-plugins"] = lambda: fuse(runs, "mnz", norm="minmax")
    if "ranx" in arguments.peers:
        calls["CombMNZ of min-max, ranx"] = lambda: by_ranx(runs, "min-max", "mnz")
    results = {name: call() for name, call in calls.items()}
    for name, fused in results.items():
        ours = results[name.partition(",")[0] + ", rank-plugins"]
        for query, documents in ours.items():
            if any(abs(fused[query][document] - score) > 1e-12 for document, score in documents.items()):
                raise SystemExit(f"{name} differs for query {query}")
    del results
    seconds = take_turns({name: Contender(call) for name, call in calls.items()}, arguments.runs, warm=False)
    return [
        {"name": name, "seconds": spent, "ratio": spent / seconds[name.partition(",")[0] + ", rank-plugins"]}
        for name, spent in seconds.items()
    ]


def online(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per way to fuse two lists of 100 pairs (document, score); seconds of one call."""
    first, second = (list(run["q000000"].items()) for run in drawn(1, 100, 2))

    def repeated(call: Callable[[], Any]) -> Callable[[], None]:
        def calls() -> None:
            for _ in range(CALLS):
                call()

        return calls

    calls = {
        "RRF, rank-plugins": lambda: fuse([first, second], "rrf"),
        "RRF, rank-plugins, the best 10": lambda: fuse([first, second], "rrf", top=10),
        "RRF, plain Python": lambda: plain_list([[d for d, _ in first], [d for d, _ in second]]),
        "CombSUM of min-max, rank-plugins": lambda: fuse([first, second], "sum", norm="minmax"),
    }
    assert dict(calls["RRF, rank-plugins"]()) == dict(calls["RRF, plain Python"]())
    contenders = {name: Contender(repeated(call)) for name, call in calls.items()}
    seconds = {name: spent / CALLS for name, spent in take_turns(contenders, arguments.runs, warm=True).items()}
    best = seconds["RRF, rank-plugins"]
    return [{"name": name, "seconds": spent, "ratio": spent / best} for name, spent in seconds.items()]


def tuning(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the seconds of a search of the weights of three runs, in steps of a tenth (66 of them)."""
    runs = drawn(1000, 100, 3)
    rng = random.Random(1)
    qrels = {query: dict.fromkeys(rng.sample(list(documents), 12), 1) for query, documents in runs[0].items()}
    calls: dict[str, Callable[[], Any]] = {"weights, rank-plugins": lambda: tune(qrels, runs, "wsum", metric="ndcg@10")}
    if "ranx" in arguments.peers:
        import ranx

        objects = ranx.Qrels(qrels), [ranx.Run(run, name=f"run {i}") for i, run in enumerate(runs)]
        options = {"norm": "min-max", "method": "wsum", "metric": "ndcg@10", "show_progress": False}
        calls["weights, ranx, converted before"] = lambda: ranx.optimize_fusion(*objects, **options)
    seconds = take_turns(
        {name: Contender(call) for name, call in calls.items()}, max(1, arguments.runs // 2), warm=False
    )
    best = seconds["weights, rank-plugins"]
    return [{"name": name, "seconds": spent, "ratio": spent / best} for name, spent in seconds.items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", nargs="*", choices=("ranx",), default=["ranx"])
    parser.add_argument("--online", action="store_true", help="two lists of one query instead")
    parser.add_argument("--tune", action="store_true", help="a search of weights instead")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = (online if arguments.online else tuning if arguments.tune else measure)(arguments)
    if arguments.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        return
    print(machine())
    unit, scale = ("us", 1e6) if arguments.online else ("ms", 1e3)
    shown = [[row["name"], f"{row['seconds'] * scale:.1f}", f"{row['ratio']:.1f}"] for row in rows]
    print_table(["", unit, "times rank-plugins"], shown)


if __name__ == "__main__":
    main()
