"""A pluggable reranking backend: MaxSim on a C SIMD core, encoders, rerankers, rank fusion, evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rank_plugins import quantize, simd
from rank_plugins._maxsim import maxsim, maxsim_alignment, maxsim_batch
from rank_plugins._topk import maxsim_top_k
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError, MissingExtraError, RankPluginsError, StoreError

if TYPE_CHECKING:
    from rank_plugins.evaluation import calibrate, compare, evaluate
    from rank_plugins.fusion import fuse, tune
    from rank_plugins.runs import Qrels, Run, read

__version__: str
__all__ = [
    "InputError", "InputTypeError", "MissingExtraError", "Qrels", "RankPluginsError", "Run", "StoreError",
    "TokenEmbeddings", "__version__", "calibrate", "compare", "evaluate", "fuse", "maxsim", "maxsim_alignment",
    "maxsim_batch", "maxsim_top_k", "quantize", "read", "simd", "tune",
]  # fmt: skip

_LATER = {"calibrate": "evaluation", "compare": "evaluation", "evaluate": "evaluation", "fuse": "fusion"}
_LATER |= {"tune": "fusion", "Qrels": "runs", "Run": "runs", "read": "runs"}


def __getattr__(name: str) -> Any:
    """Import evaluation and fusion when they are asked for, and read the version from the metadata: both take time."""
    if name == "__version__":
        from importlib.metadata import version

        return version("rank-plugins")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"rank_plugins.{_LATER[name]}"), name)
