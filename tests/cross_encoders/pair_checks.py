"""What the tests of all engines check, each against its own library: `predict` takes pairs and returns their scores."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from rank_plugins import cross_encoders
from rank_plugins.rerankers import load
from rank_plugins.testing import DOCUMENTS, QUERY

TEXTS = list(dict.fromkeys(text for text in DOCUMENTS if text))
FILLING = "the wind tunnels measure drag of a wing through the alps when people sleep in paris and france is awake"
LONG = " ".join(
    f"{i} {word}" for i, word in enumerate(f"{FILLING} aspirin lowers blood pressure {FILLING}".split() * 3)
)
PAIRS = [
    *((QUERY, text) for text in TEXTS),
    ("coffee", "caffeine"),
    ("sleep in paris", f"{FILLING} sleep"),
    (QUERY, "a"),
]


def close(values, tolerance=1e-5):
    return pytest.approx([float(value) for value in values], rel=tolerance, abs=tolerance)


def check_scores(model, predict, **options):
    """Check that scores are the library's, in the caller's order, whatever runs together."""
    expected = [predict([(QUERY, text)])[0] for text in TEXTS]
    for batch_tokens in (None, 1, 100):
        ranking = load("rank-cross-encoder", model=model, batch_tokens=batch_tokens, **options).rerank(QUERY, TEXTS)
        found = dict(ranking)
        assert [found[i] for i in range(len(TEXTS))] == close(expected)
        assert ranking.details["truncated"] == []


def check_batches(model, **options):
    """Check that a pair's number is the same alone and in a padded batch."""
    loaded = cross_encoders.load(model, **options)
    together = loaded.run(PAIRS)
    assert together.dtype == np.float64
    assert together.shape == (len(PAIRS),)
    assert together.tolist() == close([loaded.run([pair])[0] for pair in PAIRS])
    assert len(set(together.round(6))) > len(PAIRS) // 2


def check_windows(model, predict, count_tokens, **options):
    """Check that a long document is read to its end, and scored as the best of windows that the library scores."""
    loaded = cross_encoders.load(model, **options)
    pieces, lost = loaded.pieces([(QUERY, LONG), (QUERY, "aspirin")], first_only=False)
    assert lost == []
    assert [piece.pair for piece in pieces] == [0] * (len(pieces) - 1) + [1]
    windows = [piece.content for piece in pieces[:-1]]
    assert len(windows) > 2
    assert all(query == QUERY for query, _ in windows)
    assert all(count_tokens(*window) <= loaded.window for window in windows)
    assert all(count_tokens(*piece.content) <= piece.tokens for piece in pieces)
    place = 0
    for _, text in windows:  # each begins no later than the one before ended
        start = LONG.index(text, max(0, place - len(text)))
        assert start <= place + 1
        place = start + len(text)
    assert place == len(LONG)
    expected = [predict([window])[0] for window in windows]
    for pool, combine in (("max", max), ("mean", np.mean)):
        reranker = load("rank-cross-encoder", model=model, long_documents=pool, activation="none", **options)
        ranking = reranker.rerank(QUERY, ["aspirin", LONG])
        assert dict(ranking)[1] == pytest.approx(combine(expected), abs=1e-5)
        assert ranking.details["windows"] == {1: len(windows)}
        assert ranking.details["truncated"] == []


def check_first(model, predict, text=LONG, **options):
    """Check that with long_documents="first" the start is read, and that this is told."""
    reranker = load("rank-cross-encoder", model=model, long_documents="first", activation="none", **options)
    with pytest.warns(UserWarning, match="longer than the model's window"):
        ranking = reranker.rerank(QUERY, ["aspirin", LONG])
    assert ranking.details["truncated"] == [1]
    assert ranking.details["windows"] == {}
    assert dict(ranking)[1] == pytest.approx(float(predict([(QUERY, text)])[0]), abs=1e-5)


def check_long_query(model, count_tokens, **options):
    """Check that a query beyond the window is cut, which is told, and leaves room for the document."""
    loaded = cross_encoders.load(model, **options)
    pieces, lost = loaded.pieces([(LONG, "aspirin"), (LONG, LONG), (QUERY, "aspirin")], first_only=False)
    assert lost == [0, 1]
    assert all(count_tokens(*piece.content) <= loaded.window for piece in pieces)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranking = load("rank-cross-encoder", model=model, **options).rerank(LONG, ["aspirin", "paris"])
    assert sorted(ranking.details["truncated"]) == [0, 1]
