"""A pluggable reranking backend: MaxSim on a C SIMD core, encoders, rerankers."""

from importlib.metadata import version as _version

from rank_plugins import simd
from rank_plugins._maxsim import maxsim
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError, MissingExtraError, RankPluginsError, StoreError

__version__ = _version("rank-plugins")
__all__ = [
    "InputError",
    "InputTypeError",
    "MissingExtraError",
    "RankPluginsError",
    "StoreError",
    "TokenEmbeddings",
    "__version__",
    "maxsim",
    "simd",
]
