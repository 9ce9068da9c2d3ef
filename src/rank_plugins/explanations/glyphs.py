"""Text of others made fit to be shown: nothing in it is obeyed by a terminal or a page."""

from __future__ import annotations

import html
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # turn the text that follows them


def visible(text: str) -> str:
    """Return the text with control characters, surrogates and directional overrides replaced; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(REPLACEMENT if _obeyed(char) else char for char in text)


def escaped(text: str) -> str:
    """Return the visible text, safe between tags and inside quoted attributes."""
    return html.escape(visible(text), quote=True)


def cut(text: str, length: int) -> str:
    """Return a text on one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def room(text: str) -> int:
    """Return how many columns of a terminal a text takes, about."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def direction(text: str) -> str:
    """Return "rtl" for a text whose first letter is of a script written from right to left, else "ltr"."""
    strong = (unicodedata.bidirectional(char) for char in text)
    return "rtl" if next((kind for kind in strong if kind in ("L", "R", "AL")), "L") != "L" else "ltr"


def _obeyed(char: str) -> bool:
    return char in OVERRIDES or (unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t")
