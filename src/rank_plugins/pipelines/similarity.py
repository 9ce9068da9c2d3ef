"""How alike the documents of one query are: by MaxSim, by single vectors, or by numbers that the caller has.

Shapes: N documents, K dimensions, U distinct documents of a call.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins import simd
from rank_plugins._arrays import PackedQueries
from rank_plugins._checks import on_cpu
from rank_plugins._maxsim import KERNEL_OF, SPEED, WORK_PER_THREAD, Queries
from rank_plugins._threads import run_each, thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.quantize import converted, float32_rows

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

AT_ONCE = 8  # documents that are worth comparing together where a comparison is dear: enough for several threads
TOKENS_AT_ONCE = 1 << 10  # of a conversion: what it works on stays in the cache
DECIMALS = 6  # of a cosine in int8 that are not rounding; equal documents then have a similarity of 1
ASYMMETRY = 1e-6  # of a given matrix, that is taken for rounding


class Similarities(abc.ABC):
    """The similarities of N documents, computed when asked for. A document's similarity to itself counts as 1."""

    at_once: int | None = None
    """How many documents to compare with another at a time; None where all cost no more than one."""

    @abc.abstractmethod
    def row(self, i: int, others: Integers, least: float = -np.inf) -> Floats:
        """Return the similarity of document i to each of the others, float64 [n].

        Where a similarity is below `least`, any number below it may stand for it.
        """


class Matrix(Similarities):
    """Similarities that are already there."""

    def __init__(self, values: Floats) -> None:
        """Take them, float64 [N, N], checked."""
        self._values = values

    def row(self, i: int, others: Integers, least: float = -np.inf) -> Floats:  # noqa: ARG002 - nothing is saved by it
        """Return what is there."""
        values: Floats = self._values[i, others]
        return values


class Cosines(Similarities):
    """Cosines of single vectors."""

    def __init__(self, vectors: Floats) -> None:
        """Take vectors of length 1 (or 0, like nothing), float64 [N, K]."""
        self._vectors = vectors

    def row(self, i: int, others: Integers, least: float = -np.inf) -> Floats:  # noqa: ARG002 - nothing is saved by it
        """Return the cosines, without the last digits: a product's rounding must not tell equal documents apart."""
        cosines: Floats = np.round(self._vectors @ self._vectors[i], 12)[others]
        return cosines


class MaxSims(Similarities):
    """Symmetric mean MaxSim: (maxsim(a, b) / tokens of a + maxsim(b, a) / tokens of b) / 2, over cosines, in int8."""

    at_once = AT_ONCE

    def __init__(self, units: TokenEmbeddings, threads: int | None = None) -> None:
        """Take what `unit_tokens` returns, N documents."""
        self._units, self._threads = units, thread_count(threads)
        self._alone = [units[i : i + 1] for i in range(len(units))]
        self._queries: list[Queries | None] = [None] * len(units)

    def row(self, i: int, others: Integers, least: float = -np.inf) -> Floats:
        """Return the similarities; the way back is not gone where the way there already shows that it is too far."""
        tokens, documents = self._units.tokens, self._units[others]
        work = int(tokens[i]) * int(documents.tokens.sum()) * self._units.dim // SPEED["I8"]
        threads = min(self._threads, max(1, work // WORK_PER_THREAD))
        there = self._query(i).scores(documents, threads)[0].astype(np.float64) / tokens[i]
        back = np.ones(len(others))  # no cosine is more

        def go(place: int) -> None:
            j = int(others[place])
            back[place] = self._query(j).scores(self._alone[i], 1)[0, 0] / tokens[j]

        near = np.flatnonzero((there + 1) / 2 >= least - 10.0**-DECIMALS)
        run_each(go, near.tolist(), threads)
        similarities: Floats = np.round(np.minimum((there + back) / 2, 1.0), DECIMALS)
        similarities[np.setdiff1d(np.arange(len(others)), near)] = -np.inf
        return similarities

    def _query(self, i: int) -> Queries:
        """Return document i as a query, made when first asked for."""
        found = self._queries[i]
        if found is None:
            found = self._queries[i] = _Int8Query(self._alone[i])
        return found


class _Int8Query(Queries):
    """A document as a query of its own kind: its rows are converted already."""

    def __init__(self, document: TokenEmbeddings) -> None:
        self._level, self._kernel = simd.active(), KERNEL_OF["int8"]
        self._rows, self._offsets = document.contiguous()
        self._scales = document.scales
        if self._level != "numpy":
            self._packed = PackedQueries(
                self._level, self._kernel, self._rows, document.dim, self._offsets, self._scales
            )


def unit_tokens(embeddings: TokenEmbeddings) -> TokenEmbeddings:
    """Return the tokens as int8 vectors of length 1, one of length 0 for a document that has none.

    The scale of an int8 token sets its length, so that no cosine is above 1 and that of equal tokens is 1.
    """
    rows, tokens = _rows(embeddings), embeddings.tokens
    if not tokens.all():
        rows = np.insert(rows, np.cumsum(tokens)[tokens == 0], 0.0, axis=0)
        tokens = np.maximum(tokens, 1)
    values, scales = np.empty(rows.shape, np.int8), np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), TOKENS_AT_ONCE):
        part = slice(start, start + TOKENS_AT_ONCE)
        values[part], _ = converted(rows[part], "int8")
        wide = values[part].astype(np.float32)
        lengths = np.sqrt(np.einsum("tk,tk->t", wide, wide))
        np.divide(1, lengths, out=scales[part], where=lengths > 0)
    return TokenEmbeddings(values, np.concatenate([[0], np.cumsum(tokens)]), scales=scales)


def joined_tokens(parts: Sequence[TokenEmbeddings]) -> TokenEmbeddings:
    """Return what `unit_tokens` made of several parts as one."""
    tokens = np.concatenate([part.tokens for part in parts])
    values = np.concatenate([part.contiguous()[0] for part in parts])
    scales = np.concatenate([part.scales for part in parts])
    return TokenEmbeddings(values, np.concatenate([[0], np.cumsum(tokens)]), scales=scales)


def pooled(embeddings: TokenEmbeddings) -> Floats:
    """Return the mean of each document's token vectors, made to length 1, float64 [N, K]; 0 where it has no length."""
    rows, ends = _rows(embeddings), np.cumsum(embeddings.tokens)
    means = np.zeros((len(ends), rows.shape[1]))
    for i, (end, count) in enumerate(zip(ends.tolist(), embeddings.tokens.tolist(), strict=True)):
        means[i] = np.ones(count, np.float32) @ rows[end - count : end]  # the sum: its length is of no account
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return means / np.where(lengths > 0, lengths, 1.0)


def given_matrix(values: Any, count: int, where: str) -> Floats:
    """Return the caller's similarities as float64 [N, N].

    Raises:
        InputError: another shape than [count, count], values that are not finite or not symmetric.
        InputTypeError: not an array of numbers.

    """
    try:
        matrix = np.asarray(on_cpu(values), np.float64)
    except (TypeError, ValueError):
        raise InputTypeError(f"{where}: expected an array of numbers [N, N], got {type(values).__name__}") from None
    if matrix.shape != (count, count):
        raise InputError(f"{where}: expected shape [{count}, {count}] (the documents), got {list(matrix.shape)}")
    if not np.isfinite(matrix).all():
        raise InputError(f"{where}: expected finite numbers, got NaN or inf")
    if (np.abs(matrix - matrix.T) > ASYMMETRY * max(1.0, float(np.abs(matrix).max(initial=0)))).any():
        raise InputError(f"{where}: expected a symmetric matrix, got another; (S + S.T) / 2 is one")
    return matrix


def _rows(embeddings: TokenEmbeddings) -> NDArray[np.float32]:
    """Return every token as float32 [T, K]; tensors come to the CPU."""
    if not embeddings._rows.tensors:
        return float32_rows(embeddings)
    values, scales = on_cpu(embeddings.contiguous()[0]).float().numpy(), embeddings.scales
    rows: NDArray[np.float32] = values if scales is None else values * np.asarray(on_cpu(scales))[:, None]
    return rows
