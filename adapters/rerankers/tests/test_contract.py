"""The contract of rank_plugins' rerankers, through the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

from rank_plugins.testing import HashEncoder, RerankerContract
from rank_plugins_rerankers import Reranker


class TestContract(RerankerContract):
    """`Reranker("rank-maxsim")` as users of rerankers call it."""

    nothing = -1e9
    test_top_k_below_one_is_refused = None  # the host cuts afterwards, by RankedResults.top_k

    @pytest.fixture
    def reranker(self) -> Any:
        """Return the ranker of the host's factory."""
        return Reranker("rank-maxsim", verbose=0, encoder=HashEncoder(64))

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Rank by the host's call; ids are positions."""
        results = reranker.rank(query, documents)
        return [(result.doc_id, result.score) for result in (results.top_k(top_k) if top_k else results)]
