"""The public interface as a user types it; read by the type checker only, never run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import assert_type

import rank_plugins
from rank_plugins import (
    Qrels,
    Run,
    TokenEmbeddings,
    calibrate,
    compare,
    encoders,
    evaluate,
    fuse,
    maxsim,
    maxsim_alignment,
    maxsim_batch,
    maxsim_top_k,
    read,
    rerankers,
    simd,
    tune,
)
from rank_plugins.codebook import Codebook
from rank_plugins.encoders import Encoder
from rank_plugins.encoders.onnx import OnnxEncoder
from rank_plugins.evaluation import Calibrator, Comparison, Evaluation, false_evidence_rate
from rank_plugins.quantize import dequantize, quantize
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore, Projection, TokenReduction

query = np.zeros((2, 4), np.float32)
embeddings = TokenEmbeddings(np.zeros((3, 4)), [0, 1, 3])
assert_type(embeddings[0], NDArray[Any])
assert_type(embeddings[1:], TokenEmbeddings)
assert_type(embeddings[[1, 0]], TokenEmbeddings)
assert_type(embeddings.contiguous(), tuple[NDArray[Any], NDArray[np.int64]])
assert_type(maxsim(query, embeddings, threads=2), NDArray[np.float32])
assert_type(maxsim(query, [query, query]), NDArray[np.float32])
assert_type(maxsim(query, np.zeros((3, 2, 4), np.float32)), NDArray[np.float32])
assert_type(TokenEmbeddings.from_padded(np.zeros((3, 2, 4)), lengths=[1, 2, 2]), TokenEmbeddings)

tensor = torch.zeros(2, 4)
assert_type(maxsim(tensor, [tensor]), torch.Tensor)
assert_type(maxsim(query, tensor[None]), torch.Tensor)
assert_type(maxsim_batch([tensor], [tensor, tensor]), torch.Tensor)

int8 = quantize(embeddings, "int8")
assert_type(int8, TokenEmbeddings)
assert_type(int8.dtype, str)
assert_type(int8.scales, NDArray[np.float32] | None)
assert_type(dequantize(int8), TokenEmbeddings)
assert_type(maxsim_batch([query, query], embeddings), NDArray[np.float32])
assert_type(maxsim_batch([query], embeddings, [[0, 1]], threads=1), list[NDArray[np.float32]])
assert_type(
    maxsim_top_k(query, embeddings, 2, first_scores=[1.0, 2.0], alpha=0.1, screen=int8),
    tuple[NDArray[np.int64], NDArray[np.float32]],
)
assert_type(maxsim_alignment(query, query), tuple[NDArray[np.int64], NDArray[np.float32]])

with simd.limit("scalar"):
    assert_type(simd.active(), str)

reranker = rerankers.load("rank-maxsim", score="mean")
assert_type(reranker, Reranker)
ranking = reranker.rerank("query", ["a", "b"], top_k=1, ids=["x", "y"], scores=[2.0, 1.0])
assert_type(ranking, Ranking)
assert_type(list(ranking), list[tuple[int, float]])
assert_type(reranker.rerank_batch(["q"], [["a"]]), list[Ranking])
assert_type(reranker.rerank(query, embeddings).scores, NDArray[np.float64])
assert_type(encoders.load("minilm", long_documents="first"), Encoder)


class Mine:
    """An encoder of somebody else's, by structure alone."""

    dim = 3
    fingerprint = "mine"

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        return TokenEmbeddings(np.zeros((len(texts), 3)), np.arange(len(texts) + 1))

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:
        return self.encode_queries(texts)

    def close(self) -> None: ...


encoder: Encoder = Mine()
encoder = OnnxEncoder("folder", engine="onnxruntime")
assert_type(rank_plugins.__version__, str)

with EmbeddingStore.open("folder", "a", codec="int8", projection=192, reduction=TokenReduction(pool=2)) as store:
    store.add(["a"], embeddings[:1])
    store.add(["b"], texts=["text"], encoder=encoder)
    assert_type(store.get(["a"]), TokenEmbeddings)
    assert_type(store.search(query, 5), list[tuple[str, float]])
    assert_type(store.verify(), list[str])
    assert_type(list(store), list[str])
    assert_type(MaxSimReranker(store=store, update=True).store, EmbeddingStore | None)
book = Codebook.fit(embeddings, "residual2")
assert_type(book.encode(embeddings), TokenEmbeddings)
assert_type(Codebook.from_bytes(book.to_bytes()), Codebook)
assert_type(Projection.fit(embeddings, 2).apply(embeddings), TokenEmbeddings)

qrels: dict[str, dict[str, float]] = {"q": {"a": 1}}
run = {"q": {"a": 2.0, "b": 1.0}}
result = evaluate(qrels, run, "ndcg@10 rr")
assert_type(result, Evaluation)
assert_type(result["rr"], float)
assert_type(result.mean, dict[str, float])
assert_type(result.ci(0.9), dict[str, tuple[float, float]])
comparison = compare(qrels, {"a": run, "b": run}, "rr", test="t", correction="holm")
assert_type(comparison, Comparison)
assert_type(comparison.differences[0].p_corrected, float)
assert_type(false_evidence_rate(run, ["q"], 0.5).upper, float)
assert_type(calibrate([1.0, 2.0], [0, 1], "platt"), Calibrator)
assert_type(tune(qrels, [run, run], "rrf").best.weights, tuple[float, ...])
assert_type(read("run.trec", "run"), Run)
assert_type(read("run.trec"), Run | Qrels)
fuse([run, run], "rrf", k=60, weights=[1, 0.5], top=10)
