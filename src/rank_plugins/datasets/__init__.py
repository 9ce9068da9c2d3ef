"""Test collections: queries, documents and judgments, from folders, files and the network."""

from __future__ import annotations

from rank_plugins.datasets.beir import load_beir
from rank_plugins.datasets.collection import Collection
from rank_plugins.datasets.irds import load_ir_datasets
from rank_plugins.datasets.texts import read_corpus, read_queries
from rank_plugins.runs.identical import drop_identical_ids, identical_ids

__all__ = [
    "Collection",
    "drop_identical_ids",
    "identical_ids",
    "load_beir",
    "load_ir_datasets",
    "read_corpus",
    "read_queries",
]
