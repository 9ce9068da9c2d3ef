"""maxsim against its definition in float64, and every input it must refuse."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, TokenEmbeddings, maxsim, simd


def definition(query, documents):
    """Return scores and the a-priori bound of a float32 evaluation, both float64 [N]."""
    query = np.asarray(query, np.float64)
    unit = 2.0**-24
    gamma = (query.shape[1] + 1) * unit / (1 - (query.shape[1] + 1) * unit)
    scores, bounds = [], []
    for document in documents:
        if not len(document):
            scores.append(-np.inf)
            bounds.append(0)
            continue
        document = np.asarray(document, np.float64)
        score = (query @ document.T).max(axis=1).sum()
        error = gamma * (np.abs(query) @ np.abs(document).T).max(axis=1).sum()
        scores.append(score)
        bounds.append(error + unit * (abs(score) + error) + 1e-30)
    return np.array(scores), np.array(bounds)


def check(query, documents, scores):
    expected, bound = definition(query, documents)
    empty = np.isneginf(expected)
    assert scores.dtype == np.float32
    assert np.array_equal(np.isneginf(scores), empty)
    assert np.all(np.abs(scores[~empty] - expected[~empty]) <= bound[~empty])


@pytest.mark.parametrize("Q", [1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 65])
@pytest.mark.parametrize("K", [1, 3, 16, 17, 64, 127, 384])
def test_every_level_agrees_with_float64(level, rng, Q, K):
    """Scores of ragged documents stay inside the a-priori bound for all shapes around the tile sizes."""
    documents = [rng.standard_normal((D, K), np.float32) for D in (0, 1, 2, 5, 6, 7, 11, 12, 13, 30, 61)]
    query = rng.standard_normal((Q, K), np.float32)
    check(query, documents, maxsim(query, documents))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 70),
    st.lists(st.integers(0, 40), max_size=8),
    st.integers(0, 2**32 - 1),
    st.integers(-30, 30),
)
def test_any_shape_and_scale(Q, K, tokens, seed, exponent):
    """The bound holds for shapes and magnitudes that nobody thought of, at the active level."""
    rng = np.random.default_rng(seed)
    query = np.ldexp(rng.standard_normal((Q, K)), exponent).astype(np.float32)
    documents = [rng.standard_normal((D, K), np.float32) for D in tokens]
    check(query, documents, maxsim(query, documents))


def test_padding_of_negative_similarity_never_wins():
    """A document whose similarities are all negative keeps them; padding does not lift it to zero."""
    query = np.array([[1.0, 0.0]], np.float32)
    padded = np.array([[[-1.0, 0.0], [0.0, 0.0]], [[-0.5, 0.0], [-0.25, 0.0]]], np.float32)
    scores = maxsim(query, TokenEmbeddings.from_padded(padded, lengths=[1, 2]))
    assert scores.tolist() == [-1.0, -0.25]


def test_all_ways_to_pass_documents_agree(level, rng):
    """A list, a TokenEmbeddings, scattered or in order, and a 3-D array give the same scores."""
    array = rng.standard_normal((9, 14, 24), np.float32)
    query = rng.standard_normal((5, 24), np.float32)
    expected = maxsim(query, array)
    whole = TokenEmbeddings(array.reshape(-1, 24), np.arange(10) * 14)
    order = [8, 0, 3, 3, 1]
    assert np.array_equal(maxsim(query, list(array)), expected)
    assert np.array_equal(maxsim(query, whole), expected)
    assert np.array_equal(maxsim(query, whole[order]), expected[order])
    assert np.array_equal(maxsim(query, TokenEmbeddings.from_list(list(array))[2:5]), expected[2:5])


@pytest.mark.parametrize("threads", [1, 2, 3, 64])
def test_threads_change_nothing(level, rng, threads):
    """Scores are bit-equal for any number of threads."""
    documents = [rng.standard_normal((D, 96), np.float32) for D in rng.integers(0, 200, 300)]
    query = rng.standard_normal((32, 96), np.float32)
    assert np.array_equal(maxsim(query, documents, threads=threads), maxsim(query, documents, threads=1))


def test_documents_at_any_address(level, rng):
    """A document may begin at an odd byte and end at the last byte of its mapping."""
    K, D = 17, 13
    query, document = rng.standard_normal((4, K), np.float32), rng.standard_normal((D, K), np.float32)
    with mmap.mmap(-1, mmap.PAGESIZE) as pages:
        pages[-document.nbytes - 1 : -1] = document.tobytes()
        odd = np.frombuffer(pages, np.float32, D * K, mmap.PAGESIZE - document.nbytes - 1).reshape(D, K)
        assert odd.ctypes.data % 4
        embeddings = TokenEmbeddings(odd, [0, D])
        assert np.array_equal(maxsim(query, embeddings), maxsim(query, [document]))
        del odd, embeddings


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_converted(rng, dtype):
    """float16 and float64 input is scored as its float32 conversion, and stays as it was."""
    query, document = rng.standard_normal((3, 8)).astype(dtype), rng.standard_normal((5, 8)).astype(dtype)
    before = document.copy()
    expected = maxsim(query.astype(np.float32), [document.astype(np.float32)])
    assert np.array_equal(maxsim(query, [document]), expected)
    assert document.dtype == dtype
    assert np.array_equal(document, before)


def test_strided_input_is_read_right(rng):
    """Views with strides score as their contiguous copies."""
    query, document = rng.standard_normal((6, 20), np.float32), rng.standard_normal((9, 20), np.float32)
    expected = maxsim(np.ascontiguousarray(query[:, ::2]), [np.ascontiguousarray(document[::3, ::2])])
    assert np.array_equal(maxsim(query[:, ::2], [document[::3, ::2]]), expected)


def test_no_documents_and_empty_documents(level):
    """No documents give no scores; documents without tokens score -inf."""
    query = np.ones((2, 4), np.float32)
    assert maxsim(query, []).shape == (0,)
    assert maxsim(query, np.empty((0, 3, 4), np.float32)).shape == (0,)
    assert maxsim(query, np.empty((2, 0, 4), np.float32)).tolist() == [-np.inf, -np.inf]
    assert maxsim(query, TokenEmbeddings(np.empty((0, 4), np.float32), [0, 0])).tolist() == [-np.inf]


NAN = np.array([[0.0, np.nan]], np.float32)
OK = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("query", "documents", "error", "message"),
    [
        (np.ones((0, 4), np.float32), [OK], InputError, r"query: expected at least one token.*\(0, 4\)"),
        (np.ones((2, 0), np.float32), [OK], InputError, "query: expected at least one token of at least one dim"),
        (np.ones(4, np.float32), [OK], InputError, r"query: expected 2 axes \[Q, K\], got shape \(4,\)"),
        (np.ones((2, 4), np.int64), [OK], InputTypeError, "query: expected dtype .*float32.*, got int64"),
        (np.ones((2, 4), complex), [OK], InputTypeError, "query: expected dtype .*got complex128"),
        ("text", [OK], InputTypeError, "query: expected dtype"),
        (None, [OK], InputTypeError, "query: expected dtype .*got object"),
        (NAN, [OK], InputError, r"query: expected finite values .* got nan at \[0, 1\]"),
        (OK, [OK, OK * np.inf], InputError, r"documents\[1\]: expected finite values .* got inf at \[0, 0\]"),
        (OK, [OK * np.float32(1e20)], InputError, r"documents\[0\]: .* at most 1e\+15, got 1e\+20"),
        (OK, [np.full((1, 4), 1e300)], InputError, r"documents\[0\]: .* got 1e\+300"),
        (OK, [np.ones((2, 5), np.float32)], InputError, "documents: expected 4 dimensions .* got 5"),
        (OK, [OK, np.ones((2, 5), np.float32)], InputError, r"documents\[1\]: expected 4 dimensions .* got 5"),
        (OK, [np.ones(4, np.float32)], InputError, r"documents\[0\]: expected 2 axes"),
        (OK, [[[1.0, 2.0], [3.0]]], InputTypeError, r"documents\[0\]: expected a float array"),
        (OK, "text", InputTypeError, "documents: expected a list of arrays .*got str"),
        (OK, OK, InputError, r"values: expected 3 axes \[N, D, K\], got shape \(2, 4\)"),
        (OK, [OK.astype(np.int8)], InputTypeError, r"documents\[0\]: expected dtype .*got int8"),
    ],
)
def test_bad_input_is_refused(query, documents, error, message):
    """Each error says what, expected and got, and where."""
    with pytest.raises(error, match=message):
        maxsim(query, documents)


@pytest.mark.parametrize(
    ("threads", "error"), [(0, InputError), (-2, InputError), (1.5, InputTypeError), (True, InputTypeError)]
)
def test_bad_thread_counts_are_refused(threads, error):
    """A thread count is a whole number of at least 1."""
    with pytest.raises(error, match="threads"):
        maxsim(OK, [OK], threads=threads)


def test_thread_variable(monkeypatch):
    """RANK_PLUGINS_THREADS is read at every call, and refused when it is no number."""
    monkeypatch.setenv("RANK_PLUGINS_THREADS", "2")
    assert maxsim(OK, [OK]).tolist() == [8.0]
    monkeypatch.setenv("RANK_PLUGINS_THREADS", "many")
    with pytest.raises(InputError, match="RANK_PLUGINS_THREADS.*got 'many'"):
        maxsim(OK, [OK])


def test_the_largest_values_allowed_do_not_overflow(level):
    """Values at the limit give a finite score, so no maximum can be lost to infinity."""
    query = np.full((64, 1024), 1e15, np.float32)
    assert np.isfinite(maxsim(query, [-query[:3], query[:3]])).all()


def test_levels_are_listed_in_order():
    """What is supported is a subsequence of LEVELS and begins with numpy."""
    positions = [simd.LEVELS.index(level) for level in simd.supported()]
    assert positions == sorted(positions)
    assert simd.supported()[0] == "numpy"
