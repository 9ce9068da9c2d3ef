"""What each list did for a fused document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rank_plugins.errors import InputError
from rank_plugins.fusion.gathering import Gathered, finish, gather
from rank_plugins.fusion.lists import Floats, Lists
from rank_plugins.fusion.plan import Plan


class Part(NamedTuple):
    """What one list says of a document."""

    rank: int | None
    """From 1; None where the list does not have it."""
    score: float | None
    """As the list gave it; None for bare ids too."""
    contribution: float | None
    """What it brings to the fused score: its term of the sum, or the value that max, min, med, gmean and hmean choose
    from; for condorcet the weighted number of documents that the list places below it. None for methods of yours."""


class Explanation(NamedTuple):
    """A fused document, its score, and what each list did for it, in the order of the lists."""

    document: Any
    score: float
    parts: tuple[Part, ...]


class Fused:
    """A fused run that says where its scores come from. It reads the runs again for that: leave them as they were."""

    def __init__(self, run: Any, plan: Plan, runs: Sequence[Any], higher: Sequence[bool]) -> None:
        """Hold a fused run and how it was made."""
        self.run = run
        self._plan, self._runs, self._higher = plan, runs, higher
        self._last: tuple[Any, dict[Any, Explanation]] | None = None

    def explain(self, query: Any, document: Any) -> Explanation:
        """Return what each list did for a document of a query.

        Raises:
            InputError: no list has that document for that query.

        """
        if self._last is None or self._last[0] != query:
            lists, gathered = gather(self._runs, [query], self._higher)
            found = explanations(self._plan, lists, gathered, self._higher, None)
            self._last = query, {one.document: one for one in found}
        if document not in self._last[1]:
            raise InputError(f"explain: expected a fused document of query {query!r}, got {document!r}")
        return self._last[1][document]


def explanations(
    plan: Plan, lists: Lists, gathered: Gathered, higher: Sequence[bool], top: int | None
) -> list[Explanation]:
    """Return the fused documents of the queries of `lists`, best first, each explained."""
    scores = plan.scores(lists)
    codes, _ = finish(gathered, scores, plan.tiebreak(lists), top)
    signs = np.where(higher, 1.0, -1.0)
    ranks = lists.spread(lists.rank.astype(np.float64))[:, codes]
    values = lists.spread(lists.score * signs[lists.of_list])[:, codes]
    brought = plan.contributions(lists)
    terms = np.full(ranks.shape, np.nan) if brought is None else brought[:, codes]
    return [
        Explanation(gathered.names[code], float(scores[code]), _parts(lists, ranks[:, i], values[:, i], terms[:, i]))
        for i, code in enumerate(codes.tolist())
    ]


def _parts(lists: Lists, ranks: Floats, values: Floats, terms: Floats) -> tuple[Part, ...]:
    return tuple(
        Part(
            None if np.isnan(ranks[j]) else int(ranks[j]),
            None if np.isnan(ranks[j]) or not lists.scored[j] else float(values[j]),
            None if np.isnan(terms[j]) else float(terms[j]),
        )
        for j in range(lists.m)
    )
