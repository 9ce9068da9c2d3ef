"""Codebook: token embeddings in a few bits per dimension, by vectors learned from a sample.

| codec                | bytes per token          | a token is                                                     |
|----------------------|--------------------------|----------------------------------------------------------------|
| residual1, 2, 4      | 2 + ceil(bits K / 8) + 4 | scale * (centroid + residual), 1, 2 or 4 bits to a residual    |
| pq                   | ceil(K / 8) + 4          | scale * a word of 16 for every four dimensions, side by side   |

residual: the nearest of C centroids, and for every dimension which of 2, 4 or 16 buckets, each with one value, holds
what is missing (Santhanam et al., ColBERTv2, NAACL 2022). pq: Jegou et al., Product Quantization for Nearest Neighbor
Search, TPAMI 2011. The scale, a float32 beside the codes, gives the decoded vector the length of its source.

A row of bytes is the centroid's number (uint16, little-endian; not for pq), then the codes, the first dimension in the
highest bits as numpy.packbits orders them. Four bits of codes, whatever they stand for, are one of 16 words of a
group of dimensions; the kernel adds up what the query's product with each word is.

Shapes: T tokens, K dimension, C centroids, G groups, each of 1, 2 or 4 dimensions.
"""

from __future__ import annotations

import dataclasses
import io
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._rows import CODECS, Rows, read_only
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError, StoreError
from rank_plugins.quantize import blocks, check_arrays, float32_rows

BITS = {"residual1": 1, "residual2": 2, "residual4": 4}  # per dimension
WORDS = 16  # of a group: what four bits can tell apart
PQ_DIMENSIONS = 4  # of a group of pq: one bit per dimension
MOST_CENTROIDS = 1 << 16  # what 16 bits can number
DEFAULT_CENTROIDS = 1 << 10  # at most, unless asked for: more cost time, and 4,096 ranked no better
TOKENS_PER_CENTROID = 32  # of the sample, at least, unless asked for
SAMPLE_TOKENS = 1 << 16  # of which k-means learns the centroids; more where they are asked for
WORD_TOKENS = 1 << 15  # of which buckets and words are learned
ROUNDS = 10  # of k-means
TOKENS_AT_ONCE = 1 << 13  # bounds the memory of encoding
SCORES_AT_ONCE = 1 << 21  # of tokens and centroids
VERSION = 1  # of to_bytes


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Codebook:
    """What codes of one codec stand for; made by `fit` or `from_bytes`, never changed."""

    codec: str
    dim: int  # K
    centroids: NDArray[np.float32]  # [C, K]; pq has none
    words: NDArray[np.float32]  # [G, 16, dimensions of a group]; what is behind dimension K does not count
    cutoffs: NDArray[np.float32]  # residual: [buckets - 1], ascending; a value lies above those that are less

    def __repr__(self) -> str:
        return f"Codebook({self.codec}, {len(self.centroids)} centroids, {self.dim} dimensions)"

    @property
    def row_bytes(self) -> int:
        """Bytes of a token's row, without its scale."""
        return (2 if len(self.centroids) else 0) + (len(self.words) + 1) // 2

    @classmethod
    def fit(cls, sample: TokenEmbeddings, codec: str, *, centroids: int | None = None, seed: int = 0) -> Codebook:
        """Learn a codebook from the tokens of a sample, by k-means and quantiles.

        Args:
            sample: TokenEmbeddings of any dtype with T >= 1 tokens; of more than 65,536 a random choice is used.
            codec: residual1, residual2, residual4 or pq.
            centroids: C, for residuals; None: the largest power of two up to 16 sqrt(T), as ColBERTv2 has it, and up
                to T / 32 and 1,024.
            seed: of the random choices; the same one gives the same codebook.

        Raises:
            InputError: no tokens, more centroids than tokens or than 65,536, centroids for pq.
            InputTypeError: an unknown codec, tensors, not TokenEmbeddings.

        """
        check_arrays(sample)
        if codec not in CODECS:
            raise InputTypeError(f"codec: expected one of {', '.join(CODECS)}, got {codec!r}")
        total = int(sample.tokens.sum())
        if not total:
            raise InputError("sample: expected at least one token, got none; pass documents of the collection")
        count = _centroid_count(centroids, codec, total)
        rng = np.random.default_rng(whole_number(seed, "seed", 0))
        tokens = _chosen(sample, rng, max(SAMPLE_TOKENS, TOKENS_PER_CENTROID * count))
        few = tokens[rng.permutation(len(tokens))[:WORD_TOKENS]]
        if codec == "pq":
            nothing = np.empty((0, sample.dim), np.float32)
            return cls(codec, sample.dim, nothing, _pq_words(few, rng), np.empty(0, np.float32))
        means = _kmeans(tokens, count, rng)
        cutoffs, weights = _buckets(few - means[_nearest(few, means)], BITS[codec])
        return cls(codec, sample.dim, means, _residual_words(weights, BITS[codec], sample.dim), cutoffs)

    def encode(self, embeddings: TokenEmbeddings) -> TokenEmbeddings:
        """Return the embeddings as codes, of which `dtype` is the codec's name; a token's code depends on it alone.

        Raises:
            InputError: another dimension than the codebook has.
            InputTypeError: tensors, not TokenEmbeddings.

        """
        check_arrays(embeddings)
        if embeddings.dim not in (0, self.dim):
            raise InputError(
                f"embeddings: expected {self.dim} dimensions as the codebook has, got {embeddings.dim};"
                " fit a codebook on embeddings of the same encoder"
            )
        offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(embeddings.tokens)))
        values = np.empty((int(offsets[-1]), self.row_bytes), np.uint8)
        scales = np.empty(len(values), np.float32)
        for first, last in blocks(offsets):
            vectors = float32_rows(embeddings[first:last])
            for start in range(0, len(vectors), TOKENS_AT_ONCE):
                part = vectors[start : start + TOKENS_AT_ONCE]
                place = slice(int(offsets[first]) + start, int(offsets[first]) + start + len(part))
                values[place], scales[place] = self._encoded(part)
        rows = Rows((read_only(values),), self.codec, self.dim, (read_only(scales),), self)
        return TokenEmbeddings._of(rows, np.zeros(len(embeddings), np.int64), offsets[:-1], np.diff(offsets))

    def decode(self, rows: NDArray[np.uint8], scales: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return rows uint8 [T, row_bytes] as vectors float32 [T, K]; without `scales` [T] all of them are 1."""
        count, _, dims = self.words.shape
        codes = rows[:, self.row_bytes - (count + 1) // 2 :]
        chosen = np.stack((codes >> 4, codes & 15), axis=2).reshape(len(rows), 2 * codes.shape[1])[:, :count]
        groups = self.words.reshape(WORDS * count, dims)[chosen + WORDS * np.arange(count)]
        vectors: NDArray[np.float32] = groups.reshape(len(rows), count * dims)[:, : self.dim]
        if len(self.centroids):
            numbers = np.ascontiguousarray(rows[:, :2]).view("<u2")[:, 0]
            # in a damaged file a number may be beyond the centroids: the kernels, too, take it for 0
            vectors = vectors + self.centroids[np.where(numbers < len(self.centroids), numbers, 0)]
        return vectors if scales is None else vectors * scales[:, None]

    def products(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 [16 G + C, Q]: the products of a query [Q, K] with every word, then with every centroid."""
        count, _, dims = self.words.shape
        result = np.empty((WORDS * count + len(self.centroids), len(query)), np.float32)
        groups = _grouped(query, dims).transpose(1, 2, 0)
        np.matmul(self.words, groups, out=result[: WORDS * count].reshape(count, WORDS, len(query)))
        np.matmul(self.centroids, query.T, out=result[WORDS * count :])
        return result

    def _encoded(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        unit, lengths = _unit(vectors)
        if self.codec == "pq":
            rows = _joined(_pq_codes(unit, self.words))
        else:
            numbers = _nearest(unit, self.centroids)
            residual = unit - self.centroids[numbers]
            codes = np.zeros(residual.shape, np.uint8)
            for cutoff in self.cutoffs:
                codes += residual > cutoff
            rows = np.hstack((numbers.astype("<u2")[:, None].view(np.uint8), _joined(_packed(codes, BITS[self.codec]))))
        decoded = _lengths(self.decode(rows))
        return rows, np.divide(lengths, decoded, out=np.zeros_like(lengths), where=decoded > 0).astype(np.float32)

    def to_bytes(self) -> bytes:
        """Return the codebook as bytes, which `from_bytes` reads: arrays in NumPy's format, then a checksum."""
        file = io.BytesIO()
        header = np.array([VERSION, CODECS.index(self.codec), self.dim], np.int64)
        for array in (header, self.centroids, self.words, self.cutoffs):
            np.save(file, array, allow_pickle=False)
        content = file.getvalue()
        return content + zlib.crc32(content).to_bytes(4, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> Codebook:
        """Return the codebook that `to_bytes` wrote.

        Raises:
            StoreError: the bytes are damaged, or of a newer version.

        """
        content, checksum = data[:-4], data[-4:]
        if zlib.crc32(content).to_bytes(4, "little") != checksum:
            raise StoreError(f"codebook: expected the bytes of Codebook.to_bytes, got {len(data)} damaged ones")
        file = io.BytesIO(content)
        try:
            header, *arrays = (np.lib.format.read_array(file, allow_pickle=False) for _ in range(4))
            version, codec, dim = map(int, header)
        except (ValueError, TypeError) as error:
            raise StoreError(f"codebook: expected four arrays, got something else ({error})") from None
        if version != VERSION:
            raise StoreError(f"codebook: expected version {VERSION}, got {version}; use a newer rank_plugins")
        book = cls(CODECS[codec] if 0 <= codec < len(CODECS) else "", dim, *arrays)
        problem = book._problem()
        if problem:
            raise StoreError(f"codebook: {problem}; make it again with Codebook.fit")
        return book

    def _problem(self) -> str:
        """Return what is wrong with arrays that come from a file, or nothing."""
        if self.codec not in CODECS or self.dim < 1:
            return "expected a known codec and at least one dimension"
        bits = BITS.get(self.codec)
        dims = 4 // bits if bits else PQ_DIMENSIONS
        count = len(self.centroids) if bits else 0
        shapes = ((count, self.dim), (-(-self.dim // dims), WORDS, dims), (2**bits - 1 if bits else 0,))
        arrays = (self.centroids, self.words, self.cutoffs)
        if tuple(array.shape for array in arrays) != shapes or (bits and not 1 <= count <= MOST_CENTROIDS):
            return f"expected arrays of shape {shapes}, got {tuple(array.shape for array in arrays)}"
        if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays):
            return "expected finite float32 values"
        return ""


def _centroid_count(asked: int | None, codec: str, total: int) -> int:
    """Return C for a sample of `total` tokens."""
    if codec == "pq":
        if asked is not None:
            raise InputError(f"centroids: expected none for pq, got {asked}")
        return 0
    if asked is not None:
        count = whole_number(asked, "centroids", 1)
        if count > min(total, MOST_CENTROIDS):
            raise InputError(
                f"centroids: expected at most {min(total, MOST_CENTROIDS)} (the sample has {total} tokens), got {count}"
            )
        return count
    most = min(16 * math.sqrt(total), total / TOKENS_PER_CENTROID, DEFAULT_CENTROIDS)
    return 1 << max(0, int(math.log2(max(1, most))))


def _chosen(sample: TokenEmbeddings, rng: np.random.Generator, most: int) -> NDArray[np.float32]:
    """Return up to `most` of the sample's tokens, chosen at random, in their order, at length 1."""
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(sample.tokens)))
    total = int(offsets[-1])
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
    tokens = np.empty((len(chosen), sample.dim), np.float32)
    for first, last in blocks(offsets):
        start, stop = np.searchsorted(chosen, (offsets[first], offsets[last]))
        tokens[start:stop], _ = _unit(float32_rows(sample[first:last])[chosen[start:stop] - offsets[first]])
    return tokens


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    # not np.linalg.norm: sums along a row here are the same whatever rows lie beside it
    lengths: NDArray[np.float64] = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    return lengths


def _unit(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the vectors at length 1 (zero ones stay zero), and their lengths."""
    lengths = _lengths(vectors)
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32), lengths


def _nearest(unit: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the number of each vector's nearest centroid, the first of equals; no vector is longer than 1.

    A matrix product rounds differently with the number of its rows, so vectors are rounded to whole numbers first,
    of 12 and 11 bits behind the point. No sum of their products exceeds 24 bits (Cauchy-Schwarz), so float32 holds
    it exactly, in any order of addition: a token's centroid depends on it alone.
    """
    whole = np.rint(centroids * np.float32(1 << 11)).T
    halves = (_lengths(centroids) ** 2 / 2 * (1 << 23)).astype(np.float32)
    numbers = np.empty(len(unit), np.int64)
    step = max(1, SCORES_AT_ONCE // len(centroids))
    for start in range(0, len(unit), step):
        scores = np.rint(unit[start : start + step] * np.float32(1 << 12)) @ whole
        scores -= halves
        numbers[start : start + step] = scores.argmax(axis=1)
    return numbers


def _kmeans(tokens: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return `count` centroids float32 [C, K] (Lloyd); one that no token is nearest to moves to a token far off."""
    means = tokens[np.sort(rng.choice(len(tokens), count, replace=False))]
    for _ in range(ROUNDS if count < len(tokens) else 0):
        numbers = _nearest(tokens, means)
        order = np.argsort(numbers, kind="stable")
        found, starts, sizes = np.unique(numbers[order], return_index=True, return_counts=True)
        missing = np.setdiff1d(np.arange(count), found)
        if missing.size:
            far = np.argsort(-_lengths(tokens - means[numbers]), kind="stable")[: missing.size]
            means[missing] = tokens[far]
        means[found] = np.add.reduceat(tokens[order], starts, axis=0) / sizes[:, None].astype(np.float32)
    return means


def _buckets(residuals: NDArray[np.float32], bits: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cut-offs [2^bits - 1] between equally frequent buckets, and the mean [2^bits] of each bucket.

    ColBERTv2 takes medians; means are nearer to the values of a bucket, and rank better.
    """
    values = np.sort(residuals, axis=None)
    edges = len(values) * np.arange(2**bits + 1) // 2**bits
    sums = np.diff(np.concatenate((np.zeros(1), np.cumsum(values, dtype=np.float64)))[edges])
    weights = sums / np.maximum(np.diff(edges), 1)
    return values[edges[1:-1]], weights.astype(np.float32)


def _residual_words(weights: NDArray[np.float32], bits: int, dim: int) -> NDArray[np.float32]:
    """Return what four bits stand for, [G, 16, 4 / bits]: the weight of the bucket that each part of them names."""
    dims = 4 // bits
    parts = (np.arange(WORDS)[:, None] >> (bits * np.arange(dims)[::-1])) & ((1 << bits) - 1)
    return np.tile(weights[parts], (-(-dim // dims), 1, 1))


def _grouped(vectors: NDArray[Any], dims: int) -> NDArray[Any]:
    """Return [T, K] as [T, G, dims], filled up with zeros."""
    padded = np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % dims)))
    return padded.reshape(len(vectors), padded.shape[1] // dims, dims)


def _packed(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return codes of one dimension each [T, K] as codes of four bits [T, G]."""
    groups = _grouped(codes, 4 // bits)
    result = groups[:, :, 0]
    for d in range(1, groups.shape[2]):
        result = result << bits | groups[:, :, d]
    return result


def _joined(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return codes of four bits [T, G] as bytes [T, ceil(G / 2)]."""
    pairs = _grouped(codes, 2)
    joined: NDArray[np.uint8] = pairs[:, :, 0] << 4 | pairs[:, :, 1]
    return joined


def _pq_codes(unit: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the number [T, G] of each group's nearest word; added up dimension by dimension, the same for any T."""
    groups = _grouped(unit, words.shape[2])
    codes = np.empty(groups.shape[:2], np.uint8)
    for g, options in enumerate(words):
        distances = np.zeros((len(unit), WORDS), np.float32)
        for d in range(words.shape[2]):
            distances += np.square(groups[:, g, d, None] - options[:, d])
        codes[:, g] = distances.argmin(axis=1)
    return codes


def _pq_words(tokens: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return 16 words [G, 16, 4] for every four dimensions, by k-means in each."""
    groups = _grouped(tokens, PQ_DIMENSIONS)
    words = np.empty((groups.shape[1], WORDS, PQ_DIMENSIONS), np.float32)
    for g in range(len(words)):
        part = np.ascontiguousarray(groups[:, g])
        means = _kmeans(part, min(WORDS, len(part)), rng)
        words[g] = means[np.arange(WORDS) % len(means)]
    return words
