"""Rerank BM25's best candidates for SciFact claims with a cross-encoder, on an ONNX graph that needs no torch."""

import json
import re
import sys
import tempfile
from pathlib import Path

import onnx  # noqa: F401 - export writes with it
import sentence_transformers  # noqa: F401 - the original's library, which export compares with

from rank_plugins.cross_encoders import explain
from rank_plugins.export import export
from rank_plugins.rerankers import load
from rank_plugins.testing import save_tiny_cross_encoder

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
claims = read("queries.jsonl")[:5]
candidates = [claim["candidates"][:10] for claim in claims]
queries, texts = [claim["text"] for claim in claims], [[documents[i] for i in ids] for ids in candidates]

with tempfile.TemporaryDirectory() as work:
    # Yours, a folder or a name on the hub; for want of one a model that counts which of a claim's words a text has.
    words = " ".join(sorted(set(re.findall("[a-z]+", " ".join([*queries, *documents.values()]).lower()))))
    model = sys.argv[1] if len(sys.argv) == 2 else save_tiny_cross_encoder(f"{work}/model", words, window=256)
    folder = Path(work, "exported")
    print(f"float32 beside the original: {', '.join(map(str, export(model, folder).figures))}")
    rankings = {}
    for name, place in (("original", model), ("exported", folder)):
        choice = explain(place)
        print(f"{name}: {choice.engine}, because {choice.because}")
        with load("rank-cross-encoder", model=place) as reranker:
            rankings[name] = reranker.rerank_batch(queries, texts, top_k=3)

tokens = rankings["exported"][0].details["tokens"]
print(f"{tokens['padded'] / tokens['real'] - 1:.1%} of {tokens['real']} tokens were padding")
for claim, ids, ours, theirs in zip(claims, candidates, rankings["exported"], rankings["original"], strict=True):
    windows = ours.details["windows"]
    print(f"\n{claim['text']}\n  {len(set(ours.indices) & set(theirs.indices))} of the original's best 3:")
    for i, score in ours:
        said = "relevant" if ids[i] in claim["relevant"] else "not judged"
        print(f"  {score:.2f} {said:<10} in {windows.get(i, 1)} windows: {documents[ids[i]][:60]}")
