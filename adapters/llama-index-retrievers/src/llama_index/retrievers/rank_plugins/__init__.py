"""rank_plugins inside LlamaIndex: a fusion retriever, and metrics, which importing this module registers."""

from llama_index.retrievers.rank_plugins.fusion import RankPluginsFusionRetriever
from llama_index.retrievers.rank_plugins.metrics import RankPluginsMetric, register

__all__ = ["RankPluginsFusionRetriever", "RankPluginsMetric", "register"]

register()
