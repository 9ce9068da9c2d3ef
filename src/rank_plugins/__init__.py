"""A pluggable reranking backend: MaxSim on a C SIMD core, encoders, rerankers."""

from __future__ import annotations

from rank_plugins import quantize, simd
from rank_plugins._maxsim import maxsim, maxsim_alignment, maxsim_batch
from rank_plugins._topk import maxsim_top_k
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError, MissingExtraError, RankPluginsError, StoreError

__version__: str
__all__ = [
    "InputError",
    "InputTypeError",
    "MissingExtraError",
    "RankPluginsError",
    "StoreError",
    "TokenEmbeddings",
    "__version__",
    "maxsim",
    "maxsim_alignment",
    "maxsim_batch",
    "maxsim_top_k",
    "quantize",
    "simd",
]


def __getattr__(name: str) -> str:
    """Read the version from the metadata when asked: that import alone takes longer than all of this package."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("rank-plugins")
