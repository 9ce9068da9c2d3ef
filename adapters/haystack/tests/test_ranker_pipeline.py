"""RankPluginsRanker in a Haystack Pipeline: run, run_async, warm_up off the loop, saved and loaded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.core.errors import SerializationError
from haystack.document_stores.in_memory import InMemoryDocumentStore

from haystack_integrations.components.rankers.rank_plugins import RankPluginsRanker
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.rerankers.reranker import Request
from rank_plugins.testing import HashEncoder

TEXTS = {
    "alps": "The Alps run through eight countries.",
    "coffee": "Coffee is grown in the highlands of eight countries.",
    "sleep": "Caffeine delays sleep: people who drink coffee stay awake.",
}
QUERY = "does coffee keep people awake"


def pipeline(ranker: RankPluginsRanker) -> Pipeline:
    """Return BM25, then the ranker."""
    store = InMemoryDocumentStore()
    store.write_documents([Document(id=name, content=text, meta={"name": name}) for name, text in TEXTS.items()])
    made = Pipeline()
    made.add_component("bm25", InMemoryBM25Retriever(store))
    made.add_component("ranker", ranker)
    made.connect("bm25.documents", "ranker.documents")
    return made


class Loading(Reranker):
    """Loads only while something else goes on; notes on which threads it loaded and ranked."""

    def __init__(self) -> None:
        self.ticked = threading.Event()
        self.loaded: list[int] = []
        self.ranked: list[int] = []

    def warm_up(self) -> None:
        self.loaded.append(threading.get_ident())
        if not self.ticked.wait(10):
            pytest.fail("the event loop stood still while the model was loaded")

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        self.ranked.append(threading.get_ident())
        return [Ranking.from_scores([len(text) for text in one.documents], top_k) for one in requests]


def test_run_and_run_async() -> None:
    """Both give the Documents in the reranker's order, with the retriever's scores in the metadata."""
    made = pipeline(RankPluginsRanker(model=MaxSimReranker(HashEncoder(64)), top_k=2))
    data: dict[str, Any] = {"bm25": {"query": QUERY}, "ranker": {"query": QUERY}}
    found = made.run(data, include_outputs_from={"bm25"})
    ranked = found["ranker"]["documents"]
    before = {document.id: document.score for document in found["bm25"]["documents"]}
    assert [document.id for document in ranked] == ["sleep", "coffee"]
    assert [document.meta for document in ranked] == [
        {"name": name, "retrieval_score": before[name]} for name in ("sleep", "coffee")
    ]
    assert asyncio.run(made.run_async(data))["ranker"] == found["ranker"]


def test_run_async_many_at_once() -> None:
    """Runs of one pipeline that overlap get their own answers, none computed on the loop."""
    model = Loading()
    model.ticked.set()
    made = pipeline(RankPluginsRanker(model=model))

    async def main() -> list[dict[str, Any]]:
        data = [{"bm25": {"query": QUERY}, "ranker": {"query": QUERY, "top_k": 1 + i % 2}} for i in range(12)]
        return await asyncio.gather(*(made.run_async(one) for one in data))

    found = asyncio.run(main())
    assert [len(one["ranker"]["documents"]) for one in found] == [1, 2] * 6
    assert len(model.ranked) == 12
    assert threading.get_ident() not in model.ranked


def test_warm_up_does_not_block_the_loop() -> None:
    """Pipeline.run_async warms up off the loop, once; a second run and a second warm-up load nothing."""
    model = Loading()
    made = pipeline(RankPluginsRanker(model=model))

    async def tick() -> None:
        while not model.loaded:
            await asyncio.sleep(0.001)
        model.ticked.set()

    async def main() -> None:
        data = {"bm25": {"query": QUERY}, "ranker": {"query": QUERY}}
        await asyncio.gather(made.run_async(data), tick())
        await made.run_async(data)
        await made.warm_up_async()

    asyncio.run(main())
    made.warm_up()
    assert len(model.loaded) == 1
    assert threading.get_ident() not in model.loaded


def test_warm_up_that_failed_is_tried_again() -> None:
    class Failing(Loading):
        def warm_up(self) -> None:
            self.loaded.append(0)
            raise OSError("no such file")

    model = Failing()
    ranker = RankPluginsRanker(model=model)
    for _ in range(2):
        with pytest.raises(OSError, match="no such file"):
            ranker.warm_up()
        with pytest.raises(OSError, match="no such file"):
            asyncio.run(ranker.warm_up_async())
    assert len(model.loaded) == 4


def test_saved_and_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline comes back from YAML without an allow-list, and gives the same Documents."""
    monkeypatch.delenv("HAYSTACK_DESERIALIZATION_ALLOWLIST", raising=False)
    made = Pipeline()
    made.add_component("ranker", RankPluginsRanker(model_kwargs={"score": "mean"}, top_k=2, score_threshold=0.0))
    loaded = Pipeline.loads(made.dumps())
    assert loaded == made
    data = {"ranker": {"query": QUERY, "documents": [Document(id=name, content=text) for name, text in TEXTS.items()]}}
    found = loaded.run(data)
    assert found == made.run(data)
    assert [document.id for document in found["ranker"]["documents"]] == ["sleep", "coffee"]
    made.close()
    asyncio.run(loaded.close_async())


def test_an_instance_is_not_saved() -> None:
    with pytest.raises(SerializationError, match="pass its name as model"):
        pipeline(RankPluginsRanker(model=MaxSimReranker(HashEncoder()))).dumps()


def test_one_model_for_two_pipelines() -> None:
    """A component belongs to one pipeline; a Reranker may be in many, and outlives them."""
    model = MaxSimReranker(HashEncoder(64))
    first, second = (pipeline(RankPluginsRanker(model=model)) for _ in range(2))
    first.close()
    data = {"bm25": {"query": QUERY}, "ranker": {"query": QUERY}}
    assert second.run(data)["ranker"]["documents"][0].id == "sleep"
