"""Texts of queries and of documents to what an ONNX graph reads, and which of its vectors count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rank_plugins.encoders._files import RoleSettings, Settings
from rank_plugins.encoders._tokenize import Pieces, TextCutter, Window, WindowTokenizer
from rank_plugins.encoders.encoder import ROLES, Role, Token
from rank_plugins.errors import MissingExtraError, StoreError


class RoleTokenizer(Protocol):
    """Gives the tokens of texts of one role. Methods may be called from several threads."""

    def windows(self, texts: Sequence[str], *, first_only: bool) -> tuple[list[Window], list[int]]:
        """Return the windows of all texts in order, and the texts that were longer than one.

        A text with no token of its own has no window.
        """
        ...

    def names(self, window: Window) -> list[str]:
        """Return the token of every vector of a window as the vocabulary spells it."""
        ...

    def placed(self, text: str, *, first_only: bool) -> list[Token]:
        """Return the token of every vector of a text, with its place in the text."""
        ...


def read_tokenizers(folder: Path, settings: Settings, threads: int) -> dict[Role, RoleTokenizer]:
    """Return the tokenizer of each role.

    Raises:
        MissingExtraError: the tokenizers package is not installed.
        StoreError: tokenizer.json is missing or damaged, or the settings leave no room for texts.

    """
    if not settings.pieces:
        runs = WindowTokenizer(folder, settings.max_length, settings.overlap)
        return {role: _Runs(runs, settings.role(role).prefix, threads) for role in ROLES}
    path = folder / "tokenizer.json"
    try:
        cutter = TextCutter(path.read_text(encoding="utf-8"), threads)
    except MissingExtraError:
        raise
    except Exception as error:  # the package raises bare Exception
        raise StoreError(f"{path}: cannot be read as a tokenizer ({error})") from error
    return {role: _Pieces(cutter, settings.role(role), settings.overlap, folder) for role in ROLES}


class _Runs:
    """A long text is cut into runs of tokens; the first of them has the prefix."""

    def __init__(self, tokenizer: WindowTokenizer, prefix: str, threads: int) -> None:
        self._tokenizer, self._prefix, self._threads = tokenizer, prefix, threads

    def windows(self, texts: Sequence[str], *, first_only: bool) -> tuple[list[Window], list[int]]:
        prefixed = [self._prefix + text if text.strip() else "" for text in texts]  # "" has no token
        return self._tokenizer.windows(prefixed, first_only=first_only, threads=self._threads)

    def names(self, window: Window) -> list[str]:
        return self._tokenizer.tokens(window)

    def placed(self, text: str, *, first_only: bool) -> list[Token]:
        return self._tokenizer.placed(text, self._prefix, first_only=first_only) if text.strip() else []


class _Pieces:
    """A long text is cut into texts, each behind the prefix, as encoders over other libraries do."""

    def __init__(self, cutter: TextCutter, role: RoleSettings, overlap: int, folder: Path) -> None:
        self._cutter, self._role, self._overlap = cutter, role, overlap
        self._own = len(cutter.encode([role.prefix + "a"], role.max_length)[0]) - int(cutter.lengths(["a"])[0])
        if self._own + 1 >= role.max_length:
            raise StoreError(
                f"{folder}: expected room for a text beside the {self._own} tokens of its prefix {role.prefix!r} and"
                f" special ones, got a window of {role.max_length}; export the model again"
            )

    def windows(self, texts: Sequence[str], *, first_only: bool) -> tuple[list[Window], list[int]]:
        pieces = self._cut(texts, first_only)
        rows = self._cutter.encode([self._role.prefix + text for text in pieces.texts], self._role.max_length)
        windows = [Window(i, ids, self._kept(ids)) for i, ids in zip(pieces.owners, rows, strict=True)]
        return windows, pieces.long

    def names(self, window: Window) -> list[str]:
        names = self._cutter.names(window.ids.tolist()) + self._added(len(window.ids))
        return [name for name, kept in zip(names, self._kept(window.ids), strict=True) if kept]

    def placed(self, text: str, *, first_only: bool) -> list[Token]:
        found: list[Token] = []
        pieces = self._cut([text], first_only)
        for piece, begin in zip(pieces.texts, pieces.starts, strict=True):
            ids = self._cutter.encode([self._role.prefix + piece], self._role.max_length)[0]
            tokens = self._cutter.placed(piece, [(self._role.prefix, "")], ids.tolist()) or []
            tokens += [Token(name, 0, 0, name) for name in self._added(len(ids))]
            found += [
                token._replace(start=begin + token.start, stop=begin + token.stop)
                for token, kept in zip(tokens, self._kept(ids), strict=True)
                if kept
            ]
        return found

    def _cut(self, texts: Sequence[str], first_only: bool) -> Pieces:
        room = self._role.max_length - self._own
        return self._cutter.cut(texts, self._own, room, self._overlap, first_only=first_only)

    def _added(self, length: int) -> list[str]:
        """Return the tokens that the graph adds to a text of this length."""
        return self._cutter.names([self._role.expanded_with] * (self._role.expanded - length))

    def _kept(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        kept = np.ones(max(len(ids), self._role.expanded), np.bool_)
        kept[: len(ids)] = ~np.isin(ids, self._role.skipped)
        kept[: self._role.skipped_at_start] = False
        return kept
