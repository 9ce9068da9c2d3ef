"""Lists that C reads from Python's objects, and the order that it gives: the same as in Python."""

import random

import numpy as np
import pytest

from rank_plugins import _columns
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion import _python, fuse
from rank_plugins.fusion.gathering import finish, gather

needs_core = pytest.mark.skipif(not _columns.WALKS, reason="no C core that walks Python's objects")


def drawn(rng, ids):
    pool = [rng.choice(["a", "é", "\U0001f600"]) + str(i) for i in range(60)]
    pool = {"str": pool, "int": list(range(-30, 30)), "bytes": [item.encode() for item in pool]}[ids]
    scores = [0.5, 1, 2, rng.random(), float("-inf"), np.float32(0.25), -3]
    return lambda: {document: rng.choice(scores) for document in rng.sample(pool, rng.randint(0, 50))}


@needs_core
@pytest.mark.parametrize("ids", ["str", "int", "bytes"])
@pytest.mark.parametrize("seed", range(40))
def test_c_reads_what_python_reads(ids, seed):
    rng = random.Random(seed)
    row = drawn(rng, ids)
    queries = [f"q{i}" for i in range(rng.randint(1, 8))]
    runs = [
        {query: row() for query in rng.sample(queries, rng.randint(0, len(queries)))} for _ in range(rng.randint(1, 4))
    ]
    compare(runs, queries, [rng.random() < 0.8 for _ in runs])
    lists = [list(row().items()) if rng.random() < 0.7 else tuple(row()) for _ in range(3)]
    compare(lists, None, [True] * 3)


def compare(runs, queries, higher):
    lists, gathered = gather(runs, queries, higher)
    assert "best" in lists.__dict__, "C did not read it"
    expected, names = _python.gather(runs, [None] if queries is None else queries, higher)
    for column in ("segments", "rank", "score", "unions"):
        assert getattr(lists, column).tolist() == getattr(expected, column).tolist()
    assert list(map(gathered.names.__getitem__, lists.code)) == list(map(names.__getitem__, expected.code))
    best = dict(zip(zip(expected.of_query.tolist(), names, strict=True), expected.best.tolist(), strict=True))
    assert lists.best.tolist() == [best[key] for key in zip(lists.of_query.tolist(), gathered.names, strict=True)]
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, lists.documents).astype(float)
    scores[::7] = np.nan
    tiebreak = rng.integers(0, 3, lists.documents)
    for top in (None, 5):
        out = [] if queries is None else {}
        codes, begins = finish(gathered, scores, tiebreak, top, out)
        ordered = _python.order(gathered.names, gathered.unions, scores, tiebreak, top)
        assert codes.tolist() == ordered[0].tolist()
        assert begins.tolist() == ordered[1].tolist()
        pairs = [(gathered.names[code], float(scores[code])) for code in codes.tolist()]
        if queries is None:
            assert out == pairs
        else:
            assert [list(documents.items()) for documents in out.values()] == [
                pairs[a:b] for a, b in zip(begins.tolist(), begins.tolist()[1:], strict=False)
            ]


@pytest.mark.parametrize(
    ("lists", "error"),
    [
        ([[("a", 1.0), ("a", 0.5)]], InputError),
        ([[("a", float("nan"))]], InputError),
        ([[("a", "1")]], InputTypeError),
        ([[("a", 1.0), (2, 0.5)]], InputTypeError),
        ([[("a", 1.0)], [b"a"]], InputTypeError),
        ([[("a", 1.0), "b"]], InputTypeError),
        ([[(["a"], 1.0)]], InputTypeError),
        ([["a", "b", "a"]], InputError),
    ],
)
def test_what_is_wrong_is_told_by_either(lists, error, monkeypatch):
    for walks in {_columns.WALKS, False}:
        monkeypatch.setattr(_columns, "WALKS", walks)
        with pytest.raises(error):
            fuse(lists)


@needs_core
def test_ids_live_as_long_as_they_are_needed():
    """A caller may empty the lists while scores are computed."""
    rows = [(f"document {i}", float(-i)) for i in range(100)]

    def emptied(lists):
        rows.clear()
        return np.arange(lists.documents, dtype=float)

    assert fuse([rows], emptied)[0] == ("document 99", 99.0)
