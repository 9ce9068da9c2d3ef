"""rank_plugins for LangChain: a document compressor that reranks, and a retriever that fuses."""

from langchain_rank_plugins.rerank import RankPluginsRerank
from langchain_rank_plugins.retriever import RankPluginsFusionRetriever

__all__ = ["RankPluginsFusionRetriever", "RankPluginsRerank"]
