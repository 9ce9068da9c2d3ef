"""Cross-encoders: models that read query and document together, of several libraries behind one class."""

from rank_plugins.cross_encoders._choice import ENGINES, Choice, is_cross_encoder
from rank_plugins.cross_encoders._choice import choose as explain
from rank_plugins.cross_encoders._load import load, prepare
from rank_plugins.cross_encoders.cross_encoder import ACTIVATIONS, CrossEncoder, Piece

__all__ = [
    "ACTIVATIONS",
    "ENGINES",
    "Choice",
    "CrossEncoder",
    "Piece",
    "explain",
    "is_cross_encoder",
    "load",
    "prepare",
]
