"""The contract of adapters, through frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("pyterrier", reason="the host package pyterrier is not installed")

import pandas as pd

from pyterrier_rank_plugins import RankPluginsReranker
from rank_plugins.testing import AdapterContract


class TestContract(AdapterContract):
    """`RankPluginsReranker` as a pipeline calls it; PyTerrier has no coroutines."""

    test_top_k_below_one_is_refused: Any = None  # the host's operator % cuts
    test_a_coroutine_leaves_the_loop_free: Any = None
    test_a_cancelled_coroutine_breaks_nothing: Any = None

    def adapt(self, model: Any, model_kwargs: Any) -> Any:
        return RankPluginsReranker(model, model_kwargs)

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        texts = [text.encode(errors="replace").decode() for text in documents]  # pandas' str holds no lone surrogates
        names = [f"d{i}" for i in range(len(texts))]
        frame = pd.DataFrame({"qid": "q", "query": query, "docno": names, "text": texts})
        found = (reranker if top_k is None else reranker % top_k)(frame)
        assert found["rank"].tolist() == list(range(len(found)))
        return [(int(name[1:]), score) for name, score in zip(found["docno"], found["score"].tolist(), strict=True)]

    async def rank_async(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        return self.rank(reranker, query, documents, top_k)
