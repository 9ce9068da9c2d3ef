"""Fusion: several rankings made into one, and the choice of how."""

from __future__ import annotations

from rank_plugins.fusion._fuse import fuse
from rank_plugins.fusion.arguments import names
from rank_plugins.fusion.explain import Explanation, Fused, Part
from rank_plugins.fusion.lists import Lists
from rank_plugins.fusion.methods import METHODS
from rank_plugins.fusion.norms import NORMS
from rank_plugins.fusion.presets import PRESETS
from rank_plugins.fusion.trained import Trained, train
from rank_plugins.fusion.tuned import Tuning
from rank_plugins.fusion.tuning import tune

__all__ = [
    "METHODS",
    "NORMS",
    "PRESETS",
    "Explanation",
    "Fused",
    "Lists",
    "Part",
    "Trained",
    "Tuning",
    "fuse",
    "names",
    "train",
    "tune",
]
