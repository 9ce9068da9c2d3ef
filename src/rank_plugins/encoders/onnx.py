"""OnnxEncoder: token embeddings from an ONNX model, among them the one inside this package."""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rank_plugins._batches import batches
from rank_plugins._engines import VECTORS, Engine, choose, open_graph
from rank_plugins._progress import progress
from rank_plugins._threads import run_each, thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders._files import SETTINGS, check_sums, find_folder, fingerprint, read_settings
from rank_plugins.encoders._roles import read_tokenizers
from rank_plugins.encoders._tokenize import Window
from rank_plugins.encoders.encoder import Role, Token, check_role, clean_texts
from rank_plugins.errors import InputError, RankPluginsError, StoreError

MINILM = Path(__file__).parent / "minilm"
LONG_DOCUMENTS = ("windows", "first")

_log = logging.getLogger(__name__)


def minilm(
    *,
    engine: str = "auto",
    long_documents: Literal["windows", "first"] = "windows",
    threads: int | None = None,
) -> OnnxEncoder:
    """Return the embedded encoder, all-MiniLM-L6-v2; see `OnnxEncoder` for the options."""
    return OnnxEncoder(MINILM, engine=engine, long_documents=long_documents, threads=threads)


class OnnxEncoder:
    """Encodes text with a BERT-like ONNX model; one vector per token, special tokens included.

    A text longer than the model's window is encoded in overlapping windows whose tokens are concatenated:
    under MaxSim the best match over all windows comes out by itself. A query keeps its first window.
    Padding never becomes a token. Safe to use from several threads.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        engine: str = "auto",
        long_documents: Literal["windows", "first"] = "windows",
        threads: int | None = None,
    ) -> None:
        """Load the model; encoders over the same files and engine share it.

        Args:
            model: a folder with tokenizer.json and an ONNX graph, or a hub name (needs huggingface_hub).
            engine: "onnxruntime", "openvino", or "auto" for the fastest that is installed.
            long_documents: "windows" encodes all of a document, "first" only what fits one window.
            threads: how many at most; None uses RANK_PLUGINS_THREADS or every usable core.

        Raises:
            InputError: an unknown option, or a model that cannot be found.
            MissingExtraError: the engine, or what fetches the model, is not installed.
            StoreError: files are missing, damaged or not such a model.

        """
        if long_documents not in LONG_DOCUMENTS:
            raise InputError(f"long_documents: expected one of {', '.join(LONG_DOCUMENTS)}, got {long_documents!r}")
        thread_count(threads)
        self.engine = choose(engine)
        self._folder = find_folder(model)
        self._first_only = long_documents == "first"
        self._threads = threads
        self._settings = read_settings(self._folder)
        check_sums(self._folder)
        self._tokenizers = read_tokenizers(self._folder, self._settings, thread_count(threads))
        path = self._settings.graph(self._folder, self.engine)
        graph = open_graph(self.engine, path, VECTORS)
        if graph.expands != bool(self._settings.expanded):
            expected = "that expands queries" if self._settings.expanded else "without query expansion"
            raise StoreError(f"{path}: expected a graph {expected}, as {SETTINGS} says; export the model again")
        self._graph: Engine | None = graph
        self._warned = threading.Event()

    def __repr__(self) -> str:
        return f"OnnxEncoder({self._folder.name!r}, engine={self.engine!r})"

    @functools.cached_property
    def dim(self) -> int:
        """K, the dimension of every vector."""
        ids = np.zeros((1, 1), np.int64)
        return int(self._run(ids, np.ones_like(ids)).shape[2])

    @functools.cached_property
    def fingerprint(self) -> str:
        """What decides the vectors: the model's files and settings, and how long documents are cut; no engine."""
        return fingerprint(self._folder, self._settings, "first" if self._first_only else "windows")

    def close(self) -> None:
        """Let go of the model; a later call to encode raises."""
        self._graph = None

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Return the token embeddings of each query, float32, vectors of length 1 where the model says so.

        A query longer than the window keeps its first window, with one warning.

        Raises:
            InputTypeError: not a list of str.

        """
        windows, long = self._tokenizers["query"].windows(clean_texts(texts, "queries"), first_only=True)
        if long and not self._warned.is_set():
            self._warned.set()
            most = self._settings.role("query").max_length
            warnings.warn(
                f"a query is longer than {most} tokens and only its start is used; shorten it (this is said once)",
                UserWarning,
                stacklevel=2,
            )
        return self._encode(len(texts), windows, "query", show_progress=False)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:
        """Return the token embeddings of each document, float32, vectors of length 1 where the model says so.

        Raises:
            InputTypeError: not a list of str.

        """
        windows, long = self._document_windows(texts)
        if long:
            _log.info("%d of %d documents are longer than %d tokens", len(long), len(texts), self._settings.max_length)
        return self._encode(len(texts), windows, "document", show_progress=show_progress)

    def document_tokens(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the tokens of each document, special ones included: one per vector of `encode_documents`.

        Raises:
            InputTypeError: not a list of str.

        """
        windows, _ = self._document_windows(texts)
        tokens: list[list[str]] = [[] for _ in texts]
        for window in windows:
            tokens[window.text] += self._tokenizers["document"].names(window)
        return tokens

    def tokens(self, texts: Sequence[str], role: Role) -> list[list[Token]]:
        """Return the token behind every vector that `encode_queries` or `encode_documents` gives these texts.

        Raises:
            InputError: an unknown role.
            InputTypeError: not a list of str.

        """
        check_role(role)
        first_only = role == "query" or self._first_only
        return [self._tokenizers[role].placed(text, first_only=first_only) for text in clean_texts(texts, "texts")]

    def _document_windows(self, texts: Sequence[str]) -> tuple[list[Window], list[int]]:
        """Return the windows of the documents in order, and the documents that are longer than one."""
        return self._tokenizers["document"].windows(clean_texts(texts, "documents"), first_only=self._first_only)

    def _encode(self, count: int, windows: Sequence[Window], role: Role, *, show_progress: bool) -> TokenEmbeddings:
        lengths = np.fromiter((len(window.ids) for window in windows), np.int64, len(windows))
        found = np.fromiter((window.vectors for window in windows), np.int64, len(windows))
        starts = np.cumsum(found) - found
        tokens = np.zeros(count, np.int64)
        np.add.at(tokens, [window.text for window in windows], found)
        values = np.empty((int(found.sum()), self.dim), np.float32)

        def work(batch: list[int]) -> None:
            self._fill(values, starts, windows, batch, role)
            advance(len(batch))

        budget = self._settings.tokens_per_batch if self._graph and self._graph.batches else 1
        width = np.maximum(lengths, self._settings.role(role).expanded)
        with progress(len(windows), "text", show=show_progress) as advance:
            run_each(work, batches(width, budget), thread_count(self._threads))
        return TokenEmbeddings(values, np.concatenate(([0], np.cumsum(tokens))))

    def _fill(
        self,
        values: NDArray[np.float32],
        starts: NDArray[np.int64],
        windows: Sequence[Window],
        batch: Sequence[int],
        role: Role,
    ) -> None:
        """Encode the windows of one batch and write their vectors to their rows of `values`."""
        width = max(len(windows[i].ids) for i in batch)
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros_like(ids)
        for row, i in enumerate(batch):
            ids[row, : len(windows[i].ids)] = windows[i].ids
            mask[row, : len(windows[i].ids)] = 1
        vectors = self._run(ids, mask, query=role == "query")
        if self._settings.normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-12)
        for row, i in enumerate(batch):
            kept = windows[i].kept
            own = vectors[row, : len(windows[i].ids)] if kept is None else vectors[row, : len(kept)][kept]
            values[starts[i] : starts[i] + len(own)] = own

    def _run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], *, query: bool = False) -> NDArray[np.float32]:
        graph = self._graph
        if graph is None:
            raise RankPluginsError(f"{self!r} is closed; make another one")
        return graph.run(ids, mask, query=query)
