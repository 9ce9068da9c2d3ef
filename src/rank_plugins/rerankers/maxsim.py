"""MaxSimReranker: late interaction over token embeddings."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from rank_plugins import _deadline, encoders
from rank_plugins._checks import on_cpu
from rank_plugins._maxsim import maxsim
from rank_plugins._threads import thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders import Encoder
from rank_plugins.encoders.encoder import clean_text
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker, query_text
from rank_plugins.rerankers.texts import Texts
from rank_plugins.store import EmbeddingStore
from rank_plugins.store.memory import TokenCache

if TYPE_CHECKING:
    from rank_plugins.explanations import Explanation

SCORES = ("sum", "mean")
TEXTS_AT_ONCE = 2048  # encoded together: bounds the memory of a long list, about 1 GB for full windows


class MaxSimReranker(Reranker):
    """Ranks documents by MaxSim: sum over query tokens of the best match among the document's tokens.

    Queries and documents may be text, which an encoder turns into token embeddings, or the embeddings
    themselves. A text that occurs several times in a call is encoded once; with a store or a cache, one that is
    there is not encoded at all. What a store keeps is compressed, and so is what it does not have yet: a document's
    score does not depend on where its embeddings come from.
    """

    def __init__(
        self,
        encoder: Any = "minilm",
        *,
        score: Literal["sum", "mean"] = "sum",
        threads: int | None = None,
        show_progress: bool = False,
        store: str | os.PathLike[str] | EmbeddingStore | None = None,
        update: bool = False,
        cache: int | str | None = None,
        **encoder_options: Any,
    ) -> None:
        """Choose the encoder; it is loaded when text is first ranked.

        Args:
            encoder: what `rank_plugins.encoders.load` takes (a name, a folder, a model on the hub, a model of
                sentence-transformers or FlagEmbedding already loaded), or an Encoder.
            score: "sum" is raw MaxSim; "mean" divides it by the number of query tokens, so cosines of
                one query's tokens give a score of at most 1.
            threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.
            show_progress: show a bar while documents are encoded.
            store: the documents' embeddings on disk, a folder or an EmbeddingStore. A document is known by its id
                and text, or without an id by its text; a changed text is encoded.
            update: add documents that the store does not have, in one transaction per call; without ids under a name
                made from the text. A store that is not there is made.
            cache: the same in memory, int8, up to so many bytes, such as "256MB"; not together with store.
            encoder_options: those of `rank_plugins.encoders.load`, such as long_documents="first".

        Raises:
            InputError: an unknown score, threads < 1, store and cache, update without a store.
            InputTypeError: another type, an unknown option, or options beside an Encoder.
            StoreError: no store in that folder, a damaged one, or one that cannot be written.

        """
        if score not in SCORES:
            raise InputError(f"score: expected one of {', '.join(SCORES)}, got {score!r}")
        thread_count(threads)
        self._load: Callable[[], Encoder] | None = None
        self._encoder: Encoder | None = None
        if not callable(getattr(encoder, "encode_documents", None)):  # isinstance would ask for dim and fingerprint
            self._load = encoders.prepare(encoder, encoder_options, defaults={"threads": threads})
        elif encoder_options:
            raise InputTypeError(f"encoder: {', '.join(encoder_options)} cannot change an Encoder that is already made")
        else:
            self._encoder = encoder
        self._mean = score == "mean"
        self._threads = threads
        self._show_progress = show_progress
        self._lock = threading.Lock()
        self._running = 0
        self._closing = False
        self._update = update
        self._open_store: Callable[[], EmbeddingStore] | None = None
        self._source: EmbeddingStore | TokenCache | None = None
        if store is not None and cache is not None:
            raise InputError("cache: expected store or cache, got both; a store needs no cache")
        if update and store is None:
            raise InputError("update: expected a store with it, got none")
        if cache is not None:
            self._source = TokenCache(cache)
        elif isinstance(store, EmbeddingStore):
            self._source = store
            if update and store.mode != "a":
                raise InputError(f"update: expected a store opened with mode 'a', got {store!r}")
        elif store is not None:
            self._open_store = functools.partial(EmbeddingStore.open, store, "a" if update else "r")
            self._source = self._open_store()

    @property
    def store(self) -> EmbeddingStore | None:
        """The store, opened now if it was closed; None without one."""
        source = self._embeddings_source()
        return source if isinstance(source, EmbeddingStore) else None

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded now if it was not yet."""
        with self._lock:
            if self._encoder is None and self._load is not None:
                self._encoder = self._load()
            return cast(Encoder, self._encoder)

    @property
    def fingerprint(self) -> str | None:
        """The encoder's, with the kind of score and how the store or cache compresses documents.

        None for a store whose codec is not fitted yet. The encoder is loaded.
        """
        source = self._embeddings_source()
        codec = "exact" if source is None else source.codec_fingerprint
        if codec is None:
            return None
        return f"maxsim {'mean' if self._mean else 'sum'} {codec} {self.encoder.fingerprint}"

    def warm_up(self) -> None:
        """Load the encoder, and open the store."""
        self.encoder  # noqa: B018 - loads it
        self._embeddings_source()

    def close(self) -> None:
        """Close the encoder and the store, if this reranker opened them, and empty the cache.

        Text ranked later opens them again. Rankings under way on other threads come to their end first: the last one
        of them closes.
        """
        with self._lock:
            self._closing = True
            self._let_go()

    def _let_go(self) -> None:
        """Close what is to be closed, unless a ranking is under way; the lock is held."""
        if self._closing and not self._running:
            self._closing = False
            if self._encoder is not None and self._load is not None:
                self._encoder.close()
                self._encoder = None
            if isinstance(self._source, TokenCache):
                self._source.close()
            elif self._source is not None and self._open_store is not None:
                self._source.close()
                self._source = None

    def explain(self, query: str, document: str) -> Explanation:
        """Return which document token each query token matches, and what that brings to the document's score.

        The document is encoded here, and kept in no store or cache.

        Raises:
            InputError: an empty query; or embeddings that are not one for each token, as those of a store with a
                reduction.
            InputTypeError: not text, or an encoder that does not tell its tokens.

        """
        from rank_plugins.explanations.explanation import explained

        texts = query_text(query, "query"), clean_text(document, "document")
        with self.at_work():
            source = self._embeddings_source()
            if source is not None:
                source.check_encoder(self.encoder)
            (vectors,) = self._queries([texts[0]])
            if source is None:
                documents = self.encoder.encode_documents([texts[1]])
            else:
                documents = source.encode([texts[1]], self.encoder)
                vectors = source.project(vectors)
            return explained(texts, self.encoder, vectors, documents, mean=self._mean)

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        with self.at_work():
            return self._ranked(requests, top_k)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep models and files open inside, whoever closes this reranker meanwhile."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._let_go()

    def _ranked(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        clock = _Clock()
        source = self._embeddings_source()
        if source is not None and any(isinstance(request.query, str) for request in requests):
            source.check_encoder(self.encoder)
        queries = self._queries([request.query for request in requests])
        clock.lap("encode_queries")
        scores = [np.empty(len(request.documents)) for request in requests]
        for query, request, row in zip(queries, requests, scores, strict=True):
            if isinstance(request.documents, TokenEmbeddings):
                row[:] = self._scores(query, request.documents)
        clock.lap("maxsim")
        texts = Texts(requests)
        for known, embeddings in self.embedded(texts, clock.lap):
            self._score_texts(queries, texts, scores, known, embeddings)
            clock.lap("maxsim")
        return [Ranking.from_scores(row, top_k, {"timings": dict(clock.seconds)}) for row in scores]

    def embedded(
        self, texts: Texts, lap: Callable[[str], None] = lambda _: None
    ) -> Iterator[tuple[NDArray[np.int64], TokenEmbeddings]]:
        """Yield the embeddings of all texts in parts: their places in texts.unique, ascending, and the embeddings.

        First what the store or cache has, then what is encoded, which is kept there at the end where rankings keep it.
        Use it inside `at_work`.

        Args:
            texts: each comes once.
            lap: called after a step with its name, "store" or "encode_documents".

        Raises:
            InputError: a store of another encoder, where a text has to be encoded.

        """
        missing = np.arange(len(texts.unique))
        source = self._embeddings_source() if len(missing) else None
        if source is not None:
            found, embeddings = source.find(texts.unique, texts.names)
            lap("store")
            if len(found):
                yield found, embeddings
            unknown = np.ones(len(missing), bool)
            unknown[found] = False
            missing = np.flatnonzero(unknown)
            if len(missing):
                source.check_encoder(self.encoder)
        new: list[tuple[list[str], list[str], TokenEmbeddings]] = []
        for start in range(0, len(missing), TEXTS_AT_ONCE):
            _deadline.check()
            places = missing[start : start + TEXTS_AT_ONCE]
            part = [texts.unique[place] for place in places]
            if source is None:
                embeddings = self.encoder.encode_documents(part, show_progress=self._show_progress)
            else:
                embeddings = source.encode(part, self.encoder, show_progress=self._show_progress)
                new.append(texts.owned(places, embeddings))
            lap("encode_documents")
            yield places, embeddings
        if new and source is not None and (self._update or isinstance(source, TokenCache)):
            source.keep(new, self.encoder)
            lap("store")

    def _score_texts(
        self,
        queries: Sequence[NDArray[np.float32]],
        texts: Texts,
        scores: Sequence[NDArray[np.float64]],
        known: NDArray[np.int64],
        embeddings: TokenEmbeddings,
    ) -> None:
        """Score the texts at places `known`, ascending, whose embeddings these are, in every request that has them."""
        for query, place, row in zip(queries, texts.places, scores, strict=True):
            at = np.minimum(np.searchsorted(known, place), len(known) - 1)
            here = known[at] == place
            if here.any():
                row[here] = self._scores(query, embeddings[at[here]])

    def _scores(self, query: NDArray[np.float32], documents: TokenEmbeddings) -> NDArray[np.float64]:
        if self._source is not None and documents.dim != query.shape[1]:
            query = self._source.project(query)
        scores = np.asarray(on_cpu(maxsim(query, documents, threads=self._threads)), np.float64)
        return scores / len(query) if self._mean else scores

    def _embeddings_source(self) -> EmbeddingStore | TokenCache | None:
        with self._lock:
            if self._source is None and self._open_store is not None:
                self._source = self._open_store()
            return self._source

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
