"""Rerankers of rank_plugins as a Haystack ranker."""

from haystack_integrations.components.rankers.rank_plugins.ranker import RankPluginsRanker

__all__ = ["RankPluginsRanker"]
