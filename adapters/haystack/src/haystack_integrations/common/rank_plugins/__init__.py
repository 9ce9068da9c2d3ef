"""What the components of rank-plugins share."""

from haystack_integrations.common.rank_plugins.documents import checked, distinct

__all__ = ["checked", "distinct"]
