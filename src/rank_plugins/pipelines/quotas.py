"""QuotaReranker: no source takes more than its share of the places."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.pipelines.relevance import Arranged, Rearranging, Scored, behind
from rank_plugins.rerankers.parts import Part
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request

Source: TypeAlias = "str | Mapping[str, Hashable] | Callable[[str], Hashable]"


class QuotaReranker(Rearranging):
    """Ranks documents by relevance, with at most so many of one source; the source is known by the document's id.

    Scores are the request's `scores`, or without them those of the reranker inside. Documents are looked at from the
    best down. Those over the quota of their source follow behind the others, in their order, with a constant added to
    their scores that puts the best of them 1 below; or they are left out. Documents that have nothing to score count
    for no quota and stand last with -inf.

    `details` of a ranking has "over_quota", the indices of those documents; "relevance", what came in, parallel to the
    indices; "timings" in seconds of the whole call; and "parts", the details of the reranker inside where it ranked.
    """

    def __init__(
        self,
        reranker: Part = "rank-maxsim",
        *,
        per_source: int = 2,
        source: Source = "#",
        within: int | None = None,
        drop: bool = False,
    ) -> None:
        """Choose the quota, and what a source is; no model is loaded before documents are ranked.

        Args:
            reranker: gives the scores of requests without `scores`: a name, a dict of a "name" and options, or a
                Reranker.
            per_source: how many documents of one source at most.
            source: what the source is: the part of the id before this text, or all of an id without it (chunks of one
                document are often called "document#1", "document#2"); what a dict says of the id; or a function of it.
            within: the quota holds for so many places, from the first; after them all others follow in their order.
                None: for all.
            drop: leave documents over the quota out.

        Raises:
            InputError: per_source or within below 1, an empty separator, an unknown reranker.
            InputTypeError: another type, or an unknown option.

        """
        super().__init__(reranker)
        self.per_source = whole_number(per_source, "per_source", 1)
        self.within = None if within is None else whole_number(within, "within", 1)
        if not (isinstance(source, (str, Mapping)) or callable(source)):
            raise InputTypeError(f"source: expected a separator, a dict or a function, got {type(source).__name__}")
        if isinstance(source, str) and not source:
            raise InputError("source: expected text that ends the source in an id, such as '#', got ''")
        self.source = source
        self.drop = bool(drop)

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        sources = [self._sources(request.ids) for request in requests]
        rankings = []
        for one, names in zip(self._scored(requests), sources, strict=True):
            start = time.perf_counter()
            rankings.append(self._full(one, self._within(one, names), top_k, start))
        return rankings

    def _within(self, known: Scored, sources: Sequence[Hashable]) -> Arranged:
        """Return the documents that have a score, those over the quota behind or left out."""
        order = np.argsort(-known.relevance, kind="stable")
        taken: Counter[Hashable] = Counter()
        inside: list[int] = []
        over: list[int] = []
        for i in order.tolist():
            if len(inside) == self.within:
                break
            name = sources[int(known.indices[i])]
            taken[name] += 1
            (over if taken[name] > self.per_source else inside).append(i)
        rest = order[~np.isin(order, inside + over * self.drop)]
        places, scores = behind(known.relevance, np.array(inside, np.int64), rest)
        return places, scores, {"over_quota": known.indices[over].tolist()}

    def _sources(self, ids: Sequence[str] | None) -> list[Hashable]:
        if ids is None:
            raise InputError("ids: expected the documents' ids, which tell their sources, got none; pass ids=[...]")
        source = self.source
        if isinstance(source, str):
            return [name.partition(source)[0] for name in ids]
        if callable(source):
            return [source(name) for name in ids]
        missing = next((name for name in ids if name not in source), None)
        if missing is not None:
            raise InputError(f"source: expected the source of every id, got none of {missing!r}")
        return [source[name] for name in ids]
