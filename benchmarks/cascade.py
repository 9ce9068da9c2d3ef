"""BM25's top 100 -> MaxSim keeps 20 -> cross-encoder, beside the cross-encoder over all 100: SciFact test, one run.

    python scripts/finetune_cross_encoder.py --data FOLDER --out MODEL
    python benchmarks/cascade.py --data FOLDER --model MODEL [--store FOLDER] [--cache FILE] [--keep 10 20 30 50]
                                 [--timed 100] [--max-loss 0.002] [--json]

MODEL is that script's folder, or what `rank-plugins export MODEL --task cross-encoder [--quantize int8] --out FOLDER`
made of it; the same engine and the same object serve every row, one query a call. Documents are in an
`EmbeddingStore` (--store, made where there is none), so that MaxSim encodes the query alone.

nDCG@10 is over all test claims; a `ScoreCache` (--cache, to go on where a run was cut short) has each pair scored
once. Times are without it, of --timed claims: rows take turns, for each claim in another order, and p50 and p95 are
over the claims' own times. Differences to the cross-encoder over all 100 are paired, with the 95 % interval and p of
`rank_plugins.evaluation.compare`.

The last row has a gate before the last stage. The model has seen nine tenths of the training claims, and looks better
on them than it is: signal and bound are chosen on the tenth that was held out, as the ones that skip the most claims
there while mean nDCG@10 falls by at most --max-loss. What the gate then does to test claims is printed beside that.
The epoch that was saved was chosen on the same tenth; no weight was. Needs bm25s, PyStemmer and pytrec-eval-terrier.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import beir
import numpy as np
from _split import split
from _timing import machine, print_table

from rank_plugins import rerankers
from rank_plugins.encoders.onnx import minilm
from rank_plugins.evaluation import compare, evaluate
from rank_plugins.pipelines import (
    CachedReranker,
    Cascade,
    Choice,
    Entropy,
    Gate,
    QueryWords,
    TopGap,
    TopScore,
    choose_gate,
    stage,
)
from rank_plugins.pipelines.gates import Query, Signal
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore

KEEP = 20  # of the cascade that is measured against its aims
AIMS = {"p50 ratio": 0.35, "loss": 0.002}
METRIC = "ndcg@10"
BM25, MAXSIM, ALL, GATED = "BM25", "MaxSim", "cross-encoder over all 100", f"keep {KEEP}, gate"
SIGNALS: tuple[Signal, ...] = (TopGap(0), TopScore(0), QueryWords(0), Entropy(0), Entropy(0, 0.1))
Run = dict[str, dict[str, float]]


@dataclasses.dataclass
class Measured:
    """What one reranker did for each query."""

    run: Run = dataclasses.field(default_factory=dict)
    seconds: list[float] = dataclasses.field(default_factory=list)
    last_ran: list[bool] = dataclasses.field(default_factory=list)  # of a cascade: its last stage


def ranked(reranker: Reranker, collection: beir.Collection, query: str, into: Measured) -> Ranking:
    """Rank one query's candidates, and note time and result."""
    ids = collection.candidates[query]
    texts = [collection.documents[document] for document in ids]
    started = time.perf_counter()
    ranking = reranker.rerank(collection.queries[query], texts, ids=ids)
    into.seconds.append(time.perf_counter() - started)
    # Ranks for scores: equal scores must not be ordered anew, by their names.
    into.run[query] = {ids[i]: -float(rank) for rank, (i, _) in enumerate(ranking)}
    if "stages" in ranking.details:
        into.last_ran.append(ranking.details["stages"][-1]["ran"])
    return ranking


def measure(contenders: dict[str, Reranker], collection: beir.Collection) -> dict[str, Measured]:
    """Rank every query with each of them, in another order each time."""
    found = {name: Measured() for name in contenders}
    names, chance = list(contenders), random.Random(0)
    for query in collection.queries:
        chance.shuffle(names)
        for name in names:
            ranked(contenders[name], collection, query, found[name])
    return found


def choices(maxsim: Reranker, cross: Reranker, collection: beir.Collection, max_loss: float) -> list[Choice]:
    """Return for each signal the bound that skips most of these queries, as the cascade's gate sees them."""
    seen: list[list[float]] = [[] for _ in SIGNALS]

    def note(query: Query, ranking: Ranking) -> bool:
        for values, signal in zip(seen, SIGNALS, strict=True):
            values.append(signal.value(query, ranking))
        return True

    found = measure({MAXSIM: maxsim, "cascade": Cascade([stage(maxsim, KEEP), stage(cross, when=note)])}, collection)
    with_stage, without = (per_query(collection, found[name].run) for name in ("cascade", MAXSIM))
    return [
        choose_gate(signal, values, with_stage, without, max_loss=max_loss)
        for signal, values in zip(SIGNALS, seen, strict=True)
    ]


def per_query(collection: beir.Collection, run: Run) -> list[float]:
    """Return nDCG@10 of each query, in the collection's order."""
    values = evaluate(collection.qrels, run, METRIC).per_query[METRIC]
    return [values[query] for query in collection.queries]


def only(collection: beir.Collection, queries: list[str]) -> beir.Collection:
    """Return the collection with these queries alone."""
    columns = ("queries", "qrels", "candidates")
    return dataclasses.replace(
        collection, **{name: {query: getattr(collection, name)[query] for query in queries} for name in columns}
    )


def filled(path: Path, documents: dict[str, str]) -> EmbeddingStore:
    """Return the store with all documents in it."""
    store = EmbeddingStore.open(path, "a")
    ids, texts = list(documents), list(documents.values())
    new = [i for i, other in enumerate(store.changed(ids, texts)) if other]
    if new:
        store.add([ids[i] for i in new], texts=[texts[i] for i in new], encoder=minilm(), show_progress=True)
    return store


def contenders(maxsim: Reranker, cross: Reranker, keeps: list[int], gate: Gate) -> dict[str, Reranker]:
    """Return the rerankers of all rows."""
    cascades: dict[str, Reranker] = {f"keep {keep}": Cascade([stage(maxsim, keep), stage(cross)]) for keep in keeps}
    gated = Cascade([stage(maxsim, KEEP), stage(cross, when=gate)])
    return {MAXSIM: maxsim, ALL: cross} | cascades | {GATED: gated}


def rows_of(
    found: dict[str, Measured], timed: dict[str, Measured], collection: beir.Collection
) -> list[dict[str, Any]]:
    """Return a row for BM25 and for each reranker, with its difference to the cross-encoder over all candidates."""
    bm25 = {
        query: {name: -float(rank) for rank, name in enumerate(ids)} for query, ids in collection.candidates.items()
    }
    runs = {BM25: bm25} | {name: one.run for name, one in found.items()}
    compared = compare(collection.qrels, runs, METRIC, baseline=ALL, correction="none")
    differences = {(d.b if d.a == ALL else d.a): d for d in compared.differences}
    rows: list[dict[str, Any]] = []
    for name in runs:
        row: dict[str, Any] = {"row": name, METRIC: compared.evaluations[name][METRIC]}
        if name in timed:
            row |= dict(zip(("p50", "p95"), np.percentile(timed[name].seconds, [50, 95]).tolist(), strict=True))
            row["p50 ratio"] = row["p50"] / statistics.median(timed[ALL].seconds)
        if name in differences:
            d = differences[name]
            sign = 1 if d.a == ALL else -1  # b - a
            row |= {"difference": sign * d.mean, "interval": sorted((sign * d.low, sign * d.high)), "p": d.p}
        rows.append(row)
    return rows


def benchmark(options: argparse.Namespace, folder: Path, collection: beir.Collection) -> dict[str, Any]:
    """Choose the gate on held-out training claims, then measure everything on the test claims."""
    training = beir.load(beir.data_folder(options) / "scifact", "train.tsv")
    held_out = only(training, split(list(training.queries))[1])
    some = only(
        collection, random.Random(0).sample(list(collection.queries), min(options.timed, len(collection.queries)))
    )
    with (
        filled(options.store or folder / "store", collection.documents) as store,
        rerankers.load("rank-cross-encoder", model=options.model) as cross,
        CachedReranker(cross, options.cache or folder / "scores.sqlite") as cached,
    ):
        maxsim = MaxSimReranker(minilm(), store=store)
        chosen = choices(maxsim, cached, held_out, options.max_loss)
        best = max(chosen, key=lambda choice: choice.skipped)
        found = measure(contenders(maxsim, cached, options.keep, best.gate), collection)
        timed = measure(contenders(maxsim, cross, options.keep, best.gate), some)
    rows = {row["row"]: row for row in rows_of(found, timed, collection)}
    cascade = rows[f"keep {KEEP}"]
    return {
        "machine": machine(),
        "queries": len(collection.queries),
        "timed": len(some.queries),
        "rows": list(rows.values()),
        "aims": {"p50 ratio": cascade["p50 ratio"], "loss": -cascade["difference"]},
        "gates": [
            {"gate": repr(one.gate), "held-out skipped": one.skipped, "held-out loss": one.loss} for one in chosen
        ],
        "gate": {
            "chosen": repr(best.gate),
            "held-out claims": len(held_out.queries),
            "test skipped": 1 - statistics.mean(found[GATED].last_ran),
            "test loss": cascade[METRIC] - rows[GATED][METRIC],
            "test p50": rows[GATED]["p50"],
        },
    }


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    print(
        f"{found['machine']}; SciFact test, {found['queries']} claims x {beir.CANDIDATES} abstracts,"
        f" {found['timed']} of them timed\n"
    )
    table = []
    for row in found["rows"]:
        times = [f"{row['p50']:.3f}", f"{row['p95']:.3f}", f"{row['p50 ratio']:.1%}"] if "p50" in row else [""] * 3
        paired = ["", "", ""]
        if "p" in row:
            low, high = row["interval"]
            paired = [f"{row['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{row['p']:.3f}"]
        table.append([row["row"], f"{row[METRIC]:.4f}", *times, *paired])
    print_table(["", "nDCG@10", "p50 s", "p95 s", "p50, share of all 100", "difference", "95 %", "p"], table)
    print(
        f"\nkeep {KEEP}, aims in brackets: p50 {found['aims']['p50 ratio']:.1%} of cross-encoding all 100"
        f" ({AIMS['p50 ratio']:.0%}), nDCG@10 lower by {found['aims']['loss']:+.4f} ({AIMS['loss']})\n"
    )
    gate = found["gate"]
    print_table(
        [f"gate, bound chosen on {gate['held-out claims']} held-out claims", "skipped there", "loss there"],
        [[g["gate"], f"{g['held-out skipped']:.1%}", f"{g['held-out loss']:+.4f}"] for g in found["gates"]],
    )
    print(
        f"\n{gate['chosen']} skips most; on test: {gate['test skipped']:.1%} skipped, loss {gate['test loss']:+.4f},"
        f" p50 {gate['test p50']:.3f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--model", required=True, help="folder of the cross-encoder")
    parser.add_argument("--store", type=Path, help="folder of the documents' embeddings, made where there is none")
    parser.add_argument("--keep", type=int, nargs="+", default=[10, KEEP, 30, 50], help="documents after MaxSim")
    parser.add_argument("--cache", type=Path, help="file of the cross-encoder's scores, made where there is none")
    parser.add_argument("--timed", type=int, default=100, help="how many test claims to take times of")
    parser.add_argument("--max-loss", type=float, default=AIMS["loss"], help="of nDCG@10, by the gate")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    options.keep = sorted({*options.keep, KEEP})
    warnings.simplefilter("ignore")
    collection = beir.load(beir.data_folder(options) / "scifact")
    with tempfile.TemporaryDirectory() as folder:
        found = benchmark(options, Path(folder), collection)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
