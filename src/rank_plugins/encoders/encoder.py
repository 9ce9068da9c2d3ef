"""Encoder: the interface between text and token embeddings, and the text rules that all encoders share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError

Role: TypeAlias = Literal["query", "document"]
ROLES: tuple[Role, ...] = ("query", "document")

_SURROGATE = re.compile("[\ud800-\udfff]")


class Token(NamedTuple):
    """What one vector stands for: text[start:stop] of the text that was encoded.

    A token that the model adds (a special one, a marker, a prompt, query expansion) has start == stop, and its text
    is its piece.
    """

    text: str
    start: int
    stop: int
    piece: str
    """As the vocabulary spells it: "##ed", or "[UNK]" for what is not in it."""

    @property
    def special(self) -> bool:
        """Whether the model added it."""
        return self.start == self.stop


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into token embeddings.

    Text that is empty or only whitespace gets no tokens. A text's embeddings do not depend on the other
    texts of a call. Methods may be called from several threads.
    """

    @property
    def dim(self) -> int:
        """K, the dimension of every vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """What decides the vectors: weights, tokenizer, roles, window, normalisation; not the engine."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Return the token embeddings of each query, float32."""
        ...

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:
        """Return the token embeddings of each document, float32."""
        ...

    def close(self) -> None:
        """Let go of the model; a later call to encode raises."""
        ...


def clean_text(text: object, what: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD.

    Raises:
        InputTypeError: not a str.

    """
    if not isinstance(text, str):
        raise InputTypeError(f"{what}: expected a str, got {type(text).__name__}")
    try:
        text.encode()  # several times as fast as searching
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def clean_texts(texts: object, what: str) -> list[str]:
    """Return every text cleaned; see `clean_text`.

    Raises:
        InputTypeError: not a sequence of str, or a single str.

    """
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Sequence):
        raise InputTypeError(f"{what}: expected a list of str, got {type(texts).__name__}")
    return [clean_text(text, f"{what}[{i}]") for i, text in enumerate(texts)]


def check_role(role: object) -> None:
    """Refuse what is no role.

    Raises:
        InputError: neither "query" nor "document".

    """
    if role not in ROLES:
        raise InputError(f"role: expected {' or '.join(ROLES)}, got {role!r}")
