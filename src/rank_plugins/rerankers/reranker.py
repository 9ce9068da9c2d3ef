"""Reranker: the interface of every reranker, and the checks that come before its work."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._executor import off_loop
from rank_plugins._maxsim import query_array
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders.encoder import clean_text, clean_texts
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking

Query: TypeAlias = "str | NDArray[Any]"
Documents: TypeAlias = "Sequence[str] | TokenEmbeddings"


class Request(NamedTuple):
    """One query and its documents, checked: text is free of lone surrogates, arrays are float32 [Q, K]."""

    query: str | NDArray[np.float32]
    documents: list[str] | TokenEmbeddings
    ids: list[str] | None
    scores: NDArray[np.float64] | None


class Reranker(abc.ABC):
    """Orders documents by their relevance to a query. Methods may be called from several threads.

    A subclass implements `_rank`. What reaches it is checked, and has at least one document.
    """

    def rerank(
        self,
        query: Query,
        documents: Documents,
        *,
        top_k: int | None = None,
        ids: Sequence[str] | None = None,
        scores: Sequence[float] | None = None,
    ) -> Ranking:
        """Rank the documents of one query.

        Args:
            query: text, or token embeddings float [Q, K] where the reranker takes vectors.
            documents: texts, or a TokenEmbeddings where the reranker takes vectors.
            top_k: how many to return at most; None returns all.
            ids: stable names, parallel to `documents`, for stores and caches.
            scores: the first stage's scores, parallel to `documents`.

        Raises:
            InputError: top_k < 1, an empty or whitespace query, ids or scores of another length.
            InputTypeError: another type.

        """
        batch = self.rerank_batch(
            [query],
            [documents],
            top_k=top_k,
            ids=None if ids is None else [ids],
            scores=None if scores is None else [scores],
        )
        return batch[0]

    def rerank_batch(
        self,
        queries: Sequence[Query],
        documents: Sequence[Documents],
        *,
        top_k: int | None = None,
        ids: Sequence[Sequence[str]] | None = None,
        scores: Sequence[Sequence[float]] | None = None,
    ) -> list[Ranking]:
        """Rank the documents of several queries; all lists are parallel. See `rerank`."""
        if top_k is not None:
            top_k = whole_number(top_k, "top_k", 1)
        _check_parallel(queries, documents, ids, scores)
        requests = {}
        for i, texts in enumerate(documents):
            where = f"documents[{i}]" if len(queries) > 1 else "documents"
            if not isinstance(texts, TokenEmbeddings):
                texts = clean_texts(texts, where)
            if len(texts):
                query = _query(queries[i], f"queries[{i}]" if len(queries) > 1 else "query")
                requests[i] = Request(query, texts, *_columns(i, len(texts), ids, scores))
        ranked = dict(zip(requests, self._rank(list(requests.values()), top_k) if requests else [], strict=True))
        return [ranked[i] if i in ranked else Ranking([], []) for i in range(len(queries))]

    async def rerank_async(
        self,
        query: Query,
        documents: Documents,
        *,
        top_k: int | None = None,
        ids: Sequence[str] | None = None,
        scores: Sequence[float] | None = None,
    ) -> Ranking:
        """Do as `rerank` on a thread of this package's own, so that the event loop goes on."""
        return await off_loop(self.rerank, query, documents, top_k=top_k, ids=ids, scores=scores)

    async def rerank_batch_async(
        self,
        queries: Sequence[Query],
        documents: Sequence[Documents],
        *,
        top_k: int | None = None,
        ids: Sequence[Sequence[str]] | None = None,
        scores: Sequence[Sequence[float]] | None = None,
    ) -> list[Ranking]:
        """Do as `rerank_batch` on a thread of this package's own, so that the event loop goes on."""
        return await off_loop(self.rerank_batch, queries, documents, top_k=top_k, ids=ids, scores=scores)

    def warm_up(self) -> None:  # noqa: B027 - most rerankers have nothing to load
        """Load the models now, and not at the first ranking."""

    @property
    def fingerprint(self) -> str | None:
        """What decides the score of a query and a document: the model and its settings; it may load the model.

        None where more than these decide it, such as the other documents: nobody can keep such a score.
        """
        return None

    @abc.abstractmethod
    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        """Return one Ranking per request, of at most `top_k` documents."""

    def close(self) -> None:  # noqa: B027 - most rerankers have nothing to let go of
        """Let go of models and files."""

    def __enter__(self) -> Reranker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _query(query: Query, where: str) -> str | NDArray[np.float32]:
    if not isinstance(query, str):
        if not hasattr(query, "ndim"):
            raise InputTypeError(f"{where}: expected a str or an array [Q, K], got {type(query).__name__}")
        return query_array(query)
    return query_text(query, where)


def query_text(query: object, where: str) -> str:
    """Return the text of a query without lone surrogates.

    Raises:
        InputError: it is empty.
        InputTypeError: not a str.

    """
    if isinstance(query, str) and not query.strip():
        raise InputError(f"{where}: expected text, got {query[:20]!r}; an empty query ranks nothing")
    return clean_text(query, where)


def _check_parallel(queries: object, documents: object, ids: object, scores: object) -> None:
    """Refuse lists of a batch that are no lists or differ in length."""
    columns = {"queries": queries, "documents": documents, "ids": ids, "scores": scores}
    for name, column in columns.items():
        if column is None and name in ("ids", "scores"):
            continue
        if isinstance(column, (str, bytes)) or not isinstance(column, Sequence):
            raise InputTypeError(f"{name}: expected a list, got {type(column).__name__}")
        if len(column) != len(queries):  # type: ignore[arg-type]
            raise InputError(f"{name}: expected {len(queries)} of them (one per query), got {len(column)}")  # type: ignore[arg-type]


def _columns(
    i: int, count: int, ids: Sequence[Sequence[str]] | None, scores: Sequence[Sequence[float]] | None
) -> tuple[list[str] | None, NDArray[np.float64] | None]:
    """Return the ids and first-stage scores of request i, each parallel to its `count` documents."""
    names = None if ids is None else list(ids[i])
    values = None if scores is None else np.asarray(scores[i], np.float64)
    for what, column in (("ids", names), ("scores", values)):
        if column is not None and len(column) != count:
            raise InputError(f"{what}: expected {count} of them (one per document), got {len(column)}")
    for j, name in enumerate(names or ()):
        if not isinstance(name, str):
            raise InputTypeError(f"ids[{j}]: expected a str, got {type(name).__name__}")
    if values is not None and np.isnan(values).any():
        raise InputError(f"scores: expected numbers, got NaN at [{int(np.argmax(np.isnan(values)))}]")
    return names, values
