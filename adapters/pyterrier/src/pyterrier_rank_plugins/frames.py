"""PyTerrier's frames: the rows of each query, and frames made of rows that are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyterrier as pt

RANKED = ("score", "rank")


def groups(*columns: Sequence[Any]) -> list[list[int]]:
    """Return the places of rows that are alike in these columns, in the order in which they first occur."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(zip(*columns, strict=True)):
        found.setdefault(row, []).append(place)
    return list(found.values())


def ranked(frame: pd.DataFrame, places: Sequence[int], scores: Sequence[float]) -> pd.DataFrame:
    """Return a new frame of the rows at these places, with their scores and the host's ranks."""
    kept = [name for name in frame.columns if name not in RANKED]
    rows = (
        frame[kept].take(np.array(places, np.int64)).reset_index(drop=True).assign(score=np.array(scores, np.float64))
    )
    made: pd.DataFrame = pt.model.add_ranks(rows, single_query=rows["qid"].nunique() == 1)
    return made


def cells(frame: pd.DataFrame, name: str) -> list[Any]:
    """Return a column as Python objects; what pandas calls missing is None."""
    column = frame[name]
    values: list[Any] = column.tolist()
    missing = np.flatnonzero(column.isna().to_numpy())
    for place in missing.tolist():
        values[place] = None
    return values
