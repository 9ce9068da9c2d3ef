"""rank_plugins inside LanceDB: a reranker for its queries, and a way to await it."""

from rank_plugins_lancedb.awaiting import rerank_async
from rank_plugins_lancedb.reranker import RankPluginsReranker

__all__ = ["RankPluginsReranker", "rerank_async"]
