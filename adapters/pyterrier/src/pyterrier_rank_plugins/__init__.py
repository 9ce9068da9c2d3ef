"""rank_plugins inside PyTerrier: a reranker and a fusion, both transformers."""

from pyterrier_rank_plugins.fusion import RankPluginsFusion
from pyterrier_rank_plugins.reranker import RankPluginsReranker

__all__ = ["RankPluginsFusion", "RankPluginsReranker"]
