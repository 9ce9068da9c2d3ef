"""OnnxCrossEncoder: a cross-encoder as an ONNX graph, with onnxruntime or OpenVINO and tokenizers; no torch."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._engines import Engine, open_graph
from rank_plugins._extras import require
from rank_plugins.cross_encoders.cross_encoder import (
    OVERLAP,
    SETTINGS,
    CrossEncoder,
    Pair,
    Piece,
    pad_token,
    positions,
)
from rank_plugins.encoders._files import GRAPHS, Listing, check_sums, find_folder, look, sha256
from rank_plugins.encoders._tokenize import TEXTS_PER_CALL, TextCutter
from rank_plugins.errors import InputError, StoreError

# In the bytes of a graph that quantises activations with one scale for all: a text would change another's score.
SHARED_SCALE = b"DynamicQuantizeLinear"
QUERY_SHARE = 4  # the document has at least a quarter of the window


class Tokens(NamedTuple):
    """A piece as the graph reads it, int64 [S] each."""

    ids: NDArray[np.int64]
    types: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What cross-encoder.json holds."""

    max_length: int = 512
    """Tokens of a pair, special tokens included."""
    activation: str = "sigmoid"
    """What the model's numbers become by default: "none" or "sigmoid"."""
    batch_tokens: int = 1
    """Pairs run together up to this many tokens, padding included; 1: one by one."""
    graphs: dict[str, str] = dataclasses.field(default_factory=dict)
    """The graph file of each engine."""


def on_onnxruntime(model: str | os.PathLike[str], *, max_length: int | None = None) -> OnnxCrossEncoder:
    """Return the cross-encoder on onnxruntime; see `OnnxCrossEncoder`."""
    return OnnxCrossEncoder(model, "onnxruntime", max_length=max_length)


def on_openvino(model: str | os.PathLike[str], *, max_length: int | None = None) -> OnnxCrossEncoder:
    """Return the cross-encoder on OpenVINO; see `OnnxCrossEncoder`."""
    return OnnxCrossEncoder(model, "openvino", max_length=max_length)


class OnnxCrossEncoder(CrossEncoder):
    """Scores pairs with a graph of a BERT-like model.

    The folder is one of `rank-plugins export`, of optimum or of FlashRank: a graph and tokenizer.json. Its window and
    activation are those of its settings, or without them those that sentence-transformers would use.
    """

    parallel = True

    def __init__(self, model: str | os.PathLike[str], engine: str, *, max_length: int | None = None) -> None:
        """Load the model.

        Args:
            model: a folder, or a hub name (needs huggingface_hub).
            engine: "onnxruntime" or "openvino".
            max_length: tokens of query and document together, special tokens included; None takes the model's own.

        Raises:
            InputError: a model that cannot be found, is no cross-encoder, or max_length below 8.
            MissingExtraError: the engine, or what fetches the model, is not installed.
            StoreError: files are missing or damaged.

        """
        folder = find_folder(model)
        listing = look(folder)
        self.name = folder.name
        settings = _settings(folder, listing)
        self._graph_file = _graph(folder, listing, settings, engine)
        check_sums(folder)
        self.window = settings.max_length if max_length is None else whole_number(max_length, "max_length", 8)
        self.window = min(self.window, settings.max_length)
        self.default_activation = settings.activation
        self._tokenizer_file = folder / "tokenizer.json"
        self._cutter, self._tokenizer, self._room = _tokenizers(self._tokenizer_file, self.window)
        self._pad = pad_token(listing.json("config.json"))
        self._engine: Engine = open_graph(engine, self._graph_file)
        self.batch_tokens = settings.batch_tokens if self._engine.batches else 1
        try:
            self.run([Tokens(np.zeros(4, np.int64), np.zeros(4, np.int64))])
        except InputError as error:
            raise InputError(f"{self._graph_file}: {error}") from None

    @functools.cached_property
    def fingerprint(self) -> str:
        """What decides the numbers: graph, weights, tokenizer, padding, window and the model's own activation."""
        folder = self._graph_file.parent
        files = [self._graph_file, self._tokenizer_file]
        files += sorted(path for path in folder.iterdir() if path.suffix in (".bin", ".onnx_data", ".data"))
        parts = [*map(sha256, files), self._pad, self.window, self.default_activation]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def pieces(self, pairs: Sequence[Pair], *, first_only: bool) -> tuple[list[Piece], list[int]]:
        """Cut pairs to windows of tokens that overlap; a query keeps at most three quarters of the window."""
        queries = list(dict.fromkeys(query for query, _ in pairs))
        most = self._room - self._room // QUERY_SHARE
        lengths = self._cutter.lengths(queries)
        cut = {
            query: self._cutter.pieces(query, most, 0)[0]
            for query, n in zip(queries, lengths.tolist(), strict=True)
            if n > most
        }
        lost = {i: None for i, (query, _) in enumerate(pairs) if query in cut}
        found: list[Piece] = []
        for start in range(0, len(pairs), TEXTS_PER_CALL):
            part = [(cut.get(query, query), text) for query, text in pairs[start : start + TEXTS_PER_CALL]]
            # Not encode_batch_fast: it says of all windows but the first that the document is part of the query.
            for i, encoding in enumerate(self._tokenizer.encode_batch(part), start):
                if encoding.overflowing and first_only:
                    lost[i] = None
                windows = [encoding] if first_only else [encoding, *encoding.overflowing]
                found += [Piece(i, len(one.ids), _tokens(one)) for one in windows]
        return found, sorted(lost)

    def run(self, contents: Sequence[Any]) -> NDArray[np.float64]:
        """Return the model's number of each piece, float64 [n]."""
        width = max(len(tokens.ids) for tokens in contents)
        ids = np.full((len(contents), width), self._pad, np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, tokens in enumerate(contents):
            ids[row, : len(tokens.ids)] = tokens.ids
            types[row, : len(tokens.ids)] = tokens.types
            mask[row, : len(tokens.ids)] = 1
        logits = self._engine.run(ids, mask, types).astype(np.float64)
        if logits.ndim == 2 and logits.shape[1] == 2:  # of "not relevant" and "relevant"
            return logits[:, 1] - logits[:, 0]
        if logits.shape not in ((len(contents), 1), (len(contents),)):
            raise InputError(
                f"expected one number for a pair (or two, of which the second says relevant), got an array"
                f" {list(logits.shape)} for {len(contents)}; export a model that ranks"
            )
        return logits.reshape(len(contents))


def _tokens(encoding: Any) -> Tokens:
    return Tokens(np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64))


def _tokenizers(path: Path, window: int) -> tuple[TextCutter, Any, int]:
    """Return the tokenizer to measure with, the one that cuts pairs to the window, and the window's room for texts."""
    library = require("tokenizers")
    try:
        definition = path.read_text(encoding="utf-8")
        tokenizer = library.Tokenizer.from_str(definition)
    except Exception as error:  # the package raises bare Exception
        raise StoreError(f"{path}: cannot be read as a tokenizer ({error})") from error
    room = window - int(tokenizer.num_special_tokens_to_add(is_pair=True))
    if room < 4:
        raise InputError(f"max_length: expected room for a query and a document, got {window} tokens in all; raise it")
    stride = max(0, min(OVERLAP, room // QUERY_SHARE - 1))
    tokenizer.enable_truncation(max_length=window, stride=stride, strategy="only_second")
    tokenizer.no_padding()
    return TextCutter(definition), tokenizer, room


def _graph(folder: Path, listing: Listing, settings: Settings, engine: str) -> Path:
    """Return the file that `engine` loads.

    Raises:
        StoreError: it is not there.

    """
    graphs = sorted(name for name in listing.names if name.endswith(".onnx"))
    names = [settings.graphs[engine]] if engine in settings.graphs else [name for name in GRAPHS if name in graphs]
    if not names and len(graphs) == 1:
        names = graphs
    if not names or names[0] not in graphs:
        wanted = names[0] if names else " or ".join(GRAPHS)
        raise StoreError(
            f"{folder}: expected {wanted} for {engine}, got {', '.join(graphs) or 'no graph'}; export the model with"
            " rank-plugins export"
        )
    return folder / names[0]


def _settings(folder: Path, listing: Listing) -> Settings:
    """Read cross-encoder.json, or without it what the model's own configuration says."""
    own = listing.json(SETTINGS)
    if own:
        return _checked(own, folder / SETTINGS)
    config, tokenizer = listing.json("config.json"), listing.json("tokenizer_config.json")
    lengths = (tokenizer.get("model_max_length"), positions(config))
    usable = [int(length) for length in lengths if isinstance(length, (int, float)) and 8 <= length <= 1 << 20]
    graph = _graph(folder, listing, Settings(), "onnxruntime")
    together = 8192 if SHARED_SCALE not in graph.read_bytes() else 1
    return Settings(min(usable, default=Settings.max_length), _activation(folder, listing, config), together)


def _activation(folder: Path, listing: Listing, config: Mapping[str, Any]) -> str:
    """Return what sentence-transformers would make of the model's numbers."""
    said = (
        (config.get("sentence_transformers") or {}).get("activation_fn")
        or listing.json("config_sentence_transformers.json").get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
        or "torch.nn.Sigmoid"
    )
    known = {"Sigmoid": "sigmoid", "Identity": "none"}
    kind = str(said).rpartition(".")[2]
    if kind not in known:
        raise StoreError(
            f"{folder}: expected the activation Sigmoid or Identity, got {said!r}; export the model again, or run it"
            ' with engine="sentence-transformers"'
        )
    return known[kind]


def _checked(own: dict[str, Any], path: Path) -> Settings:
    """Return the settings if every value is of its kind.

    Raises:
        StoreError: with the first that is not, or a key that this version does not know.

    """
    fields = {field.name for field in dataclasses.fields(Settings)}
    if not fields.issuperset(own):
        raise StoreError(f"{path}: {', '.join(sorted(set(own) - fields))} not known; update rank-plugins")
    settings = dataclasses.asdict(Settings()) | own
    graphs = settings["graphs"]
    sound = {
        "max_length": type(settings["max_length"]) is int and settings["max_length"] >= 8,
        "activation": settings["activation"] in ("none", "sigmoid"),
        "batch_tokens": type(settings["batch_tokens"]) is int and settings["batch_tokens"] >= 1,
        "graphs": isinstance(graphs, dict) and all(isinstance(name, str) for name in graphs.values()),
    }
    for name, good in sound.items():
        if not good:
            raise StoreError(f"{path}: {name}: got {settings[name]!r}, which cannot be; export the model again")
    return Settings(**settings)
