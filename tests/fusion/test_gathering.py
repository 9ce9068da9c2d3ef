"""Lists that C reads from Python's objects, and the order that it gives: the same as in Python."""

import random
from decimal import Decimal
from fractions import Fraction

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


class Shouting(str):
    """An id whose hash empties the lists that it stands in."""

    lists = ()

    def __hash__(self):
        for each in self.lists:
            each.clear()
        return super().__hash__()


class Clearing(int):
    """A score that empties the lists that it stands in."""

    lists = ()

    def __float__(self):
        for each in self.lists:
            each.clear()
        return 1.0


class Failing:
    def __float__(self):
        raise RuntimeError("no")


def either(monkeypatch, *arguments, **options):
    """Return what C gives, after comparing it with what Python gives."""
    results = []
    for walks in (_columns.WALKS, False):
        monkeypatch.setattr(_columns, "WALKS", walks)
        try:
            results.append(repr(fuse(*arguments, **options)))
        except (InputError, InputTypeError) as error:
            results.append(repr(error))
        monkeypatch.undo()
    assert results[0] == results[1]
    return results[0]


@pytest.mark.parametrize(
    "score", [Fraction(3, 2), Decimal("1.5"), 2**64, True, np.True_, np.array(1.5), np.float16(1.5), np.longdouble(1.5)]
)
def test_any_number_is_a_score(score, monkeypatch):
    expected = [("a", float(score)), ("b", 0.25)]
    assert either(monkeypatch, [[("a", score), ("b", 0.25)]], "max", norm="none") == repr(expected)
    assert either(monkeypatch, [{"q": {"a": score, "b": 0.25}}], "max", norm="none") == repr({"q": dict(expected)})
    assert either(monkeypatch, [[("a", score)]]) == repr([("a", 1 / 61)])


@pytest.mark.parametrize("score", [np.array([1.5]), np.array([1.5, 2]), [1.0], None, "1", 1j, 10**400, Failing()])
@pytest.mark.parametrize("method", ["rrf", "sum"])
def test_what_is_no_number_is_no_score(score, method, monkeypatch):
    for lists in ([[("a", score), ("b", 0.25)]], [[("a", score)]], [{"q": {"a": score}}]):
        assert "expected scores that are numbers" in either(monkeypatch, lists, method)


@pytest.mark.parametrize("kind", [Shouting, Clearing])
@pytest.mark.parametrize("method", ["rrf", "sum"])
def test_lists_that_change_while_they_are_read(kind, method):
    """Their ids and scores run code, so that Python reads them, which copies them first."""
    lists = [
        [
            (Shouting(f"d{i}") if kind is Shouting else f"d{i}", Clearing(1) if kind is Clearing else 1.0)
            for i in range(50)
        ]
        for _ in range(2)
    ]
    kind.lists = lists
    try:
        assert len(fuse(lists, method)) == 50
    finally:
        kind.lists = ()


def test_a_document_that_a_list_has_not_stands_there_only_once(monkeypatch):
    assert either(monkeypatch, [[("a", float("-inf")), ("a", 1.0)]]) == repr([("a", 1 / 61)])


@pytest.mark.parametrize("method", ["rrf", "sum"])
def test_top_beyond_every_list(method, monkeypatch):
    assert either(monkeypatch, [[("a", 1.0)]], method, top=2**80) == either(monkeypatch, [[("a", 1.0)]], method)


def test_scores_of_a_function_may_lie_apart(monkeypatch):
    spread = either(monkeypatch, [["a", "b"]], lambda lists: np.arange(2.0 * lists.documents)[::2])
    assert spread == repr([("b", 2.0), ("a", 0.0)])


@pytest.mark.parametrize("stretch", [1, 2, 7, 12, 13, 40, 500])
def test_lists_of_sorted_stretches(stretch):
    rng = random.Random(stretch)
    scores = []
    while len(scores) < 3000:
        scores += sorted((rng.randint(0, 900) for _ in range(rng.randint(1, stretch))), reverse=True)
    rows = [(i, float(score)) for i, score in enumerate(scores)]
    assert fuse([rows], "max", norm="none") == sorted(rows, key=lambda row: (row[1], row[0]), reverse=True)


@pytest.mark.parametrize("method", ["max", "min", "med"])
def test_zeros_have_no_sign(method, monkeypatch):
    rows = [[(f"d{i}", rng * 0.0) for i in range(20)] for rng in (1, -1)]
    assert "-0.0" not in either(monkeypatch, rows, method, norm="none")
