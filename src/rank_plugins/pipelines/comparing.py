"""Comparing: what rerankers share that look at how alike the documents are."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.arguments import unknown
from rank_plugins.pipelines.relevance import Arranged, Rearranging, Scored, row
from rank_plugins.pipelines.shingles import Shingles
from rank_plugins.pipelines.similarity import (
    Cosines,
    Floats,
    Integers,
    Matrix,
    MaxSims,
    Similarities,
    given_matrix,
    joined_tokens,
    pooled,
    unit_tokens,
)
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.rerankers.parts import Part, ranked
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request
from rank_plugins.rerankers.texts import Texts

Vectors: TypeAlias = "TokenEmbeddings | Floats"

EMBEDDED = ("maxsim", "single")
KINDS = (*EMBEDDED, "shingles")


class Comparing(Rearranging):
    """A reranker that compares documents. A subclass implements `_arranged`.

    Options of all of them:
        similarity: "maxsim", the symmetric mean MaxSim of the documents' token embeddings (each token's best cosine in
            the other document, averaged over the tokens, in both directions); "single", the cosine of their mean token
            vectors; "shingles", the share of runs of three words that they have in common, without a model; numbers
            of your own, a symmetric array [N, N], or a function that returns one for (documents, ids).
        encoder, store: what makes the documents' embeddings, and where they are kept, as in `MaxSimReranker`. Neither:
            those of the reranker inside if it is a MaxSimReranker, else "minilm" and nowhere.
        threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.

    The reranker "rank-maxsim", given by this name alone, has the same encoder and store. Where the reranker inside and
    the similarity use the same embeddings, no document is encoded for one and again for the other. Documents that are
    embeddings already are taken as they are.
    """

    def __init__(self, reranker: Part, *, similarity: Any, encoder: Any, store: Any, threads: int | None) -> None:
        """Choose the reranker and the similarity; see the subclasses."""
        options = {"encoder": encoder, "store": store, "threads": threads}
        given = {name: value for name, value in options.items() if value is not None}
        super().__init__({"name": reranker, **given} if reranker == "rank-maxsim" else reranker)
        if isinstance(similarity, str) and similarity not in KINDS:
            raise InputError(unknown("similarity", similarity, KINDS))
        self.similarity = similarity
        self._threads = threads
        self._embedder: MaxSimReranker | None = None
        if isinstance(similarity, str) and similarity in EMBEDDED:
            inside = self.reranker if isinstance(self.reranker, MaxSimReranker) else None
            shared = inside is not None and (reranker == "rank-maxsim" or (encoder is None and store is None))
            self._embedder = inside if shared else MaxSimReranker(**given)
        elif given and reranker != "rank-maxsim":
            raise InputTypeError(
                f"{', '.join(given)}: nothing here takes it, as similarity={similarity!r} needs no encoder; give the"
                " reranker's own options with its name, as a dict"
            )

    def warm_up(self) -> None:
        """Load the models."""
        super().warm_up()
        if self._embedder is not None and self._embedder is not self.reranker:
            self._embedder.warm_up()

    def close(self) -> None:
        """Close the reranker inside, if it was made here from a name, and what embeds documents."""
        super().close()
        if self._embedder is not None and self._embedder is not self.reranker:
            self._embedder.close()

    @abc.abstractmethod
    def _arranged(self, known: Scored, similarities: Similarities, count: int) -> Arranged:
        """Return the documents of one query that have a score in their new order, their scores, and details.

        Args:
            known: the documents, n of them.
            similarities: between these n.
            count: how many are asked for, n at most.

        """

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        if self._embedder is not None and self._embedder is self.reranker and requests[0].scores is None:
            known, vectors = self._scored_and_embedded(requests, self._embedder)
        else:
            known = self._scored(requests)
            vectors = self._embedded(requests, known)
        rankings = []
        for request, one, own in zip(requests, known, vectors, strict=True):
            start = time.perf_counter()
            count = len(one.indices) if top_k is None else min(top_k, len(one.indices))
            similarities = self._similarities(request, one.indices, own)
            rankings.append(self._full(one, self._arranged(one, similarities, count), top_k, start))
        return rankings

    def _similarities(self, request: Request, kept: Integers, vectors: Vectors | None) -> Similarities:
        """Return the similarities of the documents at these indices."""
        if isinstance(vectors, TokenEmbeddings):
            return MaxSims(vectors[kept], self._threads)
        if vectors is not None:
            return Cosines(vectors[kept])
        documents = request.documents
        if isinstance(self.similarity, str):
            if isinstance(documents, TokenEmbeddings):
                raise InputTypeError(
                    'documents: expected text, which similarity="shingles" compares, got embeddings; use "maxsim"'
                )
            return Shingles([documents[i] for i in kept.tolist()])
        called = callable(self.similarity)
        values = self.similarity(documents, request.ids) if called else self.similarity
        matrix = given_matrix(values, len(documents), "similarity: the function's result" if called else "similarity")
        return Matrix(matrix[np.ix_(kept, kept)])

    def _embedded(self, requests: Sequence[Request], known: Sequence[Scored]) -> Sequence[Vectors | None]:
        """Return the vectors of each request's documents, None where none are needed."""
        if self._embedder is None:
            return [None] * len(requests)
        start = time.perf_counter()
        pile = _Pile(requests, self.similarity)
        with self._embedder.at_work():
            for places, embeddings in self._embedder.embedded(pile.texts):
                pile.add(places, embeddings)
        for one in known:
            one.details["timings"]["embeddings"] = time.perf_counter() - start
        return pile.vectors()

    def _scored_and_embedded(
        self, requests: Sequence[Request], reranker: MaxSimReranker
    ) -> tuple[list[Scored], Sequence[Vectors | None]]:
        """Return relevance and vectors, from embeddings that are made once for both."""
        start = time.perf_counter()
        pile = _Pile(requests, self.similarity)
        scores = [np.full(len(request.documents), -np.inf) for request in requests]
        embedded = [i for i, request in enumerate(requests) if isinstance(request.documents, TokenEmbeddings)]
        for i, ranking in zip(embedded, ranked(reranker, [requests[i] for i in embedded]), strict=True):
            scores[i] = row(ranking, len(scores[i]))

        with reranker.at_work():
            for places, embeddings in reranker.embedded(pile.texts):
                pile.add(places, embeddings)
                asked, parts, heres = [], [], []
                for i, place in enumerate(pile.texts.places):
                    at = np.minimum(np.searchsorted(places, place), len(places) - 1)
                    here = np.flatnonzero(places[at] == place)
                    if len(here):
                        asked.append(i)
                        heres.append(here)
                        parts.append(embeddings[at[here]])
                rankings = reranker.rerank_batch([requests[i].query for i in asked], parts)
                for i, here, ranking in zip(asked, heres, rankings, strict=True):
                    scores[i][here[ranking.indices]] = ranking.scores
        seconds = time.perf_counter() - start
        known = [
            Scored.of(request, one, {"timings": {self.name: seconds}})
            for request, one in zip(requests, scores, strict=True)
        ]
        return known, pile.vectors()


class _Pile:
    """The vectors of the distinct texts of a call, as they come, and of its documents that are embeddings."""

    def __init__(self, requests: Sequence[Request], similarity: str) -> None:
        self._make: Callable[[TokenEmbeddings], Any] = unit_tokens if similarity == "maxsim" else pooled
        self.texts = Texts(requests)
        self._own = [request.documents for request in requests]
        self._parts: list[Any] = []
        self._places: list[Integers] = []

    def add(self, places: Integers, embeddings: TokenEmbeddings) -> None:
        """Take the embeddings of the texts at these places."""
        self._places.append(places)
        self._parts.append(self._make(embeddings))

    def vectors(self) -> list[Vectors | None]:
        """Return the vectors of each request's documents."""
        everything: Any = None
        where = np.empty(len(self.texts.unique), np.int64)
        if self._parts:
            join: Callable[[Any], Any] = joined_tokens if self._make is unit_tokens else np.concatenate
            everything = join(self._parts) if len(self._parts) > 1 else self._parts[0]
            where[np.concatenate(self._places)] = np.arange(len(where))
        return [
            self._make(own) if isinstance(own, TokenEmbeddings) else everything[where[places]]
            for own, places in zip(self._own, self.texts.places, strict=True)
        ]
