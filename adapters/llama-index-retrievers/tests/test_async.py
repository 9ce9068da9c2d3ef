"""aretrieve: retrievers are asked at the same time, and none on the event loop's thread unless it is async itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

import llama_index.core.instrumentation as instrument
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index.retrievers.rank_plugins import RankPluginsFusionRetriever


class Meeting(BaseRetriever):
    """Answers when all parties of a meeting have come, so one after the other would never end."""

    def __init__(self, name: str, came: list[str], everyone: asyncio.Event, count: int) -> None:
        self.name, self.came, self.everyone, self.count = name, came, everyone, count
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        raise AssertionError("asked without await")

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.came.append(self.name)
        if len(self.came) == self.count:
            self.everyone.set()
        await asyncio.wait_for(self.everyone.wait(), 10)
        return [NodeWithScore(node=TextNode(text=self.name, id_=self.name), score=1.0)]


def test_async_retrievers_run_at_the_same_time() -> None:
    async def main() -> list[str]:
        came: list[str] = []
        everyone = asyncio.Event()
        sources = [Meeting(name, came, everyone, 3) for name in "abc"]
        nodes = await RankPluginsFusionRetriever(sources, similarity_top_k=None).aretrieve("q")
        return [node.node_id for node in nodes]

    assert asyncio.run(main()) == ["a", "b", "c"]


def test_sync_retrievers_leave_the_loop_free(listed: Callable[..., Any]) -> None:
    """A retriever without async code waits for the loop to tick, which it could not do on the loop."""
    ticked = threading.Event()

    class Waiting(type(listed())):  # type: ignore[misc]
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            assert ticked.wait(10), "the event loop stood still"
            return super()._retrieve(query_bundle)  # type: ignore[no-any-return]

    async def main() -> list[NodeWithScore]:
        task = asyncio.ensure_future(fusion.aretrieve("q"))
        for _ in range(5):
            await asyncio.sleep(0.001)
        ticked.set()
        return await task

    sources = [Waiting(listed(("a", 1.0)).nodes), Waiting(listed(("b", 1.0)).nodes)]
    fusion = RankPluginsFusionRetriever(sources)
    assert asyncio.run(main()) == fusion.retrieve("q")
    assert all(source.threads[0] != threading.get_ident() for source in sources)


def test_a_failure_reaches_the_caller(listed: Callable[..., Any]) -> None:
    class Broken(type(listed())):  # type: ignore[misc]
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            raise ConnectionError("down")

    fusion = RankPluginsFusionRetriever([listed(("a", 1.0)), Broken([])])
    with pytest.raises(ConnectionError, match="down"):
        asyncio.run(fusion.aretrieve("q"))
    with pytest.raises(ConnectionError, match="down"):
        fusion.retrieve("q")


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
def test_retrievers_are_traced_inside_the_fusion(listed: Callable[..., Any], native: bool) -> None:
    """Both event systems see the fusion and each retriever, also those asked on threads."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    fusion = RankPluginsFusionRetriever(
        [listed(("a", 1.0)), listed(("b", 1.0))], callback_manager=CallbackManager([debug])
    )
    root, spans = instrument.get_dispatcher(), SimpleSpanHandler()  # type: ignore[attr-defined, unused-ignore]
    root.add_span_handler(spans)
    try:
        nodes = asyncio.run(fusion.aretrieve("q")) if native else fusion.retrieve("q")
    finally:
        root.span_handlers.remove(spans)
    [(_, end)] = debug.get_event_pairs(CBEventType.RETRIEVE)
    assert end.payload == {"nodes": nodes}
    [outer] = [span for span in spans.completed_spans if span.parent_id is None]
    assert outer.id_.startswith("RankPluginsFusionRetriever")
    assert sum(span.id_.startswith("Listed.retrieve") for span in spans.completed_spans) == 2
