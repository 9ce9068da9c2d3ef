"""The rerank step and the retrievers of a fusion as runs that a tracer sees, under the run that they belong to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the host package langchain-core is not installed")

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_rank_plugins import RankPluginsFusionRetriever, RankPluginsRerank
from rank_plugins.errors import InputError
from rank_plugins.testing import QUERY

ASYNC = pytest.mark.parametrize("use_async", [False, True], ids=["sync", "async"])


def compress(rerank: RankPluginsRerank, use_async: bool, *args: Any, **kwargs: Any) -> list[Document]:
    if use_async:
        return asyncio.run(rerank.acompress_documents(*args, **kwargs))
    return rerank.compress_documents(*args, **kwargs)


@ASYNC
def test_a_call_is_a_run_with_inputs_and_outputs(
    rerank: RankPluginsRerank, documents: list[Document], runs: Any, use_async: bool
) -> None:
    """Named as the class, with the reranker's name in the run's metadata."""
    found = compress(rerank, use_async, documents, QUERY, [runs], top_n=2)
    (run,) = runs.started
    assert run["name"] == "RankPluginsRerank"
    assert run["parent"] is None
    assert run["inputs"] == {"query": QUERY, "documents": documents, "top_n": 2}
    assert run["metadata"]["reranker"] == "rank-maxsim"
    assert runs.ended == {run["id"]: found}
    assert len(found) == 2


@ASYNC
def test_the_run_is_a_child_of_the_caller(
    rerank: RankPluginsRerank, documents: list[Document], runs: Any, use_async: bool
) -> None:
    """The callbacks that it is given say where it belongs, and carry the caller's tags."""

    def outer(query: str, config: Any) -> list[Document]:
        return rerank.compress_documents(documents, query, config["callbacks"])

    async def aouter(query: str, config: Any) -> list[Document]:
        return await rerank.acompress_documents(documents, query, config["callbacks"])

    chain = RunnableLambda(outer, aouter, name="outer")
    config: Any = {"callbacks": [runs], "tags": ["mine"]}
    found = asyncio.run(chain.ainvoke(QUERY, config)) if use_async else chain.invoke(QUERY, config)
    assert runs.named("RankPluginsRerank")["parent"] == runs.named("outer")["id"]
    assert "mine" in runs.named("RankPluginsRerank")["tags"]
    assert runs.ended[runs.named("RankPluginsRerank")["id"]] == found
    assert len(runs.started) == 2


@ASYNC
def test_an_error_is_the_end_of_its_run(
    rerank: RankPluginsRerank, documents: list[Document], runs: Any, use_async: bool
) -> None:
    """The caller and the trace get the same error."""
    with pytest.raises(InputError, match="query") as caught:
        compress(rerank, use_async, documents, " ", [runs])
    assert runs.ended == {runs.named("RankPluginsRerank")["id"]: caught.value}


def test_a_tracer_of_the_host_sees_the_tree(rerank: RankPluginsRerank, documents: list[Document]) -> None:
    """The host's own collector, over a chain whose context alone says where the step belongs."""
    collector = RunCollectorCallbackHandler()
    chain = RunnableLambda(lambda query: rerank.compress_documents(documents, query), name="outer")
    chain.invoke(QUERY, {"callbacks": [collector]})
    (root,) = collector.traced_runs
    (child,) = root.child_runs
    assert (root.name, child.name, child.run_type) == ("outer", "RankPluginsRerank", "chain")
    assert child.inputs["query"] == QUERY
    assert len(child.outputs["output"]) == len(documents)


@ASYNC
def test_each_retriever_of_a_fusion_is_a_child_run(runs: Any, use_async: bool) -> None:
    """Tagged by its place, as the host's own ensemble does it."""
    one, two = (
        RunnableLambda(lambda _, text=text: [Document(page_content=text)], name=text) for text in ("first", "second")
    )
    retriever = RankPluginsFusionRetriever(retrievers=[one, two])
    config: Any = {"callbacks": [runs]}
    found = asyncio.run(retriever.ainvoke(QUERY, config)) if use_async else retriever.invoke(QUERY, config)
    parent = runs.named("RankPluginsFusionRetriever")
    for place, name in enumerate(("first", "second"), start=1):
        assert runs.named(name)["parent"] == parent["id"]
        assert runs.named(name)["tags"] == [f"retriever_{place}"]
    assert runs.ended[parent["id"]] == found
