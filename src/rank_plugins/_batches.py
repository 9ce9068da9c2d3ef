"""Texts put together for a model so that little of a batch is padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def batches(lengths: NDArray[np.int64], budget: int) -> list[list[int]]:
    """Group texts of about equal length, longest first.

    Args:
        lengths: tokens of each text, int64 [n].
        budget: tokens of a group at most, padding included; one text may exceed it.

    """
    groups: list[list[int]] = []
    width = 0
    for i in np.argsort(-lengths, kind="stable").tolist():
        if not groups or (len(groups[-1]) + 1) * width > budget:
            groups.append([])
            width = int(lengths[i])
        groups[-1].append(i)
    return groups
