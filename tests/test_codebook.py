"""Codebook: what codes mean, that every level scores them so, and what must be refused."""

from __future__ import annotations

import dataclasses
import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import (
    InputError,
    InputTypeError,
    TokenEmbeddings,
    maxsim,
    maxsim_alignment,
    maxsim_batch,
    maxsim_top_k,
)
from rank_plugins import _maxsim as module
from rank_plugins import codebook as codebooks
from rank_plugins._rows import CODECS, Rows
from rank_plugins.codebook import Codebook
from rank_plugins.errors import StoreError
from rank_plugins.quantize import dequantize, quantize

TOKENS = (0, 1, 2, 5, 6, 7, 8, 9, 12, 13, 31, 33, 61, 90)
BITS = {"residual1": 1, "residual2": 2, "residual4": 4}


def unit(rng, *shape):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def clustered(rng, K, tokens=TOKENS):
    """Return documents of unit vectors around a few directions, as those of an encoder are."""
    centers = unit(rng, 12, K)
    near = [centers[rng.integers(0, 12, D)] + 0.5 * unit(rng, D, K) for D in tokens]
    return TokenEmbeddings.from_list([v / np.linalg.norm(v, axis=1, keepdims=True) for v in near])


def meaning(book, rows, scales):
    """Return what rows stand for as float64, and the sum of the sizes of their parts, dimension by dimension."""
    rows = np.asarray(rows)
    start = np.zeros((len(rows), book.dim))
    if book.codec != "pq":
        numbers = rows[:, 0] + 256 * rows[:, 1].astype(int)
        start = book.centroids.astype(np.float64)[np.where(numbers < len(book.centroids), numbers, 0)]
        rows = rows[:, 2:]
    dims = book.words.shape[2]
    word = np.empty((len(rows), book.dim))
    for k in range(book.dim):
        g = k // dims
        byte = rows[:, g // 2]
        word[:, k] = book.words[g, byte & 15 if g % 2 else byte >> 4, k % dims]
    scales = np.asarray(scales, np.float64)[:, None]
    return scales * (start + word), scales * (np.abs(start) + np.abs(word))


def check(query, book, coded, scores):
    """Scores are the definition's, within gamma_n of the sum of all sizes, n the roundings on a term's way."""
    u, n = 2.0**-24, book.dim + len(book.words) + 8
    gamma = n * u / (1 - n * u)
    wide = np.abs(np.asarray(query, np.float64))
    for i, rows in enumerate(coded):
        if not len(rows):
            assert scores[i] == -np.inf
            continue
        vectors, sizes = meaning(book, rows, coded[i : i + 1].scales)
        expected = (query.astype(np.float64) @ vectors.T).max(axis=1).sum()
        bound = gamma * (wide @ sizes.T).max(axis=1).sum() * (1 + u) + u * abs(expected) + 1e-30
        assert abs(scores[i] - expected) <= bound


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("Q", "K"), [(1, 1), (3, 2), (7, 5), (8, 12), (17, 43), (32, 128), (33, 130), (70, 384)])
def test_every_level_agrees_with_the_meaning_of_codes(level, rng, codec, Q, K):
    """Scores stay inside the a-priori bound around those of the vectors that codes stand for."""
    documents, query = clustered(rng, K), unit(rng, Q, K)
    book = Codebook.fit(documents, codec)
    coded = book.encode(documents)
    check(query, book, coded, maxsim(query, coded))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CODECS),
    st.integers(1, 40),
    st.integers(1, 70),
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_any_rows(codec, Q, K, tokens, seed):
    """Rows of any bytes, as a damaged file may hold them, mean what the table says; numbers beyond C count as 0."""
    rng = np.random.default_rng(seed)
    count = None if codec == "pq" else int(rng.integers(1, 50))
    book = Codebook.fit(TokenEmbeddings(unit(rng, 50, K), [0, 50]), codec, centroids=count)
    offsets = np.concatenate(([0], np.cumsum(tokens))).astype(np.int64)
    rows = rng.integers(0, 256, (offsets[-1], book.row_bytes), dtype=np.uint8)
    scales = rng.random(len(rows), dtype=np.float32) * 3
    parts = np.zeros(len(tokens), np.int64), offsets[:-1], np.diff(offsets)
    coded = TokenEmbeddings._of(Rows((rows,), codec, K, (scales,), book), *parts)
    query = unit(rng, Q, K)
    check(query, book, coded, maxsim(query, coded))
    decoded = dequantize(coded).contiguous()[0]
    vectors, sizes = meaning(book, rows, scales)
    assert np.all(np.abs(decoded - vectors) <= 2.0**-22 * sizes)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("K", [3, 8, 21, 64])
def test_decoded_vectors_are_as_long_as_their_source(rng, codec, K):
    """Lengths are kept, also of vectors that are not of length 1; zero vectors stay zero."""
    vectors = unit(rng, 200, K) * rng.uniform(1e-3, 50, (200, 1)).astype(np.float32)
    vectors[7] = 0
    documents = TokenEmbeddings(vectors, [0, 50, 200])
    back = dequantize(Codebook.fit(documents, codec).encode(documents)).contiguous()[0]
    assert np.linalg.norm(back, axis=1) == pytest.approx(np.linalg.norm(vectors, axis=1), rel=1e-5)
    assert not back[7].any()


@pytest.mark.parametrize("K", [16, 30, 128])
def test_more_bits_lose_less(rng, K):
    """The mean error falls with every doubling of the bits, and residuals of one bit are better than no codes."""
    documents = clustered(rng, K, (400, 500))
    source = documents.contiguous()[0]

    def lost(codec):
        book = Codebook.fit(documents, codec, centroids=None if codec == "pq" else 16)
        return np.square(dequantize(book.encode(documents)).contiguous()[0] - source).sum(axis=1).mean()

    errors = [lost(codec) for codec in ("residual1", "residual2", "residual4")]
    assert errors[2] < 0.5 * errors[1] < 0.5 * 0.7 * errors[0]
    assert errors[2] < 0.02
    assert lost("pq") < 0.5


def test_a_vector_takes_its_nearest_centroid_and_buckets(rng):
    """A row's parts are the nearest centroid, by float64, and the bucket of every dimension."""
    K = 21
    documents = clustered(rng, K, (300,))
    book = Codebook.fit(documents, "residual2", centroids=8)
    lengths = np.linspace(0.2, 1, 8, dtype=np.float32)[:, None]
    book = dataclasses.replace(book, centroids=book.centroids * lengths)  # the nearest is not the largest product
    rows = book.encode(documents).contiguous()[0]
    vectors = documents.contiguous()[0].astype(np.float64)
    distances = np.square(vectors[:, None] - book.centroids).sum(axis=2)
    chosen = rows[:, 0] + 256 * rows[:, 1].astype(int)
    assert np.all(distances[np.arange(300), chosen] <= distances.min(axis=1) + 1e-2)
    assert (chosen == distances.argmin(axis=1)).mean() > 0.98
    residual = documents.contiguous()[0] - book.centroids[chosen]
    expected = np.searchsorted(book.cutoffs, residual)
    bits = np.unpackbits(rows[:, 2:], axis=1)[:, : 2 * K].reshape(300, K, 2)
    assert np.mean(bits[:, :, 0] * 2 + bits[:, :, 1] == expected) > 0.999  # a vector at length 1 may round otherwise


def test_pq_takes_the_nearest_word_of_every_four_dimensions(rng):
    """The last word has fewer dimensions; its codes fill whole bytes."""
    documents = clustered(rng, 22, (300,))
    book = Codebook.fit(documents, "pq")
    rows = book.encode(documents).contiguous()[0]
    assert rows.shape == (300, 3)
    assert not book.words[5, :, 2:].any()
    codes = np.stack((rows >> 4, rows & 15), axis=2).reshape(300, 6)
    vectors = np.pad(documents.contiguous()[0].astype(np.float64), ((0, 0), (0, 2))).reshape(300, 6, 1, 4)
    distances = np.square(vectors - book.words).sum(axis=3)
    chosen = np.take_along_axis(distances, codes[:, :, None].astype(int), axis=2)[:, :, 0]
    assert np.all(chosen <= distances.min(axis=2) + 1e-6)
    assert distances.min(axis=2).mean() < 0.5 * distances.mean()


def test_buckets_are_equally_full_and_stand_for_their_means(rng):
    """Cut-offs are quantiles of the residuals; a bucket's value is the mean of what fell in."""
    residuals = rng.standard_normal((1000, 8)).astype(np.float32)
    for bits in (1, 2, 4):
        cutoffs, weights = codebooks._buckets(residuals, bits)
        bucket = np.searchsorted(cutoffs, residuals)
        assert np.bincount(bucket.ravel()) == pytest.approx(8000 / 2**bits, abs=2)
        means = [residuals[bucket == i].mean() for i in range(2**bits)]
        assert weights == pytest.approx(np.array(means), abs=1e-2)
    constant = codebooks._buckets(np.ones((1, 1), np.float32), 4)
    assert np.isfinite(constant[0]).all()
    assert np.isfinite(constant[1]).all()


@pytest.mark.parametrize("codec", CODECS)
def test_same_sample_and_seed_give_the_same_codebook(rng, codec):
    """A codebook is determined by its sample and seed; another seed gives another."""
    documents = clustered(rng, 24, (700, 40))
    first = Codebook.fit(documents, codec, seed=3)
    assert Codebook.fit(documents, codec, seed=3).to_bytes() == first.to_bytes()
    assert Codebook.fit(documents, codec, seed=4).to_bytes() != first.to_bytes()
    assert (first.codec, first.dim) == (codec, 24)
    assert first.row_bytes == 2 * (codec != "pq") + 24 * BITS.get(codec, 1) // 8


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CODECS), st.integers(1, 40), st.integers(0, 2**32 - 1), st.data())
def test_a_code_depends_on_its_token_alone(codec, K, seed, data):
    """Alone, with others, in another order: a token's bytes and scale are the same."""
    rng = np.random.default_rng(seed)
    sizes = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=8))
    documents = clustered(rng, K, sizes)
    book = Codebook.fit(clustered(rng, K, (120,)), codec, centroids=None if codec == "pq" else 24)
    together = book.encode(documents)
    order = rng.permutation(len(sizes))
    shuffled = book.encode(documents[order])
    for place, i in enumerate(order):
        alone = book.encode(documents[i : i + 1])
        assert np.array_equal(alone[0], together[int(i)])
        assert np.array_equal(shuffled[place], together[int(i)])
        assert np.array_equal(alone.scales, together[int(i) : int(i) + 1].scales)


def test_batches_do_not_show_in_codes(rng, monkeypatch):
    """Parts that bound memory, and matrix products of any size, change nothing, not even for what lies between two."""
    fitted = Codebook.fit(clustered(rng, 48, (900,)), "residual2", centroids=64)
    book = dataclasses.replace(fitted, centroids=unit(rng, 64, 48))
    first, second = rng.integers(0, 64, (2, 2003))
    documents = TokenEmbeddings(book.centroids[first] + book.centroids[second], [0, 0, 900, 903, 903, 2003])
    whole = book.encode(documents)
    for tokens in (1, 7, 333):
        monkeypatch.setattr(codebooks, "TOKENS_AT_ONCE", tokens)
        monkeypatch.setattr(codebooks, "SCORES_AT_ONCE", 64 * 5)
        monkeypatch.setattr("rank_plugins.quantize.TOKENS_AT_ONCE", 50)
        parts = book.encode(documents)
        assert np.array_equal(parts.contiguous()[0], whole.contiguous()[0])
        assert np.array_equal(parts.scales, whole.scales)


@pytest.mark.parametrize("codec", CODECS)
def test_coded_rows_are_rows_as_others(level, rng, codec):
    """Selections, repetitions, several segments, threads and batches score as each document by itself."""
    documents = clustered(rng, 40, rng.integers(0, 60, 80))
    book = Codebook.fit(documents, codec)
    coded = book.encode(documents)
    queries = [unit(rng, Q, 40) for Q in (32, 1, 7, 33, 20)]
    scores = maxsim(queries[0], coded)
    order = rng.permutation(80)
    assert (coded.dtype, coded.dim, len(coded)) == (codec, 40, 80)
    assert not coded[5].flags.writeable
    assert not coded.scales.flags.writeable
    assert np.array_equal(maxsim(queries[0], coded[order]), scores[order])
    assert np.array_equal(maxsim(queries[0], coded[[5, 5, 3]]), scores[[5, 5, 3]])
    assert np.array_equal(maxsim(queries[0], coded, threads=3), scores)
    parts = [coded[:30].contiguous()[0].copy(), coded[30:].contiguous()[0].copy()]
    scales = coded[:30].scales.copy(), coded[30:].scales.copy()
    first = np.arange(80) < 30
    starts = np.where(first, coded._starts, coded._starts - len(parts[0]))
    rows = Rows(tuple(parts), codec, 40, scales, book)
    scattered = TokenEmbeddings._of(rows, np.where(first, 0, 1), starts, coded.tokens)
    assert np.array_equal(maxsim(queries[0], scattered[order]), scores[order])
    assert np.array_equal(scattered[order].scales, coded[order].scales)
    expected = np.stack([maxsim(query, coded) for query in queries])
    assert maxsim_batch(queries, coded) == pytest.approx(expected, abs=1e-4)
    lists = [[1, 2, 3], [], [79], [0, 0], list(range(80))]
    for m, found in enumerate(maxsim_batch(queries, coded, lists)):
        assert found == pytest.approx(expected[m][lists[m]], abs=1e-4)
    best, values = maxsim_top_k(queries[0], coded, 5)
    assert np.array_equal(best, np.argsort(-scores, kind="stable")[:5])
    assert np.array_equal(values, scores[best])
    longest = int(np.argmax(coded.tokens))
    tokens, similarities = maxsim_alignment(queries[0], coded[longest : longest + 1])
    assert similarities.sum() == pytest.approx(scores[longest], abs=1e-4)
    assert tokens.max() < coded.tokens[longest]


def test_many_query_tokens_are_scored_in_parts(level, rng, monkeypatch):
    """The parts that bound the memory of products do not show in the scores."""
    documents = clustered(rng, 16)
    coded = Codebook.fit(documents, "residual2").encode(documents)
    queries = [unit(rng, Q, 16) for Q in (3, 40, 1, 1, 9, 2)]
    whole = maxsim_batch(queries, coded)
    monkeypatch.setattr(module, "QUERY_TOKENS_AT_ONCE", 5)
    assert maxsim_batch(queries, coded) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("codec", CODECS)
def test_negative_scores_stay_negative(level, codec):
    """A document that points away from the query scores below zero; nothing is padded with zeros."""
    query = np.array([[1.0, 1.0, 1.0]], np.float32)
    documents = TokenEmbeddings.from_list([-query, np.vstack([-query] * 7)])
    scores = maxsim(query, Codebook.fit(documents, codec).encode(documents))
    assert scores == pytest.approx(-3, abs=0.1)


@pytest.mark.parametrize("codec", CODECS)
def test_small_samples(codec):
    """One token, fewer tokens than words, tokens all alike and documents without tokens make a codebook."""
    for values in (np.ones((1, 6)), np.ones((50, 6)), np.eye(6), np.zeros((3, 6))):
        documents = TokenEmbeddings(values, [0, 0, len(values)])
        book = Codebook.fit(documents, codec)
        back = dequantize(book.encode(documents)).contiguous()[0]
        assert np.isfinite(back).all()
        assert np.linalg.norm(back, axis=1) == pytest.approx(np.linalg.norm(values, axis=1))
        assert len(book.encode(documents[:1])) == 1
        assert len(book.encode(documents[:0])) == 0
        assert len(book.encode(TokenEmbeddings.from_list([]))) == 0


def test_number_of_centroids(rng, monkeypatch):
    """By default ColBERTv2's power of two, as far as tokens and the cap allow; every one of them is used."""
    counts = {1: 1, 63: 1, 64: 2, 200: 4, 1000: 16, 10_000: 256}
    assert {total: codebooks._centroid_count(None, "residual2", total) for total in counts} == counts
    assert codebooks._centroid_count(None, "residual1", 10**7) == 1024
    monkeypatch.setattr(codebooks, "DEFAULT_CENTROIDS", 1 << 20)
    assert codebooks._centroid_count(None, "residual1", 10**7) == 32768
    documents = clustered(rng, 8, (500,))
    book = Codebook.fit(documents, "residual1", centroids=300)
    rows = book.encode(documents).contiguous()[0]
    numbers = rows[:, 0] + 256 * rows[:, 1].astype(int)
    assert len(book.centroids) == 300
    assert len(np.unique(numbers)) > 250
    assert numbers.max() > 255


def test_centroids_are_not_wasted(rng):
    """Where most tokens are alike, centroids that none is nearest to move to the others."""
    vectors = np.concatenate((np.repeat(unit(rng, 1, 8), 300, axis=0), unit(rng, 9, 8)))
    documents = TokenEmbeddings(vectors[rng.permutation(309)], [0, 309])
    book = Codebook.fit(documents, "residual1", centroids=10)
    nearest = np.square(vectors[:, None] - book.centroids).sum(axis=2).min(axis=1)
    assert nearest == pytest.approx(0, abs=1e-9)


def test_a_large_sample_is_drawn_from(rng, monkeypatch):
    """Of more tokens than are needed a random choice from all documents is learned from, whatever their dtype."""
    monkeypatch.setattr(codebooks, "SAMPLE_TOKENS", 60)
    monkeypatch.setattr("rank_plugins.quantize.TOKENS_AT_ONCE", 16)
    vectors = unit(rng, 300, 4)
    documents = quantize(TokenEmbeddings(vectors, [0, 40, 40, 300]), "int8")
    chosen = codebooks._chosen(documents, np.random.default_rng(1), 60)
    stored, _ = codebooks._unit(dequantize(documents).contiguous()[0])
    places = [int(np.flatnonzero((stored == token).all(axis=1))[0]) for token in chosen]
    assert places == sorted(set(places))
    assert len(places) == 60
    assert places[0] < 40 < 260 < places[-1]
    assert Codebook.fit(documents, "residual1").dim == 4


@pytest.mark.parametrize("codec", CODECS)
def test_bytes_and_back(rng, codec):
    """A codebook survives as bytes, the same whenever they are made."""
    documents = clustered(rng, 21)
    book = Codebook.fit(documents, codec)
    data = book.to_bytes()
    again = Codebook.from_bytes(data)
    assert again.to_bytes() == data
    assert repr(again) == repr(book) == f"Codebook({codec}, {len(book.centroids)} centroids, 21 dimensions)"
    assert np.array_equal(again.encode(documents).contiguous()[0], book.encode(documents).contiguous()[0])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused(data):
    """A byte changed, cut off or added is seen."""
    whole = Codebook.fit(TokenEmbeddings(np.eye(5), [0, 5]), "residual2").to_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(damaged), whole[:place], whole + b"\0"):
        with pytest.raises(StoreError, match="codebook: expected the bytes of Codebook.to_bytes"):
            Codebook.from_bytes(wrong)


def sealed(*arrays):
    """Return arrays as `to_bytes` would write them."""
    file = io.BytesIO()
    for array in arrays:
        np.save(file, array)
    return file.getvalue() + zlib.crc32(file.getvalue()).to_bytes(4, "little")


def header(version=1, codec=1, dim=6):
    return np.array([version, codec, dim], np.int64)


HEADER = header()  # codec 1 is residual2
PARTS = (np.zeros((2, 6), np.float32), np.zeros((3, 16, 2), np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((header(version=2), *PARTS), "codebook: expected version 1, got 2; use a newer rank_plugins"),
        ((header(codec=9), *PARTS), "codebook: expected a known codec"),
        ((header(codec=-1), *PARTS), "codebook: expected a known codec"),
        ((header(dim=0), *PARTS), "codebook: expected a known codec and at least one dimension"),
        ((HEADER, *PARTS[:2]), "codebook: expected four arrays, got something else"),
        ((np.int64(3), *PARTS), "codebook: expected four arrays, got something else"),
        ((HEADER, PARTS[0][:, :5], *PARTS[1:]), r"codebook: expected arrays of shape \(\(2, 6\), .* got \(\(2, 5\)"),
        ((HEADER, PARTS[0][:0], *PARTS[1:]), "codebook: expected arrays of shape"),
        ((HEADER, PARTS[0][0], *PARTS[1:]), "codebook: expected arrays of shape"),
        ((HEADER, PARTS[0], PARTS[1], PARTS[2][:2]), "codebook: expected arrays of shape"),
        ((header(codec=3), *PARTS), "codebook: expected arrays of shape"),
        ((HEADER, PARTS[0] * np.nan, *PARTS[1:]), "codebook: expected finite float32 values"),
        ((HEADER, PARTS[0].astype(np.float64), *PARTS[1:]), "codebook: expected finite float32 values"),
    ],
)
def test_bytes_that_hold_something_else_are_refused(arrays, message):
    """Bytes that are whole, but no codebook that this version can use, are refused before anything is computed."""
    assert Codebook.from_bytes(sealed(HEADER, *PARTS)).row_bytes == 4
    with pytest.raises(StoreError, match=message):
        Codebook.from_bytes(sealed(*arrays))


OK = TokenEmbeddings(np.eye(4), [0, 4])


@pytest.mark.parametrize(
    ("sample", "codec", "options", "error", "message"),
    [
        (OK, "residual3", {}, InputTypeError, "codec: expected one of residual1, .* got 'residual3'"),
        (OK, "int8", {}, InputTypeError, "codec: expected one of residual1, .* got 'int8'"),
        (np.eye(4), "pq", {}, InputTypeError, "embeddings: expected TokenEmbeddings, got ndarray"),
        (OK[:0], "pq", {}, InputError, "sample: expected at least one token, got none"),
        (TokenEmbeddings.from_list([]), "residual1", {}, InputError, "sample: expected at least one token, got none"),
        (OK, "residual1", {"centroids": 5}, InputError, r"centroids: expected at most 4 \(the sample has 4 tokens\)"),
        (OK, "residual1", {"centroids": 0}, InputError, "centroids: expected at least 1, got 0"),
        (OK, "residual1", {"centroids": 2.5}, InputTypeError, "centroids: expected a whole number"),
        (OK, "pq", {"centroids": 2}, InputError, "centroids: expected none for pq, got 2"),
        (OK, "pq", {"seed": -1}, InputError, "seed: expected at least 0, got -1"),
    ],
)
def test_bad_samples_are_refused(sample, codec, options, error, message):
    """Each error says what, expected and got."""
    with pytest.raises(error, match=message):
        Codebook.fit(sample, codec, **options)


def test_bad_embeddings_are_refused():
    """Another dimension, another type, and codecs where a dtype is asked for."""
    book = Codebook.fit(OK, "residual2")
    with pytest.raises(InputError, match="embeddings: expected 4 dimensions as the codebook has, got 5"):
        book.encode(TokenEmbeddings(np.eye(5), [0, 5]))
    with pytest.raises(InputTypeError, match="embeddings: expected TokenEmbeddings, got list"):
        book.encode([np.eye(4)])
    for codec in CODECS:
        with pytest.raises(InputTypeError, match=f"dtype: expected one of float32, .* got '{codec}'.* Codebook.fit"):
            quantize(OK, codec)
    with pytest.raises(InputError, match="documents: expected 5 dimensions as the query has, got 4"):
        maxsim(np.eye(5), book.encode(OK))


@pytest.mark.parametrize("codec", CODECS)
def test_codes_become_other_types(rng, codec):
    """What is coded converts as the vectors that it stands for, and can be coded again."""
    documents = clustered(rng, 16)
    book = Codebook.fit(documents, codec)
    coded = book.encode(documents)
    assert np.array_equal(quantize(coded, "int8").contiguous()[0], quantize(dequantize(coded), "int8").contiguous()[0])
    assert book.encode(coded).contiguous()[0].shape == coded.contiguous()[0].shape
