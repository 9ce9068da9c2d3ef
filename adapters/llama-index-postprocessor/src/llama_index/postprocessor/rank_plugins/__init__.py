"""rank_plugins inside LlamaIndex: a node postprocessor that reranks."""

from llama_index.postprocessor.rank_plugins.rerank import RankPluginsRerank

__all__ = ["RankPluginsRerank"]
