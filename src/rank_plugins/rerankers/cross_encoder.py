"""CrossEncoderReranker: a model reads query and document together; sentence-transformers runs it."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._batches import batches
from rank_plugins._checks import whole_number
from rank_plugins._extras import require
from rank_plugins._shared import shared
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker

DEFAULT_MODEL = "cross-encoder/ms-marco-MiniLM-L6-v2"
ACTIVATIONS = ("default", "none", "sigmoid")
PAIRS_AT_ONCE = 4096  # tokenised together: bounds the memory of a long list


class CrossEncoderReranker(Reranker):
    """Ranks documents by a cross-encoder's score of the pair (query, document).

    Pairs run in batches of about equal length, up to a number of tokens with their padding, so memory does not grow
    with the list or with its longest text. A pair that occurs several times in a call is scored once. A document
    longer than the model's window is cut: `details` has the indices of those as "truncated", and the first one of a
    reranker warns. One model serves all rerankers of this process that ask for the same.
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        max_length: int | None = None,
        batch_tokens: int = 8192,
        activation: str = "default",
        device: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Choose the model; it is loaded when documents are first ranked.

        Args:
            model: a folder, a name on the hub, or a `sentence_transformers.CrossEncoder`, which is used as it is.
            max_length: tokens of query and document together, special tokens included; None takes the model's own.
            batch_tokens: run together at most, padding included; one pair may exceed it.
            activation: what becomes of the model's number: "default" is its own choice, "none" leaves the logit,
                "sigmoid" gives 0 to 1.
            device: such as "cpu" or "cuda:1"; None lets sentence-transformers choose.
            revision: of the model on the hub.
            trust_remote_code: run code that the model's folder holds.
            model_kwargs: passed on to transformers, such as {"dtype": "bfloat16"}.

        Raises:
            InputError: an unknown activation, batch_tokens or max_length below 1.
            InputTypeError: another type, or options beside a model that is already made.

        """
        if activation not in ACTIVATIONS:
            raise InputError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self._batch_tokens = whole_number(batch_tokens, "batch_tokens", 1)
        max_length = None if max_length is None else whole_number(max_length, "max_length", 1)
        options = {
            "max_length": max_length,
            "device": device,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
            "model_kwargs": None if model_kwargs is None else dict(model_kwargs),
        }
        self._activation = activation
        self._made: Any = None
        if isinstance(model, (str, os.PathLike)):
            self._name = os.fspath(model)
            self._options = options
        elif not callable(getattr(model, "predict", None)) or not hasattr(model, "tokenizer"):
            raise InputTypeError(f"model: expected a folder, a name or a CrossEncoder, got {type(model).__name__}")
        elif given := [name for name, value in options.items() if value]:
            raise InputTypeError(f"model: {', '.join(given)} cannot change a CrossEncoder that is already made")
        else:
            self._name, self._made = type(model).__name__, model
        self._model: _Model | None = None
        self._lock = threading.Lock()
        self._warned = threading.Event()

    def __repr__(self) -> str:
        return f"CrossEncoderReranker({self._name!r})"

    def warm_up(self) -> None:
        """Load the model now.

        Raises:
            InputError: it cannot be found, is no cross-encoder, or gives several numbers for a pair.
            MissingExtraError: sentence-transformers is not installed.

        """
        self._loaded()

    def close(self) -> None:
        """Let go of the model; it is freed when no other reranker uses it. Ranking again loads it again."""
        with self._lock:
            self._model = None

    def _loaded(self) -> _Model:
        with self._lock:
            if self._model is None:
                if self._made is not None:
                    key: tuple[Any, ...] = ("cross-encoder", id(self._made))
                else:
                    key = ("cross-encoder", _place(self._name), repr(sorted(self._options.items())))
                self._model = shared(key, lambda: _Model(self._made or _load(self._name, self._options)))
            return self._model

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        pairs: dict[tuple[str, str], int] = {}
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
        scores, cut = np.full(len(pairs) + 1, -np.inf), np.zeros(len(pairs) + 1, bool)  # the last one is no pair
        if pairs:
            model = self._loaded()
            scores[:-1], cut[:-1] = model.scores(list(pairs), self._batch_tokens, self._activation)
            self._tell(int(cut.sum()), model.window)
        seconds = time.perf_counter() - start
        return [
            Ranking.from_scores(
                scores[place],
                top_k,
                {"timings": {"scoring": seconds}, "truncated": np.flatnonzero(cut[place]).tolist()},
            )
            for place in places
        ]

    def _tell(self, cut: int, window: int | None) -> None:
        """Warn of documents that were cut, once."""
        if cut and not self._warned.is_set():
            self._warned.set()
            warnings.warn(
                f"{self!r}: {cut} of these documents are longer than the model's window of"
                f" {window} tokens and were cut; details['truncated'] of a ranking has their indices"
                " (this is said once)",
                UserWarning,
                stacklevel=4,
            )


class _Model:
    """A loaded CrossEncoder and its lock: tokenizers that transformers configures per call are not thread-safe."""

    def __init__(self, model: Any) -> None:
        if model.num_labels != 1:
            raise InputError(
                f"model: expected one number for a pair, got {model.num_labels}; choose a model that ranks"
            )
        self._model = model
        self._lock = threading.Lock()

    @property
    def window(self) -> int | None:
        """Tokens of a pair at most; None without a limit."""
        length = self._model.max_seq_length
        return None if length is None else int(length)

    def scores(
        self, pairs: list[tuple[str, str]], budget: int, activation: str
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the score of each pair, and whether it was cut."""
        scores, cut = np.empty(len(pairs)), np.zeros(len(pairs), bool)
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            part = pairs[start : start + PAIRS_AT_ONCE]
            with self._lock:
                lengths = self._lengths(part)
            window = self.window or int(lengths.max())
            cut[start : start + len(part)] = lengths > window
            for batch in batches(np.minimum(lengths, window), budget):
                with self._lock:  # let go between batches, so that a short list need not wait for a long one
                    found = self._predict([part[i] for i in batch], activation)
                scores[start + np.array(batch)] = found
        if np.isnan(scores).any():
            query, text = pairs[int(np.argmax(np.isnan(scores)))]
            raise InputError(f"model: gave NaN for query {query[:40]!r} and document {text[:40]!r}; check its weights")
        return scores, cut

    def _lengths(self, pairs: list[tuple[str, str]]) -> NDArray[np.int64]:
        """Count the tokens of each pair, int64 [n], before any is cut."""
        queries, texts = zip(*pairs, strict=True)
        found = self._model.tokenizer(list(queries), list(texts), truncation=False, padding=False, verbose=False)
        return np.array([len(ids) for ids in found["input_ids"]], np.int64)

    def _predict(self, pairs: list[tuple[str, str]], activation: str) -> NDArray[Any]:
        torch = require("torch")
        function = {"default": None, "none": torch.nn.Identity(), "sigmoid": torch.nn.Sigmoid()}[activation]
        found = self._model.predict(pairs, batch_size=len(pairs), activation_fn=function, show_progress_bar=False)
        return np.asarray(found, np.float64)


def _place(name: str) -> str:
    """Return the path of a folder, the same for every way to write it; the name of anything else."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name


def _load(name: str, options: dict[str, Any]) -> Any:
    """Load the model; its weights come from safetensors, unless the caller's model_kwargs say otherwise."""
    library = require("sentence_transformers")
    options = options | {"model_kwargs": {"use_safetensors": True, **(options["model_kwargs"] or {})}}
    try:
        model = library.CrossEncoder(_place(name), **options)
    except (OSError, ValueError) as error:  # what the hub and transformers raise for names and folders
        raise InputError(
            f"model: {name!r} could not be loaded as a cross-encoder ({error}); give its folder, or a name on the hub"
        ) from error
    _check_head(name, model)
    return model


def _check_head(name: str, model: Any) -> None:
    """Refuse an encoder: transformers gives it a head for ranking whose weights are drawn at random."""
    head, saved = "ForSequenceClassification", getattr(model.config, "architectures", None)
    runs = type(getattr(model, "model", None)).__name__
    if saved and runs.endswith(head) and not any(kind.endswith(head) for kind in saved):
        raise InputError(
            f"model: expected a cross-encoder, got {name!r} of {', '.join(saved)}, which was not trained to rank and"
            " would score at random; give a cross-encoder, or use the encoder in rank-maxsim: encoder=..."
        )
