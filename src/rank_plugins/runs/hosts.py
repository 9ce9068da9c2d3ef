"""Runs and judgments as other libraries hold them, known by what they have; none of these libraries is imported.

Results of rerankers, LangChain and LlamaIndex are those of one query, so they come as {query: results}. Documents are
known by their ids, never by their text: two documents may have the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs.build import DOCUMENT, column

SCORES = ("relevance_score", "score")
"""Where LangChain's documents have their score, in their metadata."""


def table_of(x: Any) -> Mapping[Any, Any] | None:
    """Return the dict of dicts of an object that has one (Run and Qrels of ranx), or None."""
    if type(x).__name__ in ("Run", "Qrels") and callable(getattr(x, "to_dict", None)):
        table = x.to_dict()
        return table if isinstance(table, Mapping) else None
    return None


def is_result(row: object) -> bool:
    """Return whether `row` is what a host found for one query."""
    if isinstance(row, (Mapping, str, bytes)):
        return False
    if (
        _is_ranking(row)
        or hasattr(row, "results")
        or (isinstance(row, tuple) and len(row) == 2 and _is_ranking(row[0]))
    ):
        return True
    first = row[0] if isinstance(row, (list, tuple)) and row else None
    first = first[0] if isinstance(first, tuple) and first else first
    return any(hasattr(first, name) for name in ("node", "page_content", "document"))


def pairs(row: Any, query: Any) -> list[tuple[Any, float]] | list[Any]:
    """Return what a host found for a query as (document id, score), or as ids, best first, where there are no scores.

    Raises:
        InputTypeError: a Ranking without ids.
        InputError: a document without an id, or some documents with a score and some without.

    """
    if _is_ranking(row):
        raise InputTypeError(
            f"run: a Ranking holds indices into your list, so pass it with your ids, as {{{query!r}: (ranking, ids)}}"
        )
    if isinstance(row, tuple) and len(row) == 2 and _is_ranking(row[0]):
        ranking, ids = row
        if len(ids) <= max(ranking.indices.tolist(), default=-1):
            raise InputError(f"run: expected ids for all documents of query {query!r}, got {len(ids)}")
        return [(ids[i], score) for i, score in ranking]
    results = row.results if hasattr(row, "results") else row
    found = [_one(result, query) for result in results]
    scored = sum(score is not None for _, score in found)
    if scored not in (0, len(found)):
        raise InputError(f"run: expected a score for all documents of query {query!r} or for none, got {scored}")
    return found if scored else [document for document, _ in found]


def mapped(table: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return {query: results of a host} as {query: pairs or ids}; other rows stay as they are.

    Raises:
        InputTypeError, InputError: as `pairs`.

    """
    return {query: pairs(row, query) if is_result(row) else row for query, row in table.items()}


def _is_ranking(x: object) -> bool:
    return hasattr(x, "indices") and hasattr(x, "scores")


def _one(result: Any, query: Any) -> tuple[Any, Any]:
    """Return id and score of a Result of rerankers, a Document, (Document, score) or a NodeWithScore."""
    given = None
    if isinstance(result, tuple) and len(result) == 2:
        result, given = result
    if hasattr(result, "node"):
        name, score = result.node.node_id, result.score
    elif hasattr(result, "page_content"):
        metadata = result.metadata
        key = column(metadata, (*DOCUMENT, "id", "_id"))
        name = result.id if getattr(result, "id", None) is not None else metadata.get(key)
        score = next((metadata[key] for key in SCORES if key in metadata), None)
    elif hasattr(result, "document"):
        name, score = result.document.doc_id, result.score
    else:
        raise InputTypeError(f"run: expected results with documents for query {query!r}, got {type(result).__name__}")
    if name is None:
        raise InputError(
            f"run: expected documents with ids, got one without for query {query!r}; give your documents ids (two may"
            " have the same text)"
        )
    return name, given if given is not None else score
