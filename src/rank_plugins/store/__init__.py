"""Embedding stores: TokenEmbeddings on disk, by document id."""

from rank_plugins.store.projection import Projection
from rank_plugins.store.reduction import TokenReduction
from rank_plugins.store.store import EmbeddingStore

__all__ = ["EmbeddingStore", "Projection", "TokenReduction"]
