"""MaxSimReranker: late interaction over token embeddings."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from rank_plugins import encoders
from rank_plugins._checks import on_cpu
from rank_plugins._maxsim import maxsim
from rank_plugins._threads import thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders import Encoder
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker

SCORES = ("sum", "mean")
TEXTS_AT_ONCE = 2048  # encoded together: bounds the memory of a long list, about 1 GB for full windows


class MaxSimReranker(Reranker):
    """Ranks documents by MaxSim: sum over query tokens of the best match among the document's tokens.

    Queries and documents may be text, which an encoder turns into token embeddings, or the embeddings
    themselves. A text that occurs several times in a call is encoded once.
    """

    def __init__(
        self,
        encoder: str | os.PathLike[str] | Encoder = "minilm",
        *,
        score: Literal["sum", "mean"] = "sum",
        threads: int | None = None,
        show_progress: bool = False,
        **encoder_options: Any,
    ) -> None:
        """Choose the encoder; it is loaded when text is first ranked.

        Args:
            encoder: what `rank_plugins.encoders.load` takes (a name, a folder, a model on the hub), or an Encoder.
            score: "sum" is raw MaxSim; "mean" divides it by the number of query tokens, so cosines of
                one query's tokens give a score of at most 1.
            threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.
            show_progress: show a bar while documents are encoded.
            encoder_options: those of `rank_plugins.encoders.load`, such as long_documents="first".

        Raises:
            InputError: an unknown score, threads < 1.
            InputTypeError: another type, an unknown option, or options beside an Encoder.

        """
        if score not in SCORES:
            raise InputError(f"score: expected one of {', '.join(SCORES)}, got {score!r}")
        thread_count(threads)
        self._load: Callable[[], Encoder] | None = None
        self._encoder: Encoder | None = None
        if isinstance(encoder, (str, os.PathLike)):
            self._load = encoders.prepare(encoder, encoder_options, defaults={"threads": threads})
        elif not callable(getattr(encoder, "encode_documents", None)):  # isinstance would ask for dim and fingerprint
            raise InputTypeError(f"encoder: expected a name, a folder or an Encoder, got {type(encoder).__name__}")
        elif encoder_options:
            raise InputTypeError(f"encoder: {', '.join(encoder_options)} cannot change an Encoder that is already made")
        else:
            self._encoder = encoder
        self._mean = score == "mean"
        self._threads = threads
        self._show_progress = show_progress
        self._lock = threading.Lock()

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded now if it was not yet."""
        with self._lock:
            if self._encoder is None and self._load is not None:
                self._encoder = self._load()
            return cast(Encoder, self._encoder)

    def close(self) -> None:
        """Close the encoder, if this reranker loaded it; text ranked later loads it again."""
        with self._lock:
            if self._encoder is not None and self._load is not None:
                self._encoder.close()
                self._encoder = None

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        clock = _Clock()
        queries = self._queries([request.query for request in requests])
        clock.lap("encode_queries")
        scores = [np.empty(len(request.documents)) for request in requests]
        for query, request, row in zip(queries, requests, scores, strict=True):
            if isinstance(request.documents, TokenEmbeddings):
                row[:] = self._scores(query, request.documents)
        clock.lap("maxsim")
        texts = [request.documents if isinstance(request.documents, list) else [] for request in requests]
        unique = list(dict.fromkeys(text for group in texts for text in group))
        place_of = {text: place for place, text in enumerate(unique)}
        places = [np.array([place_of[text] for text in group], np.int64) for group in texts]
        for start in range(0, len(unique), TEXTS_AT_ONCE):
            embeddings = self.encoder.encode_documents(
                unique[start : start + TEXTS_AT_ONCE], show_progress=self._show_progress
            )
            clock.lap("encode_documents")
            for query, place, row in zip(queries, places, scores, strict=True):
                here = (place >= start) & (place < start + TEXTS_AT_ONCE)
                if here.any():
                    row[here] = self._scores(query, embeddings[place[here] - start])
            clock.lap("maxsim")
        return [Ranking.from_scores(row, top_k, {"timings": dict(clock.seconds)}) for row in scores]

    def _scores(self, query: NDArray[np.float32], documents: TokenEmbeddings) -> NDArray[np.float64]:
        scores = np.asarray(on_cpu(maxsim(query, documents, threads=self._threads)), np.float64)
        return scores / len(query) if self._mean else scores

    def _queries(self, queries: Sequence[str | NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        texts = list(dict.fromkeys(query for query in queries if isinstance(query, str)))
        vectors = dict(zip(texts, self.encoder.encode_queries(texts), strict=True)) if texts else {}
        for text, tokens in vectors.items():
            if not len(tokens):
                raise InputError(f"query: {text[:40]!r} has no token that the encoder knows; nothing can be ranked")
        return [vectors[query] if isinstance(query, str) else query for query in queries]


class _Clock:
    """Adds up seconds by name; a batch's rankings share them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Add the time since the last lap to `name`."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
