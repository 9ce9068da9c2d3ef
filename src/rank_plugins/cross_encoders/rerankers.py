"""RerankersCrossEncoder: any ranker of the library rerankers that scores each document by itself."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np

from rank_plugins._transformers import Identity, transformer_configuration
from rank_plugins.cross_encoders._library import libraries
from rank_plugins.cross_encoders.cross_encoder import Pair, TextCrossEncoder
from rank_plugins.errors import InputError, InputTypeError, RankPluginsError


class RerankersCrossEncoder(TextCrossEncoder):
    """Scores pairs with a ranker's `rank`, by document id; its scores are taken as they are.

    The ranker alone knows its window: what it does with a long document, it does here too, and nothing is told of it.
    """

    def __init__(self, model: Any) -> None:
        """Take the ranker, which stays the caller's.

        Args:
            model: what `rerankers.Reranker(...)` returns.

        Raises:
            InputError: it ranks documents by their neighbours.
            InputTypeError: another type.

        """
        if "rerankers" not in libraries(model) or not callable(getattr(model, "rank", None)):
            raise InputTypeError(
                f"model: expected a ranker of the library rerankers, got {type(model).__name__}; make it with"
                " rerankers.Reranker(...)"
            )
        self._ranker = model
        super().__init__(type(model).__name__, cutter=None, window=None, own=0)
        self._identity, self._unlike_any = Identity(live=True), uuid.uuid4().hex
        if getattr(model, "ranking_type", "pointwise") != "pointwise":
            raise InputError(self._refusal(f"a {model.ranking_type} one"))

    @property
    def fingerprint(self) -> str:
        """What decides the scores: the ranker's weights and settings; for want of weights, this object alone."""
        network: Any = getattr(self._ranker, "model", None)
        if not callable(getattr(network, "state_dict", None)):
            return self._unlike_any
        settings = {name: str(value) for name, value in vars(self._ranker).items() if name not in ("model", "device")}
        config = transformer_configuration(network.config) if hasattr(network, "config") else {}
        rest = [type(self._ranker).__name__, settings, config]
        with self._lock:
            return self._identity.of(network.state_dict(), rest)[:32]

    def _run(self, pairs: list[Pair]) -> Any:
        places: dict[str, list[int]] = {}
        for i, (query, _) in enumerate(pairs):
            places.setdefault(query, []).append(i)
        scores = np.empty(len(pairs))
        for query, place in places.items():
            results = self._ranker.rank(query, [pairs[i][1] for i in place], doc_ids=list(place))
            if not results.has_scores or any(result.score is None for result in results):
                raise InputError(self._refusal("one that gives ranks and no scores"))
            found = {result.document.doc_id: float(result.score) for result in results}
            if found.keys() != set(place):
                raise RankPluginsError(
                    f"{self.name}: expected a score for each of {len(place)} documents, got {len(found)}"
                )
            scores[place] = [found[i] for i in place]
        return scores

    def _refusal(self, got: str) -> str:
        return (
            f"model: expected a ranker that scores each document by itself, got {got} ({self.name}): its result for a"
            " document depends on the others; call its own rank"
        )
