"""What LangChain keeps in a Document, and rank_plugins needs or gives: scores and identities."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document

from rank_plugins.rerankers.hosting import first_stage

SCORE = "relevance_score"
"""The metadata key of a document's score, as LangChain's own rerankers have it."""
EARLIER = "retrieval_score"
"""The metadata key of the score that a document came with."""


def scores(documents: Sequence[Document]) -> list[float] | None:
    """Return the scores in the documents' metadata, if all of them have one."""
    return first_stage(document.metadata.get(SCORE) for document in documents)


def scored(document: Document, score: float, **more: Any) -> Document:
    """Return a copy of the document with this score (and more) in its metadata, and an earlier score beside it."""
    metadata = dict(document.metadata)
    if SCORE in metadata:
        metadata[EARLIER] = metadata[SCORE]
    return document.model_copy(update={"metadata": {**metadata, SCORE: score, **more}})


def keyed(lists: Sequence[Sequence[Document]], id_key: str | None) -> list[list[tuple[str, float | None]]]:
    """Return (key, score) of each document, for `fuse_keyed`: documents with the same key are one.

    A document's name is what its metadata has under `id_key`, else its id. One without a name is the same as the
    first that has the same text: indexes that keep names and indexes that do not can stand side by side.
    The scores of a list count where they tell its order; scores that increase are something else, such as distances.
    """
    names = [[_name(document, id_key) for document in documents] for documents in lists]
    by_text: dict[str, str] = {}
    for document, name in zip(itertools.chain(*lists), itertools.chain(*names), strict=True):
        if name is not None:
            by_text.setdefault(document.page_content, name)
    result: list[list[tuple[str, float | None]]] = []
    for documents, known in zip(lists, names, strict=True):
        keys = [
            by_text.get(document.page_content, f"text {document.page_content}") if name is None else name
            for document, name in zip(documents, known, strict=True)
        ]
        found = scores(documents)
        ordered = found is not None and all(a >= b for a, b in itertools.pairwise(found))
        result.append(list(zip(keys, found if found is not None and ordered else [None] * len(keys), strict=True)))
    return result


def _name(document: Document, id_key: str | None) -> str | None:
    value = None if id_key is None else document.metadata.get(id_key)
    value = document.id if value is None else value
    return None if value is None else f"id {value}"
