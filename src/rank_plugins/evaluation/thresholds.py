"""select_threshold: the threshold that is best in a metric among those that keep false evidence rare.

A list cut at a threshold is a prefix of the list, and the false-evidence rate falls as the threshold rises. So the
thresholds allowed are those above one number, and the metric is a step function of the threshold that only changes
at the scores of queries with evidence. Each step of each query is computed once, all steps in one pass of the metric.
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
from rank_plugins.evaluation._evaluate import evaluate, metric_values
from rank_plugins.evaluation._scored import Scored, scored, with_scores
from rank_plugins.evaluation.abstention import FalseEvidence, counted, coverage, declared, truncate
from rank_plugins.evaluation.distributions import check_level, clopper_pearson_upper
from rank_plugins.evaluation.lookup import judged_ranks
from rank_plugins.evaluation.names import Metric, parse
from rank_plugins.evaluation.ranks import JudgedRanks
from rank_plugins.runs import Qrels
from rank_plugins.runs.convert import as_qrels

Floats = NDArray[np.float64]
BOUNDS = ("point", "upper")
STEPS = 200_000  # cut lists in one pass of the metric


@dataclass(frozen=True)
class Selection:
    """A threshold, what it costs and what it keeps."""

    threshold: float
    """Return what scores at least this; inf: return nothing."""
    metric: str
    value: float
    """The metric at the threshold over the queries with evidence."""
    value_without: float
    """The metric without any threshold."""
    coverage: float
    """The share of the queries with evidence that are answered."""
    n: int
    """Queries with evidence."""
    false_evidence: FalseEvidence
    """On the queries without evidence that the threshold was selected with: optimistic; measure it on others."""


def select_threshold(
    qrels: Any,
    run: Any,
    no_evidence: Iterable[Any],
    *,
    metric: Any = "ndcg@10",
    max_false_evidence: float = 0.05,
    bound: str = "point",
    level: float = 0.95,
    absent: str = "error",
    relevance_level: float = 1,
    ties: str = "id_desc",
) -> Selection:
    """Return the threshold that maximises a metric subject to false evidence <= `max_false_evidence`. Exact.

    The queries with evidence are the judged ones that are not in `no_evidence`. Of thresholds that are equally good,
    the largest is taken. Select on development data only: the figures returned are in-sample.

    Args:
        qrels: judgments, as `evaluate` takes them.
        run: scores, as `evaluate` takes it, of both kinds of queries.
        no_evidence: the queries declared to have no evidence.
        metric: one metric, as `evaluate` takes it.
        max_false_evidence: epsilon, 0 ... 1.
        bound: what must not exceed it: the rate itself ("point") or its upper bound ("upper").
        level: of the upper bound.
        absent: declared queries that the run lacks are an "error", or "empty" lists.
        relevance_level: as in `evaluate`.
        ties: as in `evaluate`.

    Raises:
        InputError: several metrics, a declared query that has a relevant document, or with bound="upper" too few
            declared queries to show so low a rate; and what `evaluate` and `false_evidence_rate` refuse.

    """
    choice(bound, BOUNDS, "bound")
    check_level(level)
    if not 0.0 <= max_false_evidence <= 1.0:
        raise InputError(f"max_false_evidence: expected a share from 0 to 1, got {max_false_evidence!r}")
    chosen = parse(metric)
    if len(chosen) != 1:
        raise InputError(f"metric: expected one, got {', '.join(m.name for m in chosen)}")
    run, empty = with_scores(run), list(no_evidence)
    tops = declared(run, empty, absent).tops
    evidence = with_evidence(qrels, empty, relevance_level)
    ranks = judged_ranks(evidence, run, relevance_level=relevance_level, ties=ties).ranks
    floor = _floor(tops, max_false_evidence, bound, level)
    threshold = _best(chosen[0], ranks, scored(run, ranks.query_ids), floor)
    rules: dict[str, Any] = {"relevance_level": relevance_level, "ties": ties}
    return Selection(
        threshold,
        chosen[0].name,
        evaluate(evidence, truncate(run, threshold), chosen, **rules)[chosen[0].name],
        evaluate(evidence, run, chosen, **rules)[chosen[0].name],
        coverage(run, threshold, ranks.query_ids, absent="empty"),
        len(ranks.query_ids),
        counted(tops, threshold, level),
    )


def with_evidence(qrels: Any, empty: list[Any], level: float) -> dict[Any, Any]:
    """Return the judgments of the queries that were not declared to have no evidence."""
    judged = as_qrels(qrels)
    judged = judged.to_dict() if isinstance(judged, Qrels) else judged
    for query in empty:
        relevant = [document for document, grade in judged.get(query, {}).items() if grade >= level]
        if relevant:
            raise InputError(
                f"no_evidence: expected queries without a relevant document, got {query!r}, of which {relevant[0]!r} is"
                " one; correct the judgments or the declaration"
            )
    without = set(empty)
    evidence = {query: row for query, row in judged.items() if query not in without}
    if not any(evidence.values()):
        raise InputError("qrels: expected judgments of at least one query that has evidence, got none")
    return evidence


def _floor(tops: Floats, most: float, bound: str, level: float) -> float:
    """Return the number that a threshold must exceed for false evidence to be rare enough."""
    n = len(tops)

    def allowed(count: int) -> bool:
        return (count / n if bound == "point" else clopper_pearson_upper(count, n, level)) <= most

    if not allowed(0):
        needed = math.ceil(math.log1p(-level) / math.log1p(-most)) if most > 0 else None
        raise InputError(
            f"no_evidence: {n} queries cannot show a rate of at most {most:g} at level {level:g}: even 0 of {n} is"
            f" compatible with {clopper_pearson_upper(0, n, level):.3g}; "
            + (f'declare at least {needed}, or pass bound="point"' if needed else 'pass bound="point"')
        )
    low, high = 0, n + 1  # the largest count allowed is at least low, below high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return -math.inf if low == n else float(np.sort(tops)[::-1][low])


def _best(metric: Metric, ranks: JudgedRanks, lists: Scored, floor: float) -> float:
    """Return the largest threshold above `floor` with the highest sum of the metric over the queries."""
    queries, cuts, scores = _cuts(lists, floor)
    sizes = np.bincount(queries, minlength=len(lists.queries))
    gains = np.empty(len(cuts))
    base = 0.0
    begin = 0
    ends = np.cumsum(sizes)
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends + np.arange(len(ends)), before + begin + STEPS, "right")))
        part = slice(before, int(ends[end - 1]))
        start, gains[part] = _steps(metric, ranks, np.arange(begin, end), queries[part], cuts[part])
        base += start
        begin = end
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True]) if len(order) else order
    totals = np.r_[base, base + np.cumsum(gains[order])[last]]
    thresholds = np.r_[np.inf, scores[order][last]]
    slack = 1e-12 * max(1.0, float(np.abs(totals).max()), len(sizes))  # sums in another order differ in the last bits
    return float(thresholds[np.argmax(totals >= totals.max() - slack)])


def _cuts(lists: Scored, floor: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return where lists may be cut: the list, how many documents remain, and the lowest score among them."""
    qidx, scores = lists.qidx, lists.descending()
    last = np.r_[(np.diff(scores) != 0) | (np.diff(qidx) != 0), True][: len(scores)]
    kept = last & (scores > floor)
    lengths = np.arange(1, len(scores) + 1) - lists.offsets[:-1][qidx]
    return qidx[kept], lengths[kept], scores[kept]


def _steps(
    metric: Metric, ranks: JudgedRanks, names: NDArray[np.int64], queries: NDArray[np.int64], cuts: NDArray[np.int64]
) -> tuple[float, Floats]:
    """Return the metric's sum over the queries `names` with empty lists, and what each cut adds to the one before."""
    every = np.concatenate([names, queries])  # each query with an empty list first, then with each cut
    order = np.argsort(every, kind="stable")
    table = _cut(ranks, every[order], np.concatenate([np.zeros(len(names), np.int64), cuts])[order])
    values = metric_values(metric, table)
    if np.isnan(values).any():
        raise InputError(f"{metric.name}: expected numbers for cut lists, got NaN")
    if metric.aggregate == "gm":
        values = np.log(np.maximum(values, 1e-5))
    gains = np.diff(values, prepend=0.0)
    steps, start = order >= len(names), order < len(names)
    return math.fsum(values[start]), gains[steps]


def _cut(ranks: JudgedRanks, queries: NDArray[np.int64], cuts: NDArray[np.int64]) -> JudgedRanks:
    """Return the table of lists cut after `cuts` documents, one for each of `queries`."""
    width = int(max(ranks.rank.max(initial=0), cuts.max(initial=0))) + 1
    ends = np.searchsorted(ranks.qidx * width + ranks.rank, queries * width + cuts, "right")
    starts = ranks.first[queries]
    rows = _ranges(starts, ends - starts)
    offsets = ranks.judged_offsets
    judged = np.diff(offsets)[queries]
    return JudgedRanks(
        [ranks.query_ids[i] for i in queries.tolist()],
        cuts,
        np.repeat(np.arange(len(queries)), ends - starts),
        ranks.rank[rows],
        ranks.grade[rows],
        np.r_[0, np.cumsum(judged)],
        ranks.judged_grades[_ranges(offsets[:-1][queries], judged)],
        ranks.level,
        above=None if ranks.above is None else ranks.above[rows],
        tied=None if ranks.tied is None else ranks.tied[rows],
    )


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ..."""
    before = np.cumsum(counts) - counts
    places: NDArray[np.int64] = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
    return places
