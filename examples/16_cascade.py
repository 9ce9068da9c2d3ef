"""A cascade over SciFact abstracts: words first, MaxSim over the best 15, and not where the words are sure."""

import json
import math
import re
from collections import Counter
from pathlib import Path

from rank_plugins.pipelines import Cascade, TopGap, choose_gate, stage, work
from rank_plugins.rerankers import Ranking, Reranker, load

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


class Words(Reranker):
    """Scores a document by the rare words that it shares with the query."""

    def _rank(self, requests, top_k):
        return [Ranking.from_scores(self.scores(r.query, r.documents), top_k) for r in requests]

    def scores(self, query: str, texts: list[str]) -> list[float]:
        words = [set(re.findall(r"\w+", text.lower())) for text in texts]
        rare = {word: math.log(1 + len(words) / n) for word, n in Counter(w for one in words for w in one).items()}
        asked = set(re.findall(r"\w+", query.lower()))
        return [sum(rare[word] for word in asked & one) for one in words]


def ndcg(claim: dict, ranking: Ranking) -> float:
    """Return nDCG@10 with linear gains."""
    gains = [claim["relevant"].get(claim["candidates"][i], 0) for i in ranking.indices[:10].tolist()]
    ideal = sorted(claim["relevant"].values(), reverse=True)[:10]
    dcg, best = (sum(gain / math.log2(rank + 2) for rank, gain in enumerate(row)) for row in (gains, ideal))
    return dcg / best


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
claims = read("queries.jsonl")
texts = [claim["text"] for claim in claims], [[documents[i] for i in claim["candidates"]] for claim in claims]
words, maxsim = Words(), load("rank-maxsim", cache="64MB")

cheap = words.rerank_batch(*texts)
always = Cascade([stage(words, keep=15), maxsim]).rerank_batch(*texts)
gaps = [TopGap(0).value(claim["text"], ranking) for claim, ranking in zip(claims, cheap, strict=True)]
quality = [[ndcg(*pair) for pair in zip(claims, rankings, strict=True)] for rankings in (always, cheap)]
choice = choose_gate(TopGap(0), gaps, *quality, max_loss=0.01)

cascade = Cascade([stage(words, keep=15), stage(maxsim, when=choice.gate)], budget=5.0)
rankings = cascade.rerank_batch(*texts)
for name, found in {"words": cheap, "words, MaxSim": always, "words, MaxSim if needed": rankings}.items():
    print(f"nDCG@10 {sum(map(ndcg, claims, found)) / len(claims):.3f}  {name}")
print(f"\n{choice.gate}, chosen on the same {len(claims)} claims: a real choice needs others\n\n{work(rankings)}")
