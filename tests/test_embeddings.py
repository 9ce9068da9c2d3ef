"""TokenEmbeddings: layout, selection without copies, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, TokenEmbeddings

VALUES = np.arange(12, dtype=np.float32).reshape(6, 2)


def lists(embeddings):
    return [document.tolist() for document in embeddings]


def test_documents_are_runs_of_rows():
    """Document i is values[offsets[i]:offsets[i + 1]], and may be empty."""
    embeddings = TokenEmbeddings(VALUES, [0, 2, 2, 6])
    assert lists(embeddings) == [VALUES[:2].tolist(), [], VALUES[2:].tolist()]
    assert (len(embeddings), embeddings.dim, embeddings.dtype) == (3, 2, "float32")
    assert embeddings.tokens.tolist() == [2, 0, 4]
    assert repr(embeddings) == "TokenEmbeddings(3 documents, 6 tokens, 2 x float32)"


def test_nothing_is_copied():
    """float32 rows are the caller's memory, for slices and selections too, and cannot be written through."""
    embeddings = TokenEmbeddings(VALUES, [0, 2, 6])
    for view in (embeddings[0], embeddings[[1, 0]][1], embeddings[:1][0], embeddings[-2]):
        assert np.shares_memory(view, VALUES)
        assert view.tolist() == VALUES[:2].tolist()
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1
    assert VALUES.flags.writeable
    assert np.shares_memory(embeddings.contiguous()[0], VALUES)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.data())
def test_selection_is_that_of_a_list(tokens, data):
    """Indexing agrees with indexing a list of arrays, however often it is repeated."""
    arrays = [np.random.default_rng(i).random((D, 3), np.float32) for i, D in enumerate(tokens)]
    embeddings = TokenEmbeddings.from_list(arrays)
    order = data.draw(st.lists(st.integers(-len(arrays), len(arrays) - 1), max_size=10))
    part = data.draw(st.slices(len(order)))
    selected = [arrays[i].tolist() for i in order][part]
    chosen = embeddings[order][part]
    assert lists(chosen) == selected
    values, offsets = chosen.contiguous()
    assert lists(TokenEmbeddings(values, offsets)) == selected


def test_bool_masks_select():
    """A bool mask keeps where it is true."""
    embeddings = TokenEmbeddings(VALUES, [0, 1, 3, 6])
    assert lists(embeddings[np.array([True, False, True])]) == [lists(embeddings)[0], lists(embeddings)[2]]


def test_from_padded():
    """Without lengths every row counts; lengths cut; a mask may leave out rows in between; padding may be NaN."""
    padded = VALUES.reshape(2, 3, 2)
    assert lists(TokenEmbeddings.from_padded(padded)) == padded.tolist()
    holes = padded.copy()
    holes[0, 2] = np.nan
    assert lists(TokenEmbeddings.from_padded(holes, lengths=[2, 3])) == [padded[0, :2].tolist(), padded[1].tolist()]
    mask = [[1, 1, 0], [0, 1, 1]]
    assert lists(TokenEmbeddings.from_padded(holes, mask=mask)) == [padded[0, :2].tolist(), padded[1, 1:].tolist()]
    assert lists(TokenEmbeddings.from_padded(padded, lengths=[0, 3])) == [[], padded[1].tolist()]


@pytest.mark.parametrize(
    ("values", "offsets", "error", "message"),
    [
        (VALUES, [0, 4, 2, 6], InputError, r"offsets: expected never to decrease, got 4 then 2 at \[1\]"),
        (VALUES, [0, 5], InputError, r"offsets: expected 0 \.\.\. 6 \(the rows of values\), got 0 \.\.\. 5"),
        (VALUES, [1, 6], InputError, r"got 1 \.\.\. 6"),
        (VALUES, [], InputError, "got no elements"),
        (VALUES, [0.0, 6.0], InputTypeError, "offsets: expected whole numbers, got dtype float64"),
        (VALUES, [[0, 6]], InputError, "offsets: expected 1 axis"),
        (VALUES[0], [0, 2], InputError, r"values: expected 2 axes \[T, K\], got shape \(2,\)"),
        (np.empty((3, 0), np.float32), [0, 3], InputError, "values: expected at least 1 dimension, got 0"),
        (VALUES.astype(int), [0, 6], InputTypeError, "values: expected dtype .*got int64"),
        (
            VALUES * np.nan,
            [0, 6],
            InputError,
            r"values: expected finite values .* got nan .* \(12 such of 12\)",
        ),
    ],
)
def test_bad_values_and_offsets_are_refused(values, offsets, error, message):
    """Each error says what, expected and got, and where."""
    with pytest.raises(error, match=message):
        TokenEmbeddings(values, offsets)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lengths": [1]}, InputError, "lengths: expected 2 of them"),
        ({"lengths": [1, 4]}, InputError, r"lengths: expected 0 \.\.\. 3 .* got 4 at \[1\]"),
        ({"lengths": [-1, 3]}, InputError, r"got -1 at \[0\]"),
        ({"mask": [[1, 1, 1]]}, InputError, "mask: expected shape"),
        ({"mask": [[1, 2, 1], [1, 1, 1]]}, InputTypeError, "mask: expected bool or 0 and 1"),
        ({"mask": np.ones((2, 3)), "lengths": [1, 2]}, InputError, "expected lengths or mask, got both"),
    ],
)
def test_bad_padding_is_refused(options, error, message):
    """Lengths and masks must fit the array."""
    with pytest.raises(error, match=message):
        TokenEmbeddings.from_padded(VALUES.reshape(2, 3, 2), **options)


@pytest.mark.parametrize("index", [2, -3])
def test_index_out_of_range(index):
    """An index outside raises IndexError that states the range."""
    with pytest.raises(IndexError, match=r"expected -2 \.\.\. 1"):
        TokenEmbeddings(VALUES, [0, 2, 6])[index]
    with pytest.raises(InputTypeError, match="index: expected whole numbers"):
        TokenEmbeddings(VALUES, [0, 2, 6])[[0.5]]
