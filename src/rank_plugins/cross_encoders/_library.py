"""Cross-encoders over loaded models of other libraries: what these share beside the model itself."""

from __future__ import annotations

import abc
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rank_plugins._checks import whole_number
from rank_plugins._transformers import Identity, tokenizer_definition
from rank_plugins.cross_encoders.cross_encoder import Pair, TextCrossEncoder
from rank_plugins.encoders._tokenize import TextCutter
from rank_plugins.errors import InputTypeError


class LibraryCrossEncoder(TextCrossEncoder):
    """A text cross-encoder whose weights are tensors, and whose tokenizer is one of transformers."""

    def __init__(self, name: str, tokenizer: Any, *, window: int | None, live: bool) -> None:
        """Measure what the model adds to a pair.

        Args:
            name: for messages.
            tokenizer: of transformers, backed by the tokenizers package.
            window: tokens of a pair at most; None without a limit.
            live: whether others hold the model and may change it.

        Raises:
            InputError: a tokenizer that texts cannot be cut with, or a window without room for texts.

        """
        definition = tokenizer_definition(tokenizer, f"cross-encoder {name!r}")
        cutter = TextCutter(definition)
        self._tokenizer_hash = hashlib.sha256(definition.encode()).hexdigest()
        self._identity = Identity(live=live)
        own = self._length("a", "a") - 2 * int(cutter.lengths(["a"])[0])
        super().__init__(name, cutter=cutter, window=window, own=own)

    @property
    def fingerprint(self) -> str:
        """What decides the scores: weights, tokenizer, window and settings.

        Hashed when first asked for, and again where a live model has been trained or changed since.
        """
        if (settled := self._identity.settled) is not None:
            return settled[:32]
        with self._lock:
            weights, rest = self._configuration()
            rest = [rest, self._tokenizer_hash, self.window, self.default_activation]
            return self._identity.of(weights, rest)[:32]

    @abc.abstractmethod
    def _length(self, query: str, text: str) -> int:
        """Count the model's tokens of a short pair, its own included."""

    @abc.abstractmethod
    def _configuration(self) -> tuple[Mapping[str, Any], Any]:
        """Return the weights by name, as tensors, and the rest of what decides the numbers, for JSON."""

    @abc.abstractmethod
    def _run(self, pairs: list[Pair]) -> Any:
        """Return one number for each pair; the lock is held."""


def is_name(model: object) -> bool:
    """Return whether `model` is a folder or a name, and not a live model."""
    return isinstance(model, (str, os.PathLike))


def place(model: str | os.PathLike[str]) -> str:
    """Return the path of a folder that is here; a name as it is."""
    path = Path(model).expanduser()
    return str(path) if path.is_dir() else os.fspath(model)


def own_length(max_length: int | None) -> int | None:
    """Return max_length checked.

    Raises:
        InputError: below 1.
        InputTypeError: no whole number.

    """
    return None if max_length is None else whole_number(max_length, "max_length", 1)


def refuse_options(model: object, options: Mapping[str, object]) -> None:
    """Refuse options beside a live model, which are settled.

    Raises:
        InputTypeError: one of them is given.

    """
    if given := [name for name, value in options.items() if value]:
        raise InputTypeError(
            f"model: {', '.join(given)} cannot change a {type(model).__name__} that is already made; give its folder"
        )


def libraries(model: object) -> set[str]:
    """Return the packages that a live model's classes are of."""
    return {base.__module__.split(".")[0] for base in type(model).__mro__}
