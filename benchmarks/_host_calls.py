"""One query over the same documents, through each adapter that can be imported here."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker


class Instant(Reranker):
    """Answers at once, so that what is timed around it is conversion alone."""

    def __init__(self, count: int) -> None:
        self._ranking = Ranking.from_scores(np.random.default_rng(0).random(count))

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        return [self._ranking for _ in requests]


class Task(NamedTuple):
    """What is ranked; `embeddings` are those of the texts."""

    query: str
    ids: list[str]
    texts: list[str]
    embeddings: TokenEmbeddings


class Host(NamedTuple):
    """A call of an adapter, the coroutine function that does the same, and the call of the reranker inside."""

    call: Callable[[], Any]
    coroutine: Callable[[], Awaitable[Any]] | None
    bare: str = "text"


def bare(reranker: Reranker, task: Task) -> dict[str, Callable[[], Any]]:
    """Return the calls of the reranker itself that the adapters make."""
    return {
        "text": lambda: reranker.rerank(task.query, task.texts, ids=task.ids),
        "vectors": lambda: reranker.rerank(task.query, task.embeddings),
    }


def langchain(reranker: Reranker, task: Task) -> dict[str, Host]:
    from langchain_core.documents import Document

    from langchain_rank_plugins import RankPluginsRerank

    documents = [
        Document(page_content=text, id=i, metadata={"source": "SciFact"})
        for i, text in zip(task.ids, task.texts, strict=True)
    ]
    host = RankPluginsRerank(model=reranker, top_n=None)
    return {
        "LangChain": Host(
            lambda: host.compress_documents(documents, task.query),
            lambda: host.acompress_documents(documents, task.query),
        )
    }


def llama_index(reranker: Reranker, task: Task) -> dict[str, Host]:
    from llama_index.core.schema import NodeWithScore, TextNode

    from llama_index.postprocessor.rank_plugins import RankPluginsRerank

    nodes = [
        NodeWithScore(node=TextNode(id_=i, text=text), score=0.5) for i, text in zip(task.ids, task.texts, strict=True)
    ]
    host = RankPluginsRerank(model=reranker, top_n=None)
    return {
        "LlamaIndex": Host(
            lambda: host.postprocess_nodes(nodes, query_str=task.query),
            lambda: host.apostprocess_nodes(nodes, query_str=task.query),
        )
    }


def haystack(reranker: Reranker, task: Task) -> dict[str, Host]:
    from haystack import Document

    from haystack_integrations.components.rankers.rank_plugins import RankPluginsRanker

    documents = [Document(id=i, content=text, score=0.5) for i, text in zip(task.ids, task.texts, strict=True)]
    host = RankPluginsRanker(model=reranker, top_k=None)
    host.warm_up()
    return {
        "Haystack": Host(
            lambda: host.run(query=task.query, documents=documents),
            lambda: host.run_async(query=task.query, documents=documents),
        )
    }


def lancedb(reranker: Reranker, task: Task) -> dict[str, Host]:
    import pyarrow as pa

    from rank_plugins_lancedb import RankPluginsReranker

    values, offsets = task.embeddings.contiguous()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    plain = pa.table({"id": task.ids, "text": task.texts})
    stored = plain.append_column("tokens", pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), vectors))
    by_text, by_vectors = RankPluginsReranker(reranker), RankPluginsReranker(reranker, vector_column="tokens")
    return {
        "LanceDB": Host(lambda: by_text.rerank_vector(task.query, plain), None),
        "LanceDB, stored vectors": Host(lambda: by_vectors.rerank_vector(task.query, stored), None, "vectors"),
    }


def rerankers(reranker: Reranker, task: Task) -> dict[str, Host]:
    from rank_plugins_rerankers import MaxSimRanker

    host = MaxSimRanker(reranker)
    return {
        "rerankers": Host(
            lambda: host.rank(task.query, task.texts, doc_ids=task.ids),
            lambda: host.rank_async(task.query, task.texts, doc_ids=task.ids),
        )
    }


def pyterrier(reranker: Reranker, task: Task) -> dict[str, Host]:
    import pandas as pd

    from pyterrier_rank_plugins import RankPluginsReranker

    frame = pd.DataFrame({"qid": "1", "query": task.query, "docno": task.ids, "text": task.texts})
    host = RankPluginsReranker(reranker)
    return {"PyTerrier": Host(lambda: host.transform(frame), None)}


def flashrank(reranker: Reranker, task: Task) -> dict[str, Host]:
    from rank_plugins.compat.flashrank import Ranker, RerankRequest

    host = Ranker(reranker)
    request = RerankRequest(
        task.query, [{"id": i, "text": text, "meta": {}} for i, text in zip(task.ids, task.texts, strict=True)]
    )
    return {"FlashRank's interface": Host(lambda: host.rerank(request), lambda: host.rerank_async(request))}


def flag_embedding(reranker: Reranker, task: Task) -> dict[str, Host]:
    from rank_plugins.compat.flag_embedding import FlagReranker

    host, pairs = FlagReranker(reranker), [(task.query, text) for text in task.texts]
    return {
        "FlagEmbedding's interface": Host(lambda: host.compute_score(pairs), lambda: host.compute_score_async(pairs))
    }


ADAPTERS = (langchain, llama_index, haystack, lancedb, rerankers, pyterrier, flashrank, flag_embedding)


def hosts(reranker: Reranker, task: Task) -> dict[str, Host]:
    """Return the calls of all adapters whose packages are here."""
    found: dict[str, Host] = {}
    for adapter in ADAPTERS:
        with contextlib.suppress(ModuleNotFoundError):
            found |= adapter(reranker, task)
    return found
