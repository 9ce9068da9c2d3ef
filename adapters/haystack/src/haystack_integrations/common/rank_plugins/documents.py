"""Lists of Documents as components receive them: checked, and each Document once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from haystack import Document

from rank_plugins.errors import InputTypeError


def checked(documents: object, where: str) -> list[Document]:
    """Return a list of these Documents; `where` is what the caller knows them by.

    Raises:
        InputTypeError: no list, or something in it that is no Document.

    """
    if isinstance(documents, (str, bytes)) or not isinstance(documents, Sequence):
        raise InputTypeError(f"{where}: expected a list of Documents, got {type(documents).__name__}")
    for i, one in enumerate(documents):
        if not isinstance(one, Document):
            raise InputTypeError(f"{where}[{i}]: expected a Document, got {type(one).__name__}")
    return list(documents)


def distinct(documents: Iterable[Document]) -> list[Document]:
    """Return each id once, where it first stands, as the Document that has the best score."""
    best: dict[str, Document] = {}
    for document in documents:
        known = best.setdefault(document.id, document)
        if _score(document) > _score(known):
            best[document.id] = document
    return list(best.values())


def _score(document: Document) -> float:
    return -math.inf if document.score is None else document.score
