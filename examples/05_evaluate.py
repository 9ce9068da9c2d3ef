"""Which of two rankings of 20 real SciFact claims is better, and how sure that is: evaluate and compare."""

import json
import math
import re
from collections import Counter
from pathlib import Path

from rank_plugins.evaluation import compare, evaluate

DATA = Path(__file__).parent / "data"
METRICS = "ndcg@10 ap rr@10 r@100"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def words(text: str) -> set[str]:
    """Return the words of a text, once each."""
    return set(re.findall(r"\w+", text.lower()))


documents = {row["id"]: words(row["text"]) for row in read("documents.jsonl")}
claims = read("queries.jsonl")
qrels = {claim["id"]: claim["relevant"] for claim in claims}
bm25 = {claim["id"]: claim["candidates"] for claim in claims}  # lists of ids, best first

# The same candidates in the order of the rare words that they share with the claim.
count = Counter(word for text in documents.values() for word in text)
overlap = {
    claim["id"]: {
        name: sum(math.log(len(documents) / count[word]) for word in words(claim["text"]) & documents[name])
        for name in claim["candidates"]
    }
    for claim in claims
}

found = evaluate(qrels, bm25, METRICS)
low, high = found.ci(0.95)["ndcg@10"]
print(f"BM25: nDCG@10 {found['ndcg@10']:.3f}, 95 % interval {low:.3f} to {high:.3f}, {found.n} claims")
worst = min(found.per_query["rr@10"], key=found.per_query["rr@10"].get)
print(f"a claim that BM25 misses: {next(claim['text'] for claim in claims if claim['id'] == worst)}\n")

print(compare(qrels, {"BM25": bm25, "overlap": overlap}, METRICS))

ties = [evaluate(qrels, overlap, "ndcg@10", ties=policy)["ndcg@10"] for policy in ("worst", "average", "best")]
print("\noverlap, equal scores in the worst order {:.3f}, in any {:.3f}, in the best {:.3f}".format(*ties))
