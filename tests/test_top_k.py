"""maxsim_top_k, maxsim_batch and maxsim_alignment against maxsim."""

from __future__ import annotations

import heapq

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
from rank_plugins import _topk as topk
from rank_plugins._maxsim import Queries
from rank_plugins.quantize import dequantize, quantize

DTYPES = ("float32", "float16", "bfloat16", "int8", "binary")


def unit(rng, *shape):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def ragged(rng, K, tokens):
    return TokenEmbeddings.from_list([unit(rng, D, K) for D in tokens])


def ranked(scores, count):
    order = np.argsort(-scores, kind="stable")[:count]
    return order, scores[order]


def assert_same(found, expected):
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    assert (found[0].dtype, found[1].dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("count", [1, 3, 20, 100])
def test_without_options_it_sorts(level, rng, count):
    """The best documents, best first; fewer when there are fewer; equal scores in input order."""
    documents, query = ragged(rng, 24, [*rng.integers(0, 30, 17), 4, 4]), unit(rng, 7, 24)
    documents = documents[[*range(19), 3, 3, 3]]
    assert_same(maxsim_top_k(query, documents, count), ranked(maxsim(query, documents), count))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_screening_is_exact_and_skips(level, rng, dtype):
    """The screened top k is the full one at every level, and most documents are not scored in full."""
    query = unit(rng, 8, 64)
    noise = [unit(rng, D, 64) for D in rng.integers(1, 20, 380)]
    good = [np.vstack([query[:4] + 0.02 * i, unit(rng, 3, 64)]).astype(np.float32) for i in range(20)]
    documents = quantize(TokenEmbeddings.from_list([*noise, *good]), dtype)
    screen = quantize(documents, "int8")
    counted = []
    queries = Queries(query, np.array([0, 8]), documents)
    scores = queries.scores
    queries.scores = lambda part, threads: (counted.append(len(part)), scores(part, threads))[1]
    expected = ranked(maxsim(query, documents), 10)
    assert_same(topk.screened_top_k(queries, query, documents, screen, 10, 1), expected)
    assert_same(maxsim_top_k(query, documents, 10, screen=screen), expected)
    assert sum(counted) < 100


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 40),
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.integers(1, 12),
    st.sampled_from(["float32", "float16", "bfloat16"]),
    st.integers(0, 2**32 - 1),
    st.integers(-8, 8),
)
def test_screening_is_always_exact(Q, K, tokens, count, dtype, seed, exponent):
    """Whatever the vectors, near ties, sparse, huge or equal: the screened top k is that of the full scores."""
    rng = np.random.default_rng(seed)
    kind = seed % 4

    def vectors(D):
        values = rng.standard_normal((D, K))
        if kind == 1:
            values = values.round()
        if kind == 2:
            values = np.ones((D, K)) + 1e-4 * values
        return np.ldexp(values, exponent).astype(np.float32)

    documents = quantize(TokenEmbeddings.from_list([vectors(D) for D in tokens]), dtype)
    query = vectors(Q)
    found = topk.screened_top_k(
        Queries(query, np.array([0, Q]), documents), query, documents, quantize(documents, "int8"), count, 1
    )
    assert_same(found, ranked(maxsim(query, documents), count))


def test_a_screen_of_other_documents_is_refused(rng):
    """Scores that the screen's bounds rule out prove that it belongs to other documents."""
    documents, query = ragged(rng, 32, [5] * 300), unit(rng, 4, 32)
    screen = quantize(documents[::-1], "int8")
    with pytest.raises(InputError, match="screen: expected quantize.* of these documents"):
        topk.screened_top_k(Queries(query, np.array([0, 4]), documents), query, documents, screen, 10, 1)


def test_hopeless_screens_are_not_used(rng):
    """Where every interval reaches the k-th best, or lists are short, documents are scored once, in full."""
    query = np.ones((2, 16), np.float32)
    same = TokenEmbeddings.from_list([np.ones((2, 16), np.float32)] * 400)
    assert not topk._screening_pays(query, same, quantize(same, "int8"), 10)
    assert not topk._screening_pays(query, same[:50], quantize(same, "int8")[:50], 10)
    assert maxsim_top_k(query, same, 3, screen=quantize(same, "int8"))[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("alpha", "expected"), [(0.02, 4), (0.1, 5), (0.0, 3)])
def test_candidate_pruning_golden(alpha, expected):
    """Published example: scores 10, 9.5, 9, 8.9, 8.2, 7 with k = 3."""
    assert topk._kept(np.array([10, 9.5, 9, 8.9, 8.2, 7]), 3, alpha) == expected


def test_candidate_pruning(rng):
    """Only documents near the k-th first score are scored, negative scores and short lists included."""
    documents, query = ragged(rng, 16, [3] * 6), unit(rng, 4, 16)
    first = np.array([7, 10, 9.5, 8.2, 9, 8.9])
    scores = maxsim(query, documents)
    kept = np.array([1, 2, 4, 5])
    order = kept[np.argsort(-scores[kept], kind="stable")][:3]
    assert_same(maxsim_top_k(query, documents, 3, first_scores=first, alpha=0.02), (order, scores[order]))
    assert_same(
        maxsim_top_k(query, documents, 3, first_scores=first, alpha=0.02, screen=quantize(documents, "int8")),
        (order, scores[order]),
    )
    everything = ranked(scores, 6)
    assert_same(maxsim_top_k(query, documents, 6, first_scores=-first, alpha=0.0), everything)
    assert_same(maxsim_top_k(query, documents, 9, first_scores=first, alpha=0.0), everything)
    negative = maxsim_top_k(query, documents, 3, first_scores=first - 20, alpha=0.0)[0]
    assert set(negative.tolist()) == {1, 2, 4}  # the k-th itself stays, though its score is negative


def one_by_one(scores, order, count, beta):
    """Early exit as the paper states it, a document at a time."""
    heap, missed = [(scores[i], -i) for i in order[:count]], 0
    heapq.heapify(heap)
    for i in order[count:]:
        if scores[i] > heap[0][0]:
            heapq.heapreplace(heap, (scores[i], -i))
            missed = 0
        else:
            missed += 1
        if missed == beta:
            break
    heap.sort(reverse=True)
    return [-i for _, i in heap]


@given(
    st.lists(st.integers(0, 4), max_size=60),
    st.integers(1, 8),
    st.integers(1, 5),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=120, deadline=None)
def test_early_exit_is_that_of_the_paper(tokens, count, beta, threads, given_scores, seed):
    """Blocks change nothing: the result is that of scoring one document after another."""
    rng = np.random.default_rng(seed)
    documents = TokenEmbeddings.from_list([rng.integers(-1, 2, (D, 3)).astype(np.float32) for D in tokens])
    query = rng.integers(-1, 2, (2, 3)).astype(np.float32)
    first = rng.integers(0, 5, len(tokens)).astype(np.float32) if given_scores else None
    order = list(range(len(tokens))) if first is None else np.argsort(-first, kind="stable").tolist()
    indices, scores = maxsim_top_k(query, documents, count, first_scores=first, beta=beta, threads=threads)
    full = maxsim(query, documents)
    assert indices.tolist() == one_by_one(full.tolist(), order, count, beta)
    assert np.array_equal(scores, full[indices])


QUERY = np.ones((2, 4), np.float32)
DOCUMENTS = TokenEmbeddings(np.ones((6, 4), np.float32), [0, 2, 4, 6])
SCREEN = quantize(DOCUMENTS, "int8")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"top_k": 0}, InputError, "top_k: expected at least 1, got 0"),
        ({"top_k": 1.5}, InputTypeError, "top_k: expected a whole number"),
        ({"alpha": 0.1}, InputError, "alpha: expected first_scores with it"),
        (
            {"alpha": 1.0, "first_scores": [1.0, 2, 3]},
            InputError,
            "alpha: expected a number with 0 <= alpha < 1, got 1.0",
        ),
        ({"alpha": "x", "first_scores": [1.0, 2, 3]}, InputError, "alpha: expected a number"),
        ({"beta": 0}, InputError, "beta: expected at least 1"),
        ({"first_scores": [1.0]}, InputError, r"first_scores: expected 3 of them \(one per document\), got 1"),
        ({"first_scores": [1.0, np.nan, 2]}, InputError, "first_scores: expected finite"),
        ({"beta": 2, "screen": SCREEN}, InputError, "beta: expected no screen with it"),
        ({"screen": DOCUMENTS}, InputTypeError, "screen: expected quantize.* got float32 embeddings"),
        ({"screen": QUERY}, InputTypeError, "screen: expected quantize.* got ndarray"),
        ({"screen": SCREEN[:2]}, InputError, "screen: expected the tokens and dimension of the documents"),
        ({"documents": SCREEN, "screen": SCREEN}, InputTypeError, "documents: expected floats with a screen, got int8"),
        ({"query": QUERY[:, :3]}, InputError, "documents: expected 3 dimensions"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    """Each error says what, expected and got."""
    with pytest.raises(error, match=message):
        maxsim_top_k(**({"query": QUERY, "documents": DOCUMENTS, "top_k": 2} | options))


def test_foreign_int8_is_no_screen(rng):
    """int8 values whose distance to the documents nobody measured cannot certify anything."""
    documents = ragged(rng, 8, [2] * 4)
    foreign = TokenEmbeddings(np.ones((8, 8), np.int8), np.arange(5) * 2, scales=np.ones(8))
    with pytest.raises(InputError, match="screen: expected the result of quantize"):
        topk.screened_top_k(Queries(QUERY, np.array([0, 2]), documents[:0]), unit(rng, 2, 8), documents, foreign, 1, 1)


def test_no_documents():
    """An empty list has an empty top."""
    indices, scores = maxsim_top_k(QUERY, [], 3)
    assert (len(indices), len(scores)) == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_batch_is_a_loop(level, rng, dtype, threads):
    """Many queries of any length score as one after another, bit for bit, whole or with candidates."""
    documents = quantize(ragged(rng, 33, rng.integers(0, 40, 90)), dtype)
    queries = [unit(rng, Q, 33) for Q in (1, 5, 32, 2, 33, 70, 3, 8)]
    expected = [maxsim(query, documents) for query in queries]
    scores = maxsim_batch(queries, documents, threads=threads)
    assert scores.shape == (8, 90)
    if level == "numpy" and dtype != "int8":  # its matrix products round by their shapes
        assert scores == pytest.approx(np.array(expected), rel=1e-6, abs=1e-6)
    else:
        assert np.array_equal(scores, expected)
    candidates = [rng.integers(0, 90, size) for size in (0, 4, 90, 1, 7, 7, 2, 30)]
    chosen = maxsim_batch(queries, documents, candidates, threads=threads)
    assert all(np.array_equal(c, e[i]) for c, e, i in zip(chosen, expected, candidates, strict=True))


def test_batch_takes_queries_in_any_form(rng):
    """A 3-D array, a TokenEmbeddings of floats, and bits against binary documents."""
    documents, queries = ragged(rng, 16, [3, 4, 5]), unit(rng, 2, 6, 16)
    expected = maxsim_batch(list(queries), documents)
    assert np.array_equal(maxsim_batch(queries, documents), expected)
    assert np.array_equal(maxsim_batch(TokenEmbeddings.from_padded(queries), documents), expected)
    bits = quantize(TokenEmbeddings.from_padded(queries), "binary")
    binary = quantize(documents, "binary")
    assert np.array_equal(maxsim_batch(bits, binary)[1], maxsim(bits[1], binary))
    assert maxsim_batch([], documents).shape == (0, 3)
    assert maxsim_batch([], documents, []) == []
    assert maxsim_batch(queries, []).shape == (2, 0)


@pytest.mark.parametrize(
    ("queries", "candidates", "error", "message"),
    [
        ([QUERY, QUERY[:0]], None, InputError, r"queries\[1\]: expected at least one token, got none"),
        ([QUERY], [[0], [1]], InputError, r"candidates: expected 1 lists \(one per query\), got 2"),
        ([], [[0]], InputError, r"candidates: expected 0 lists \(one per query\), got 1"),
        ([QUERY], [[0.5]], InputTypeError, r"candidates\[0\]: expected whole numbers"),
        ([QUERY], [[7]], IndexError, "7"),
        ([QUERY[:, :3]], None, InputError, "documents: expected 3 dimensions"),
        (quantize(DOCUMENTS, "binary"), None, InputTypeError, "queries: expected floats against float32 documents"),
    ],
)
def test_bad_batches_are_refused(queries, candidates, error, message):
    """Each error says what, expected and got, and which query."""
    with pytest.raises(error, match=message):
        maxsim_batch(queries, DOCUMENTS, candidates)


@pytest.mark.parametrize("dtype", DTYPES)
def test_alignment_explains_the_score(rng, dtype):
    """Each query token's best document token, the first of equals; the similarities sum to the score."""
    documents, query = quantize(ragged(rng, 24, [9, 5]), dtype), unit(rng, 6, 24)
    for i in range(2):
        tokens, similarities = maxsim_alignment(query, documents[i : i + 1])
        exact = query @ dequantize(documents)[i].T
        assert np.array_equal(tokens, exact.argmax(1))
        assert similarities == pytest.approx(exact.max(1), abs=1e-6)
        assert similarities.sum() == pytest.approx(maxsim(query, documents)[i], abs=0.02 if dtype == "int8" else 0.01)
    assert maxsim_alignment(query, np.vstack([query[:1]] * 3))[0][0] == 0


@pytest.mark.parametrize("document", [np.ones((0, 4), np.float32), DOCUMENTS, np.ones((2, 5), np.float32)])
def test_alignment_needs_one_document(document):
    """Several documents, none, or another dimension are refused."""
    with pytest.raises(InputError, match=r"document: expected one document|documents: expected 4 dim"):
        maxsim_alignment(QUERY, document)
