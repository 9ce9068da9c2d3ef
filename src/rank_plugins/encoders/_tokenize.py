"""Text to windows of token ids, or to shorter texts that fit a window, with the tokenizers package."""

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


class TextCutter:
    """Counts tokens and cuts long texts into texts, for models that tokenise themselves and add tokens of their own.

    It works on a copy of the model's tokenizer that is configured once, here, and safe to use from several threads.
    """

    def __init__(self, definition: str) -> None:
        """Take the tokenizer as the JSON text of tokenizer.json."""
        self._tokenizer: Any = require("tokenizers").Tokenizer.from_str(definition)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @property
    def special_tokens(self) -> int:
        """How many tokens the tokenizer itself adds to a text."""
        return int(self._tokenizer.num_special_tokens_to_add(is_pair=False))

    def lengths(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count the tokens of each text without special ones, int64 [n]."""
        counts: list[int] = []
        for start in range(0, len(texts), TEXTS_PER_CALL):
            part = list(texts[start : start + TEXTS_PER_CALL])
            counts += [len(found.ids) for found in self._tokenizer.encode_batch_fast(part, add_special_tokens=False)]
        return np.array(counts, np.int64)

    def pieces(self, text: str, room: int, overlap: int) -> list[str]:
        """Return the text as pieces of at most `room` tokens, each repeating about `overlap` of the one before.

        Pieces begin and end between words; a word that has no room is cut between its tokens. A single character of
        more tokens than that stays whole.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= room:
            return [text]
        found: list[str] = []
        for start, stop in _spans(encoding.word_ids, room, min(overlap, room // 4)):
            offsets = encoding.offsets[start:stop]
            piece = text[offsets[0][0] : max(end for _, end in offsets)].strip()
            # Cut out of its surroundings a piece may have more tokens than inside: it is then cut again.
            found += [piece] if piece == text else self.pieces(piece, room, overlap)
        return [piece for piece in found if piece]


def _spans(words: Sequence[int | None], room: int, overlap: int) -> list[tuple[int, int]]:
    """Return the runs of tokens, [start, stop), that windows of `room` tokens hold; `words` has each token's word."""
    spans: list[tuple[int, int]] = []
    start, stop = 0, 0
    while stop < len(words):
        if spans:
            start = _word_start(words, stop - overlap, max(start + 1, stop - overlap - room // 4))
        stop = _word_start(words, start + room, start + room // 2 + 1) if start + room < len(words) else len(words)
        spans.append((start, stop))
    return spans


def _word_start(words: Sequence[int | None], place: int, least: int) -> int:
    """Return the last place from `place` back to `least` where a word begins; `place` if none does."""
    for i in range(place, least - 1, -1):
        if words[i] is None or words[i] != words[i - 1]:
            return i
    return place
