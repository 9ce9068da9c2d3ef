"""Metrics of rank_plugins as a Haystack evaluator."""

from haystack_integrations.components.evaluators.rank_plugins.evaluator import RankPluginsEvaluator

__all__ = ["RankPluginsEvaluator"]
