"""FlashRank's interface (flashrank 0.2) on our rerankers.

from rank_plugins.compat.flashrank import Ranker, RerankRequest

Ranker().rerank(RerankRequest(query="...", passages=[{"id": 1, "text": "...", "meta": {}}]))
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rank_plugins.compat._models import reranker_for
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.hosting import first_stage, names, pairs

__all__ = ["Ranker", "RerankRequest"]

ADVICE = (
    "FlashRank's own model files are not read here: a cross-encoder's folder, or its name on the hub with its slash,"
    " loads the same kind of model"
)


class RerankRequest:
    """A query and the passages to rerank, each a dict with "text" and whatever else belongs to it."""

    def __init__(self, query: str | None = None, passages: list[dict[str, Any]] | None = None) -> None:
        self.query: Any = query
        self.passages = passages if passages is not None else []


class Ranker:
    """Reranks passages as flashrank.Ranker does, with any of our rerankers; safe to call from several threads.

    Unlike the original it leaves the caller's list and dicts alone, returns scores that JSON takes, bounds the memory
    of a long list, answers no passages with none, and does not configure logging.
    """

    def __init__(
        self,
        model_name: str | os.PathLike[str] | Reranker = "rank-maxsim",
        cache_dir: str | os.PathLike[str] | None = None,  # noqa: ARG002 - in the place where callers pass it
        max_length: int | None = None,
        log_level: str = "INFO",  # noqa: ARG002 - as above
        **options: Any,
    ) -> None:
        """Choose the reranker; its model is loaded when passages are first ranked.

        Args:
            model_name: a name that `rank_plugins.rerankers.names()` lists, a Reranker, or a cross-encoder's folder or
                name on the hub.
            cache_dir: accepted because callers pass it, and not used: nothing is downloaded from FlashRank's place.
            max_length: tokens of query and passage together, for rerankers that cut (rank-cross-encoder); the others
                read whole passages. None takes the model's own.
            log_level: accepted because callers pass it, and not used: nothing is logged.
            options: those of the reranker, such as score="mean".

        Raises:
            InputError: an unknown name, FlashRank's names among them, or an option whose value cannot be used.
            InputTypeError: another type, an unknown option, or options beside a Reranker.

        """
        self._own = not isinstance(model_name, Reranker)
        self._reranker = reranker_for(model_name, options, max_length, what="model_name", advice=ADVICE)

    def rerank(self, request: RerankRequest) -> list[dict[str, Any]]:
        """Return the passages best first: new dicts with the same items, and "score", a Python float.

        The scale of a score is the reranker's; a passage without text scores -1e9. Equal scores keep their order.

        Args:
            request: with `query` and `passages`; one of flashrank's own will do. Where all passages have an "id", and
                none is that of two texts, it names them in stores; where all have a "score" it is the first stage's.

        Raises:
            InputError: an empty query, or a passage without "text".
            InputTypeError: another type.

        """
        documents, options = _parts(request)
        return _results(request, self._reranker.rerank(request.query, documents, **options)) if documents else []

    async def rerank_async(self, request: RerankRequest) -> list[dict[str, Any]]:
        """Do as `rerank` on a thread of this package's own, so that the event loop goes on."""
        documents, options = _parts(request)
        if not documents:
            return []
        return _results(request, await self._reranker.rerank_async(request.query, documents, **options))

    def close(self) -> None:
        """Let go of the model, unless the reranker was passed in. Ranking again loads it again."""
        if self._own:
            self._reranker.close()

    def __enter__(self) -> Ranker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _parts(request: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the texts of a request, and their ids and scores where all have them."""
    passages = getattr(request, "passages", None)
    if not isinstance(passages, (list, tuple)):
        raise InputTypeError(f"request: expected a RerankRequest with a list of passages, got {request!r:.80}")
    texts = [_text(passage, i) for i, passage in enumerate(passages)]
    ids = [passage.get("id") for passage in passages]
    return texts, {
        "ids": names((None if one is None else str(one) for one in ids), texts),
        "scores": first_stage(passage.get("score") for passage in passages),
    }


def _results(request: Any, ranking: Ranking) -> list[dict[str, Any]]:
    return [{**request.passages[i], "score": score} for i, score in pairs(ranking)]


def _text(passage: Any, i: int) -> str:
    """Return a passage's text; None counts as an empty one."""
    if not isinstance(passage, Mapping):
        raise InputTypeError(f"passages[{i}]: expected a dict with 'text', got {type(passage).__name__}")
    if "text" not in passage:
        raise InputError(
            f"passages[{i}]: expected a dict with 'text', got one with {', '.join(map(repr, passage)) or 'nothing'}"
        )
    text = passage["text"]
    if text is not None and not isinstance(text, str):
        raise InputTypeError(f"passages[{i}]['text']: expected a str, got {type(text).__name__}")
    return text or ""
