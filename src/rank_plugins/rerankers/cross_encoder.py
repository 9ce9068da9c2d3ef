"""CrossEncoderReranker: a model reads query and document together."""

from __future__ import annotations

import contextvars
import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins import _deadline, cross_encoders
from rank_plugins._ahead import ahead
from rank_plugins._batches import batches
from rank_plugins._checks import whole_number
from rank_plugins._progress import progress
from rank_plugins._threads import run_each, thread_count
from rank_plugins.cross_encoders import ACTIVATIONS, CrossEncoder, Piece
from rank_plugins.cross_encoders.cross_encoder import Pair
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker

DEFAULT_MODEL = "cross-encoder/ms-marco-MiniLM-L6-v2"
POOLS: dict[str, np.ufunc] = {"max": np.maximum, "mean": np.add}
LONG_DOCUMENTS = (*POOLS, "first")
PAIRS_AT_ONCE = 2048  # cut and sorted together: bounds the memory of a long list
CHARACTERS_AT_ONCE = 4_000_000  # of their documents, where these are long; one document may exceed it


class CrossEncoderReranker(Reranker):
    """Ranks documents by a cross-encoder's score of the pair (query, document).

    A document longer than the model's window is read in overlapping windows, and their best number counts. The pairs
    of all queries of a call are sorted by length and run together, up to a number of tokens with their padding, so
    little is padding. Portions of a long list follow each other, so memory does not grow with it. A pair that occurs
    several times in a call is scored once. One model serves all rerankers of this process that ask for the same.
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        engine: str = "auto",
        max_length: int | None = None,
        long_documents: Literal["max", "mean", "first"] = "max",
        activation: str = "default",
        batch_tokens: int | None = None,
        threads: int | None = None,
        show_progress: bool = False,
        **options: Any,
    ) -> None:
        """Choose the model; it is loaded when documents are first ranked.

        Args:
            model: a folder, a name on the hub, a `CrossEncoder` of sentence-transformers, a reranker of FlagEmbedding,
                a `Ranker` of FlashRank, or a ranker of the library rerankers.
            engine: "auto" goes by the model's files: an ONNX graph runs in onnxruntime or OpenVINO, without torch,
                other models in their library. `rank_plugins.cross_encoders.ENGINES` has the names.
            max_length: tokens of query and document together, special tokens included; None takes the model's own.
            long_documents: of a document longer than the window, "max" takes the best window's number, "mean" the
                mean of all, "first" only what fits, with a warning; `details` has the indices as "truncated".
            activation: what becomes of the model's number: "default" is its own choice, "none" leaves the logit,
                "sigmoid" gives 0 to 1.
            batch_tokens: run together at most, padding included; one pair may exceed it. None takes the engine's own.
                Pairs of a model whose scores would depend on what runs beside them run one by one all the same.
            threads: how many at most, for ONNX graphs; None uses RANK_PLUGINS_THREADS or every usable core.
            show_progress: show a bar.
            options: those of the engine, such as device="cuda:1" or revision=...; docs/cross-encoders.md lists them.

        Raises:
            InputError: an unknown engine, activation or pool, batch_tokens or threads below 1, a folder without model.
            InputTypeError: another type, or an option that the engine does not know.

        """
        if activation not in ACTIVATIONS:
            raise InputError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        if long_documents not in LONG_DOCUMENTS:
            raise InputError(f"long_documents: expected one of {', '.join(LONG_DOCUMENTS)}, got {long_documents!r}")
        self._batch_tokens = None if batch_tokens is None else whole_number(batch_tokens, "batch_tokens", 1)
        thread_count(threads)
        if max_length is not None:
            options["max_length"] = whole_number(max_length, "max_length", 1)
        self._name = os.fspath(model) if isinstance(model, (str, os.PathLike)) else type(model).__name__
        self._load: Callable[[], CrossEncoder] = cross_encoders.prepare(model, engine, options)
        self._long, self._activation = long_documents, activation
        self._threads, self._show_progress = threads, show_progress
        self._model: CrossEncoder | None = None
        self._lock = threading.Lock()
        self._warned = threading.Event()

    def __repr__(self) -> str:
        return f"CrossEncoderReranker({self._name!r})"

    @property
    def fingerprint(self) -> str | None:
        """What decides the scores: the model, its window, and what becomes of windows and numbers."""
        return f"cross-encoder {self._loaded().fingerprint} {self._long} {self._activation}"

    def warm_up(self) -> None:
        """Load the model now.

        Raises:
            InputError: it cannot be found, is no cross-encoder, or gives several numbers for a pair.
            MissingExtraError: the library that runs it is not installed.
            StoreError: its files are missing or damaged.

        """
        self._loaded()

    def close(self) -> None:
        """Let go of the model; it is freed when no other reranker uses it. Ranking again loads it again."""
        with self._lock:
            self._model = None

    def _loaded(self) -> CrossEncoder:
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._model

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        pairs: dict[Pair, int] = {}
        places = []
        for request in requests:
            if not isinstance(request.query, str) or not isinstance(request.documents, list):
                raise InputTypeError(f"{self!r}: expected query and documents as text, got embeddings")
            one = [
                pairs.setdefault((request.query, text), len(pairs)) if text.strip() else -1
                for text in request.documents
            ]
            places.append(np.array(one, np.int64))
        start = time.perf_counter()
        found = _Found.empty(len(pairs))
        if pairs:
            model = self._loaded()
            self._score(model, list(pairs), found)
            self._tell(int(found.cut.sum()), model.window)
        seconds = time.perf_counter() - start
        return [Ranking.from_scores(found.scores[place], top_k, found.details(place, seconds)) for place in places]

    def _score(self, model: CrossEncoder, pairs: list[Pair], found: _Found) -> None:
        """Fill in what is found of each pair."""
        first_only = self._long == "first"
        portions = _portions(pairs)

        def pieces(portion: slice) -> tuple[list[Piece], list[int]]:
            return model.pieces(pairs[portion], first_only=first_only)

        with (
            progress(len(pairs), "pair", show=self._show_progress) as advance,
            ahead(pieces, portions) as coming,
        ):
            for here, (cut, lost) in zip(portions, coming, strict=True):
                owners = np.array([piece.pair for piece in cut])
                numbers = self._run(model, cut, found.tokens)
                if np.isnan(numbers).any():
                    query, text = pairs[here.start + int(owners[np.argmax(np.isnan(numbers))])]
                    raise InputError(
                        f"model: gave NaN for query {query[:40]!r} and document {text[:40]!r}; check its weights"
                    )
                begins = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
                counts = np.diff(np.r_[begins, len(owners)])
                pooled = POOLS.get(self._long, np.maximum).reduceat(numbers, begins)
                pooled = pooled / counts if self._long == "mean" else pooled
                found.scores[here] = model.activated(pooled, self._activation)
                found.windows[here] = counts
                found.cut[here.start + np.array(lost, np.int64)] = True
                advance(len(counts))

    def _run(self, model: CrossEncoder, pieces: list[Piece], tokens: dict[str, int]) -> NDArray[np.float64]:
        """Return the number of each piece, and count tokens with and without padding."""
        numbers = np.empty(len(pieces))
        lengths = np.array([piece.tokens for piece in pieces], np.int64)
        together = model.batch_tokens if model.batch_tokens == 1 else self._batch_tokens or model.batch_tokens
        groups = batches(lengths, together)
        tokens["real"] += int(lengths.sum())
        tokens["padded"] += sum(int(lengths[group].max()) * len(group) for group in groups)
        context = contextvars.copy_context()

        def work(group: list[int]) -> None:
            context.copy().run(_deadline.check)
            numbers[group] = model.run([pieces[i].content for i in group])

        run_each(work, groups, thread_count(self._threads) if model.parallel else 1)
        return numbers

    def _tell(self, cut: int, window: int | None) -> None:
        """Warn of documents that were cut, once."""
        if cut and not self._warned.is_set():
            self._warned.set()
            warnings.warn(
                f"{self!r}: {cut} of these documents (or their queries) are longer than the model's window of"
                f" {window} tokens and were cut; details['truncated'] of a ranking has their indices"
                " (this is said once)",
                UserWarning,
                stacklevel=4,
            )


class _Found(NamedTuple):
    """What is known of each pair; the last place is that of documents without text."""

    scores: NDArray[np.float64]
    cut: NDArray[np.bool_]
    windows: NDArray[np.int64]
    tokens: dict[str, int]

    @classmethod
    def empty(cls, count: int) -> _Found:
        """Return what is known before any pair is scored."""
        return cls(
            np.full(count + 1, -np.inf), np.zeros(count + 1, bool), np.zeros(count + 1, np.int64),
            {"real": 0, "padded": 0},
        )  # fmt: skip

    def details(self, place: NDArray[np.int64], seconds: float) -> dict[str, Any]:
        """Return what `details` says of documents whose pairs are at these places, and of the call."""
        windows = self.windows[place]
        return {
            "timings": {"scoring": seconds},
            "tokens": dict(self.tokens),
            "truncated": np.flatnonzero(self.cut[place]).tolist(),
            "windows": {i: int(windows[i]) for i in np.flatnonzero(windows > 1).tolist()},
        }


def _portions(pairs: Sequence[Pair]) -> list[slice]:
    """Return the runs of pairs that are in memory as tokens at once."""
    starts, characters = [0], 0
    for i, (_, text) in enumerate(pairs):
        if i - starts[-1] >= PAIRS_AT_ONCE or (i > starts[-1] and characters + len(text) > CHARACTERS_AT_ONCE):
            starts.append(i)
            characters = 0
        characters += len(text)
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(pairs)], strict=True)]
