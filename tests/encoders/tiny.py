"""Tiny late-interaction models, made from configuration in the layout in which each library saves its own."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("transformers", reason="needs transformers")

import torch
import transformers

from rank_plugins.testing import save_tiny_encoder

torch.set_num_threads(1)  # models this small are slower on several

TEXTS = [
    "aspirin lowers blood pressure.",
    "the capital of france is paris",
    "wind tunnels measure the drag of a wing, and more of it: drag!",
    "sleep",
    "caffeine delays sleep in people",
]
QUERIES = ["effects of aspirin", "drag", "what is the capital of france"]
PROMPTS = {"query": "[Q] ", "document": "[D] "}  # markers: each one token


def save_marked(folder: Path) -> Path:
    """Save a plain encoder whose tokenizer knows the markers as tokens of their own, as PyLate adds them."""
    save_tiny_encoder(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(PROMPTS.values()))
    model = transformers.AutoModel.from_pretrained(folder)
    torch.manual_seed(1)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def save_pylate(folder: Path, **changes: object) -> Path:
    """Save a checkpoint in the layout of PyLate 1.x: Transformer and Dense, everything else in its settings."""
    save_marked(folder)
    (folder / "1_Dense").mkdir()
    modules = [("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense")]
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    settings = {
        "model_type": "ColBERT",
        "prompts": {"query": "", "document": ""},
        "similarity_fn_name": "MaxSim",
        "query_prefix": PROMPTS["query"],
        "document_prefix": PROMPTS["document"],
        "query_length": 12,
        "document_length": 20,
        "attend_to_expansion_tokens": False,
        "skiplist_words": list(string.punctuation),
        "do_query_expansion": True,
    }
    dense = {"in_features": 32, "out_features": 16, "bias": False, "use_residual": False}
    dense["activation_function"] = "torch.nn.modules.linear.Identity"
    contents = {
        "modules.json": listed,
        "config_sentence_transformers.json": settings | changes,
        "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False},
        "1_Dense/config.json": dense,
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    weight = torch.randn(16, 32, generator=torch.Generator().manual_seed(2))
    pytest.importorskip("safetensors.torch").save_file(
        {"linear.weight": weight}, folder / "1_Dense" / "model.safetensors"
    )
    return folder


def save_colbert(folder: Path) -> Path:
    """Save a checkpoint in the layout of Stanford's ColBERT: the projection among the encoder's weights."""
    save_tiny_encoder(folder)
    files = pytest.importorskip("safetensors.torch")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["[unused0]", "[unused1]"])  # BERT's vocabulary has them
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    model = transformers.AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.architectures = ["HF_ColBERT"]
    model.config.save_pretrained(folder)
    weights = {f"bert.{name}": weight.contiguous() for name, weight in model.state_dict().items()}
    weights["linear.weight"] = torch.randn(16, 32, generator=torch.Generator().manual_seed(6))
    files.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 14, "doc_maxlen": 30}
    (folder / "artifact.metadata").write_text(json.dumps(settings | {"mask_punctuation": True}))
    return folder


def save_bge_m3(folder: Path, dim: int = 32) -> Path:
    """Save a model in the layout of BGE-M3: an encoder and two heads in .pt files."""
    save_tiny_encoder(folder)
    generator = torch.Generator().manual_seed(3)
    for name, rows in (("colbert_linear.pt", dim), ("sparse_linear.pt", 1)):
        head = {"weight": torch.randn(rows, 32, generator=generator), "bias": torch.randn(rows, generator=generator)}
        torch.save(head, folder / name)
    return folder


def save_stacked(folder: Path) -> Path:
    """Save a late-interaction model with two projections, of which one adds its input, and expansion that is seen."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    expansion = {"strategy": "min", "length": 9, "attend": True, "token": "[SEP]"}
    reader = Transformer(save_tiny_encoder(folder / "plain"), query_expansion=expansion, query_length=20)
    torch.manual_seed(7)
    modules = [
        reader,
        Dense(32, 32, activation_function=torch.nn.Tanh(), module_input_name="token_embeddings", use_residual=True),
        Dense(32, 8, activation_function=torch.nn.GELU(), module_input_name="token_embeddings", use_residual=True),
        MultiVectorMask(skiplist_words=[".", "of", "nowhere"], skiplist_tasks=["query", "document"]),
        Normalize(module_input_name="token_embeddings"),
    ]
    prompts = {"query": "what is ", "passage": "document of "}
    MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save(str(folder / "model"))
    return folder / "model"


KINDS = ("plain", "colbert", "sentence", "pylate")


def save_all(root: Path) -> Path:
    """Save a plain encoder, a late-interaction model, a SentenceTransformer with prompts, a PyLate checkpoint."""
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from sentence_transformers.sentence_transformer.modules import Pooling

    save_tiny_encoder(root / "plain")
    expansion = {"strategy": "fixed", "length": 12}
    reader = Transformer(str(save_marked(root / "marked")), query_expansion=expansion, document_length=24)
    torch.manual_seed(4)
    options = {"activation_function": torch.nn.Identity(), "module_input_name": "token_embeddings"}
    mask = MultiVectorMask(skiplist_words=list(string.punctuation))
    modules = [reader, Dense(32, 16, bias=False, **options), mask, Normalize(module_input_name="token_embeddings")]
    MultiVectorEncoder(modules=modules, prompts=PROMPTS, device="cpu").save(str(root / "colbert"))
    modules = [Transformer(str(root / "plain")), Pooling(32, "mean"), Normalize()]
    prompts = {"query": "query: ", "document": "document: "}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(root / "sentence"))
    save_pylate(root / "pylate")
    return root
