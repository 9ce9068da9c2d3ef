"""Both event systems of the host see the reranking: the dispatcher's events and spans, and callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

import llama_index.core.instrumentation as instrument
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import NodeWithScore

from llama_index.postprocessor.rank_plugins import RankPluginsRerank
from rank_plugins.errors import InputError
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder


class Recorder(BaseEventHandler):
    """Keeps the events."""

    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it for each object

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return a handler on the root dispatcher, where users put theirs."""
    root, handler = instrument.get_dispatcher(), Recorder()  # type: ignore[attr-defined, unused-ignore]
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


@pytest.fixture
def spans() -> Iterator[SimpleSpanHandler]:
    root, handler = instrument.get_dispatcher(), SimpleSpanHandler()  # type: ignore[attr-defined, unused-ignore]
    root.add_span_handler(handler)
    yield handler
    root.span_handlers.remove(handler)


def call(postprocessor: RankPluginsRerank, nodes: list[NodeWithScore], query: str, native: bool) -> Any:
    if native:
        return asyncio.run(postprocessor.apostprocess_nodes(nodes, query_str=query))
    return postprocessor.postprocess_nodes(nodes, query_str=query)


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("top_n", "told"), [(2, 2), (None, 4)])
def test_events_of_the_dispatcher(
    recorder: Recorder, nodes: list[NodeWithScore], native: bool, top_n: int | None, told: int
) -> None:
    """One start and one end; top_n, which the host wants as a number, is that of all nodes where all are kept."""
    made = RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)}, top_n=top_n)
    result = call(made, nodes, "red", native)
    start, end = recorder.seen
    assert isinstance(start, ReRankStartEvent)
    assert (start.query, start.nodes, start.top_n, start.model_name) == ("red", nodes, told, "rank-maxsim")
    assert isinstance(end, ReRankEndEvent)
    assert end.nodes == result
    assert [node.score for node in start.nodes] == [0.9, 0.5, 0.4, 0.1]  # still what they came with


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
def test_callbacks(nodes: list[NodeWithScore], native: bool) -> None:
    """The older system: one event of type RERANKING with a start and an end."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    made = RankPluginsRerank(MaxSimReranker(HashEncoder(64)), 2, callback_manager=CallbackManager([debug]))
    result = call(made, nodes, "red", native)
    [(start, end)] = debug.get_event_pairs(CBEventType.RERANKING)
    assert start.payload == {
        EventPayload.NODES: nodes,
        EventPayload.MODEL_NAME: "MaxSimReranker",
        EventPayload.QUERY_STR: "red",
        EventPayload.TOP_K: 2,
    }
    assert end.payload == {EventPayload.NODES: result}


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
def test_it_is_a_span(spans: SimpleSpanHandler, recorder: Recorder, nodes: list[NodeWithScore], native: bool) -> None:
    """Tracing shows the step by its class and method, and its events inside it."""
    made = RankPluginsRerank(model_kwargs={"encoder": HashEncoder(64)})
    call(made, nodes, "red", native)
    [span] = spans.completed_spans
    assert span.id_.startswith(f"RankPluginsRerank._{'a' * native}postprocess_nodes")
    assert {event.span_id for event in recorder.seen} == {span.id_}


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
def test_no_nodes_no_events(recorder: Recorder, postprocessor: RankPluginsRerank, native: bool) -> None:
    assert call(postprocessor, [], "red", native) == []
    assert recorder.seen == []


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
def test_a_failure_is_seen(recorder: Recorder, nodes: list[NodeWithScore], native: bool) -> None:
    """An error ends the callback's event with the exception, and reaches the caller."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    made = RankPluginsRerank(MaxSimReranker(HashEncoder(64)), callback_manager=CallbackManager([debug]))
    with pytest.raises(InputError, match="query"):
        call(made, nodes, " ", native)
    [(_, end)] = debug.get_event_pairs(CBEventType.RERANKING)
    assert isinstance(end.payload[EventPayload.EXCEPTION], InputError)
    assert not [event for event in recorder.seen if isinstance(event, ReRankEndEvent)]
