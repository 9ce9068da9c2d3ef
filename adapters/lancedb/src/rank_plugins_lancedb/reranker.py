"""RankPluginsReranker: a rank_plugins reranker behind LanceDB's interface. It converts; it ranks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from lancedb.query import FullTextQuery, LanceVectorQueryBuilder
from lancedb.rerankers import Reranker as HostReranker

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import Reranker
from rank_plugins.rerankers.hosting import first_stage, pairs, reranker_of
from rank_plugins_lancedb.columns import texts, token_embeddings

SCORE = "_relevance_score"
ROW_ID = "_rowid"


class RankPluginsReranker(HostReranker):
    """Reranks what a LanceDB query found, best first. Methods may be called from several threads.

    Every row of the query's results is scored once against the query's text, and all of them come back: the query's
    `.limit()` says how many candidates there are. The score is the float32 column `_relevance_score`; a row whose
    text or vectors are NULL or empty has nothing to score, gets -1e9 and stands last.
    """

    def __init__(
        self,
        model: str | Reranker = "rank-maxsim",
        model_kwargs: Mapping[str, Any] | None = None,
        *,
        column: str = "text",
        vector_column: str | None = None,
        return_score: str = "relevance",
    ) -> None:
        """Choose the reranker; no model is loaded before the first rows are ranked.

        Args:
            model: a name that `rank_plugins.rerankers.names()` lists, or a Reranker of rank_plugins.
            model_kwargs: options of `rank_plugins.rerankers.load`; none beside a Reranker.
            column: the column of the documents' text.
            vector_column: a multivector column, list<fixed_size_list<float>>, of token embeddings. With it the
                documents' text is not read and nothing but the query is encoded; the model is one that takes vectors
                (rank-maxsim), and its encoder the one that made the column.
            return_score: "relevance" drops `_score` and `_distance` from the results, "all" keeps them.

        Raises:
            InputError: an unknown model, or an option whose value cannot be used.
            InputTypeError: another type, an unknown option, or options beside a Reranker.

        """
        if return_score not in ("relevance", "all"):
            raise InputError(f"return_score: expected relevance or all, got {return_score!r}")
        super().__init__(return_score)
        for name, value in (("column", column), ("vector_column", vector_column)):
            if not isinstance(value, str) and not (value is None and name == "vector_column"):
                raise InputTypeError(f"{name}: expected the name of a column, got {type(value).__name__}")
        self.reranker = reranker_of(model, model_kwargs)
        self.column = column
        self.vector_column = vector_column
        self._named = isinstance(model, str)
        self._model = model if isinstance(model, str) else type(model).__name__

    def __str__(self) -> str:
        where = self.column if self.vector_column is None else self.vector_column
        return f"RankPluginsReranker(model={self._model}, column={where})"

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """Rerank the results of a vector search.

        Args:
            query: text.
            vector_results: the search's results, with the column to score.

        Raises:
            InputError: an empty query, no such column.
            InputTypeError: a query or a column of another type.

        """
        return self._ranked(query, vector_results, "_distance", -1)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """Rerank the results of a full-text search; see `rerank_vector`."""
        return self._ranked(query, fts_results, "_score", 1)

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """Rerank the union of both searches' results; a row that both found is scored once. See `rerank_vector`.

        Raises:
            InputError: results without the column `_rowid`.

        """
        merged = pa.concat_tables([vector_results, fts_results], promote_options="default")
        return self._ranked(query, self._distinct(merged))

    def rerank_multivector(
        self,
        vector_results: list[pa.Table] | list[LanceVectorQueryBuilder],
        query: str | None,
        deduplicate: bool = False,
    ) -> pa.Table:
        """Rerank the results of several searches together; see `rerank_vector`.

        Args:
            vector_results: tables, or queries that are run here.
            query: text.
            deduplicate: keep a row that several searches found once, by its `_rowid`.

        Raises:
            InputError: no results, or deduplicate without the column `_rowid`.

        """
        if not vector_results:
            raise InputError("vector_results: expected those of at least one search, got none")
        given = vector_results if isinstance(vector_results, list) else [vector_results]
        tables = [one if isinstance(one, pa.Table) else one.to_arrow() for one in given]
        combined = pa.concat_tables(tables, promote_options="default")
        return self._ranked(query, self._distinct(combined) if deduplicate else combined)

    def close(self) -> None:
        """Let go of a model that was made from a name; ranking again loads it again."""
        if self._named:
            self.reranker.close()

    def _ranked(self, query: Any, table: pa.Table, first: str | None = None, sign: int = 1) -> pa.Table:
        """Return the rows best first; `first` names the column of the search's scores, lower is better with sign -1."""
        if SCORE in table.column_names:  # of an earlier rerank
            table = table.drop_columns([SCORE])
        if not table.num_rows:
            return self._keep_relevance_score(table.append_column(SCORE, pa.array([], pa.float32())))
        if self.vector_column is None:
            documents: Any = texts(table, self.column)
        else:
            documents = token_embeddings(table, self.vector_column)
        scores = None
        if first in table.column_names:
            scores = first_stage(None if one is None else sign * one for one in table.column(first).to_pylist())
        ranked = pairs(self.reranker.rerank(_text(query), documents, scores=scores))
        order = [index for index, _ in ranked]
        if self.vector_column is None:
            best = table.take(pa.array(order, pa.int64()))
        else:  # many megabytes of vectors, which stay where they are
            best = pa.concat_tables([table.slice(index, 1) for index in order])
        best = best.append_column(SCORE, pa.array([score for _, score in ranked], pa.float32()))
        return self._keep_relevance_score(best)

    def _distinct(self, table: pa.Table) -> pa.Table:
        if ROW_ID not in table.column_names:
            raise InputError(f"results: expected a column {ROW_ID!r}, got none; ask for it by .with_row_id(True)")
        return self._deduplicate(table)


def _text(query: Any) -> Any:
    """Return the words of a full-text query, which the host hands on as it is."""
    if not isinstance(query, FullTextQuery):
        return query
    words = getattr(query, "query", None)
    if not isinstance(words, str):
        raise InputTypeError(
            f"query: expected text or a query that has one text, got {type(query).__name__};"
            " search without .rerank() and call rerank_fts(text, results.to_arrow())"
        )
    return words
