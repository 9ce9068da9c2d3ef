"""FlashRank's interface: passages reranked, and the context for a language model, offline, on the CPU."""

import json
from pathlib import Path

from rank_plugins.compat.flashrank import Ranker, RerankRequest

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def place(ids: list[str], relevant: dict[str, int]) -> str:
    """Return the rank of the first relevant passage as text."""
    return next((str(rank) for rank, i in enumerate(ids, 1) if i in relevant), "-")


passages = {
    row["id"]: {"id": row["id"], "text": row["text"], "meta": {"source": "SciFact"}} for row in read("documents.jsonl")
}
with Ranker("rank-maxsim", score="mean") as ranker:
    for claim in read("queries.jsonl")[8:11]:
        found = [passages[i] for i in claim["candidates"]]
        results = ranker.rerank(RerankRequest(query=claim["text"], passages=found))
        ranks = [place([passage["id"] for passage in row], claim["relevant"]) for row in (found, results)]
        print(f"\n{claim['text']}\n  first relevant passage: rank {ranks[0]} of BM25, {ranks[1]} after reranking")
        for result in results[:3]:
            mark = "*" if result["id"] in claim["relevant"] else " "
            print(f"  {mark} {result['score']:.3f}  {result['text'][:90]}")

context = [{"source": result["meta"]["source"], "text": result["text"][:60]} for result in results[:2]]
print("\nthe last claim's context, as JSON:", json.dumps({"passages": context, "best": results[0]["score"]}, indent=1))
