"""RankPluginsReranker: a rank_plugins reranker as a PyTerrier transformer. It converts; it ranks nothing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyterrier as pt

from pyterrier_rank_plugins.frames import cells, groups, ranked
from rank_plugins.errors import InputTypeError
from rank_plugins.rerankers import Reranker
from rank_plugins.rerankers.hosting import first_stage, names, pairs, reranker_of


class RankPluginsReranker(pt.Transformer):
    """Scores the documents of each query anew, best first. Methods may be called from several threads.

    A document whose text is missing or empty has nothing to score, gets -1e9 and stands last. `% k` keeps the best.
    """

    def __init__(
        self,
        model: str | Reranker = "rank-maxsim",
        model_kwargs: Mapping[str, Any] | None = None,
        *,
        text_field: str = "text",
    ) -> None:
        """Choose the reranker; no model is loaded before the first documents are ranked.

        Args:
            model: a name that `rank_plugins.rerankers.names()` lists, or a Reranker of rank_plugins.
            model_kwargs: options of `rank_plugins.rerankers.load`; none beside a Reranker.
            text_field: the column of the documents' text.

        Raises:
            InputError: an unknown model, or an option whose value cannot be used.
            InputTypeError: another type, an unknown option, or options beside a Reranker.

        """
        if not isinstance(text_field, str):
            raise InputTypeError(f"text_field: expected the name of a column, got {type(text_field).__name__}")
        self.reranker = reranker_of(model, model_kwargs)
        self._model, self._model_kwargs, self.text_field = model, model_kwargs, text_field

    @property
    def model(self) -> str | Reranker:
        """What was asked for; the host's grid search cannot set it, for another model is another transformer."""
        return self._model

    @property
    def model_kwargs(self) -> Mapping[str, Any] | None:
        """The options asked for; see `model`."""
        return self._model_kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy what it was made of: the host's worker processes (`.parallel(2)`) load their own model."""
        return functools.partial(type(self), text_field=self.text_field), (self.model, self.model_kwargs)

    def __repr__(self) -> str:
        return f"RankPluginsReranker({self.model!r}, text_field={self.text_field!r})"

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the rows by query, best first, with new columns score and rank; the other columns stay.

        All queries are ranked in one batch. A document that is there twice for a query stays twice.

        Args:
            inp: a frame with the columns qid, query, docno and `text_field`. Scores that all rows of all queries have
                are the first stage's, for rerankers that read them.

        Raises:
            pyterrier.validate.InputValidationError: a column is missing.
            InputError: an empty query.
            InputTypeError: a query or text that is no str.

        """
        pt.validate.result_frame(inp, extra_columns=["query", self.text_field])
        queries = cells(inp, "query")
        rows = groups(cells(inp, "qid"), queries)
        texts = ["" if text is None else text for text in cells(inp, self.text_field)]
        ids = names(cells(inp, "docno"), texts)
        scores = first_stage(inp["score"].tolist()) if "score" in inp.columns else None
        rankings = self.reranker.rerank_batch(
            [queries[one[0]] for one in rows],
            [[texts[i] for i in one] for one in rows],
            ids=None if ids is None else [[ids[i] for i in one] for one in rows],
            scores=None if scores is None else [[scores[i] for i in one] for one in rows],
        )
        best = [(one[i], score) for one, ranking in zip(rows, rankings, strict=True) for i, score in pairs(ranking)]
        return ranked(inp, [i for i, _ in best], [score for _, score in best])

    def close(self) -> None:
        """Let go of a model that was made from a name; ranking again loads it again."""
        if isinstance(self.model, str):
            self.reranker.close()
