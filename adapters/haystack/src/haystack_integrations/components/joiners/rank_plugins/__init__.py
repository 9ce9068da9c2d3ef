"""Fusion of rank_plugins as a Haystack joiner."""

from haystack_integrations.components.joiners.rank_plugins.joiner import RankPluginsJoiner

__all__ = ["RankPluginsJoiner"]
