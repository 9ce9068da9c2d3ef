"""FlagEmbeddingCrossEncoder: the rerankers of FlagEmbedding, of encoders and of language models."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rank_plugins._extras import require
from rank_plugins._transformers import no_bars, transformer_configuration
from rank_plugins.cross_encoders._flag_quiet import Quiet
from rank_plugins.cross_encoders._library import (
    LibraryCrossEncoder,
    is_name,
    libraries,
    own_length,
    refuse_options,
)
from rank_plugins.cross_encoders.cross_encoder import Pair, Piece, positions
from rank_plugins.encoders._files import Listing, look
from rank_plugins.errors import InputError, InputTypeError

LAYERED = ("layerwise", "lightweight")
KINDS = {
    "encoder": "FlagReranker",
    "llm": "FlagLLMReranker",
    "layerwise": "LayerWiseFlagLLMReranker",
    "lightweight": "LightWeightFlagLLMReranker",
}
LOGITS = 1 << 28  # the language models give a number for every token and word; these are at most 1 GiB in a batch


class FlagEmbeddingCrossEncoder(LibraryCrossEncoder):
    """Scores pairs with a reranker's own `compute_score_single_gpu`; scores are logits, `normalize` is not used.

    Unlike the library it runs no batch twice, draws no progress bars, and says what failed instead of trying smaller
    batches until none is left.
    """

    def __init__(
        self,
        model: Any,
        *,
        kind: Literal["auto", "encoder", "llm", "layerwise", "lightweight"] = "auto",
        max_length: int | None = None,
        device: str | None = None,
        use_fp16: bool = False,
        trust_remote_code: bool = False,
        cutoff_layer: int | None = None,
        compress_layers: Sequence[int] | None = None,
        compress_ratio: int | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: a folder, a name on the hub, or a reranker of FlagEmbedding, which is used as it is, on the first of
                its devices.
            kind: the class that runs it: "encoder" is FlagReranker, "llm" FlagLLMReranker, "layerwise"
                LayerWiseFlagLLMReranker, "lightweight" LightWeightFlagLLMReranker; "auto" goes by config.json.
            max_length: of query and passage, as FlagEmbedding counts; None takes its 512, or the model's if it is less.
            device: such as "cpu" or "cuda:1"; None lets FlagEmbedding choose.
            use_fp16: half precision, on a GPU.
            trust_remote_code: run code that the model's folder holds.
            cutoff_layer: whose output is the score, of "layerwise" and "lightweight"; None takes the last.
            compress_layers: behind which "lightweight" averages tokens of the passage; None takes FlagEmbedding's.
            compress_ratio: how many tokens become one there: 1, 2, 4 or 8; None takes FlagEmbedding's, 1.

        Raises:
            InputError: it cannot be found or loaded, is no such reranker, or an option is not for its kind.
            InputTypeError: another type, or options beside a reranker that is already made.
            MissingExtraError: FlagEmbedding is not installed.

        """
        options: dict[str, Any] = {
            "max_length": own_length(max_length),
            "use_fp16": use_fp16,
            "trust_remote_code": trust_remote_code,
            "devices": device,
        }
        layers: dict[str, Any] = {
            "cutoff_layers": None if cutoff_layer is None else [cutoff_layer],
            "compress_layers": None if compress_layers is None else list(compress_layers),
            "compress_ratio": compress_ratio,
        }
        live = not is_name(model)
        if not live:
            name = os.fspath(model)
            made = _load(model, kind, {key: value for key, value in (options | layers).items() if value is not None})
        elif "FlagEmbedding" not in libraries(model) or not hasattr(model, "compute_score_single_gpu"):
            raise InputTypeError(
                f"model: expected a folder, a name or a reranker of FlagEmbedding, got {type(model).__name__}"
            )
        else:
            refuse_options(model, options | layers | {"kind": kind != "auto"})
            made, name = model, type(model).__name__
        if len(getattr(made, "cutoff_layers", None) or [0]) != 1:
            raise InputError(
                f"model: expected one of cutoff_layers, whose output is the score, got {made.cutoff_layers}"
            )
        self._reranker = Quiet(made)
        self._generative = hasattr(made, "prompt")
        if not self._generative and made.model.config.num_labels != 1:
            raise InputError(
                f"model: expected one number for a pair, got {made.model.config.num_labels}; choose a model that ranks"
            )
        self.default_activation = "sigmoid" if made.normalize else "none"
        self._longest = int(made.max_length) if self._generative else _positions(made)
        super().__init__(name, made.tokenizer, window=self._window(), live=live)
        if self._generative:
            self.batch_tokens = max(1, min(self.batch_tokens, LOGITS // made.model.config.vocab_size))

    def pieces(self, pairs: Sequence[Pair], *, first_only: bool) -> tuple[list[Piece], list[int]]:
        """Cut pairs to what the model reads; FlagEmbedding itself cuts queries at three quarters of max_length."""
        found, lost = super().pieces(pairs, first_only=first_only)
        longest = self._reranker.query_max_length or self._longest * 3 // 4
        queries = [self._instructed(query, "")[0] for query, _ in pairs]
        counts = self._counted(queries)
        return found, sorted({*lost, *(i for i, query in enumerate(queries) if counts[query] > longest)})

    def _window(self) -> int:
        if not self._generative:
            return self._longest
        # FlagEmbedding does not count the prompt, and what stands beside it, in max_length.
        texts = [*self._instructed("a", "a"), "\n", "\n"]
        beside = sum(len(self._reranker.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
        return self._longest + self._length("a", "a") - beside

    def _instructed(self, query: str, text: str) -> list[str]:
        found: list[str] = self._reranker.get_detailed_inputs([[query, text]])[0]
        return found

    def _length(self, query: str, text: str) -> int:
        self._run([(query, text)])
        return self._reranker.model.tokens

    def _run(self, pairs: list[Pair]) -> Any:
        return self._reranker.scores([self._instructed(*pair) for pair in pairs], self._longest)

    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        made, network = self._reranker, self._reranker.model.network
        names = ("query_instruction_for_rerank", "query_instruction_format", "passage_instruction_for_rerank",
                 "passage_instruction_format", "query_max_length", "max_length", "cutoff_layers", "compress_layers",
                 "compress_ratio", "prompt")  # fmt: skip
        rest = {name: getattr(made, name, None) for name in names}
        return network.state_dict(), rest | {"transformer": transformer_configuration(network.config)}


def _positions(reranker: Any) -> int:
    """Return the maximal length of an encoder, or its positions if these are fewer."""
    own = positions(reranker.model.config.to_dict())
    return int(reranker.max_length) if own is None else min(int(reranker.max_length), own)


def _load(model: str | os.PathLike[str], kind: str, options: dict[str, Any]) -> Any:
    """Load the reranker; its weights come from safetensors."""
    library = require("FlagEmbedding")
    listing = look(model)
    kind = _kind(kind, listing)
    if not any(name.endswith(".safetensors") for name in listing.names):
        raise InputError(f"model: expected weights as safetensors in {listing.model!r}, found none; convert the model")
    made = getattr(library, KINDS[kind])
    taken = inspect.signature(made).parameters
    if wrong := [name for name in options if name not in taken]:
        raise InputError(f"{', '.join(wrong)}: not for a reranker of kind {kind!r}, which is {KINDS[kind]}")
    try:
        with no_bars():
            return made(listing.model, **options)
    except (Exception, SystemExit) as error:  # its classes for minicpm and gemma2 leave Python where they cannot load
        version, said = require("transformers").__version__, (str(error).splitlines() or [""])[0]
        hint = f"; its code for these is for transformers 4 (4.46 runs), here is {version}" if kind in LAYERED else ""
        raise InputError(
            f"model: FlagEmbedding cannot load {listing.model!r} as {KINDS[kind]}{hint} ({said})"
        ) from error


def _kind(kind: str, listing: Listing) -> str:
    """Return which class loads these files.

    Raises:
        InputError: an unknown kind, or a model that was not trained to rank by it.

    """
    if kind not in ("auto", *KINDS):
        raise InputError(f"kind: expected one of auto, {', '.join(KINDS)}, got {kind!r}")
    config = listing.json("config.json")
    architectures = [str(name) for name in config.get("architectures") or []]
    said = f"{config.get('model_type')} {' '.join(architectures)}".lower()
    if kind == "auto":
        words = {"minicpm": "layerwise", "layerwise": "layerwise", "costwise": "lightweight", "causallm": "llm"}
        kind = next((found for word, found in words.items() if word in said), "encoder")
    head = "ForSequenceClassification" if kind == "encoder" else "ForCausalLM"
    if not any(name.endswith(head) for name in architectures):
        raise InputError(
            f"model: expected a model {head} for {KINDS[kind]}, got {', '.join(architectures) or 'no architecture'} in"
            f" {listing.model!r}; its head would be of random numbers"
        )
    return kind
