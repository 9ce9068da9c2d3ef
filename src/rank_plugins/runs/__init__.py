"""Runs and relevance judgments: in memory, from what other libraries hold, and in files."""

from __future__ import annotations

from rank_plugins.runs.convert import as_qrels, as_run
from rank_plugins.runs.files import read, write
from rank_plugins.runs.ids import Ids
from rank_plugins.runs.run import Qrels, Run

__all__ = ["Ids", "Qrels", "Run", "as_qrels", "as_run", "read", "write"]
