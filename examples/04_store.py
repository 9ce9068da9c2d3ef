"""Encode once, rerank in milliseconds: a store of token embeddings that fills as it is used."""

import json
import tempfile
from pathlib import Path

from rank_plugins import rerankers
from rank_plugins.store import EmbeddingStore

DATA = Path(__file__).parent / "data"
documents = {row["id"]: row["text"] for row in map(json.loads, (DATA / "documents.jsonl").open(encoding="utf-8"))}
claim = json.loads((DATA / "queries.jsonl").open(encoding="utf-8").readline())
query, ids = claim["text"], claim["candidates"]
texts = [documents[name] for name in ids]

with tempfile.TemporaryDirectory() as folder:
    store = Path(folder) / "store"
    with rerankers.load("rank-maxsim", store=store, update=True) as reranker:
        for when in ("first", "second"):
            ranking = reranker.rerank(query, texts, ids=ids, top_k=3)
            seconds = ranking.details["timings"]
            print(f"{when} time: {1e3 * seconds.get('encode_documents', 0):.1f} ms to encode documents")

    print(f"\n{query}")
    for index, score in ranking:
        print(f"{score:6.2f}  {ids[index]}  {texts[index][:70]}")

    with EmbeddingStore.open(store) as embeddings:
        facts = embeddings.stats()
        print(f"\n{facts['documents']} documents, {facts['tokens']} tokens in {facts['codec']}, {facts['bytes']} bytes")
        print("all of it searched:", embeddings.search(query, 3, encoder=reranker.encoder))
