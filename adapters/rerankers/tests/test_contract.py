"""The contract of rank_plugins' rerankers, through the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

from rank_plugins.testing import AdapterContract
from rank_plugins_rerankers import MaxSimRanker, Reranker


class TestContract(AdapterContract):
    """Every reranker by its name, as users of rerankers call it, and one already made."""

    test_top_k_below_one_is_refused = None  # the host cuts afterwards, by RankedResults.top_k

    def adapt(self, model: Any, model_kwargs: dict[str, Any] | None) -> Any:
        """Return the ranker of the host's factory; it takes no instance, the class does."""
        if isinstance(model, str):
            return Reranker(model, verbose=0, **(model_kwargs or {}))
        return MaxSimRanker(model)

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Rank by the host's call; ids are positions."""
        return _pairs(reranker.rank(query, documents), top_k)

    async def rank_async(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Rank by the host's coroutine."""
        return _pairs(await reranker.rank_async(query, documents), top_k)


def _pairs(results: Any, top_k: int | None) -> list[tuple[int, float]]:
    return [(result.doc_id, result.score) for result in (results.top_k(top_k) if top_k else results)]
