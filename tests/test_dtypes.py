"""maxsim over every dtype and level, against the definition on what is stored."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, TokenEmbeddings, maxsim, simd
from rank_plugins._arrays import KERNELS, level_that_answers
from rank_plugins.quantize import converted, dequantize, quantize

FLOATS = ("float32", "float16", "bfloat16")
DTYPES = (*FLOATS, "int8", "binary")
TOKENS = (0, 1, 2, 5, 6, 7, 11, 12, 13, 31, 33, 61)


def unit(rng, *shape):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def collection(rng, K, tokens=TOKENS):
    return TokenEmbeddings.from_list([unit(rng, D, K) for D in tokens])


def stored(vectors, dtype):
    """Return float vectors as float64 after conversion to `dtype`, by ml_dtypes where NumPy has no such type."""
    if dtype == "int8":
        scales = np.abs(vectors).max(1, keepdims=True) / np.float32(127)
        return np.rint(vectors / scales) * scales.astype(np.float64)
    if dtype == "binary":
        return np.where(vectors > 0, 1.0, -1.0) / np.sqrt(vectors.shape[1])
    numpy_type = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    return vectors.astype(numpy_type).astype(np.float64)


def definition(query, documents):
    return np.array([(query @ d.T).max(axis=1).sum() if len(d) else -np.inf for d in documents])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("Q", "K"), [(1, 1), (3, 17), (8, 64), (17, 96), (32, 128), (33, 130), (70, 384)])
def test_every_level_agrees_with_the_definition(level, rng, dtype, Q, K):
    """Scores are those of the converted vectors, up to the rounding of float32."""
    documents, query = collection(rng, K), unit(rng, Q, K)
    expected = definition(
        query.astype(np.float64) if dtype == "binary" else stored(query, dtype), [stored(d, dtype) for d in documents]
    )
    scores = maxsim(query, quantize(documents, dtype))
    empty = np.isneginf(expected)
    assert np.array_equal(np.isneginf(scores), empty)
    assert scores[~empty] == pytest.approx(expected[~empty], abs=Q * (K + 2) * 2.0**-23)


@pytest.mark.parametrize("K", [5, 64, 128, 130, 384])
def test_levels_are_bit_equal_for_integers(rng, K):
    """int8 and binary with a binary query give the same bits at every level."""
    documents, query = collection(rng, K), unit(rng, 21, K)
    for dtype, asked in (("int8", query), ("binary", np.packbits(query > 0, axis=1))):
        stored_as = quantize(documents, dtype)
        found = []
        for name in simd.supported():
            with simd.limit(name):
                found.append(maxsim(asked, stored_as))
        assert all(np.array_equal(scores, found[0]) for scores in found)


def test_binary_query_is_the_cosine_of_signs(level, rng):
    """A binary query against binary documents scores the cosine of the sign vectors."""
    K = 43
    documents, query = collection(rng, K), unit(rng, 9, K)
    expected = definition(stored(query, "binary"), [stored(d, "binary") for d in documents])
    scores = maxsim(np.packbits(query > 0, axis=1), quantize(documents, "binary"))
    assert scores[1:] == pytest.approx(expected[1:], abs=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_negative_scores_stay_negative(level, dtype):
    """A document that points away from the query scores below zero in every dtype; nothing is padded with zeros."""
    query = np.array([[1.0, 1.0, 1.0]], np.float32)
    scores = maxsim(query, quantize(TokenEmbeddings.from_list([-query, np.vstack([-query] * 7)]), dtype))
    assert (scores < -1.5).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_scattered_documents_and_threads_change_nothing(level, rng, dtype):
    """Selections, repetitions, several segments and threads give bit-equal scores."""
    documents = quantize(collection(rng, 96, rng.integers(0, 90, 150)), dtype)
    query = unit(rng, 32, 96)
    scores = maxsim(query, documents)
    order = rng.permutation(150)
    assert np.array_equal(maxsim(query, documents[order]), scores[order])
    assert np.array_equal(maxsim(query, documents[[5, 5, 3]]), scores[[5, 5, 3]])
    assert np.array_equal(maxsim(query, documents, threads=3), maxsim(query, documents, threads=1))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(DTYPES),
    st.integers(1, 40),
    st.integers(1, 150),
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_any_shape(dtype, Q, K, tokens, seed):
    """The active level agrees with NumPy for shapes that nobody thought of."""
    rng = np.random.default_rng(seed)
    documents, query = quantize(collection(rng, K, tokens), dtype), unit(rng, Q, K)
    scores = maxsim(query, documents)
    with simd.limit("numpy"):
        assert scores == pytest.approx(maxsim(query, documents), abs=Q * (K + 2) * 2.0**-22)


def test_documents_without_tokens_come_first(level):
    """An empty first segment does not move the documents of the others."""
    rows = np.eye(4, dtype=np.float32)
    embeddings = TokenEmbeddings.from_list([rows[:0], rows])
    parts = (np.array([1, 1]), np.array([0, 2]), np.array([1, 2]))
    assert maxsim(rows[2:3], TokenEmbeddings._of(embeddings._rows, *parts)).tolist() == [0.0, 1.0]


def test_float16_rounds_as_numpy_does(rng):
    """At every float16, a little beside it, halfway to the next, and anywhere in between."""
    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    halfway = (finite[:-1] + finite[1:]) / 2
    points = np.concatenate((finite, halfway, (finite * rng.uniform(0, 1, len(finite))).astype(np.float32)))
    near = np.concatenate([points, np.nextafter(points, np.float32(0)), np.nextafter(points, np.float32(65519))])
    values = np.concatenate((near, -near)).reshape(2, -1)
    assert np.array_equal(converted(values, "float16")[0].view(np.uint16), values.astype(np.float16).view(np.uint16))
    strided = values[:, ::3]
    assert np.array_equal(converted(strided, "float16")[0], strided.astype(np.float16))


def test_bfloat16_comes_in_two_forms(level, rng):
    """ml_dtypes.bfloat16 arrays, and their bits as uint16, are the same embeddings as quantize makes."""
    vectors = unit(rng, 12, 32)
    halves = vectors.astype(ml_dtypes.bfloat16)
    query = unit(rng, 4, 32)
    scores = maxsim(query, quantize(TokenEmbeddings(vectors, [0, 5, 12]), "bfloat16"))
    assert np.array_equal(maxsim(query, TokenEmbeddings(halves, [0, 5, 12])), scores)
    assert np.array_equal(maxsim(query, [halves[:5], halves[5:]]), scores)
    assert np.array_equal(maxsim(query, TokenEmbeddings(halves.view(np.uint16), [0, 5, 12], dtype="bfloat16")), scores)
    assert np.array_equal(converted(vectors, "bfloat16")[0], halves.view(np.uint16))


def test_what_users_bring_is_kept(rng):
    """float16 arrays stay float16 without a copy; a list of mixed floats becomes float32."""
    halves = unit(rng, 6, 8).astype(np.float16)
    assert TokenEmbeddings(halves, [0, 6]).dtype == "float16"
    assert np.shares_memory(TokenEmbeddings(halves, [0, 6])[0], halves)
    assert TokenEmbeddings.from_list([halves, halves]).dtype == "float16"
    assert TokenEmbeddings.from_list([halves, halves.astype(np.float32)]).dtype == "float32"
    assert TokenEmbeddings.from_padded(halves.reshape(2, 3, 8)).dtype == "float16"


def test_int8_of_others(level, rng):
    """int8 values with scales of any origin are scored as value times scale, -128 included."""
    values = rng.integers(-128, 128, (40, 30)).astype(np.int8)
    values[3] = -128
    scales = rng.random(40, np.float32)
    scales[7] = 0
    documents = TokenEmbeddings(values, [0, 3, 40], scales=scales)
    query = unit(rng, 5, 30)
    expected = definition(
        stored(query, "int8"),
        [values[:3] * scales[:3, None].astype(float), values[3:] * scales[3:, None].astype(float)],
    )
    assert maxsim(query, documents) == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(documents[[1, 0]].scales, np.concatenate([scales[3:], scales[:3]]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", [1, 8, 21])
def test_quantize_and_back(rng, dtype, K):
    """What dequantize gives is what the stored bytes mean; doing both again changes nothing."""
    documents = collection(rng, K)
    there = quantize(documents, dtype)
    back = dequantize(there)
    assert (there.dtype, there.dim, back.dtype, len(back)) == (dtype, K, "float32", len(documents))
    for i, document in enumerate(documents):
        assert back[i] == pytest.approx(stored(document, dtype), rel=1e-6, abs=1e-7)
        if dtype == "int8" and len(document):
            assert np.abs(back[i] - document).max() <= np.abs(document).max() / 254 * (1 + 1e-5)
    assert np.array_equal(quantize(back, dtype).contiguous()[0], there.contiguous()[0])


def test_quantize_of_extremes():
    """Zero vectors, the smallest and the largest values survive int8; float16 refuses what it cannot hold."""
    values = np.array([[0, 0], [1e-42, 0], [1e15, -1e15], [1, -1e-9]], np.float32)
    documents = TokenEmbeddings(values, [0, 4])
    back = dequantize(quantize(documents, "int8"))[0]
    assert np.isfinite(back).all()
    assert back[2] == pytest.approx([1e15, -1e15])
    assert not back[0].any()
    with pytest.raises(InputError, match=r"float16: expected values of at most 65504, got 1e\+15"):
        quantize(documents, "float16")


def test_conversion_in_blocks_is_the_same(rng, monkeypatch):
    """The parts that bound memory do not show in the result."""
    documents = collection(rng, 16, (0, 3, 9, 0, 1, 40, 2, 0))
    whole = [quantize(documents, dtype) for dtype in DTYPES]
    monkeypatch.setattr("rank_plugins.quantize.TOKENS_AT_ONCE", 4)
    for dtype, expected in zip(DTYPES, whole, strict=True):
        found = quantize(documents[::-1], dtype)[::-1]
        assert np.array_equal(found.contiguous()[0], expected.contiguous()[0])
        assert (found.scales is None) == (expected.scales is None)
        if dtype == "int8":
            assert np.array_equal(found.scales, expected.scales)
            assert np.array_equal(found._bounds, expected._bounds)
    for nothing in (documents[:0], TokenEmbeddings.from_list([])):
        assert (len(quantize(nothing, "int8")), quantize(nothing, "int8").dtype) == (0, "int8")


VALUES = np.ones((4, 8), np.float32)
BITS = np.zeros((4, 2), np.uint8)


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (
            VALUES.astype(np.uint16),
            {},
            InputTypeError,
            "values: got dtype uint16, which may mean anything; pass dtype='bfloat16'",
        ),
        (BITS, {}, InputTypeError, "pass dtype='binary'"),
        (VALUES, {"dtype": "int8"}, InputTypeError, "dtype: expected one of .* got 'int8' for values of float32"),
        (VALUES, {"dtype": "int4"}, InputTypeError, "dtype: expected one of .* got 'int4'"),
        (VALUES.astype(np.int8), {}, InputError, "scales: expected them for int8"),
        (
            VALUES,
            {"scales": np.ones(4)},
            InputError,
            "scales: expected them for int8 and only there, got values of float32",
        ),
        (
            VALUES.astype(np.int8),
            {"scales": np.ones(3)},
            InputError,
            r"scales: expected 4 of them \(one per token\), got 3",
        ),
        (VALUES.astype(np.int8), {"scales": [1, 1, np.nan, 1]}, InputError, "scales: expected finite"),
        (
            VALUES.astype(np.int8),
            {"scales": np.array([1, 1, -1.0, 1])},
            InputError,
            r"scales: expected none below 0, got -1 at \[2\]",
        ),
        (BITS, {"dtype": "binary", "dim": 17}, InputError, r"dim: expected 9 \.\.\. 16 for 2 bytes per token, got 17"),
        (BITS + 1, {"dtype": "binary", "dim": 15}, InputError, "expected the 1 bits behind dimension 15 to be 0"),
        (VALUES, {"dim": 8}, InputError, "dim: expected it for binary only"),
        (
            VALUES.astype(np.float16) * np.float16(np.inf),
            {},
            InputError,
            r"values: expected finite .* at \[0, 0\] \(32 such of 32\)",
        ),
        (VALUES.astype(ml_dtypes.bfloat16) * 1e20, {}, InputError, r"values: expected finite values of at most 1e\+15"),
        (np.int8(3), {"scales": [1.0]}, InputError, "values: expected 2 axes"),
    ],
)
def test_bad_stored_values_are_refused(values, options, error, message):
    """Each error says what, expected and got, and where."""
    with pytest.raises(error, match=message):
        TokenEmbeddings(values, [0, 4], **options)


@pytest.mark.parametrize(
    ("query", "dtype", "error", "message"),
    [
        (BITS, "float32", InputTypeError, "query: expected dtype .*got uint8"),
        (np.zeros((2, 2), np.uint8), "binary", InputError, "dim: expected 9 .* 16 for 2 bytes per token, got 8"),
        (np.zeros((0, 1), np.uint8), "binary", InputError, "query: expected at least one token"),
        (np.full((2, 8), 1e6), "float16", InputError, "float16: expected values of at most 65504"),
        (np.ones((2, 9), np.float32), "int8", InputError, "documents: expected 9 dimensions"),
    ],
)
def test_bad_queries_are_refused(query, dtype, error, message):
    """A query must fit the documents' dtype."""
    with pytest.raises(error, match=message):
        maxsim(query, quantize(TokenEmbeddings(VALUES, [0, 4]), dtype))


def test_too_many_dimensions_for_int8():
    """Sums of int8 products stay within 32 bits, or the call is refused."""
    documents = TokenEmbeddings(np.full((1, 65536), -128, np.int8), [0, 1], scales=np.ones(1))
    assert maxsim(np.full((1, 65536), -1.0), documents) == pytest.approx(65536 * 128, rel=1e-3)
    wide = TokenEmbeddings(np.ones((1, 65537), np.int8), [0, 1], scales=np.ones(1))
    with pytest.raises(InputError, match="at most 65536 dimensions for int8, got 65537"):
        maxsim(np.ones((1, 65537)), wide)


def test_bad_quantize_arguments():
    """An unknown dtype or another type is refused."""
    with pytest.raises(InputTypeError, match="dtype: expected one of float32, .* got 'int4'"):
        quantize(TokenEmbeddings(VALUES, [0, 4]), "int4")
    with pytest.raises(InputTypeError, match="embeddings: expected TokenEmbeddings, got ndarray"):
        quantize(VALUES, "int8")


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_answers_at_every_level(level, kernel):
    """What runs is the level that was asked for, or one below it that has the kernel."""
    answering = level_that_answers(level, kernel)
    assert simd.LEVELS.index(answering) <= simd.LEVELS.index(level)
    if level == "scalar":
        assert answering == "scalar"
    if level in ("avx2", "neon"):
        assert answering == level
    if level == "avx512" and kernel in ("F32", "F16", "BF16", "F32_B1", "CODES"):
        assert answering == level
    if level == "amx":
        assert answering == ("amx" if kernel in ("BF16", "I8") else "avx512")
