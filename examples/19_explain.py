"""Why a SciFact abstract ranks first: the tokens behind its MaxSim score, as text and as a page."""

import json
import tempfile
from pathlib import Path

from rank_plugins import rerankers
from rank_plugins.explanations import html

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
claim = read("queries.jsonl")[3]
reranker = rerankers.load("rank-maxsim")

candidates = claim["candidates"][:20]
ranking = reranker.rerank(claim["text"], [documents[i] for i in candidates], top_k=3)
best = [candidates[index] for index, _ in ranking]
explanations = [reranker.explain(claim["text"], documents[i]) for i in best]

print(claim["text"], "\n")
print(f"{best[0]}, {explanations[0]}\n")
for name, explanation in zip(best, explanations, strict=True):
    token = explanation.query_tokens[weakest := explanation.order[-1]]
    found = explanation.document_tokens[explanation.matches[weakest]]
    print(f"{name}: {explanation.score:.2f}; {token.text!r} finds least, {found.text!r}")

with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "why.html"
    page.write_text(html(explanations, best), encoding="utf-8")
    print(f"\n{page.name}: {page.stat().st_size:,} bytes; open it in a browser")
