"""The contract of rank_plugins' rerankers, through the Haystack component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from haystack import Document

from haystack_integrations.components.rankers.rank_plugins import RankPluginsRanker
from rank_plugins.testing import DOCUMENTS, QUERY, AdapterContract


class TestContract(AdapterContract):
    """Every reranker by its name, and one already made."""

    def adapt(self, model: Any, model_kwargs: dict[str, Any] | None) -> Any:
        """Return the component, which returns all Documents."""
        return RankPluginsRanker(model=model, model_kwargs=model_kwargs, top_k=None)

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Run the component; ids are positions."""
        return _pairs(reranker.run(query=query, documents=_documents(documents), top_k=top_k))

    async def rank_async(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Run the component's coroutine."""
        return _pairs(await reranker.run_async(query=query, documents=_documents(documents), top_k=top_k))

    def test_warm_up_loads_what_a_run_needs(self, loads: list[Any], unloaded: Any, model: Any) -> None:
        """After warm_up, called twice, a run loads nothing; after close it loads again."""
        unloaded.warm_up()
        unloaded.warm_up()
        warm = list(loads)
        self.rank(unloaded, QUERY, DOCUMENTS)
        assert loads == warm
        assert len(warm) == len(set(warm))
        assert bool(warm) == isinstance(model.model, str)  # the instance's encoder has no model
        unloaded.close()
        self.rank(unloaded, QUERY, DOCUMENTS)
        assert loads == warm * 2


def _documents(texts: Sequence[str]) -> list[Document]:
    return [Document(id=str(i), content=text) for i, text in enumerate(texts)]


def _pairs(output: dict[str, list[Document]]) -> list[tuple[int, float]]:
    return [(int(document.id), document.score) for document in output["documents"]]  # type: ignore[misc]
