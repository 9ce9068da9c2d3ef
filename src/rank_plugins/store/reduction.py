"""TokenReduction: fewer token vectors per document, by a skip-list and by pooling.

Pooling is Clavié, Chaffin and Adams 2024, "Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance
Impact via Token Pooling": Ward clusters of a document's tokens on their cosine distances, a vector for each.

Shapes: N documents, D tokens of one document, K dimensions.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import string
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._extras import require
from rank_plugins._threads import run_each, thread_count
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError, RankPluginsError, StoreError
from rank_plugins.store.projection import check_float32, lengths

SKIPS = ("punctuation", "stop_words")

# Words of grammar alone. Negations and words of number or comparison stay: they change what a sentence says.
FUNCTION_WORDS = """
    a an the this that these those
    i me my mine we us our ours you your yours he him his she her hers it its they them their theirs
    myself ourselves yourself yourselves himself herself itself themselves
    who whom whose which what when where why how
    am is are was were be been being do does did doing have has had having
    can could may might must shall should will would
    and or but if then than so because as while although though whether
    of in on at by for with from to into onto about between through during upon within
    there here also such
"""
STOP_WORDS = frozenset(FUNCTION_WORDS.split())

# A document of more tokens is pooled in parts of equal length: distances take memory as its square.
TOKENS_AT_ONCE = 2048


@dataclasses.dataclass(frozen=True)
class TokenReduction:
    """Which token vectors of a document are kept, and how many are pooled into one.

    Attributes:
        pool: keep about one vector for so many tokens; 1 keeps all. Needs the extra pooling.
        skip: leave out tokens of these kinds: "punctuation", "stop_words" (English).

    Raises:
        InputError: `pool` less than 1, or an unknown kind.
        InputTypeError: `pool` is not a whole number, or `skip` not a sequence of str.

    """

    pool: int = 1
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", whole_number(self.pool, "pool", 1))
        if isinstance(self.skip, (str, bytes)) or not isinstance(self.skip, Sequence):
            raise InputTypeError(f"skip: expected a tuple of str, got {type(self.skip).__name__} {self.skip!r}")
        for kind in self.skip:
            if kind not in SKIPS:
                raise InputError(f"skip: expected among {', '.join(SKIPS)}, got {kind!r}")
        object.__setattr__(self, "skip", tuple(kind for kind in SKIPS if kind in self.skip))

    def apply(self, embeddings: TokenEmbeddings, tokens: Sequence[Sequence[str]] | None = None) -> TokenEmbeddings:
        """Return float32 documents with fewer token vectors: `skip_tokens`, then `pool_tokens`.

        Raises:
            InputError: tokens are missing where `skip` needs them, or do not fit the vectors.
            InputTypeError: not float32 TokenEmbeddings.
            MissingExtraError: pooling needs scipy.

        """
        return self.pool_tokens(self.skip_tokens(embeddings, tokens))

    def skip_tokens(
        self, embeddings: TokenEmbeddings, tokens: Sequence[Sequence[str]] | None = None
    ) -> TokenEmbeddings:
        """Return float32 documents without the tokens that `skip` names.

        A document that would lose all its tokens keeps them all.

        Args:
            embeddings: float32, N documents.
            tokens: for each document its tokens as WordPiece spells them, one per vector, as
                `OnnxEncoder.document_tokens` returns them. A word in several pieces is no stop word.

        Raises:
            InputError: tokens are missing where `skip` needs them, or do not fit the vectors.
            InputTypeError: not float32 TokenEmbeddings.

        """
        check_float32(embeddings, "embeddings")
        if not self.skip:
            return embeddings
        if tokens is None:
            raise InputError(
                f"tokens: expected them, because skip={self.skip} goes by their text, got None;"
                " OnnxEncoder.document_tokens returns them"
            )
        if len(tokens) != len(embeddings):
            raise InputError(f"tokens: expected {len(embeddings)} lists (the documents), got {len(tokens)}")
        keep: list[NDArray[np.bool_]] = []
        for i, (vectors, texts) in enumerate(zip(embeddings, tokens, strict=True)):
            if len(texts) != len(vectors):
                raise InputError(f"tokens[{i}]: expected {len(vectors)} of them (the vectors), got {len(texts)}")
            keep.append(self._kept(texts))
        if not keep:
            return embeddings
        values, offsets = _room([int(kept.sum()) for kept in keep], embeddings.dim)
        for i, vectors in enumerate(embeddings):
            np.compress(keep[i], vectors, axis=0, out=values[offsets[i] : offsets[i + 1]])
        return TokenEmbeddings(values, offsets)

    def pool_tokens(self, embeddings: TokenEmbeddings) -> TokenEmbeddings:
        """Return float32 documents with their tokens pooled, each document for itself.

        The first token, which stands for the whole text, stays as it is. The n others become max(1, n // pool)
        clusters by Ward's linkage on 1 - cosine; each is replaced by the mean of its tokens, scaled to their mean
        length, in the order of their first tokens. A document of more than 2,048 others is pooled part by part.

        Raises:
            InputTypeError: not float32 TokenEmbeddings.
            MissingExtraError: pooling needs scipy.

        """
        check_float32(embeddings, "embeddings")
        if self.pool == 1:
            return embeddings
        require("scipy")
        if not len(embeddings):
            return embeddings
        parts = [_parts(tokens, self.pool) for tokens in embeddings.tokens.tolist()]
        values, offsets = _room([sum(clusters for _, clusters in document) for document in parts], embeddings.dim)

        def work(i: int) -> None:
            vectors, start, row = embeddings[i], 0, int(offsets[i])
            for count, clusters in parts[i]:
                values[row : row + clusters] = _pooled(vectors[start : start + count], clusters)
                start, row = start + count, row + clusters

        run_each(work, range(len(embeddings)), thread_count(None))
        return TokenEmbeddings(values, offsets)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return {"pool": self.pool, "skip": list(self.skip)}

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> TokenReduction:
        """Return the reduction that `to_dict` described.

        Raises:
            StoreError: not such settings.

        """
        if not isinstance(settings, dict) or settings.keys() != {"pool", "skip"}:
            raise StoreError(f"reduction: expected the settings pool and skip, got {settings!r}; update rank-plugins")
        try:
            return cls(**settings)
        except RankPluginsError as error:
            raise StoreError(f"reduction: expected settings of this version ({error}); update rank-plugins") from error

    def _kept(self, tokens: Sequence[str]) -> NDArray[np.bool_]:
        """Return which tokens of a document stay, bool [D]."""
        pairs = itertools.pairwise((*tokens, ""))
        keep = np.fromiter((not self._skips(token, after) for token, after in pairs), np.bool_, len(tokens))
        return keep if keep.any() else ~keep

    def _skips(self, token: str, after: str) -> bool:
        """Whether a token is left out; `after` is the one behind it."""
        if "punctuation" in self.skip and _is_punctuation(token):
            return True
        return "stop_words" in self.skip and token.lower() in STOP_WORDS and not after.startswith("##")


@functools.lru_cache(maxsize=1 << 16)
def _is_punctuation(token: str) -> bool:
    """Whether a token is made of punctuation alone: what ASCII counts as such, and Unicode's categories P."""
    return all(sign in string.punctuation or unicodedata.category(sign).startswith("P") for sign in token)


def _room(tokens: list[int], dim: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return an array for the vectors of documents of so many tokens, and the documents' offsets in it."""
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(tokens, dtype=np.int64)))
    return np.empty((int(offsets[-1]), dim), np.float32), offsets


def _parts(tokens: int, pool: int) -> list[tuple[int, int]]:
    """Cut a document into runs of tokens, and return of each its length and how many clusters it becomes."""
    rest = max(tokens - 1, 0)
    cuts = np.linspace(0, rest, -(-rest // TOKENS_AT_ONCE) + 1).astype(int)
    return [(1, 1)][:tokens] + [(count, max(1, count // pool)) for count in np.diff(cuts).tolist()]


def _pooled(vectors: NDArray[np.float32], clusters: int) -> NDArray[np.float32]:
    """Return the means of Ward clusters of vectors [D, K], scaled to the mean length of their members."""
    if clusters == len(vectors):
        return vectors
    sizes = lengths(vectors)
    label = _ward(vectors, sizes, clusters)
    counts = np.bincount(label)
    members, starts = np.argsort(label, kind="stable"), np.cumsum(counts) - counts
    sums: NDArray[np.float32] = vectors[members[starts]]
    for place in range(1, int(counts.max())):  # most clusters are small: faster than np.add.reduceat
        more = np.flatnonzero(counts > place)
        sums[more] += vectors[members[starts[more] + place]]
    long = lengths(sums)
    factors = np.divide(np.bincount(label, sizes) / counts, long, out=np.zeros_like(long), where=long > 0)
    np.multiply(sums, factors[:, None], out=sums, casting="same_kind")
    return sums


def _ward(vectors: NDArray[np.float32], sizes: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
    """Return each vector's cluster, int64 [D], numbered in the order of their first members."""
    hierarchy, distance = require("scipy.cluster.hierarchy"), require("scipy.spatial.distance")
    count = len(vectors)
    factors = np.divide(1, sizes, out=np.zeros_like(sizes), where=sizes > np.finfo(np.float32).tiny)
    unit = vectors * factors[:, None].astype(np.float32)
    distances = unit @ unit.T
    np.maximum(np.subtract(1, distances, out=distances), 0, out=distances)
    tree = hierarchy.linkage(distance.squareform(distances, checks=False), method="ward")
    # Row i of the tree joins two clusters to the cluster count + i, nearest first; so many joins leave `clusters`.
    joins = count - clusters
    owner = np.arange(count + joins)
    owner[tree[:joins, :2].astype(np.int64)] = np.arange(count, count + joins)[:, None]
    while not np.array_equal(owner, owner[owner]):
        owner = owner[owner]
    _, first, label = np.unique(owner[:count], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label]
