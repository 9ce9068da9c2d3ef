"""What an encoder's folder says: what becomes a graph, what becomes settings, and the original to compare with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rank_plugins._extras import require
from rank_plugins.encoders import flag_embedding, sentence_transformers
from rank_plugins.encoders._files import look
from rank_plugins.encoders._library import OVERLAP, LibraryEncoder
from rank_plugins.encoders.encoder import ROLES, Role
from rank_plugins.errors import InputError
from rank_plugins.export.expansion import Expansion

TOKENS_PER_BATCH = 512
VECTORS = "token_embeddings"
PROMPTS: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
UNUSED = {"Pooling", "Dropout"}  # they leave token embeddings as they are
MASK = "MultiVectorMask"


@dataclass(frozen=True)
class Plan:
    """An encoder to be exported."""

    original: LibraryEncoder
    """Encodes with the library itself, in float32, text by text."""
    model: Any
    """The torch module that holds all weights."""
    transformer: Any
    """The transformer inside."""
    forward: Callable[[Any, Any], Any]
    """Token vectors, a tensor [batch, sequence, K], of input_ids and attention_mask [batch, sequence]."""
    tokenizer: Any
    settings: dict[str, Any]
    """For encoder.json."""
    expansion: Expansion | None


def plan(model: str | os.PathLike[str]) -> Plan:
    """Load an encoder with its own library, on the CPU in float32.

    Raises:
        InputError: no encoder, or one with a part that cannot be exported.
        MissingExtraError: its library is not installed.
        StoreError: its files are damaged.

    """
    listing = look(model)
    if flag_embedding.HEADS[0] in listing.names:
        return _bge_m3(flag_embedding.load_model(listing, "cpu"))
    kind, _ = sentence_transformers.kind_of(listing)
    return _modules(sentence_transformers.load_model(listing, kind, "cpu").float(), kind)


def _modules(model: Any, kind: str) -> Plan:
    """Return the plan of a SentenceTransformer or MultiVectorEncoder: its modules one after the other."""
    reader, *rest = model.children()
    _check_reader(reader)
    known = UNUSED | {"Dense", "Normalize", MASK}
    if other := next((type(module).__name__ for module in rest if type(module).__name__ not in known), None):
        raise InputError(
            f"export: expected modules among {', '.join(sorted(known))} behind the transformer, got {other};"
            ' encode with the original, engine="sentence-transformers"'
        )
    in_graph = [module for module in rest if getattr(module, "module_output_name", None) == VECTORS]
    normalize = require("torch").nn.functional.normalize if kind == sentence_transformers.SINGLE else None

    def forward(input_ids: Any, attention_mask: Any) -> Any:
        features = reader({"input_ids": input_ids, "attention_mask": attention_mask})
        for module in in_graph:
            features = module(features)
        return features[VECTORS] if normalize is None else normalize(features[VECTORS], dim=-1)

    original = sentence_transformers.SentenceTransformersEncoder(model, batch_tokens=1)
    masks = [module for module in rest if type(module).__name__ == MASK]
    expansion = _expansion(reader, bool(masks))
    settings = _settings(original, _prefixes(model), expansion)
    for role in ROLES:
        if skipped := sorted({number for mask in masks for number in _skipped(mask, role, model.tokenizer)}):
            settings["skipped" if role == "document" else "skipped_in_queries"] = skipped
    return Plan(original, model, reader.model, forward, model.tokenizer, settings, expansion)


def _check_reader(reader: Any) -> None:
    """Refuse a first module that is more than a transformer over plain text."""
    text = getattr(reader, "modality_config", {}).get("text", {})
    if (
        type(reader).__name__ != "Transformer"
        or text != {"method": "forward", "method_output_name": "last_hidden_state"}
        or "message" in reader.modality_config
        or reader.module_output_name != VECTORS
    ):
        raise InputError(
            f"export: expected a transformer over plain text as the first module, got {type(reader).__name__};"
            ' encode with the original, engine="sentence-transformers"'
        )


def _expansion(reader: Any, counted: bool) -> Expansion | None:
    """Return how queries are expanded; `counted`: a mask module has vectors count that nothing attends to."""
    said = reader.query_expansion
    if said is None or not (said["attend"] or counted):
        return None
    tokenizer = reader.tokenizer
    token = tokenizer.mask_token_id if said["token"] is None else tokenizer.convert_tokens_to_ids(said["token"])
    token = tokenizer.eos_token_id if token is None else token
    if token is None or tokenizer.padding_side != "right":
        raise InputError(
            "export: expected query expansion behind the query, with a token of the vocabulary, got"
            f" padding on the {tokenizer.padding_side} and token {token}; encode with the original"
        )
    return Expansion(int(said["length"]), int(token), bool(said["attend"]))


def _prefixes(model: Any) -> dict[Role, str]:
    """Return the prompt that encode_query and encode_document put before texts."""
    names = {role: next((name for name in PROMPTS[role] if name in model.prompts), None) for role in ROLES}
    return {role: model.prompts.get(name or model.default_prompt_name) or "" for role, name in names.items()}


def _skipped(mask: Any, role: Role, tokenizer: Any) -> list[int]:
    """Return the tokens of this role that get no vector."""
    if mask.keep_only_token_ids:
        raise InputError("export: expected a MultiVectorMask without keep_only_token_ids; encode with the original")
    if role not in mask.skiplist_tasks:
        return []
    found = {word: tokenizer.convert_tokens_to_ids(word) for word in mask.skiplist_words}
    return [number for word, number in found.items() if number != tokenizer.unk_token_id or word == tokenizer.unk_token]


def _bge_m3(model: Any) -> Plan:
    """Return the plan of a BGEM3FlagModel: the colbert head of every token but the first."""
    original = flag_embedding.FlagEmbeddingEncoder(model, batch_tokens=1)
    inner = model.model
    normalize = require("torch").nn.functional.normalize if inner.normalize_embeddings else None

    def forward(input_ids: Any, attention_mask: Any) -> Any:
        states = inner.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True).last_hidden_state
        vectors = inner.colbert_linear(states)
        return vectors if normalize is None else normalize(vectors, dim=-1)

    settings = _settings(original, dict.fromkeys(ROLES, ""), None) | {"skipped_at_start": 1}
    return Plan(original, inner, inner.model, forward, model.tokenizer, settings, None)


def _settings(original: LibraryEncoder, prefixes: dict[Role, str], expansion: Expansion | None) -> dict[str, Any]:
    windows = {role: original._model.window(role) or sentence_transformers.UNLIMITED for role in ROLES}
    settings: dict[str, Any] = {"max_length": windows["document"], "overlap": OVERLAP, "normalize": False}
    settings |= {f"{role}_prefix": prefix for role, prefix in prefixes.items()}
    settings |= {"tokens_per_batch": TOKENS_PER_BATCH, "pieces": True}
    if windows["query"] != windows["document"]:
        settings["query_length"] = windows["query"]
    if expansion is not None:
        settings |= {"expanded": expansion.length, "expanded_with": expansion.token}
    return settings
