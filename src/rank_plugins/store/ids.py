"""Ids and texts: by what a store knows a document again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from rank_plugins.encoders.encoder import clean_text
from rank_plugins.errors import InputError, InputTypeError


def text_hash(text: str) -> bytes:
    """Return the 16 bytes by which a store knows a text again; lone surrogates count as U+FFFD."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = clean_text(text, "text").encode()
    return hashlib.blake2b(encoded, digest_size=16).digest()


def checked_ids(ids: object) -> list[str]:
    """Return ids as a list of str that a catalogue can hold.

    Raises:
        InputTypeError: not a list of str.
        InputError: an id with NUL or a lone surrogate.

    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Sequence):
        raise InputTypeError(f"ids: expected a list of str, got {type(ids).__name__}")
    for i, name in enumerate(ids):
        if not isinstance(name, str):
            raise InputTypeError(f"ids[{i}]: expected a str, got {type(name).__name__}")
        if "\0" in name or (not name.isascii() and clean_text(name, "ids") != name):
            raise InputError(f"ids[{i}]: expected no NUL and no lone surrogate, got {name!r}")
    return list(ids)


def check_once(names: Sequence[str]) -> None:
    """Refuse ids that repeat.

    Raises:
        InputError: an id that is there more than once.

    """
    if len(set(names)) != len(names):
        name, count = Counter(names).most_common(1)[0]
        raise InputError(f"ids: expected each document once in a transaction, got {name!r} {count} times")


def check_parallel(names: Sequence[object], texts: Sequence[str]) -> None:
    """Refuse lists of different length.

    Raises:
        InputError: they differ.

    """
    if len(names) != len(texts):
        raise InputError(f"texts: expected {len(names)} of them (one per id), got {len(texts)}")
