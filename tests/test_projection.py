"""Projection: a singular value decomposition as oracle, lengths kept, documents alone or together, damaged files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, StoreError, TokenEmbeddings
from rank_plugins.quantize import quantize
from rank_plugins.store.projection import Projection

DIM = 24


def tokens(rng, lengths, dim=DIM):
    """Return documents of so many tokens whose dimensions differ in size, and whose mean is not 0."""
    values = rng.standard_normal((sum(lengths), dim)) * np.geomspace(1, 0.01, dim) + 0.1
    return TokenEmbeddings(values.astype(np.float32), np.cumsum([0, *lengths]))


@pytest.fixture(scope="module")
def projection():
    """Return a projection to 5 dimensions."""
    return Projection.fit(tokens(np.random.default_rng(3), [50, 0, 70]), 5)


def test_the_columns_are_the_leading_singular_vectors(rng):
    """Of the tokens as they are, not centred; each points where its largest component is positive."""
    sample = tokens(rng, [40, 0, 1, 60])
    matrix = Projection.fit(sample, 7).matrix
    right = np.linalg.svd(sample.contiguous()[0].astype(np.float64))[2][:7].T
    right *= np.sign(right[np.abs(right).argmax(axis=0), range(7)])
    assert matrix.dtype == np.float32
    assert matrix == pytest.approx(right, abs=1e-6)
    assert matrix.T @ matrix == pytest.approx(np.eye(7), abs=1e-6)


def test_the_order_of_tokens_does_not_matter(rng):
    """Nor do documents: the sample is a set of tokens."""
    sample = tokens(rng, [40, 60])
    values = sample.contiguous()[0]
    other = TokenEmbeddings(rng.permutation(values), [0, 3, 3, 100])
    assert Projection.fit(other, 6).matrix == pytest.approx(Projection.fit(sample, 6).matrix, abs=1e-6)


def test_all_dimensions_keep_every_dot_product(rng):
    """Then the projection is a rotation."""
    documents, query = tokens(rng, [9, 4]), rng.standard_normal((3, DIM)).astype(np.float32)
    projection = Projection.fit(tokens(rng, [100]), DIM)
    for before, after in zip(documents, projection.apply(documents), strict=True):
        assert projection.apply_query(query) @ after.T == pytest.approx(query @ before.T, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e12])
def test_lengths_are_kept(rng, projection, scale):
    """A projected token is as long as its source, and points where the plain product points."""
    values = tokens(rng, [30]).contiguous()[0] * np.float32(scale)
    got = projection.apply_query(values).astype(np.float64)
    plain = values.astype(np.float64) @ projection.matrix
    assert np.linalg.norm(got, axis=1) == pytest.approx(np.linalg.norm(values.astype(np.float64), axis=1), rel=1e-5)
    assert got == pytest.approx(
        plain * np.linalg.norm(got, axis=1, keepdims=True) / np.linalg.norm(plain, axis=1, keepdims=True),
        rel=1e-3,
        abs=scale * 1e-5,
    )


def test_zeros_stay_zeros(projection):
    """A vector without length, and one with nothing in the kept dimensions, become zeros, not NaN."""
    outside = np.linalg.svd(projection.matrix.T.astype(np.float64))[2][-1]
    result = projection.apply(TokenEmbeddings(np.array([np.zeros(DIM), outside]), [0, 1, 2]))
    assert not result[0].any()
    assert np.isfinite(result[1]).all()
    only_first = Projection(np.eye(DIM, 1, dtype=np.float32))
    assert not only_first.apply_query(np.eye(DIM, dtype=np.float32)[1:]).any()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_a_document_is_projected_alike_in_any_company(projection, lengths, seed):
    """To the last bit, as a document and as a query."""
    documents = tokens(np.random.default_rng(seed), lengths)
    together = projection.apply(documents)
    assert together.tokens.tolist() == lengths
    for i in range(len(lengths)):
        assert np.array_equal(projection.apply(documents[[i]])[0], together[i])
        assert np.array_equal(projection.apply_query(documents[i]), together[i])


def test_inputs_are_not_changed_and_selections_work(rng, projection):
    """Scattered documents come out in the order asked for."""
    documents = tokens(rng, [5, 6, 7])
    before = documents.contiguous()[0].copy()
    chosen = projection.apply(documents[[2, 0]])
    assert chosen.tokens.tolist() == [7, 5]
    assert np.array_equal(chosen[1], projection.apply(documents)[0])
    assert np.array_equal(documents.contiguous()[0], before)
    with pytest.raises(ValueError, match="read-only"):
        projection.matrix[0, 0] = 1


def test_no_documents(projection):
    """Nothing in, nothing out."""
    result = projection.apply(TokenEmbeddings.from_list([]))
    assert (len(result), result.dim) == (0, 5)


def test_bytes_round_trip(rng, projection):
    """The file is NumPy's own, and gives the same projection to the last bit."""
    data = projection.to_bytes()
    assert np.array_equal(np.load(io.BytesIO(data), allow_pickle=False), projection.matrix)
    again = Projection.from_bytes(data)
    documents = tokens(rng, [11])
    assert np.array_equal(again.apply(documents)[0], projection.apply(documents)[0])


@given(data=st.data())
def test_a_damaged_file_is_never_another_error(projection, data):
    """Cut or changed anywhere: StoreError, or a projection whose columns are still orthonormal."""
    whole = bytearray(projection.to_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        with pytest.raises(StoreError, match="projection: the file is damaged"):
            Projection.from_bytes(bytes(whole[:place]))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        matrix = Projection.from_bytes(bytes(whole)).matrix
    except StoreError:
        return
    assert matrix.T @ matrix == pytest.approx(np.eye(matrix.shape[1]), abs=1e-3)


def npy(array):
    """Return an array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an array",
        npy(np.eye(3, 4, dtype=np.float32)),
        npy(np.eye(3)[0]),
        npy(np.eye(3, dtype=np.int64)),
        npy(np.full((3, 2), np.nan, np.float32)),
        npy(2 * np.eye(3, dtype=np.float32)),
        npy(np.eye(3, dtype=np.float32)) + b"x",
        npy(np.array([{}])),
    ],
)
def test_files_of_other_things_are_refused(data):
    """A pickle is never read."""
    with pytest.raises(StoreError, match="projection: the file is damaged .*make the store again"):
        Projection.from_bytes(data)


@pytest.mark.parametrize(
    ("lengths", "dim", "error", "message"),
    [
        ([99], DIM + 1, InputError, "dim: expected at most 24 .*got 25"),
        ([99], 0, InputError, "dim: expected at least 1, got 0"),
        ([99], 2.0, InputTypeError, "dim: expected a whole number"),
        ([3, 4], 8, InputError, "sample: expected at least 8 tokens .*got 7"),
    ],
)
def test_bad_fits_are_refused(rng, lengths, dim, error, message):
    """Each error names the argument and both numbers."""
    with pytest.raises(error, match=message):
        Projection.fit(tokens(rng, lengths), dim)


def test_other_inputs_are_refused(rng, projection):
    """Another dimension, another type, tensors."""
    documents = tokens(rng, [4])
    with pytest.raises(InputError, match="embeddings: expected 24 dimensions as the projection has, got 9"):
        projection.apply(tokens(rng, [4], 9))
    with pytest.raises(InputError, match="query: expected 24 dimensions as the projection has, got 9"):
        projection.apply_query(np.zeros((2, 9)))
    with pytest.raises(InputTypeError, match="embeddings: expected arrays of float32, got arrays of int8"):
        projection.apply(quantize(documents, "int8"))
    with pytest.raises(InputTypeError, match="sample: expected TokenEmbeddings, got ndarray"):
        Projection.fit(documents[0], 2)
    with pytest.raises(InputError, match="matrix: expected .*got shape"):
        Projection(np.zeros((2, 3)))
    with pytest.raises(InputError, match="matrix: expected orthonormal columns"):
        Projection(np.ones((3, 2)))
    torch = pytest.importorskip("torch")
    with pytest.raises(InputTypeError, match="embeddings: expected arrays of float32, got tensors"):
        projection.apply(TokenEmbeddings(torch.zeros(2, DIM), [0, 2]))
