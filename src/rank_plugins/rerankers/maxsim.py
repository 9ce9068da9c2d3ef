"""MaxSimReranker: late interaction over token embeddings."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rank_plugins import encoders
from rank_plugins._maxsim import maxsim
from rank_plugins._threads import thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders import Encoder
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker

SCORES = ("sum", "mean")


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
            encoder: a name that `rank_plugins.encoders.load` knows, the folder or hub name of an ONNX model
                (see `rank_plugins.encoders.onnx.OnnxEncoder`), or an Encoder.
            score: "sum" is raw MaxSim; "mean" divides it by the number of query tokens, so cosines of
                one query's tokens give a score of at most 1.
            threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.
            show_progress: show a bar while documents are encoded.
            encoder_options: passed on to the encoder where it is given by name or folder.

        Raises:
            InputError: an unknown score, threads < 1.
            InputTypeError: another type, or options beside an Encoder.

        """
        if score not in SCORES:
            raise InputError(f"score: expected one of {', '.join(SCORES)}, got {score!r}")
        if not isinstance(encoder, (str, os.PathLike, Encoder)):
            raise InputTypeError(f"encoder: expected a name, a folder or an Encoder, got {type(encoder).__name__}")
        if encoder_options and isinstance(encoder, Encoder):
            raise InputTypeError(f"encoder: {', '.join(encoder_options)} cannot change an Encoder that is already made")
        thread_count(threads)
        self._source = encoder
        self._options = encoder_options
        self._mean = score == "mean"
        self._threads = threads
        self._show_progress = show_progress
        self._lock = threading.Lock()
        self._encoder: Encoder | None = encoder if isinstance(encoder, Encoder) else None

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded now if it was not yet."""
        with self._lock:
            if self._encoder is None:
                self._encoder = self._load()
            return self._encoder

    def _load(self) -> Encoder:
        source = self._source
        if isinstance(source, str) and source in encoders.names():
            if source == "minilm":
                return encoders.load(source, threads=self._threads, **self._options)
            return encoders.load(source, **self._options)
        from rank_plugins.encoders.onnx import OnnxEncoder

        return OnnxEncoder(source, threads=self._threads, **self._options)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the encoder, if this reranker loaded it."""
        with self._lock:
            if self._encoder is not None and self._encoder is not self._source:
                self._encoder.close()
                self._encoder = None

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        started = time.perf_counter()
        queries = self._queries([request.query for request in requests])
        encoded = time.perf_counter()
        documents = self._documents([request.documents for request in requests])
        shared = {"encode_queries": encoded - started, "encode_documents": time.perf_counter() - encoded}
        rankings = []
        for query, embeddings in zip(queries, documents, strict=True):
            begun = time.perf_counter()
            scores = maxsim(query, embeddings, threads=self._threads).astype(np.float64)
            if self._mean:
                scores /= len(query)
            timings = {**shared, "maxsim": time.perf_counter() - begun}
            rankings.append(Ranking.from_scores(scores, top_k, {"timings": timings}))
        return rankings

    def _queries(self, queries: Sequence[str | NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        texts = list(dict.fromkeys(query for query in queries if isinstance(query, str)))
        vectors = dict(zip(texts, self.encoder.encode_queries(texts), strict=True)) if texts else {}
        for text, tokens in vectors.items():
            if not len(tokens):
                raise InputError(f"query: {text[:40]!r} has no token that the encoder knows; nothing can be ranked")
        return [vectors[query] if isinstance(query, str) else query for query in queries]

    def _documents(self, documents: Sequence[list[str] | TokenEmbeddings]) -> list[TokenEmbeddings]:
        texts = dict.fromkeys(text for group in documents if isinstance(group, list) for text in group)
        if not texts:
            return [group for group in documents if isinstance(group, TokenEmbeddings)]
        position = {text: i for i, text in enumerate(texts)}
        embeddings = self.encoder.encode_documents(list(texts), show_progress=self._show_progress)
        return [
            embeddings[[position[text] for text in group]] if isinstance(group, list) else group for group in documents
        ]
