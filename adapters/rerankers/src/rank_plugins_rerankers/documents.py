"""What callers of `rank` pass as documents, made into rerankers' Documents; the caller's objects stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Set, Sized
from typing import Any

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins_rerankers.host import Document


def to_documents(docs: object, doc_ids: object = None, metadata: object = None) -> list[Document]:
    """Return a new Document for each of `docs`.

    A Document keeps its id and metadata unless `doc_ids` or `metadata` replace them. Where nothing has an
    id, positions become the ids; where only some have one, the others keep None.

    Args:
        docs: a str, a Document, or a list of either.
        doc_ids: one id per document, or None.
        metadata: one dict (or None) per document, or None.

    Raises:
        InputError: doc_ids or metadata of another length, a Document that is an image.
        InputTypeError: another type.

    """
    one = isinstance(docs, (str, Document))
    items = [docs] if one else _listed(docs, "docs", "a str, a Document or a list of them")
    documents = [_document(item, f"docs[{i}]") for i, item in enumerate(items)]
    if metadata is not None:
        for i, value in enumerate(_column(metadata, "metadata", len(documents))):
            if not isinstance(value, (Mapping, type(None))):
                raise InputTypeError(f"metadata[{i}]: expected a dict, got {type(value).__name__}")
            documents[i].metadata = dict(value or {})
    if doc_ids is not None:
        for document, doc_id in zip(documents, _column(doc_ids, "doc_ids", len(documents)), strict=True):
            document.doc_id = doc_id
    if all(document.doc_id is None for document in documents):
        for i, document in enumerate(documents):
            document.doc_id = i
    return documents


def _document(item: object, where: str) -> Document:
    if isinstance(item, str):
        return Document(item)
    if not isinstance(item, Document):
        raise InputTypeError(f"{where}: expected a str or a rerankers.Document, got {type(item).__name__}")
    if item.document_type != "text":
        raise InputError(f"{where}: expected a Document of text, got document_type {item.document_type!r}")
    if not isinstance(item.text, str):
        raise InputTypeError(f"{where}.text: expected a str, got {type(item.text).__name__}")
    document = copy.copy(item)
    document.metadata = {} if item.metadata is None else copy.copy(item.metadata)
    return document


def _column(values: object, what: str, count: int) -> list[Any]:
    column = _listed(values, what, "a list")
    if len(column) != count:
        raise InputError(f"{what}: expected {count} of them (one per document), got {len(column)}")
    return column


def _listed(values: object, what: str, expected: str) -> list[Any]:
    """Return the elements of anything with a length and an order: list, tuple, array, column of a table."""
    unordered = isinstance(values, (str, bytes, Mapping, Set))
    if unordered or not (isinstance(values, Sized) and isinstance(values, Iterable)):
        raise InputTypeError(f"{what}: expected {expected}, got {type(values).__name__}")
    return list(values)
