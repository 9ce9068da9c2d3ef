"""Encoders: text to TokenEmbeddings."""

from rank_plugins.encoders._choice import Choice
from rank_plugins.encoders._load import explain, load, names, prepare
from rank_plugins.encoders.encoder import Encoder

__all__ = ["Choice", "Encoder", "explain", "load", "names", "prepare"]
