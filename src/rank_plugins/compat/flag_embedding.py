"""FlagEmbedding's interfaces (FlagEmbedding 1.4) on our rerankers and our kernel.

from rank_plugins.compat.flag_embedding import FlagReranker, colbert_score

FlagReranker("rank-maxsim").compute_score([("query", "passage"), ("another query", "passage")])
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from rank_plugins._checks import on_cpu
from rank_plugins._maxsim import maxsim
from rank_plugins.compat._models import reranker_for
from rank_plugins.errors import InputTypeError
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.hosting import NOTHING, pairs

__all__ = ["FlagReranker", "colbert_score"]

ADVICE = "a cross-encoder is its folder, or its name on the hub with its slash"


class FlagReranker:
    """Scores pairs as FlagEmbedding.FlagReranker does, with any of our rerankers; safe to call from several threads.

    Unlike the original it answers no pairs with none, bounds the memory of a batch by its tokens, and keeps the model
    where it is between calls.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | Reranker,
        use_fp16: bool = False,  # noqa: ARG002 - in the place where callers pass it
        *,
        batch_size: int | None = None,  # noqa: ARG002 - as above
        max_length: int | None = None,
        normalize: bool = False,
        **options: Any,
    ) -> None:
        """Choose the reranker; its model is loaded when pairs are first scored.

        Args:
            model_name_or_path: a cross-encoder's folder or name on the hub, whose scores are its logits as in
                FlagEmbedding; a name that `rank_plugins.rerankers.names()` lists; or a Reranker.
            use_fp16: accepted because callers pass it, and not used: numbers are as wide as the reranker has them.
            batch_size: accepted and not used: batches are cut by their tokens.
            max_length: tokens of query and passage together, for rerankers that cut (rank-cross-encoder); the others
                read whole passages. None takes the model's own.
            normalize: apply a sigmoid to scores, unless a call says otherwise; meant for logits.
            options: those of the reranker, such as device="cuda:0".

        Raises:
            InputError: an unknown name, or an option whose value cannot be used.
            InputTypeError: another type, an unknown option, or options beside a Reranker.

        """
        self.normalize = normalize
        self._own = not isinstance(model_name_or_path, Reranker)
        self._reranker = reranker_for(
            model_name_or_path, options, max_length, what="model_name_or_path", advice=ADVICE, activation="none"
        )

    def compute_score(
        self,
        sentence_pairs: Sequence[Sequence[str]] | Sequence[str],
        batch_size: int | None = None,  # noqa: ARG002 - in the place where callers pass it
        query_max_length: int | None = None,  # noqa: ARG002 - as above
        max_length: int | None = None,  # noqa: ARG002 - as above
        normalize: bool | None = None,
    ) -> list[float]:
        """Return the score of each pair, in the order of the pairs; one pair gives a list of one.

        Pairs of one query are ranked together, so a reranker whose scores depend on the other documents, such as
        rank-fusion, sees those.

        Args:
            sentence_pairs: pairs (query, passage), or one pair.
            batch_size: accepted because callers pass it, and not used: batches are cut by their tokens.
            query_max_length: accepted and not used, as batch_size.
            max_length: accepted and not used: how much is read was settled when the model was chosen.
            normalize: apply a sigmoid; None does as the constructor was told.

        Returns:
            Python floats; -1e9 (normalized: 0.0) for a passage without text.

        Raises:
            InputError: an empty query.
            InputTypeError: what is no pair of texts.

        """
        grouped = _Grouped(sentence_pairs)
        rankings = self._reranker.rerank_batch(grouped.queries, grouped.passages)
        return grouped.scores(rankings, self.normalize if normalize is None else normalize)

    async def compute_score_async(
        self, sentence_pairs: Sequence[Sequence[str]] | Sequence[str], normalize: bool | None = None
    ) -> list[float]:
        """Do as `compute_score` on a thread of this package's own, so that the event loop goes on."""
        grouped = _Grouped(sentence_pairs)
        rankings = await self._reranker.rerank_batch_async(grouped.queries, grouped.passages)
        return grouped.scores(rankings, self.normalize if normalize is None else normalize)

    def close(self) -> None:
        """Let go of the model, unless the reranker was passed in. Scoring again loads it again."""
        if self._own:
            self._reranker.close()

    def __enter__(self) -> FlagReranker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def colbert_score(q_reps: Any, p_reps: Any) -> float:
    """Return what BGEM3FlagModel.colbert_score does, as a Python float: the mean over query tokens of the best match.

    Args:
        q_reps: the query's "colbert_vecs", float [Q, K], Q at least 1; an array or a tensor.
        p_reps: the passage's, float [D, K]; without tokens the score is -1e9.

    Raises:
        InputError: no query tokens, dimensions that differ, values that are not finite.
        InputTypeError: another type or dtype.

    """
    query = np.asarray(on_cpu(q_reps))
    score = float(maxsim(query, [np.asarray(on_cpu(p_reps))])[0])
    return NOTHING if score == -math.inf else score / len(query)


class _Grouped:
    """Pairs, by query in the order of its first pair."""

    def __init__(self, sentence_pairs: Any) -> None:
        rows = _pairs(sentence_pairs)
        places: dict[str, list[int]] = {}
        for i, (query, _) in enumerate(rows):
            places.setdefault(query, []).append(i)
        self._places = list(places.values())
        self.queries = list(places)
        self.passages = [[rows[i][1] for i in place] for place in self._places]

    def scores(self, rankings: Sequence[Ranking], normalize: bool) -> list[float]:
        """Return the scores of the rankings of these queries, in the order of the pairs."""
        found = [NOTHING] * sum(map(len, self._places))
        for place, ranking in zip(self._places, rankings, strict=True):
            for index, score in pairs(ranking):
                found[place[index]] = _sigmoid(score) if normalize else score
        return found


def _pairs(sentence_pairs: Any) -> list[tuple[str, str]]:
    """Return pairs of texts; one pair is a list of one."""
    if isinstance(sentence_pairs, np.ndarray):
        sentence_pairs = sentence_pairs.tolist()
    if isinstance(sentence_pairs, (str, bytes)) or not isinstance(sentence_pairs, Sequence):
        raise InputTypeError(f"sentence_pairs: expected pairs (query, passage), got {type(sentence_pairs).__name__}")
    rows = [sentence_pairs] if len(sentence_pairs) and isinstance(sentence_pairs[0], str) else sentence_pairs
    for i, row in enumerate(rows):
        whole = isinstance(row, Sequence) and not isinstance(row, (str, bytes)) and len(row) == 2
        if not whole or not all(isinstance(text, str) for text in row):
            raise InputTypeError(f"sentence_pairs[{i}]: expected a pair of texts (query, passage), got {row!r:.80}")
    return [(row[0], row[1]) for row in rows]


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))
