"""Compare the shipped encoder with sentence-transformers in float32; `export_minilm.py` runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import beir
import effectiveness

from rank_plugins.encoders.onnx import OnnxEncoder

MIN_MEAN_COSINE = {"onnxruntime": 0.997, "openvino": 0.999}
MAX_NDCG_LOSS = 0.005
SENTENCES = (
    "A reranker reads the query together with each document and sorts the documents again.",
    "Vitamin D deficiency was associated with a higher risk of fracture in adults over 65 (hazard ratio 1.31).",
    "def encode(texts): return [tokenizer.encode(text).ids for text in texts]",
    "Der Fluss trat im Frühjahr 1954 über die Ufer.",
    "what is the boiling point of water at 3000 m",
    "no",
)


def verify(folder: Path, data: Path | None) -> list[str]:
    """Print token cosines, and with `data` nDCG@10 on SciFact, beside float32; return what is out of bounds."""
    collection = beir.load(data / "scifact") if data else None
    texts = [*SENTENCES, *list(collection.documents.values())[::50]] if collection else list(SENTENCES)
    reference = effectiveness.SentenceTransformersEncoder()
    expected, _ = reference.encode_documents(texts).contiguous()
    theirs = effectiveness.measure(collection, reference)["ndcg@10"] if collection else 0.0
    failures = []
    for engine, bound in MIN_MEAN_COSINE.items():
        encoder = OnnxEncoder(folder, engine=engine, long_documents="first")
        cosines = (encoder.encode_documents(texts).contiguous()[0] * expected).sum(axis=1)
        mean = float(np.mean(cosines))
        print(f"{engine}: token cosine mean {mean:.5f}, min {cosines.min():.5f}, {len(texts)} texts")
        if mean < bound:
            failures.append(f"{engine}: expected a mean token cosine of at least {bound}, got {mean:.5f}")
        if collection:
            ours = effectiveness.measure(collection, encoder)["ndcg@10"]
            print(f"{engine}: SciFact test nDCG@10 {ours:.4f}, float32 {theirs:.4f}")
            if ours < theirs - MAX_NDCG_LOSS:
                failures.append(f"{engine}: expected nDCG@10 of at least {theirs - MAX_NDCG_LOSS:.4f}, got {ours:.4f}")
    return failures
