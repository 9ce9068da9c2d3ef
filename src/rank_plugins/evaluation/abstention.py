"""Systems that may return nothing: false evidence, coverage, and lists cut at a threshold.

A system answers a query at threshold tau with the documents that score at least tau. Queries for which the collection
holds no evidence are declared by the caller: that a query has no judgments, or no relevant one, says nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError
from rank_plugins.evaluation._choice import choice
from rank_plugins.evaluation._scored import Scored, scored, with_scores
from rank_plugins.evaluation.distributions import clopper_pearson_upper
from rank_plugins.runs import Run

CONFIDENCES = ("max", "sd", "margin")


@dataclass(frozen=True)
class FalseEvidence:
    """How often documents were returned for queries that have none."""

    rate: float
    """count / n."""
    upper: float
    """The rate may be as high as this: the exact one-sided bound of Clopper and Pearson at `level`."""
    count: int
    """Declared queries whose best score reaches the threshold."""
    n: int
    """Declared queries."""
    threshold: float
    level: float


def false_evidence_rate(
    run: Any, no_evidence: Iterable[Any], threshold: float, *, level: float = 0.95, absent: str = "error"
) -> FalseEvidence:
    """Return |{q in Q0 : max_i s_i >= threshold}| / |Q0| over the declared queries Q0, with its upper bound.

    An empty list is not false evidence. The best score is the same for every cut-off K >= 1, so none is asked for.
    A rate of 0 means little without n: 0 of 60 is compatible with 4.9 %.

    Args:
        run: as `evaluate` takes it.
        no_evidence: the queries Q0, declared to have no evidence in the collection.
        threshold: tau.
        level: of the upper bound.
        absent: declared queries that the run lacks are an "error", or "empty" lists.

    Raises:
        InputError: no declared query, one twice or unknown, or a NaN.
        InputTypeError: a run that is none, or a single id in place of a list.

    """
    tops = declared(run, no_evidence, absent).tops
    return counted(tops, number(threshold, "threshold"), level)


def coverage(run: Any, threshold: float, queries: Iterable[Any] | None = None, *, absent: str = "error") -> float:
    """Return the share of queries that are answered: |{q : max_i s_i >= threshold}| / |queries|.

    Args:
        run: as `evaluate` takes it.
        threshold: tau.
        queries: query ids, such as those with evidence; None for all of the run.
        absent: queries that the run lacks are an "error", or "empty" lists, which answer nothing.

    Raises:
        InputError: no query, one twice or unknown, or a NaN.
        InputTypeError: a run that is none.

    """
    found = scored(run, queries, absent)
    if not found.queries:
        raise InputError("queries: expected at least one, got none")
    return int(answered(found.tops, number(threshold, "threshold")).sum()) / len(found.queries)


def truncate(run: Any, threshold: float) -> Any:
    """Return the run as a system gives it that returns only what scores at least `threshold`.

    Every query stays, if need be with an empty list: `evaluate(qrels, truncate(run, tau), ...)` is the metric at
    tau. A dict of dicts gives one, everything else a Run. Scores of -inf are never returned.

    Raises:
        InputError: a threshold of NaN.
        InputTypeError: a run that is none.

    """
    run, least = with_scores(run), number(threshold, "threshold")
    if not isinstance(run, Run):
        return {
            query: {document: score for document, score in row.items() if score >= least and score > -math.inf}
            for query, row in run.items()
        }
    kept = answered(run.scores, least)
    offsets = np.r_[0, np.cumsum(kept)][run.offsets]
    documents, scores = run.documents.take(np.flatnonzero(kept)), run.scores[kept]
    return Run(run.queries, offsets, documents, scores, name=run.name)


def confidence(run: Any, queries: Iterable[Any], kind: str = "max", *, absent: str = "error") -> NDArray[np.float64]:
    """Return how sure a run is of each query [n], from its scores alone (Gisserot-Boukhlef et al. 2024).

    "max" is the best score, "margin" the best less the second best (0 for a single document), "sd" the standard
    deviation of the scores (n in the denominator). An empty list is the least sure: -inf.

    Raises:
        InputError: an unknown kind, a query twice or unknown, or a score that is NaN; for "sd" and "margin" also inf.
        InputTypeError: a run that is none.

    """
    choice(kind, CONFIDENCES, "kind")
    found = scored(run, queries, absent)
    if kind == "max":
        return found.tops
    if not np.isfinite(found.scores).all():
        raise InputError(f"run: expected finite scores for kind={kind!r}, got inf; remove such documents first")
    lists = np.split(found.descending() if kind == "margin" else found.scores, found.offsets[1:-1])
    result = np.full(len(found.queries), -np.inf)
    for i, scores in enumerate(lists[: len(found.queries)]):
        if len(scores):
            margin = scores[0] - scores[min(1, len(scores) - 1)]
            result[i] = margin if kind == "margin" else scores.std()
    return result


def declared(run: Any, no_evidence: Iterable[Any], absent: str) -> Scored:
    """Return the lists of the queries that were declared to have no evidence; errors as in `false_evidence_rate`."""
    found = scored(run, no_evidence, absent)
    if not found.queries:
        raise InputError("no_evidence: expected the ids of at least one query without evidence, got none")
    return found


def counted(tops: NDArray[np.float64], threshold: float, level: float) -> FalseEvidence:
    """Return the rate at which best scores [n] reach a threshold."""
    count, n = int(answered(tops, threshold).sum()), len(tops)
    return FalseEvidence(count / n, clopper_pearson_upper(count, n, level), count, n, threshold, level)


def answered(tops: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Return which scores reach the threshold; -inf, which means missing, never does."""
    reached: NDArray[np.bool_] = (tops >= threshold) & (tops > -np.inf)
    return reached


def number(value: float, what: str) -> float:
    """Return `value` as a float.

    Raises:
        InputError: NaN.

    """
    result = float(value)
    if math.isnan(result):
        raise InputError(f"{what}: expected a number, got NaN")
    return result
