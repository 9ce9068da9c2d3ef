"""CachedReranker: another reranker's scores, each computed once and kept in a ScoreCache."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError
from rank_plugins.pipelines.score_cache import ScoreCache
from rank_plugins.pipelines.wrapper import Wrapper
from rank_plugins.rerankers.parts import Part
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker


class CachedReranker(Wrapper):
    """Ranks as another reranker does, and asks it only for the pairs whose scores the cache does not have.

    For rerankers whose score depends on nothing but the query and the document, and that say so by a `fingerprint`.
    Queries or documents that are embeddings go past the cache. `details` of a ranking has "cache", its "hits" and
    "misses"; "timings" in seconds of the whole call; and, if anything was scored, "parts", the reranker's own details
    of the documents that were missing.
    """

    def __init__(self, reranker: Part, cache: ScoreCache | str | os.PathLike[str]) -> None:
        """Choose the reranker and the cache; no model is loaded before text is ranked.

        Args:
            reranker: a name, a dict of a "name" and options, or a Reranker.
            cache: a ScoreCache, or the path of its file, which is made where there is none.

        Raises:
            InputError: an unknown reranker, or one that has no fingerprint.
            InputTypeError: another type, or an unknown option.
            StoreError: the file cannot be opened.

        """
        super().__init__(reranker)
        if type(self.reranker).fingerprint is Reranker.fingerprint:
            raise self._unfit()
        self._given_cache = cache
        self.cache = cache if isinstance(cache, ScoreCache) else ScoreCache(cache)
        """Where the scores are."""
        self._known: str | None = None

    @property
    def fingerprint(self) -> str | None:
        """That of the reranker inside."""
        return self.reranker.fingerprint

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        pairs = [_pairs(request) for request in requests]
        model = self._model() if any(pairs) else ""  # embeddings alone need no fingerprint, which may take a model
        start = time.perf_counter()
        found = self.cache.get(model, [pair for group in pairs for pair in group])
        known = np.split(found, np.cumsum([len(group) for group in pairs])[:-1])
        rows = [
            row if group else np.full(len(request.documents), np.nan)
            for request, group, row in zip(requests, pairs, known, strict=True)
        ]
        missing = [np.flatnonzero(np.isnan(row)) for row in rows]
        seconds = time.perf_counter() - start
        details: list[dict[str, Any]] = [{"timings": {}} for _ in requests]
        asked = [i for i, places in enumerate(missing) if len(places)]
        if asked:
            rankings, told = self._inner([_part(requests[i], missing[i]) for i in asked])
            for i, ranking, one in zip(asked, rankings, told, strict=True):
                self._check_complete(ranking, len(missing[i]))
                rows[i][missing[i][ranking.indices]] = ranking.scores
                details[i] = one
            start = time.perf_counter()
            new = [(i, place) for i in asked if pairs[i] for place in missing[i].tolist()]
            if new:
                self.cache.put(model, [pairs[i][place] for i, place in new], [rows[i][place] for i, place in new])
            seconds += time.perf_counter() - start
        for one, group, places in zip(details, pairs, missing, strict=True):
            one["timings"]["cache"] = seconds
            misses = len(places) if group else 0
            one["cache"] = {"hits": len(group) - misses, "misses": misses}
        return [Ranking.from_scores(row, top_k, one) for row, one in zip(rows, details, strict=True)]

    def close(self) -> None:
        """Close the reranker inside, and the cache, if they were made here."""
        self._known = None
        super().close()
        if self.cache is not self._given_cache:
            self.cache.close()

    def _model(self) -> str:
        """Return the fingerprint, asked for once: it may take a model to tell."""
        if self._known is None:
            self._known = self.reranker.fingerprint
        if self._known is None:
            raise self._unfit()
        return self._known

    def _check_complete(self, ranking: Ranking, count: int) -> None:
        if len(ranking) != count:
            raise InputError(
                f"{self!r}: expected a ranking of all {count} documents, got {len(ranking)}; cache the reranker inside,"
                " before documents are left out"
            )

    def _unfit(self) -> InputError:
        return InputError(
            f"reranker: expected one whose score depends on the query and the document alone, and which has a"
            f" fingerprint, got {self.name!r}, which has none; cache the rerankers that it is made of instead"
        )


def _pairs(request: Request) -> list[tuple[str, str]]:
    """Return the pairs of a request that the cache can hold: none, where something is an embedding."""
    if not isinstance(request.query, str) or not isinstance(request.documents, list):
        return []
    return [(request.query, document) for document in request.documents]


def _part(request: Request, places: NDArray[np.int64]) -> Request:
    """Return a request with the documents at these places."""
    if len(places) == len(request.documents):
        return request
    texts = cast("list[str]", request.documents)  # embeddings are always asked for as a whole
    return Request(
        request.query,
        [texts[i] for i in places.tolist()],
        None if request.ids is None else [request.ids[i] for i in places.tolist()],
        None if request.scores is None else request.scores[places],
    )
