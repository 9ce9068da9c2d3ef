"""A PyTerrier experiment on SciFact claims: BM25, reranked by late interaction, and both fused. No Java starts."""

import json
from pathlib import Path

import pandas as pd
import pyterrier as pt

from pyterrier_rank_plugins import RankPluginsFusion, RankPluginsReranker
from rank_plugins.evaluation.providers.pyterrier import measures

DATA = Path(__file__).parent / "data"
CLAIMS, CANDIDATES = slice(1, 5), 20
METRICS = "ndcg@10 rr recall@10"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


texts = {row["id"]: row["text"] for row in read("documents.jsonl")}
claims = read("queries.jsonl")[CLAIMS]
topics = pd.DataFrame([{"qid": claim["id"], "query": claim["text"]} for claim in claims])
qrels = pd.DataFrame(
    [
        {"qid": claim["id"], "docno": name, "label": label}
        for claim in claims
        for name, label in claim["relevant"].items()
    ]
)
found = pd.DataFrame(
    [
        {"qid": claim["id"], "query": claim["text"], "docno": name, "text": texts[name], "score": -rank, "rank": rank}
        for claim in claims
        for rank, name in enumerate(claim["candidates"][:CANDIDATES])
    ]
)

bm25 = pt.Transformer.from_df(found)
reranked = bm25 >> RankPluginsReranker("rank-maxsim", {"cache": "64MB"})
fused = RankPluginsFusion([bm25, reranked], method="rrf", weights=[1, 2])

table = pt.Experiment([bm25, reranked, fused], topics, qrels, measures(METRICS), names=["BM25", "reranked", "fused"])
print(table[["name", *METRICS.split()]].to_string(index=False, float_format="{:.3f}".format))

claim = claims[0]
print(f"\ncontext for: {claim['text']}")
for row in (fused % 3).search(claim["text"], qid=claim["id"]).to_dict("records"):
    ranks = ", ".join("-" if rank is None else str(rank) for rank in row["source_ranks"])
    print(f"  {row['score']:.4f}  (BM25, reranked: {ranks})  {row['text'][:80]}")
