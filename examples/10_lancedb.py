"""LanceDB finds SciFact abstracts by their words; token vectors stored beside them decide the order."""

import json
import tempfile
import time
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS

from rank_plugins import encoders
from rank_plugins_lancedb import RankPluginsReranker

DATA = Path(__file__).parent / "data"
CLAIMS, CANDIDATES = slice(1, 4), 20


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def multivectors(texts: list[str]) -> pa.Array:
    """Return the token embeddings of texts as a column, list<fixed_size_list<float16>>."""
    values, offsets = encoders.load("minilm").encode_documents(texts).contiguous()
    vectors = pa.FixedSizeListArray.from_arrays(values.astype(np.float16).ravel(), values.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), vectors)


claims = read("queries.jsonl")[CLAIMS]
wanted = {name for claim in claims for name in [*claim["candidates"][:CANDIDATES], *claim["relevant"]]}
documents = [row for row in read("documents.jsonl") if row["id"] in wanted]
texts = [row["text"] for row in documents]
reranker = RankPluginsReranker(vector_column="tokens")

with tempfile.TemporaryDirectory() as folder:
    rows = pa.table({"id": [row["id"] for row in documents], "text": texts, "tokens": multivectors(texts)})
    table = lancedb.connect(folder).create_table("abstracts", rows)
    table.create_index("text", config=FTS())

    for claim in claims:
        search = table.search(claim["text"], query_type="fts").limit(CANDIDATES)
        before = search.to_arrow()["id"].to_pylist()
        started = time.perf_counter()
        after = search.rerank(reranker).to_arrow().drop_columns(["tokens"]).to_pylist()
        seconds = time.perf_counter() - started
        print(f"{claim['text']}\n  {len(after)} abstracts searched and reranked in {seconds:.3f} s, none encoded")
        for row in after[:2]:
            mark = "relevant" if row["id"] in claim["relevant"] else ""
            place = before.index(row["id"]) + 1
            print(f"  {row['_relevance_score']:6.2f}  was {place:>2}  {mark:<8}  {row['text'][:70]}")
