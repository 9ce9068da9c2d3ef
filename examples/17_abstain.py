"""Scores as probabilities, a context that ends where they drop, and no context at all where nothing is evidence."""

import json
import re
from pathlib import Path

from rank_plugins.pipelines import CalibratedReranker, CutReranker, LargestGap

DATA = Path(__file__).parent / "data"
STRANGE = [
    "How long should sourdough bread prove before baking?",
    "Which offside rule applies to a throw-in?",
    "The tax return of a sole trader is due in January.",
]


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(re.findall(r"\w+", text.lower()))


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
claims = read("queries.jsonl")
known, new = claims[::2], claims[1::2]

# Half of the claims teach what a score is worth; a real system takes some hundreds, and lets `select` set the bar.
fitted = CalibratedReranker.fit(
    {"name": "rank-maxsim", "score": "mean"},
    {claim["id"]: claim["text"] for claim in known},
    documents,
    {claim["id"]: claim["candidates"][:10] for claim in known},
    {claim["id"]: claim["relevant"] for claim in known},
    method="platt",
)
answering = CalibratedReranker(fitted.reranker, fitted.calibrator, threshold=0.25)
reranker = CutReranker(answering, LargestGap(most=5))

asked = [(claim["text"], claim["candidates"][:10], claim["relevant"]) for claim in new]
for text in STRANGE:
    overlap = sorted(documents, key=lambda name: -len(words(text) & words(documents[name])))
    asked.append((text, overlap[:10], {}))

for text, candidates, relevant in asked:
    ranking = reranker.rerank(text, [documents[name] for name in candidates])
    context = [f"{'*' if candidates[i] in relevant else ' '}{score:.2f}" for i, score in ranking]
    print(f"{text[:64]:<64}  {' '.join(context) or 'no evidence'}")
print("\n* relevant; each number is the probability of a document that goes into the context")
