"""Cross-encoders of transformers and sentence-transformers as ONNX folders."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins import cross_encoders
from rank_plugins._batches import batches
from rank_plugins._extras import require
from rank_plugins._transformers import no_bars
from rank_plugins.cross_encoders.cross_encoder import SETTINGS, positions
from rank_plugins.errors import InputError
from rank_plugins.export.folder import folder_bytes, publish, write_graphs, write_json, write_tokenizer
from rank_plugins.export.graph import to_onnx
from rank_plugins.export.parity import Report, compare
from rank_plugins.export.quantize import quantized
from rank_plugins.export.sample import pairs

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
BATCH_TOKENS = 512  # a pair's scores do not depend on the others, and more only leaves the CPU's caches
NO_DIFFERENCE = 0.02  # of logits: a sigmoid moves by at most .005; where all are within it, ranks are those of noise
DIFFERENCE = {None: 1e-4, "fp16": 1e-2, "int8": NO_DIFFERENCE}  # of logits, at most
RANK_CORRELATION = 0.98  # of int8, at least, where logits differ by more than NO_DIFFERENCE

CARD = """# {name}

The cross-encoder {model} as an ONNX graph ({kind}), for `load("rank-cross-encoder", model=...)`.

{figures}

Compared with the original in float32 on {sample} pairs. Licence: that of the original.
Made by `rank-plugins export`; `sha256sum -c SHA256SUMS` checks the files.
"""


def export_cross_encoder(
    model: str | os.PathLike[str], out: str | os.PathLike[str], quantize: str | None, sample: Sequence[str] | None
) -> Report:
    """Write a cross-encoder as an ONNX folder, if its scores are those of the original; see `export`.

    Raises:
        InputError: a model of another kind, without a trained head, with several numbers for a pair or an activation
            that is neither none nor sigmoid; an `out` that is not empty; a report that does not pass.
        MissingExtraError: the extra export is not installed.

    """
    path = Path(model).expanduser()
    name = str(path.resolve()) if path.is_dir() else os.fspath(model)
    asked = pairs(sample)

    def write(folder: Path) -> Report:
        with no_bars():
            graphs = quantized(_traced(name), quantize)
            oracle = _oracle(name)
        window = _window(oracle)
        settings = {
            "max_length": window,
            "activation": _activation(oracle),
            "batch_tokens": BATCH_TOKENS,
            "graphs": graphs.engines,
        }
        write_graphs(folder, graphs)
        write_tokenizer(folder, oracle.tokenizer)
        config = oracle.config.to_dict()
        config.pop("_name_or_path", None)  # a place on this machine
        write_json(folder / "config.json", config)
        write_json(folder / SETTINGS, settings)
        read = _readable(oracle.tokenizer, asked, window)
        got, expected = _scores(folder, read), _original(oracle, read)
        report = _report(os.fspath(model), os.fspath(out), quantize, expected, got, folder_bytes(folder))
        report.check()
        figures = "\n".join(f"- {figure}" for figure in report.figures)
        kind, title = quantize or "float32", Path(out).expanduser().resolve().name
        said = path.name if path.is_dir() else name
        card = CARD.format(name=title, model=said, kind=kind, figures=figures, sample=report.sample)
        (folder / "README.md").write_text(card, encoding="utf-8")
        return report

    return publish(out, write)


def _traced(name: str) -> Any:
    """Return the graph of the model: input_ids, attention_mask[, token_type_ids] -> logits [batch, 1 or 2]."""
    torch, transformers = require("torch"), require("transformers")
    options = {
        "dtype": torch.float32,
        "attn_implementation": "eager",  # onnxruntime runs its graph faster than that of a fused attention
        "use_safetensors": True,
        "trust_remote_code": False,
        "output_loading_info": True,
    }
    try:
        model, loaded = transformers.AutoModelForSequenceClassification.from_pretrained(name, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:  # what the hub and transformers raise for names and folders
        raise InputError(
            f"model: {name!r} could not be loaded as a cross-encoder ({error}); give a folder or a name on the hub with"
            " its weights as safetensors"
        ) from error
    if missing := sorted(loaded["missing_keys"]):
        raise InputError(
            f"model: expected weights for all of {type(model).__name__}, got none for {', '.join(missing[:3])} in"
            f" {name!r}, which would be drawn at random; give a model that was trained to rank"
        )
    if model.config.num_labels not in (1, 2):
        raise InputError(
            f"model: expected one number for a pair, or two of which the second says relevant, got"
            f" {model.config.num_labels}; choose a model that ranks"
        )
    example = dict(tokenizer(["what", "what is a"], ["b", "b c d e"], padding=True, return_tensors="pt"))
    taken = inspect.signature(model.forward).parameters
    names = [one for one in INPUTS if one in example and one in taken]

    class Logits(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(**dict(zip(names, values, strict=True))).logits

    return to_onnx(Logits(), {one: example[one] for one in names}, {"logits": ["batch"]})


def _oracle(name: str) -> Any:
    """Return the model as sentence-transformers runs it, in float32."""
    torch, library = require("torch"), require("sentence_transformers")
    settings = {"dtype": torch.float32, "use_safetensors": True}
    return library.CrossEncoder(name, device="cpu", model_kwargs=settings)


def _window(oracle: Any) -> int:
    """Return how many tokens of a pair the model reads at most."""
    limits = [oracle.max_seq_length, oracle.tokenizer.model_max_length]
    limits.append(positions(oracle.config.to_dict()))
    usable = [int(limit) for limit in limits if limit is not None and 8 <= limit <= 1 << 20]
    return min(usable, default=512)


def _activation(oracle: Any) -> str:
    """Return what the model's own number becomes by default.

    Raises:
        InputError: neither itself nor a sigmoid.

    """
    kind = type(oracle.activation_fn).__name__
    if kind == "Softmax" and oracle.num_labels == 2:  # of two numbers it is the sigmoid of their difference
        return "sigmoid"
    known = {"Identity": "none", "Sigmoid": "sigmoid"}
    if kind not in known:
        raise InputError(f"model: expected the activation Identity or Sigmoid, got {kind}; change it in config.json")
    return known[kind]


def _readable(tokenizer: Any, asked: list[tuple[str, str]], window: int) -> list[tuple[str, str]]:
    """Return the pairs of which the original and ours read the same: no query of more than half the window.

    Of longer ones the original cuts the query, where ours takes windows of the document.

    Raises:
        InputError: there is none.

    """
    room = (window - tokenizer.num_special_tokens_to_add(pair=True)) // 2
    lengths = {query: len(tokenizer.encode(query, add_special_tokens=False, verbose=False)) for query, _ in asked}
    found = [(query, text) for query, text in asked if lengths[query] <= room]
    if not found:
        raise InputError(
            f"sample: expected queries of at most {room} tokens, half the model's window; give shorter texts"
        )
    return found


def _original(oracle: Any, asked: list[tuple[str, str]]) -> NDArray[np.float64]:
    """Return the original's logits of pairs."""
    torch = require("torch")
    found = oracle.predict(asked, batch_size=8, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    found = np.asarray(found, np.float64).reshape(len(asked), -1)
    return found[:, 0] if found.shape[1] == 1 else found[:, 1] - found[:, 0]


def _scores(folder: Path, asked: list[tuple[str, str]]) -> NDArray[np.float64]:
    """Return the logits of pairs that the written folder gives, several pairs together, as it will be used."""
    found = np.empty(len(asked))
    with contextlib.closing(cross_encoders.load(folder, engine="onnxruntime")) as model:
        pieces, _ = model.pieces(asked, first_only=True)
        for batch in batches(np.array([piece.tokens for piece in pieces]), model.batch_tokens):
            found[batch] = model.run([pieces[i].content for i in batch])
    return found


def _report(
    model: str, out: str, quantize: str | None, expected: NDArray[np.float64], got: NDArray[np.float64], size: int
) -> Report:
    """Compare logits; of int8 the ranks count, unless the logits are as good as equal."""
    bounds: dict[str, float | None] = {"max abs difference": DIFFERENCE[quantize], "rank correlation": None}
    if quantize == "int8" and not np.abs(expected - got).max() <= NO_DIFFERENCE:
        bounds = {"max abs difference": None, "rank correlation": RANK_CORRELATION}
    figures = compare(expected, got, bounds)
    return Report(model, "cross-encoder", quantize, out, len(expected), figures, size)
