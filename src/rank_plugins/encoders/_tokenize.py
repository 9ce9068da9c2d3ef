"""Text to windows of token ids, with the tokenizers package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require
from rank_plugins.errors import StoreError

# Rust works on a call's texts side by side; a call of this many keeps its results small.
TEXTS_PER_CALL = 256


class Window(NamedTuple):
    """A run of one text's tokens that fits the model, special tokens included."""

    text: int
    ids: NDArray[np.int64]


class WindowTokenizer:
    """Cuts texts into windows of at most `max_length` tokens, each repeating `overlap` of the one before.

    The tokenizer is configured once, here: changing it per call would not be safe between threads.
    """

    def __init__(self, folder: Path, max_length: int, overlap: int) -> None:
        """Read tokenizer.json.

        Raises:
            MissingExtraError: the tokenizers package is not installed.
            StoreError: the file is missing or damaged.

        """
        tokenizers = require("tokenizers")
        path = folder / "tokenizer.json"
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises bare Exception
            raise StoreError(f"{path}: cannot be read as a tokenizer ({error})") from error
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        stride = max(0, min(overlap, max_length - special - 1))
        self._tokenizer.enable_truncation(max_length=max_length, stride=stride)
        self._tokenizer.no_padding()

    def windows(self, texts: Sequence[str], *, first_only: bool, threads: int) -> tuple[list[Window], list[int]]:
        """Return the windows of all texts in order, and the texts that were longer than one window.

        A text with no token but special ones has no window.
        """
        windows: list[Window] = []
        long: list[int] = []
        step = TEXTS_PER_CALL if threads > 1 else 1  # a call with one text uses one thread
        for start in range(0, len(texts), step):
            for i, encoding in enumerate(self._tokenizer.encode_batch_fast(texts[start : start + step]), start):
                if all(encoding.special_tokens_mask):
                    continue
                windows.append(Window(i, np.array(encoding.ids, np.int64)))
                if encoding.overflowing:
                    long.append(i)
                    if not first_only:
                        windows.extend(Window(i, np.array(more.ids, np.int64)) for more in encoding.overflowing)
        return windows, long

    def tokens(self, window: Window) -> list[str]:
        """Return the window's tokens as the vocabulary spells them."""
        return [self._tokenizer.id_to_token(number) for number in window.ids.tolist()]
