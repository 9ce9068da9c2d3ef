"""Ranked lists of a run, in the order in which `evaluate` counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rank_plugins.runs import Run


def ordered(
    run: Run | Mapping[Any, Mapping[Any, float]],
    queries: Iterable[Any],
    *,
    ties: str = "id_desc",
    score_dtype: str = "float64",
    **_: Any,
) -> dict[Any, dict[Any, float]]:
    """Return {query: {document: score}}, best first; empty where the run lacks the query.

    Args:
        run: a Run or a dict of dicts.
        queries: the queries wanted.
        ties: how equal scores stand: "id_asc", "input", or "id_desc" (any other).
        score_dtype: "float32" rounds scores before they are compared.

    """
    table = run.to_dict() if isinstance(run, Run) else run
    return {query: _ordered(table.get(query, {}), ties, score_dtype) for query in queries}


def _ordered(scores: Mapping[Any, float], ties: str, dtype: str) -> dict[Any, float]:
    """Return documents and scores, best first; NaN counts as -inf."""
    with np.errstate(over="ignore"):
        values = np.fromiter(scores.values(), np.float64, len(scores)).astype(dtype).astype(np.float64)
    values[np.isnan(values)] = -np.inf
    documents = list(scores)
    keys = values.tolist()
    order = list(range(len(documents)))
    if ties != "input":
        order.sort(key=documents.__getitem__, reverse=ties != "id_asc")
    order.sort(key=keys.__getitem__, reverse=True)  # stable, also in reverse
    return {documents[i]: scores[documents[i]] for i in order}
