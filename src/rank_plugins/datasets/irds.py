"""Collections of ir_datasets, where it is installed."""

from __future__ import annotations

from typing import Any

from rank_plugins._extras import require
from rank_plugins.datasets.collection import Collection
from rank_plugins.errors import InputError


def load_ir_datasets(dataset: str | Any) -> Collection:
    """Load a collection by its id in ir_datasets, such as "beir/scifact/test", or a dataset object of it.

    The whole corpus is read into memory. Where a query has several texts, its default one is taken.

    Raises:
        InputError: no such id, or a dataset without documents, queries or judgments.
        MissingExtraError: ir_datasets is not installed.

    """
    module = require("ir_datasets")
    if isinstance(dataset, str):
        try:
            found = module.load(dataset)
        except KeyError:
            raise InputError(
                f"ir_datasets: expected the id of a dataset, got {dataset!r}; see ir-datasets.com"
            ) from None
    else:
        found = dataset
    missing = [what for what in ("docs", "queries", "qrels") if not getattr(found, f"has_{what}")()]
    if missing:
        raise InputError(f"ir_datasets: expected docs, queries and qrels in {dataset!r}, found no {', '.join(missing)}")
    qrels: dict[str, dict[str, float]] = {}
    for judgment in found.qrels_iter():
        qrels.setdefault(judgment.query_id, {})[judgment.doc_id] = judgment.relevance
    queries = {query.query_id: query.default_text() for query in found.queries_iter() if query.query_id in qrels}
    return Collection(queries, {row.doc_id: _document(row) for row in found.docs_iter()}, qrels)


def _document(row: Any) -> dict[str, str]:
    """Return title and text: of documents with other fields, all their text."""
    text = getattr(row, "text", None)
    if isinstance(text, str):
        return {"title": getattr(row, "title", None) or "", "text": text}
    return {"title": "", "text": row.default_text()}
