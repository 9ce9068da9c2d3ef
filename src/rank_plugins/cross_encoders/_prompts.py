"""Language models as cross-encoders: a prompt with query and document in it, and the numbers of one or two tokens."""

from __future__ import annotations

import abc
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rank_plugins._extras import require
from rank_plugins._transformers import no_bars, transformer_configuration
from rank_plugins.cross_encoders._library import LibraryCrossEncoder, place
from rank_plugins.cross_encoders.cross_encoder import Pair, Piece
from rank_plugins.encoders._tokenize import SPARE
from rank_plugins.errors import InputError, InputTypeError

BREAK = "\x1f"  # in a template: what stands before and behind is tokenised by itself
PLACES = re.compile(r"\{(query|document|instruction)\}")


class Prompt(NamedTuple):
    """What a model reads, and the tokens whose numbers are the score."""

    template: str
    """With {query} and {document}, each once, and perhaps {instruction}; other braces are text."""
    true: str
    """The token that says relevant."""
    false: str | None
    """The token that says not relevant, whose number is subtracted; None takes the other's number alone."""
    instruction: str = ""

    def filled(self, query: str, document: str) -> list[str]:
        """Return the text for a pair, in parts; what stands in query and document is not looked at."""
        values = {"query": query, "document": document, "instruction": self.instruction}
        return [PLACES.sub(lambda match: values[match[1]], part) for part in self.template.split(BREAK)]

    def checked(self) -> Prompt:
        """Return the prompt.

        Raises:
            InputError: {query} or {document} is missing or occurs twice.
            InputTypeError: what is no str.

        """
        for what, value in self._asdict().items():
            if not isinstance(value, str) and (what, value) != ("false", None):
                raise InputTypeError(f"{what}: expected a str, got {type(value).__name__}")
        found = PLACES.findall(self.template)
        for what in ("query", "document"):
            if found.count(what) != 1:
                raise InputError(
                    f"template: expected {{query}} and {{document}}, each once, got {self.template!r:.120}"
                )
        return self


class PromptCrossEncoder(LibraryCrossEncoder):
    """A language model of transformers. Of a long document the prompt holds one window; the prompt is never cut."""

    def __init__(
        self, name: str, model: Any, tokenizer: Any, prompt: Prompt, *, max_length: int | None, usual: int
    ) -> None:
        """Take a loaded model.

        Args:
            name: for messages.
            model: of transformers.
            tokenizer: its own.
            prompt: for each pair.
            max_length: tokens of a filled prompt at most; None takes `usual`, or the tokenizer's own if it is less.
            usual: what such models are made for.

        Raises:
            InputError: the answers are no single tokens, or the window has no room for texts.

        """
        self._model, self._tokenizer, self._prompt = model, tokenizer, prompt
        self._answers = [token_id(tokenizer, one) for one in (prompt.true, prompt.false) if one is not None]
        self.default_activation = "none" if prompt.false is None else "sigmoid"
        length = max_length or min(usual, int(tokenizer.model_max_length))
        positions = getattr(model.config, "max_position_embeddings", None)
        if positions is not None:  # texts next to each other may have some tokens more than each by itself
            length = min(length, int(positions) - SPARE)
        super().__init__(name, tokenizer, window=length, live=False)

    def pieces(self, pairs: Sequence[Pair], *, first_only: bool) -> tuple[list[Piece], list[int]]:
        """Cut pairs to what the prompt has room for; nothing cuts them later."""
        found, lost = super().pieces(pairs, first_only=False)
        if not first_only:
            return found, lost
        later = [piece.pair == before.pair for before, piece in itertools.pairwise(found)]
        kept = [piece for piece, more in zip(found, [False, *later], strict=True) if not more]
        return kept, sorted({*lost, *(piece.pair for piece, more in zip(found[1:], later, strict=True) if more)})

    @abc.abstractmethod
    def _ids(self, query: str, text: str) -> list[int]:
        """Return the tokens of a filled prompt."""

    def _length(self, query: str, text: str) -> int:
        return len(self._ids(query, text))

    def _padded(self, pairs: list[Pair], *, left: bool) -> tuple[Any, Any]:
        """Return the tokens of filled prompts and their mask, int64 [B, S] on the model's device."""
        torch = require("torch")
        rows = [self._ids(*pair) for pair in pairs]
        width = max(map(len, rows))
        ids = torch.zeros((len(rows), width), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            here = slice(width - len(row), width) if left else slice(0, len(row))
            ids[i, here], mask[i, here] = torch.tensor(row), 1
        return ids.to(self._model.device), mask.to(self._model.device)

    def _score(self, logits: Any) -> Any:
        """Return the score from the numbers of the next token, [B, words]."""
        found = logits[:, self._answers].float()
        return (found[:, 0] if len(self._answers) == 1 else found[:, 0] - found[:, 1]).cpu().numpy()

    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        return self._model.state_dict(), [transformer_configuration(self._model.config), *self._prompt]


def token_id(tokenizer: Any, word: str) -> int:
    """Return the number of the one token that `word` is: as a text of its own, or as the vocabulary spells it.

    Raises:
        InputError: it is several tokens, or none.

    """
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
        return int(ids[0])
    vocabulary = tokenizer.get_vocab()
    if word in vocabulary:
        return int(vocabulary[word])
    found = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(ids))) or "none"
    raise InputError(f"expected an answer that is one token of the model's vocabulary, got {word!r}, which is {found}")


def load(
    kind: str,
    name: str | os.PathLike[str],
    *,
    device: str | None,
    revision: str | None,
    trust_remote_code: bool,
    model_kwargs: Mapping[str, Any] | None,
) -> tuple[Any, Any]:
    """Return a model and its tokenizer; its weights come from safetensors, unless model_kwargs say otherwise.

    Args:
        kind: the class of transformers, such as "AutoModelForCausalLM".
        name: a folder, or a name on the hub.
        device: None takes the first GPU, or without one the CPU.
        revision: of the model on the hub.
        trust_remote_code: run code that the model's folder holds.
        model_kwargs: passed on to transformers.

    Raises:
        InputError: it cannot be found or loaded, or holds no weights for what is to be its output.
        MissingExtraError: torch or transformers is not installed.

    """
    torch, transformers = require("torch"), require("transformers")
    where, options = place(name), {"revision": revision, "trust_remote_code": trust_remote_code}
    placed = {"use_safetensors": True, **(model_kwargs or {})}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
        with no_bars():
            model, report = getattr(transformers, kind).from_pretrained(
                where, output_loading_info=True, **options, **placed
            )
    except Exception as error:  # the hub, transformers and safetensors raise what they come to
        raise InputError(
            f"model: {os.fspath(name)!r} could not be loaded with {kind} ({error}); give its folder, or a name on the"
            " hub"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise InputError(
            f"model: expected all weights of {type(model).__name__} in {os.fspath(name)!r}, found none for"
            f" {', '.join(missing[:3])}, which would be random numbers; give a model that was trained to rank"
        )
    if "device_map" not in placed:
        model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return model.eval(), tokenizer
