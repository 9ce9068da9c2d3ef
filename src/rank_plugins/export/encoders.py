"""Encoders as ONNX folders: token embeddings with projection, normalisation and query expansion in the graph."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rank_plugins._extras import require
from rank_plugins._maxsim import maxsim
from rank_plugins._transformers import no_bars
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders._files import SETTINGS
from rank_plugins.encoders.encoder import ROLES, Encoder, Role
from rank_plugins.encoders.onnx import OnnxEncoder
from rank_plugins.errors import InputError
from rank_plugins.export.expansion import expand
from rank_plugins.export.folder import folder_bytes, publish, write_graphs, write_json, write_tokenizer
from rank_plugins.export.graph import to_onnx
from rank_plugins.export.late import VECTORS, Plan, plan
from rank_plugins.export.parity import Figure, Report, compare, spearman
from rank_plugins.export.quantize import quantized
from rank_plugins.export.sample import texts as sample_texts

BOUNDS: dict[str | None, dict[str, float | None]] = {
    None: {"max abs difference": 1e-4, "least cosine": 0.9999, "rank correlation": 0.9999},
    "fp16": {"max abs difference": 0.01, "least cosine": 0.999, "rank correlation": 0.99},
    "int8": {"max abs difference": None, "mean cosine": 0.99, "least cosine": 0.95, "rank correlation": 0.95},
}
CARD = """# {name}

Token embeddings of {model} for late interaction, as ONNX, written by `rank-plugins export` ({kind}).
`rank_plugins.encoders.load("{name}")` runs it without torch, and `load("rank-maxsim", encoder="{name}")` ranks with it.

Beside the original in float32, on {sample} texts, each as a query and as a document:

{figures}

The licence is that of the original model.
"""
MOST_QUERIES = 50  # of a sample, to rank all its texts for

Embeddings = dict[Role, TokenEmbeddings]


def export_encoder(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    quantize: str | None = None,
    sample: Sequence[str] | None = None,
) -> Report:
    """Write an encoder as a folder for `OnnxEncoder`, compared with the original before it is kept.

    Args:
        model: a folder or a hub name: a transformers encoder, a SentenceTransformer, a MultiVectorEncoder, a ColBERT or
            PyLate checkpoint, or BGE-M3.
        out: the folder to make.
        quantize: None, "int8" or "fp16".
        sample: texts to compare, each as a query and as a document; None takes the built-in ones.

    Raises:
        InputError: no such model, one that cannot be exported, or one that does not give what the original gives.
        MissingExtraError: a package that the export needs is not installed.

    """
    texts = sample_texts(sample)

    def write(folder: Path) -> Report:
        with no_bars():
            source = plan(model)
        expected = _encoded(source.original, texts)  # before the network is changed for tracing
        _write(folder, source, texts, quantize)
        with contextlib.closing(OnnxEncoder(folder, engine="onnxruntime")) as exported:
            figures = _figures(expected, _encoded(exported, texts), BOUNDS[quantize])
        place = os.fspath(model), "token-embeddings", quantize, os.fspath(out)
        report = Report(*place, sample=len(texts), figures=figures, bytes=folder_bytes(folder))
        report.check()
        lines = "\n".join(f"- {figure}" for figure in report.figures)
        named = {"name": Path(out).name, "model": os.fspath(model), "kind": quantize or "float32"}
        (folder / "README.md").write_text(CARD.format(**named, sample=len(texts), figures=lines), encoding="utf-8")
        return report

    return publish(out, write)


def _write(folder: Path, source: Plan, texts: Sequence[str], quantize: str | None) -> None:
    """Write graphs, tokenizer and settings."""
    torch = require("torch")

    class Vectors(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = source.model  # so that the exporter knows the weights

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return source.forward(input_ids, attention_mask)

    source.transformer.set_attn_implementation("eager")  # fewer and plainer operators, which can be quantised
    shortest = sorted(texts, key=len)[:2]
    example = source.tokenizer(shortest, padding=True, truncation=True, return_tensors="pt")
    inputs = {name: example[name] for name in ("input_ids", "attention_mask")}
    graphs = quantized(to_onnx(Vectors(), inputs, {VECTORS: ["batch", "sequence"]}), quantize)
    if source.expansion is not None:
        for graph in graphs.files.values():
            expand(graph, source.expansion)
    write_graphs(folder, graphs)
    write_tokenizer(folder, source.tokenizer)
    write_json(folder / SETTINGS, source.settings | {"graphs": graphs.engines})


def _encoded(encoder: Encoder, texts: Sequence[str]) -> Embeddings:
    """Encode the texts in both roles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a text that is too long for a query
        return {"query": encoder.encode_queries(texts), "document": encoder.encode_documents(texts)}


def _figures(expected: Embeddings, got: Embeddings, bounds: dict[str, float | None]) -> tuple[Figure, ...]:
    """Compare vectors of both roles, and the rankings that they make.

    Raises:
        InputError: a text has another number of vectors.

    """
    for role in ROLES:
        if (wrong := np.flatnonzero(expected[role].tokens != got[role].tokens)).size:
            i = int(wrong[0])
            raise InputError(
                f"export: expected {expected[role].tokens[i]} vectors of sample text {i} as a {role}, as the original"
                f" gives, got {got[role].tokens[i]}; nothing was written, run the original"
            )
    vectors = [np.concatenate([one[role].contiguous()[0] for role in ROLES]) for one in (expected, got)]
    of_vectors = {name: bound for name, bound in bounds.items() if name != "rank correlation"}
    queries = range(min(len(expected["query"]), MOST_QUERIES))
    scores = [[maxsim(one["query"][i], one["document"]) for i in queries] for one in (expected, got)]
    correlation = float(np.mean([spearman(*pair) for pair in zip(*scores, strict=True)]))
    return (
        *compare(vectors[0], vectors[1], of_vectors),
        Figure("rank correlation", correlation, bounds["rank correlation"], at_most=False),
    )
