"""A test collection."""

from __future__ import annotations

from typing import NamedTuple


class Collection(NamedTuple):
    """Queries, documents and judgments of a test collection, by id; unpacks as `queries, corpus, qrels`."""

    queries: dict[str, str]
    """{query id: text}."""
    corpus: dict[str, dict[str, str]]
    """{document id: {"title": ..., "text": ...}}, as users of BEIR know it; a missing title is empty."""
    qrels: dict[str, dict[str, float]]
    """{query id: {document id: grade}}; whole grades are int."""
