"""rerank_async: what the host's async queries cannot do, which is to wait for a reranker."""

from __future__ import annotations

import asyncio
import copy

import pyarrow as pa
from lancedb.query import AsyncFTSQuery, AsyncHybridQuery, AsyncQueryBase
from lancedb.rerankers import Reranker as HostReranker

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.hosting import count, off_loop


async def rerank_async(
    query: AsyncQueryBase, reranker: HostReranker, *, query_string: str | None = None, limit: int | None = None
) -> pa.Table:
    """Run an async query and rerank what it finds, without blocking the event loop.

    An async query that was given `.rerank(...)` calls the reranker on the loop's own thread, so that nothing else of
    the process runs meanwhile. Here the search is awaited on the loop, and the rerank runs on a thread of rank_plugins'
    own, of which there are as many as usable cores. A hybrid query merges and reranks in one step of the host's that
    cannot be parted: it runs as a whole on such a thread, with an event loop of its own.

    Args:
        query: a vector, full-text or hybrid query of an AsyncTable, without `.rerank(...)`; its `.limit()` is the
            number of candidates.
        reranker: any reranker of LanceDB.
        query_string: the text to rank for; needed for a vector query. A full-text query has its own, which this
            replaces for the reranker; a hybrid query takes none.
        limit: how many rows to return at most, best first; None returns all candidates.

    Raises:
        InputError: limit < 1, no query_string for a vector query or one for a hybrid query.
        InputTypeError: another type.

    """
    rows = count(limit, "limit")
    if not isinstance(query, AsyncQueryBase):
        hint = "; await table.search(...) first" if asyncio.iscoroutine(query) else ""
        raise InputTypeError(f"query: expected a query of an AsyncTable, got {type(query).__name__}{hint}")
    if not isinstance(reranker, HostReranker):
        raise InputTypeError(f"reranker: expected a lancedb.rerankers.Reranker, got {type(reranker).__name__}")
    if isinstance(query, AsyncHybridQuery):
        if query_string is not None:
            raise InputError("query_string: expected none, for a hybrid query has its text; got one")
        ranked = await off_loop(_run, copy.copy(query).rerank(reranker))  # rerank() writes to its query
    elif isinstance(query, AsyncFTSQuery):
        text = query.get_query() if query_string is None else query_string
        ranked = await off_loop(reranker.rerank_fts, text, await query.to_arrow())
    elif query_string is None:
        raise InputError("query_string: expected the text to rank for, because a vector query has none; got None")
    else:
        ranked = await off_loop(reranker.rerank_vector, query_string, await query.to_arrow())
    return ranked if rows is None else ranked.slice(0, rows)


def _run(query: AsyncHybridQuery) -> pa.Table:
    async def results() -> pa.Table:
        return await query.to_arrow()

    return asyncio.run(results())
