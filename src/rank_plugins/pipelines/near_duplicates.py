"""NearDuplicateReranker: of documents that say the same, the best one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rank_plugins import _deadline
from rank_plugins.errors import InputError
from rank_plugins.fusion.arguments import number
from rank_plugins.pipelines.comparing import Comparing
from rank_plugins.pipelines.relevance import Arranged, Scored, behind
from rank_plugins.pipelines.similarity import Similarities
from rank_plugins.rerankers.parts import Part

THRESHOLDS = {"shingles": 0.5, "maxsim": 0.85, "single": 0.95}


class NearDuplicateReranker(Comparing):
    """Ranks documents by relevance, and leaves out those that are near-duplicates of one above that stays.

    Scores are the request's `scores`, or without them those of the reranker inside. Documents are looked at from the
    best down; one whose similarity to one that stays reaches the threshold is a duplicate of the best such. Documents
    that have nothing to score are nobody's duplicates and stand last with -inf.

    `details` of a ranking has "duplicates", {index of a duplicate: index of the document that stays}, of those that
    were met before the ranking was full; "relevance", what came in, parallel to the indices; "timings" in seconds of
    the whole call; and "parts", the details of the reranker inside where it ranked.
    """

    def __init__(
        self,
        reranker: Part = "rank-maxsim",
        *,
        threshold: float | None = None,
        drop: bool = True,
        similarity: str | Callable[..., Any] | Any = "shingles",
        encoder: Any = None,
        store: Any = None,
        threads: int | None = None,
    ) -> None:
        """Choose what a near-duplicate is; no model is loaded before documents are ranked.

        Args:
            reranker: gives the scores of requests without `scores`: a name, a dict of a "name" and options, or a
                Reranker.
            threshold: from which similarity on; None is 0.5 for "shingles", 0.85 for "maxsim" and 0.95 for "single",
                and has to be given with similarities of the caller's own.
            drop: leave duplicates out; otherwise they follow behind the others, in their order, with a constant added
                to their scores that puts the best of them 1 below.
            similarity: "shingles", which needs no model, "maxsim", "single" or the caller's own; see `Comparing`.
            encoder: what makes the embeddings that are compared; see `Comparing`.
            store: where these embeddings are kept; see `Comparing`.
            threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.

        Raises:
            InputError: a threshold that is not above 0, an unknown similarity or reranker.
            InputTypeError: another type, or an unknown option.

        """
        super().__init__(reranker, similarity=similarity, encoder=encoder, store=store, threads=threads)
        if threshold is None and not isinstance(similarity, str):
            raise InputError("threshold: expected one with similarities of your own, got None")
        self.threshold = THRESHOLDS[str(similarity)] if threshold is None else number(threshold, "threshold")
        if self.threshold <= 0:
            raise InputError(f"threshold: expected a similarity above 0, got {threshold}")
        self.drop = bool(drop)

    def _arranged(self, known: Scored, similarities: Similarities, count: int) -> Arranged:
        stay = np.empty(count, np.int64)
        found: dict[int, int] = {}
        full = 0
        for i in np.argsort(-known.relevance, kind="stable").tolist():
            if full == count:
                break
            _deadline.check()
            near = similarities.row(i, stay[:full], self.threshold) >= self.threshold
            if near.any():
                found[i] = int(stay[np.argmax(near)])
            else:
                stay[full] = i
                full += 1
        places = np.array(list(found), np.int64)
        duplicates = {int(known.indices[i]): int(known.indices[j]) for i, j in found.items()}
        order, scores = behind(known.relevance, stay[:full], places[:0] if self.drop else places)
        return order, scores, {"duplicates": duplicates}
