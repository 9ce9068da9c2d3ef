"""Rerank BM25's top 100 for 20 real SciFact claims through AnswerDotAI rerankers, offline, on the CPU."""

import json
import math
import time
from pathlib import Path

from rank_plugins_rerankers import Reranker

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def ndcg(ids: list[str], relevant: dict[str, int], depth: int = 10) -> float:
    """Return nDCG at `depth` with linear gains."""
    gains = [relevant.get(i, 0) for i in ids[:depth]]
    ideal = sorted(relevant.values(), reverse=True)[:depth]
    dcg, best = (sum(g / math.log2(r + 2) for r, g in enumerate(row)) for row in (gains, ideal))
    return dcg / best


def first(ids: list[str], relevant: dict[str, int]) -> str:
    """Return the rank of the first relevant document as text."""
    return next((str(rank) for rank, i in enumerate(ids, 1) if i in relevant), "-")


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
ranker = Reranker("rank-maxsim", verbose=0)
totals = [0.0, 0.0]
started = time.perf_counter()

print(f"{'claim':<64} {'first relevant':>14}   {'nDCG@10':>13}")
for query in read("queries.jsonl"):
    before = query["candidates"]
    results = ranker.rank(query["text"], [documents[i] for i in before], doc_ids=before)
    after = [result.doc_id for result in results]
    scores = [ndcg(ids, query["relevant"]) for ids in (before, after)]
    totals = [total + score for total, score in zip(totals, scores, strict=True)]
    ranks = [first(ids, query["relevant"]) for ids in (before, after)]
    print(f"{query['text'][:64]:<64} {ranks[0]:>6} -> {ranks[1]:>4}   {scores[0]:.3f} -> {scores[1]:.3f}")

count = len(read("queries.jsonl"))
print(f"\nmean nDCG@10 of {count} claims: BM25 {totals[0] / count:.3f} -> rank-maxsim {totals[1] / count:.3f}")
print(f"{count * 100} abstracts encoded and ranked in {time.perf_counter() - started:.0f} s")
