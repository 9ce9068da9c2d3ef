"""What the components of rank-plugins share."""

from haystack_integrations.common.rank_plugins.documents import distinct

__all__ = ["distinct"]
