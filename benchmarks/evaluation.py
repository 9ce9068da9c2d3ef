"""nDCG@10, AP, RR and R@100 of a run: ours beside pytrec_eval, ir_measures and ranx, in one run on the same data.

    python benchmarks/evaluation.py [--queries N] [--depth N] [--runs N] [--peers NAME ...] [--json]
    python benchmarks/evaluation.py --lines N        # parsing a TREC run instead
    python benchmarks/evaluation.py --permutations N # a randomisation test on 1,000 topics instead

20 judged documents a query, 12 of them retrieved. Rows of ours: "dicts" walks {query: {document: score}} in C,
"columns" are a Run and Qrels made before, "NumPy" is the same as "dicts" without the C core. ranx is timed with its
conversion from dicts and, warm, without; "cold" is the first call in a fresh process, where it compiles. Memory is
the growth of the process's peak while evaluating. Every implementation must give the same four means, or the run
ends. pip install pytrec-eval-terrier ir-measures ranx.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from _timing import Contender, machine, print_table, take_turns

METRICS = "ndcg@10 ap rr r@100"
PEERS = ("pytrec_eval", "ir_measures", "ranx")


def drawn(queries: int, depth: int) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Return qrels and a run, best first, no two scores equal in single precision."""
    rng = random.Random(0)
    qrels, run = {}, {}
    for q in range(queries):
        documents = [f"D{document:07d}" for document in rng.sample(range(10_000_000), depth)]
        scores = [(depth - i) / 16 for i in range(depth)]
        run[f"q{q:06d}"] = dict(zip(documents, scores, strict=True))
        judged = rng.sample(documents, min(12, depth)) + [f"X{i}" for i in range(8)]
        qrels[f"q{q:06d}"] = {document: rng.choice((0, 0, 1, 2)) for document in judged}
    return qrels, run


def numbers(qrels: Any, run: Any) -> tuple[Any, Any]:
    """Return the same in columns, with whole numbers for ids that stand in the same order."""
    from rank_plugins.runs import Qrels, Run

    def whole(document: str) -> int:
        return int(document[1:]) + 10_000_000 * (document[0] == "X")

    tables = ({q: {whole(d): v for d, v in row.items()} for q, row in table.items()} for table in (qrels, run))
    return Qrels.from_dict(next(tables)), Run.from_dict(next(tables))


def ours(qrels: Any, run: Any) -> list[float]:
    """Return the four means."""
    from rank_plugins.evaluation import evaluate

    return list(evaluate(qrels, run, METRICS).mean.values())


def without_core(qrels: Any, run: Any) -> list[float]:
    """Return the four means, computed without the C core."""
    from rank_plugins import _columns

    with mock.patch.multiple(_columns, NATIVE=False, WALKS=False):
        return ours(qrels, run)


def pytrec(qrels: Any, run: Any) -> list[float]:
    """Return the four means of pytrec_eval."""
    import pytrec_eval

    names = {"ndcg_cut.10": "ndcg_cut_10", "map": "map", "recip_rank": "recip_rank", "recall.100": "recall_100"}
    results = pytrec_eval.RelevanceEvaluator(qrels, set(names)).evaluate(run)
    return [math.fsum(row[name] for row in results.values()) / len(results) for name in names.values()]


def irm(qrels: Any, run: Any) -> list[float]:
    """Return the four means of ir_measures."""
    import ir_measures

    metrics = [ir_measures.parse_measure(name) for name in ("nDCG@10", "AP", "RR", "R@100")]
    means = ir_measures.calc_aggregate(metrics, qrels, run)
    return [means[metric] for metric in metrics]


def ranx_objects(qrels: Any, run: Any) -> tuple[Any, Any]:
    """Return what ranx converts dicts to."""
    import ranx

    return ranx.Qrels(qrels), ranx.Run(run)


def ranx_means(objects: tuple[Any, Any]) -> list[float]:
    """Return the four means of ranx."""
    import ranx

    return list(ranx.evaluate(*objects, ["ndcg@10", "map", "mrr", "recall@100"], make_comparable=True).values())


def grown(call: Callable[[], Any]) -> float:
    """Return the megabytes by which the peak of memory grows in a call; Linux only."""
    ctypes.CDLL(None).malloc_trim(0)  # what others freed must not serve this one
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per implementation."""
    from rank_plugins.runs import Qrels, Run

    qrels, run = drawn(arguments.queries, arguments.depth)
    gc.collect()
    gc.freeze()
    columns = Qrels.from_dict(qrels), Run.from_dict(run)
    numbered = numbers(qrels, run)
    calls: dict[str, Callable[[], Any]] = {
        "rank-plugins, dicts": lambda: ours(qrels, run),
        "rank-plugins, columns": lambda: ours(*columns),
        "rank-plugins, columns, ids are numbers": lambda: ours(*numbered),
        "rank-plugins, NumPy": lambda: without_core(qrels, run),
    }
    if "pytrec_eval" in arguments.peers:
        calls["pytrec_eval"] = lambda: pytrec(qrels, run)
    if "ir_measures" in arguments.peers:
        calls["ir_measures"] = lambda: irm(qrels, run)
    if "ranx" in arguments.peers:
        objects = ranx_objects(qrels, run)
        calls["ranx, converted before"] = lambda: ranx_means(objects)
        calls["ranx, with conversion"] = lambda: ranx_means(ranx_objects(qrels, run))
    memory = {name: grown(call) for name, call in calls.items()}
    means = {name: call() for name, call in calls.items()}
    for name, values in means.items():
        if not np.allclose(values, means["rank-plugins, dicts"], rtol=1e-9, atol=0):
            raise SystemExit(f"{name} gives {values}, and rank-plugins {means['rank-plugins, dicts']}")
    seconds = take_turns({name: Contender(call) for name, call in calls.items()}, arguments.runs, warm=False)
    return [{"name": name, "seconds": seconds[name], "megabytes": memory[name]} for name in calls]


def cold(peers: list[str]) -> list[dict[str, Any]]:
    """Return the seconds of `import` and of the first evaluation, of 10 queries, in fresh processes."""
    code = (
        "import sys, time; sys.path.insert(0, {folder!r}); import evaluation; qrels, run = evaluation.drawn(10, 100)\n"
    )
    code += "t = time.perf_counter(); evaluation.{call}; print(time.perf_counter() - t)"
    calls = {"rank-plugins": "ours(qrels, run)", "pytrec_eval": "pytrec(qrels, run)", "ir_measures": "irm(qrels, run)"}
    calls["ranx"] = "ranx_means(evaluation.ranx_objects(qrels, run))"
    rows = []
    for name in ("rank-plugins", *peers):
        with tempfile.TemporaryDirectory() as empty:  # numba finds nothing compiled
            script = code.format(folder=str(Path(__file__).parent), call=calls[name])
            environment = {"NUMBA_CACHE_DIR": empty, "PATH": "", "HOME": empty}
            done = subprocess.run(
                [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
            )
        rows.append({"name": name, "seconds": float(done.stdout.split()[-1])})
    return rows


def parsing(lines: int, runs: int) -> list[dict[str, Any]]:
    """Return the seconds to read a TREC run from a file."""
    import pytrec_eval

    from rank_plugins.runs import read

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.trec"
        _, run = drawn(lines // 1000, 1000)
        with path.open("w", encoding="utf-8") as file:
            for query, scores in run.items():
                for rank, (document, score) in enumerate(scores.items(), 1):
                    file.write(f"{query} Q0 {document} {rank} {score:.6f} bm25\n")
        del run
        gc.collect()

        def theirs() -> Any:
            with path.open(encoding="utf-8") as file:
                return pytrec_eval.parse_run(file)

        calls = {"rank-plugins": lambda: read(path), "pytrec_eval": theirs}
        seconds = take_turns({name: Contender(call) for name, call in calls.items()}, runs, warm=False)
    return [{"name": name, "seconds": seconds[name]} for name in calls]


def testing(permutations: int, runs: int) -> list[dict[str, Any]]:
    """Return the seconds of a paired randomisation test on 1,000 topics."""
    from ranx.statistical_tests import fisher_randomization_test
    from scipy.stats import permutation_test

    from rank_plugins.evaluation.statistics import randomization_test

    rng = np.random.default_rng(0)
    a = rng.random(1000)
    b = np.clip(a + rng.normal(0.01, 0.1, 1000), 0, 1)

    def by_scipy() -> Any:
        mean = lambda x, y, axis: np.mean(x - y, axis=axis)  # noqa: E731
        options = {"permutation_type": "samples", "n_resamples": permutations, "vectorized": True}
        return permutation_test((a, b), mean, **options, rng=np.random.default_rng(0))

    calls = {
        "rank-plugins": lambda: randomization_test(a, b, resamples=permutations, seed=0),
        "ranx": lambda: fisher_randomization_test(a, b, permutations),
        "scipy": by_scipy,
    }
    seconds = take_turns({name: Contender(call) for name, call in calls.items()}, runs, warm=True)
    return [{"name": name, "seconds": seconds[name]} for name in calls]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--cold", action="store_true", help="the first call in a fresh process instead")
    parser.add_argument("--lines", type=int, help="parse a TREC run of that many lines instead")
    parser.add_argument("--permutations", type=int, help="a randomisation test instead")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.cold:
        rows = cold(arguments.peers)
    elif arguments.lines:
        rows = parsing(arguments.lines, arguments.runs)
    elif arguments.permutations:
        rows = testing(arguments.permutations, arguments.runs)
    else:
        rows = measure(arguments)
    if arguments.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        return
    print(machine())
    best = rows[0]["seconds"]
    shown = [[row["name"], f"{row['seconds'] * 1e3:.1f}", f"{row['seconds'] / best:.1f}"] for row in rows]
    if "megabytes" in rows[0]:
        shown = [[*cells, f"{row['megabytes']:.0f}"] for cells, row in zip(shown, rows, strict=True)]
    print_table(["", "ms", "times the first row's", "MB more"][: len(shown[0])], shown)


if __name__ == "__main__":
    main()
