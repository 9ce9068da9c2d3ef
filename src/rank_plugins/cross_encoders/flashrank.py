"""FlashRankCrossEncoder: FlashRank's `Ranker`, or a folder of its models."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rank_plugins._extras import require
from rank_plugins.cross_encoders._library import is_name, libraries, own_length, refuse_options
from rank_plugins.cross_encoders.cross_encoder import Pair, TextCrossEncoder
from rank_plugins.cross_encoders.onnx import SHARED_SCALE
from rank_plugins.encoders._files import sha256
from rank_plugins.encoders._tokenize import TextCutter
from rank_plugins.errors import InputError, InputTypeError, StoreError

NEEDED = ("tokenizer.json", "config.json", "tokenizer_config.json", "special_tokens_map.json")
MAX_LENGTH = 512  # FlashRank's own


class FlashRankCrossEncoder(TextCrossEncoder):
    """Scores pairs with a Ranker's tokenizer and session, as its `rerank` does: sigmoid, or softmax of two numbers.

    A graph that quantises all activations of a run with one scale, as most of FlashRank's do, runs one pair at a time,
    so that a document's score does not depend on its neighbours. Its scores then differ from those of `rerank` with
    several passages by what these neighbours change there.
    """

    default_activation = "sigmoid"

    def __init__(self, model: Any, *, max_length: int | None = None) -> None:
        """Load the model.

        Args:
            model: a folder with a graph and the files that FlashRank reads beside it, or a `flashrank.Ranker`.
            max_length: tokens of query and document together, special tokens included; None takes FlashRank's 512, or
                the model's if it is less.

        Raises:
            InputError: no folder, or a Ranker of a generative model, which gives no scores.
            InputTypeError: another type, or max_length beside a Ranker that is already made.
            MissingExtraError: flashrank is not installed.
            StoreError: files are missing or damaged.

        """
        max_length = own_length(max_length)
        if is_name(model):
            self._ranker, name = _load(Path(model).expanduser(), max_length or MAX_LENGTH), os.fspath(model)
        elif "flashrank" not in libraries(model):
            raise InputTypeError(f"model: expected a folder or a flashrank.Ranker, got {type(model).__name__}")
        else:
            refuse_options(model, {"max_length": max_length})
            self._ranker, name = model, type(model).__name__
        if self._ranker.llm_model is not None:
            raise InputError(
                "model: expected a Ranker that scores each passage, got one of a generative model, whose order of a"
                " passage depends on its neighbours"
            )
        definition = json.loads(self._ranker.tokenizer.to_str()) | {"truncation": None, "padding": None}
        self._definition = json.dumps(definition)
        super().__init__(
            name,
            cutter=TextCutter(self._definition),
            window=int(self._ranker.tokenizer.truncation["max_length"]),
            own=int(self._ranker.tokenizer.num_special_tokens_to_add(is_pair=True)),
        )
        self._graph = _graph(Path(self._ranker.model_dir))
        if SHARED_SCALE in self._graph.read_bytes():
            self.batch_tokens = 1
        width = self._logits([("a", "a")]).shape[-1]
        if width > 2:
            raise InputError(f"model: expected one number for a pair (or two), got {width}; choose a model that ranks")

    @functools.cached_property
    def fingerprint(self) -> str:
        """What decides the numbers: graph, tokenizer and window."""
        parts = [sha256(self._graph), self._definition, self.window]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _run(self, pairs: list[Pair]) -> Any:
        logits = self._logits(pairs)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]

    def _logits(self, pairs: list[Pair]) -> Any:
        """Return the session's numbers, float64 [n, 1 or 2], from the inputs that `Ranker.rerank` makes."""
        found = self._ranker.tokenizer.encode_batch(pairs)
        feeds = {
            "input_ids": np.array([one.ids for one in found], np.int64),
            "attention_mask": np.array([one.attention_mask for one in found], np.int64),
        }
        types = np.array([one.type_ids for one in found], np.int64)
        if types.any():
            feeds["token_type_ids"] = types
        return np.asarray(self._ranker.session.run(None, feeds)[0], np.float64)


def _graph(folder: Path) -> Path:
    """Return the graph in a folder of FlashRank's.

    Raises:
        StoreError: there is none, or several that FlashRank does not tell apart.

    """
    known: Mapping[str, str] = require("flashrank.Config").model_file_map
    graphs = sorted(folder.glob("*.onnx"))
    if folder.name in known:
        graphs = [path for path in graphs if path.name == known[folder.name]]
    if len(graphs) != 1:
        found = ", ".join(path.name for path in graphs) or "none"
        raise StoreError(f"{folder}: expected one ONNX graph, got {found}")
    return graphs[0]


def _load(folder: Path, max_length: int) -> Any:
    """Return a Ranker of a folder.

    Its constructor would look for the folder's name in a table, download what is not there, and configure logging.
    """
    library = require("flashrank")
    if not folder.is_dir():
        raise InputError(
            f"model: expected a folder of a FlashRank model, got {str(folder)!r}; a model that FlashRank downloads is"
            " given as flashrank.Ranker(name)"
        )
    if missing := [name for name in NEEDED if not (folder / name).is_file()]:
        raise StoreError(f"{folder}: expected the files of a FlashRank model, found no {', no '.join(missing)}")
    graph = _graph(folder)
    ranker = library.Ranker.__new__(library.Ranker)
    ranker.model_dir, ranker.llm_model = folder, None
    try:
        ranker.tokenizer = ranker._get_tokenizer(max_length)
        options = require("onnxruntime").SessionOptions()
        options.log_severity_level = 3
        ranker.session = require("onnxruntime").InferenceSession(str(graph), options)
    except Exception as error:  # json, tokenizers and onnxruntime raise what they come to
        raise StoreError(f"{folder}: FlashRank cannot load it ({error})") from error
    return ranker
