"""Documents, a compressor over an encoder without a model, and a handler that records runs."""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_core", reason="the host package langchain-core is not installed")

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

from langchain_rank_plugins import RankPluginsRerank
from rank_plugins.testing import DOCUMENTS, HashEncoder


class Runs(BaseCallbackHandler):
    """Records the runs of chains and retrievers: name, id, parent, tags, inputs and what came of them."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.ended: dict[UUID, Any] = {}

    def _start(self, name: str, inputs: Any, run_id: UUID, parent: UUID | None, more: dict[str, Any]) -> None:
        run = {"name": name, "id": run_id, "parent": parent, "inputs": inputs}
        self.started.append({**run, "tags": more.get("tags"), "metadata": more.get("metadata")})

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **more: Any
    ) -> None:
        self._start(more["name"], inputs, run_id, parent_run_id, more)

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **more: Any
    ) -> None:
        self._start(more["name"], query, run_id, parent_run_id, more)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **more: Any) -> None:
        self.ended[run_id] = outputs

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **more: Any) -> None:
        self.ended[run_id] = documents

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        self.ended[run_id] = error

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        self.ended[run_id] = error

    def named(self, name: str) -> dict[str, Any]:
        """Return the one run of that name."""
        (run,) = [run for run in self.started if run["name"] == name]
        return run


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def rerank() -> RankPluginsRerank:
    """Return a compressor that keeps all documents."""
    return RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)}, top_n=None)


@pytest.fixture
def documents() -> list[Document]:
    """Return documents with ids and metadata, best first for nobody."""
    return [
        Document(page_content=text, id=f"d{i}", metadata={"page": i, "nested": {"tags": [i]}})
        for i, text in enumerate(DOCUMENTS)
    ]
