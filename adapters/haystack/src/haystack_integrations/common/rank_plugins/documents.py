"""Lists of Documents as components rank them: each Document once."""

from __future__ import annotations

import math
from collections.abc import Iterable

from haystack import Document


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
