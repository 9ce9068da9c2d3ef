"""PyTerrier's frames: the rows of each query, and frames made of rows that are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyterrier as pt
from numpy.typing import NDArray

RANKED = ("score", "rank")


def groups(frame: pd.DataFrame, by: list[str]) -> list[NDArray[np.int64]]:
    """Return the places of rows that are alike in these columns, in the order in which they first occur."""
    numbers = frame[by].reset_index(drop=True).groupby(by, sort=False).ngroup().to_numpy(np.int64)
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(order) else []


def ranked(frame: pd.DataFrame, places: Sequence[int], scores: Sequence[float]) -> pd.DataFrame:
    """Return a new frame of the rows at these places, with their scores and the host's ranks."""
    rows = frame.iloc[np.array(places, np.int64)].drop(columns=list(RANKED), errors="ignore").reset_index(drop=True)
    made: pd.DataFrame = pt.model.add_ranks(rows.assign(score=np.array(scores, np.float64)))
    return made


def cells(frame: pd.DataFrame, name: str) -> list[Any]:
    """Return a column as Python objects; what pandas calls missing is None."""
    column = frame[name]
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values
