"""The ten documents that a model gets to read, of BM25's 100: without copies, and not ten times the same."""

import json
import time
from pathlib import Path

import numpy as np

from rank_plugins.pipelines import Cascade, DPPReranker, MMRReranker, NearDuplicateReranker, stage
from rank_plugins.rerankers.maxsim import MaxSimReranker

DATA = Path(__file__).parent / "data"
SHOWN = 10


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
query = read("queries.jsonl")[3]
ids = query["candidates"][:50]
texts = [documents[i] for i in ids]
for i in (0, 2):  # two of them are there again, as a page that was crawled twice
    ids.append(f"{ids[i]} (copy)")
    texts.append("Abstract. " + texts[i].replace("cells", "cell"))

maxsim = MaxSimReranker(cache="64MB")  # of the pipelines below, so that nothing is encoded twice
uncopied = stage(NearDuplicateReranker(maxsim), keep=30)
pipelines = {
    "relevance alone": maxsim,
    "without copies": Cascade([maxsim, uncopied]),
    "and with MMR": Cascade([maxsim, uncopied, MMRReranker(maxsim, trade_off=0.5, similarity="single")]),
    "or with a DPP": Cascade([maxsim, uncopied, DPPReranker(maxsim, trade_off=0.7, similarity="single")]),
}
single = np.array([v.mean(0) / np.linalg.norm(v.mean(0)) for v in maxsim.encoder.encode_documents(texts)])

print(query["text"])
for name, pipeline in pipelines.items():
    started = time.perf_counter()
    ranking = pipeline.rerank(query["text"], texts, ids=ids, top_k=SHOWN)
    seconds = time.perf_counter() - started
    shown = ranking.indices.tolist()
    alike = (single[shown] @ single[shown].T)[np.triu_indices(SHOWN, 1)].mean()
    print(f"\n{name}: mean similarity {alike:.2f}, {seconds:.1f} s")
    for rank, i in enumerate(shown, 1):
        relevant = "*" if ids[i].split()[0] in query["relevant"] else " "
        print(f"{rank:>3}{relevant} {ids[i]:<18} {texts[i][:90]}")
