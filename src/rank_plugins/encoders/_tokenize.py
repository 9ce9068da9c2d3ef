"""Text to windows of token ids, or to shorter texts that fit a window, with the tokenizers package."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require
from rank_plugins.encoders.encoder import Token
from rank_plugins.errors import StoreError

# Rust works on a call's texts side by side; a call of this many keeps its results small.
TEXTS_PER_CALL = 256

SPARE = 4  # tokens left free in a piece: without the space before it, its first word may be cut into more


class Window(NamedTuple):
    """A run of one text's tokens that fits the model, special tokens included."""

    text: int
    ids: NDArray[np.int64]
    kept: NDArray[np.bool_] | None = None
    """Which vectors of the graph count, those of its expansion included; None: one for each of ids."""

    @property
    def vectors(self) -> int:
        """How many vectors it gets."""
        return len(self.ids) if self.kept is None else int(self.kept.sum())


class Pieces(NamedTuple):
    """What is encoded of texts: a text as it is, or the shorter ones that it is cut into."""

    owners: list[int]
    """The place of the text that each piece is of."""
    texts: list[str]
    starts: list[int]
    """Where each piece begins in the text that it is of."""
    tokens: NDArray[np.int64]
    """Their tokens in the model, its own included."""
    long: list[int]
    """Places of the texts that are longer than the model reads."""


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
        step = _texts_per_call(threads)
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

    def placed(self, text: str, prefix: str, *, first_only: bool) -> list[Token]:
        """Return the tokens of all windows of prefix + text, with their places in the text."""
        encoding = self._tokenizer.encode(prefix + text)
        if all(encoding.special_tokens_mask):
            return []
        return [
            _token(text, place, len(prefix), self._tokenizer.id_to_token(number))
            for window in [encoding, *([] if first_only else encoding.overflowing)]
            for number, place in zip(window.ids, window.offsets, strict=True)
        ]


class TextCutter:
    """Counts tokens and cuts long texts into texts, for models that tokenise themselves and add tokens of their own.

    It works on a copy of the model's tokenizer that is configured once, here, and safe to use from several threads.
    """

    def __init__(self, definition: str, threads: int | None = None) -> None:
        """Take the tokenizer as the JSON text of tokenizer.json, and how many threads it may use."""
        self._tokenizer: Any = require("tokenizers").Tokenizer.from_str(definition)
        self._step = _texts_per_call(threads)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @property
    def special_tokens(self) -> int:
        """How many tokens the tokenizer itself adds to a text."""
        return int(self._tokenizer.num_special_tokens_to_add(is_pair=False))

    def lengths(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count the tokens of each text without special ones, int64 [n]."""
        counts: list[int] = []
        for start in range(0, len(texts), self._step):
            part = list(texts[start : start + self._step])
            counts += [len(found.ids) for found in self._tokenizer.encode_batch_fast(part, add_special_tokens=False)]
        return np.array(counts, np.int64)

    def encode(self, texts: Sequence[str], max_length: int) -> list[NDArray[np.int64]]:
        """Return the tokens of each text, special ones included; those of a longer text end at `max_length`."""
        found: list[NDArray[np.int64]] = []
        for start in range(0, len(texts), self._step):
            part = list(texts[start : start + self._step])
            for text, encoding in zip(part, self._tokenizer.encode_batch_fast(part), strict=True):
                if len(encoding.ids) > max_length:
                    encoding = self._tokenizer.encode(text, add_special_tokens=False)
                    encoding.truncate(max_length - self.special_tokens)
                    encoding = self._tokenizer.post_process(encoding)
                found.append(np.array(encoding.ids, np.int64))
        return found

    def names(self, ids: Sequence[int]) -> list[str]:
        """Return tokens as the vocabulary spells them."""
        return [self._tokenizer.id_to_token(number) for number in ids]

    def placed(self, text: str, frames: Sequence[tuple[str, str]], ids: Sequence[int]) -> list[Token] | None:
        """Return what a model's tokens `ids` of a text are, with the strings of one of `frames` around the text.

        It is the frame that explains most of them. None if they are not what this tokenizer gives behind any of them,
        cut off at the end, with special tokens behind.
        """
        best, encoding, before = -1, None, ""
        for start, stop in frames:
            found = self._tokenizer.encode(start + text + stop)
            same = next((i for i, pair in enumerate(zip(ids, found.ids, strict=False)) if pair[0] != pair[1]), None)
            same = min(len(ids), len(found.ids)) if same is None else same
            if same > best:
                best, encoding, before = same, found, start
        special = {number for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        if encoding is None or not special.issuperset(ids[best:]):
            return None
        places = encoding.offsets[:best] + [(0, 0)] * (len(ids) - best)
        names = self.names(ids)
        return [_token(text, place, len(before), name) for place, name in zip(places, names, strict=True)]

    def cut(self, texts: Sequence[str], own: int, room: int | None, overlap: int, *, first_only: bool) -> Pieces:
        """Return the pieces of all texts in order; a text without any token of its own has none.

        Args:
            texts: without what the model puts around them.
            own: tokens that the model adds to a text.
            room: a text's own tokens that the model reads; None for any number.
            overlap: tokens that a piece repeats of the one before.
            first_only: leave long texts whole; the model reads their start.

        """
        counts = self.lengths(texts)
        used = [i for i, text in enumerate(texts) if counts[i] and text.strip()]
        long = [i for i in used if room is not None and counts[i] > room]
        if room is None or not long or first_only:
            most = counts.max(initial=0) if room is None else room
            return Pieces(used, [texts[i] for i in used], [0] * len(used), np.minimum(counts[used], most) + own, long)
        safe = max(room - (SPARE if own > self.special_tokens else 0), 1)
        cut = {i: self.spans(texts[i], safe, overlap) for i in long}
        places = [(i, start, stop) for i in used for start, stop in cut.get(i, [(0, len(texts[i]))])]
        pieces = [texts[i][start:stop] for i, start, stop in places]
        tokens = np.minimum(self.lengths(pieces), room) + own
        return Pieces([i for i, _, _ in places], pieces, [start for _, start, _ in places], tokens, long)

    def pieces(self, text: str, room: int, overlap: int) -> list[str]:
        """Return the text as pieces of at most `room` tokens, each repeating about `overlap` of the one before.

        Pieces begin and end between words; a word that has no room is cut between its characters. A single character
        of more tokens than that stays whole.
        """
        return [text[start:stop] for start, stop in self.spans(text, room, overlap)]

    def spans(self, text: str, room: int, overlap: int) -> list[tuple[int, int]]:
        """Return where the pieces of a text lie, [start, stop); see `pieces`."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= room:
            return [(0, len(text))]
        starts = [begin for begin, _ in encoding.offsets]
        found: list[tuple[int, int]] = []
        levels, spare = _levels(text, starts, encoding.word_ids), min(SPARE, room // 8)
        for start, stop in _spans(levels, room - spare, min(overlap, room // 4)):
            # Up to the next token: an accent that the tokenizer composes or drops is in no token's offsets.
            rest = text[starts[start] : starts[stop] if stop < len(starts) else len(text)]
            piece, begin = rest.strip(), starts[start] + len(rest) - len(rest.lstrip())
            # Cut out of its surroundings a piece may have more tokens than inside: it is then cut again.
            inner = [(0, len(text))] if piece == text else self.spans(piece, room, overlap)
            found += [(begin + first, begin + last) for first, last in inner]
        return [(first, last) for first, last in found if first < last]


def _texts_per_call(threads: int | None) -> int:
    return 1 if threads == 1 else TEXTS_PER_CALL  # a call with one text uses one thread


def _token(text: str, place: tuple[int, int], before: int, name: str) -> Token:
    """Return the token at a `place` of a string in which the text begins behind `before` characters."""
    start, stop = (min(max(end - before, 0), len(text)) for end in place)
    inside = text[start:stop].strip()
    if inside:  # tokenizers of bytes count the space before a word as its own
        start += text[start:stop].index(inside)
        stop = start + len(inside)
    return Token(text[start:stop] or name, start, stop, name)


def _levels(text: str, starts: Sequence[int], words: Sequence[int | None]) -> list[int]:
    """Return how good it is to cut before each token.

    3 is at a space, 2 between the tokenizer's words, 1 inside a word, 0 inside a character or what is read as one.
    Tokenizers that know no spaces take a whole text as one word, and those of bytes cut characters into tokens.
    """
    levels: list[int] = []
    last = -1
    for i, start in enumerate(starts):
        char = text[start : start + 1]  # none for the space at a text's end, if the tokenizer leaves spaces out
        mark = unicodedata.category(char or " ")[0] == "M" or "\u200d" in text[max(start - 1, 0) : start + 1]
        if start <= last or not char or (mark and i):
            levels.append(0)
        elif text[start].isspace() or text[start - 1 : start].isspace():
            levels.append(3)
        else:
            levels.append(2 if words[i] is None or words[i] != words[i - 1] else 1)
        last = max(last, start)
    return levels


def _spans(levels: Sequence[int], room: int, overlap: int) -> list[tuple[int, int]]:
    """Return the runs of tokens, [start, stop), that windows of `room` tokens hold; see `_levels`."""
    spans: list[tuple[int, int]] = []
    start, stop = 0, 0
    while stop < len(levels):
        if spans:
            start = _cut(levels, stop - overlap, stop - overlap - room // 4, start + 1) if overlap else stop
        stop = _cut(levels, start + room, start + room // 2 + 1, max(start, stop) + 1)
        spans.append((start, stop))
    return spans


def _cut(levels: Sequence[int], place: int, least: int, lowest: int) -> int:
    """Return the last place from `place` back to `least` where a word begins, else back to `lowest` a character."""
    if place >= len(levels):
        return len(levels)
    for level, end in ((3, least), (2, least), (1, lowest)):
        for i in range(place, max(end, lowest) - 1, -1):
            if levels[i] >= level:
                return i
    after = range(max(place, lowest), len(levels))
    return next((i for i in after if levels[i]), len(levels))
