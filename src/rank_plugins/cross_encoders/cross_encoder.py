"""CrossEncoder: a model that reads query and document together, and how pairs are cut to what it can read."""

from __future__ import annotations

import abc
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins.encoders._tokenize import SPARE, TextCutter
from rank_plugins.errors import InputError

ACTIVATIONS = ("default", "none", "sigmoid")
OVERLAP = 32  # tokens that a window repeats of the one before
SETTINGS = "cross-encoder.json"  # in a folder of our export
# Model types whose first token has the position after the number of the padding token.
COUNT_FROM_PADDING = (
    "camembert", "data2vec-text", "ibert", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta",
    "xlm-roberta-xl", "xmod",
)  # fmt: skip
Pair = tuple[str, str]


class Piece(NamedTuple):
    """What a model reads at once: a pair, or the query with one window of the document."""

    pair: int
    """The place of its pair in the call."""
    tokens: int
    """Its length in the model, special tokens included."""
    content: Any
    """What `run` takes."""


class CrossEncoder(abc.ABC):
    """A loaded model that gives a number for a query and a document. Methods may be called from several threads."""

    name: str
    """What it is called in messages."""
    parallel: bool = False
    """Whether calls of `run` gain from running side by side, each on one core."""
    batch_tokens: int = 8192
    """How many tokens to run together at most, padding included; 1 is one piece at a time."""
    default_activation: str = "none"
    """What activation="default" means: "none" or "sigmoid"."""
    window: int | None
    """Tokens of a piece at most; None without a limit."""

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """What decides the numbers: weights, tokenizer, window, template; not the device."""

    @abc.abstractmethod
    def pieces(self, pairs: Sequence[Pair], *, first_only: bool) -> tuple[list[Piece], list[int]]:
        """Cut pairs (query, document) to what the model can read.

        Args:
            pairs: documents that are not only whitespace.
            first_only: only what the model itself would read of a long pair, not all windows of the document.

        Returns:
            The pieces in the order of the pairs, one or more for each, and the places of pairs that are not read
            to their end.

        """

    @abc.abstractmethod
    def run(self, contents: Sequence[Any]) -> NDArray[np.float64]:
        """Return the model's raw number of each piece, float64 [n]: before any activation."""

    def activated(self, scores: NDArray[np.float64], activation: str) -> NDArray[np.float64]:
        """Return raw numbers [n] as scores [n]: "none" leaves them, "default" is the model's own choice."""
        activation = self.default_activation if activation == "default" else activation
        return sigmoid(scores) if activation == "sigmoid" else scores

    def close(self) -> None:  # noqa: B027 - most have nothing but memory
        """Let go of the model."""


class TextCrossEncoder(CrossEncoder):
    """A cross-encoder of a library that takes text: a long document is cut into overlapping texts.

    A subclass implements `_run` and `fingerprint`.
    """

    def __init__(self, name: str, *, cutter: TextCutter | None, window: int | None, own: int) -> None:
        """Take what texts are measured with.

        Args:
            name: for messages.
            cutter: over the model's tokenizer; None where the library alone knows lengths: nothing is cut here.
            window: tokens of a pair at most; None without a limit.
            own: tokens that the model adds to a pair: special ones, a template.

        Raises:
            InputError: a window that leaves no room for texts.

        """
        self.name, self.window = name, window
        self._cutter, self._own_tokens = cutter, own
        self._lock = threading.Lock()
        if window is not None and window - own < 8:
            raise InputError(
                f"max_length: expected room for a query and a document beside the {own} tokens that {name!r} adds, got"
                f" {window} in all; raise it"
            )

    def pieces(self, pairs: Sequence[Pair], *, first_only: bool) -> tuple[list[Piece], list[int]]:
        """Cut pairs to what the model can read; a query keeps at most three quarters of the window."""
        if self._cutter is None:
            return [Piece(i, sum(map(len, pair)) // 4 + 1, pair) for i, pair in enumerate(pairs)], []
        queries, counts = self._counted([query for query, _ in pairs]), self._counted([text for _, text in pairs])
        room = None if self.window is None else self.window - self._own_tokens
        found: list[Piece] = []
        lost: dict[int, None] = {}
        for i, (query, text) in enumerate(pairs):
            length = queries[query]
            if room is None or length + counts[text] <= room:
                found.append(Piece(i, length + counts[text] + self._own_tokens, (query, text)))
                continue
            if first_only or length > room * 3 // 4:
                lost[i] = None
            if first_only:  # the library cuts it as it always does
                found.append(Piece(i, room + self._own_tokens, (query, text)))
                continue
            if length > room * 3 // 4:
                query, length = self._cutter.pieces(query, room * 3 // 4, 0)[0], room * 3 // 4
            texts = self._cutter.pieces(text, max(room - length - SPARE, 1), OVERLAP)
            found += [Piece(i, room + self._own_tokens, (query, one)) for one in texts]
        return found, list(lost)

    def _counted(self, texts: Sequence[str]) -> dict[str, int]:
        """Count the tokens of each text once."""
        unique = list(dict.fromkeys(texts))
        lengths = self._cutter.lengths(unique) if self._cutter is not None else np.zeros(len(unique), np.int64)
        return dict(zip(unique, lengths.tolist(), strict=True))

    def run(self, contents: Sequence[Any]) -> NDArray[np.float64]:
        """Return the model's raw number of each piece (query, text), float64 [n]."""
        with self._lock:  # libraries configure tokenizers and modules at every call
            return np.asarray(self._run(list(contents)), np.float64).reshape(len(contents))

    @abc.abstractmethod
    def _run(self, pairs: list[Pair]) -> Any:
        """Return one number for each pair; the lock is held."""


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)) without overflow; very small results keep their precision, and so their order."""
    small = np.exp(-np.abs(values))
    found: NDArray[np.float64] = np.where(values >= 0, 1, small) / (1 + small)
    return found


def pad_token(config: Mapping[str, Any]) -> int:
    """Return the token that fills up batches, of a model's config.json."""
    number = config.get("pad_token_id")
    return int(number) if isinstance(number, int) else int(config.get("model_type") in COUNT_FROM_PADDING)


def positions(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens the positions of a model's config.json are for; None where they set no limit."""
    number = config.get("max_position_embeddings")
    if not isinstance(number, int) or number < 1:
        return None
    return number - (pad_token(config) + 1 if config.get("model_type") in COUNT_FROM_PADDING else 0)
