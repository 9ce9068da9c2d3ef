"""tune: the best way to fuse, by judged queries, and how much of its lead is luck."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion._fuse import directions
from rank_plugins.fusion.bench import Bench
from rank_plugins.fusion.judged import judge
from rank_plugins.fusion.lists import Integers
from rank_plugins.fusion.plan import plan
from rank_plugins.fusion.trials import bases, grid, sample
from rank_plugins.fusion.tuned import Tuning


def tune(
    qrels: Any,
    runs: Sequence[Any],
    methods: str | Sequence[str] = "rrf sum dbsf",
    *,
    metric: Any = "ndcg@10",
    norms: str | Sequence[str] | None = None,
    k: Sequence[float] = (20, 60, 100),
    search: str = "grid",
    step: float = 0.1,
    trials: int = 1000,
    folds: int = 5,
    groups: Mapping[Any, Any] | None = None,
    seed: int = 0,
    subject_to: str | None = None,
    no_evidence: Iterable[Any] = (),
    missing: str | float | None = None,
    higher_is_better: bool | Sequence[bool] = True,
    relevance_level: float = 1,
) -> Tuning:
    """Search for the method, parameters and weights with the best metric.

    The lists are read once and the ranks of judged documents alone are counted in each trial. What was best on all
    queries looks better than it is, so the choice is repeated on the queries outside each fold, and measured on those
    inside. Trials are evaluated as `evaluate` does: a judged query that no run has counts as an empty list.

    Args:
        qrels: judgments, whatever `evaluate` takes.
        runs: whole runs, whatever `fuse` takes.
        methods: names of `fusion.names()`, as one str or a list; methods that must be trained cannot be tuned.
        metric: what to maximise, one metric of `evaluate`.
        norms: normalisers to try with the methods that take one; None takes each method's default.
        k: the values of rrf's k to try.
        search: "grid" tries all weights in steps of `step`: 66, 286 and 1001 of them for 3, 4 and 5 runs at 0.1;
            "random" draws `trials` configurations, with weights drawn evenly from those that add up to 1.
        step: of the weights in a grid; must divide 1.
        trials: how many to draw at random.
        folds: of the cross-validation.
        groups: the group of each query, such as the page it is about: a group stays in one fold.
        seed: of the folds and of the random search.
        subject_to: "false_evidence<=0.05": of the `no_evidence` queries at most that share may return anything. Each
            trial gets the lowest threshold that keeps to it, and its lists are cut there.
        no_evidence: the queries that have no evidence; they count in no other way.
        missing: as in `fuse`.
        higher_is_better: as in `fuse`.
        relevance_level: the grade from which a document is relevant.

    Raises:
        InputError: an unknown name, a value out of range, no judged query, fewer queries (or groups) than folds.
        InputTypeError: another type.

    """
    from rank_plugins.evaluation.names import parse

    chosen = parse(metric)
    if len(chosen) != 1 or chosen[0].aggregate != "mean":
        raise InputError(f"metric: expected one metric that is averaged over queries, got {metric!r}")
    if not isinstance(runs, Sequence) or isinstance(runs, (str, bytes)) or len(runs) < 2:
        raise InputTypeError("runs: expected a list of at least two runs")
    count = len(runs)
    start = bases(methods, count, norms, k)
    if search not in ("grid", "random"):
        raise InputError(f'search: expected "grid" or "random", got {search!r}')
    configurations = grid(start, count, step) if search == "grid" else sample(start, count, trials, seed)
    declared, most = _constraint(subject_to, no_evidence)
    judged = judge(qrels, runs, directions(higher_is_better, count), declared, relevance_level)
    fold_of = assign_folds(judged.queries, folds, groups, seed)
    empty_fold_of = assign_folds(declared, min(folds, len(declared)), None, seed) if declared else np.empty(0, np.int64)
    bench = Bench(judged, chosen[0], relevance_level, fold_of, empty_fold_of, most)
    for one in configurations:
        chosen_plan = plan(
            count, one.method, weights=one.weights, norm=one.norm, missing=missing, parameters=one.parameters
        )
        bench.run(one, chosen_plan)
    settings = {
        "metric": chosen[0].name, "search": search, "folds": folds, "seed": seed, "queries": len(judged.queries),
        "subject_to": subject_to, "missing": missing, "relevance_level": relevance_level,
        "higher_is_better": directions(higher_is_better, count),
    }  # fmt: skip
    return bench.result(configurations, settings)


def assign_folds(queries: Sequence[Any], folds: int, groups: Mapping[Any, Any] | None, seed: int) -> Integers:
    """Return the fold of each query, int64 [Nq]; the groups are shuffled and dealt out in turn.

    Raises:
        InputError: fewer groups than folds, or a query without a group.

    """
    folds = whole_number(folds, "folds", 1 if groups is None and len(queries) < 2 else 2)
    if groups is not None:
        lost = [query for query in queries if query not in groups]
        if lost:
            raise InputError(f"groups: expected the group of every query, got none for {lost[0]!r}")
    place: dict[Any, int] = {}
    of_query = [place.setdefault(query if groups is None else groups[query], len(place)) for query in queries]
    if len(place) < folds:
        what = "queries" if groups is None else "groups"
        raise InputError(f"folds: expected at most one for each of the {len(place)} {what}, got {folds}")
    order = np.random.default_rng(seed).permutation(len(place))
    fold_of_group = np.empty(len(place), np.int64)
    fold_of_group[order] = np.arange(len(place)) % folds
    return fold_of_group[of_query]


def _constraint(subject_to: str | None, no_evidence: Iterable[Any]) -> tuple[list[Any], float | None]:
    declared = list(dict.fromkeys(no_evidence))
    if subject_to is None:
        if declared:
            raise InputError('no_evidence: expected subject_to="false_evidence<=0.05" with it, got none')
        return [], None
    name, _, share = subject_to.partition("<=")
    try:
        most = float(share) if name.strip() == "false_evidence" else math.nan
    except ValueError:
        most = math.nan
    if not 0 <= most <= 1:
        raise InputError(f'subject_to: expected "false_evidence<=SHARE", SHARE from 0 to 1, got {subject_to!r}')
    if not declared:
        raise InputError("no_evidence: expected the queries that have no evidence, got none; they are never inferred")
    return declared, most
