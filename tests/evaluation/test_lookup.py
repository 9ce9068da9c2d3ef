"""Where judged documents stand: the definition, sorting, against C over objects, C over columns and Python."""

import math
import random
import sys

import numpy as np
import pytest

from rank_plugins import _columns
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.lookup import judged_ranks
from rank_plugins.runs import Qrels, Run

WAYS = ["objects", "columns", "python"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Return a function that brings qrels and run into the form that this way reads."""
    if request.param == "python":
        monkeypatch.setattr(_columns, "WALKS", False)
    elif not _columns.NATIVE:
        pytest.skip("no C core was built")
    if request.param == "columns":
        return lambda qrels, run: (Qrels.from_dict(qrels), Run.from_dict(run))
    return lambda qrels, run: (qrels, run)


def sorted_ranks(run, ties):
    """Return the rank of every document, by definition."""
    places = {document: i for i, document in enumerate(run)}
    if ties == "input":
        key = lambda d: (-run[d], places[d])  # noqa: E731
        return {d: i for i, d in enumerate(sorted(run, key=key), 1)}
    documents = sorted(run, reverse=ties == "id_desc")
    return {d: i for i, d in enumerate(sorted(documents, key=lambda d: -run[d]), 1)}


def drawn(seed, *, whole=False):
    rng = random.Random(seed)
    name = (lambda i: i - 5) if whole else (lambda i: rng.choice(["d", "ä", "\U0001f600", ""]) + str(i))
    pool = [name(i) for i in range(260)]
    qrels, run = {}, {}
    for q in range(rng.randint(1, 12)):
        documents = rng.sample(pool, rng.randint(1, 200))
        scores = rng.choice(
            [[0.0, 1.0, 2.5], [rng.uniform(-1, 1) for _ in range(99)], [-math.inf, 1e300, 5e-324, -0.0, 0.0]]
        )
        run[q] = {d: rng.choice(scores) for d in documents}
        qrels[q] = {d: rng.choice([-2, -1, 0, 1, 2, 3, 0.5]) for d in rng.sample(pool, rng.choice([1, 5, 30, 120]))}
    for q in rng.sample(sorted(run), len(run) // 4):
        run.pop(q)
    return qrels, run


@pytest.mark.parametrize("ties", ["id_desc", "id_asc", "input"])
@pytest.mark.parametrize("seed", range(25))
def test_ranks_are_those_of_a_sorted_list(way, ties, seed):
    qrels, run = drawn(seed, whole=seed % 5 == 0)
    found = judged_ranks(*way(qrels, run), ties=ties, relevance_level=1)
    table = found.ranks
    assert table.query_ids == list(qrels)
    assert table.n.tolist() == [len(run.get(q, {})) for q in qrels]
    assert found.absent == [q for q in qrels if q not in run]
    for i, query in enumerate(qrels):
        listed = run.get(query, {})
        ranks = sorted_ranks(listed, ties)
        expected = sorted((ranks[d], g) for d, g in qrels[query].items() if d in listed)
        rows = slice(table.first[i], table.first[i + 1])
        assert list(zip(table.rank[rows].tolist(), table.grade[rows].tolist(), strict=True)) == expected
        judged = slice(table.judged_offsets[i], table.judged_offsets[i + 1])
        assert table.judged_grades[judged].tolist() == sorted(qrels[query].values(), reverse=True)
        assert table.R[i] == sum(g >= 1 for g in qrels[query].values())
        assert table.N[i] == sum(0 <= g < 1 for g in qrels[query].values())


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("ties", ["average", "best", "worst"])
def test_policies_for_ties(way, ties, seed):
    qrels, run = drawn(seed)
    table = judged_ranks(*way(qrels, run), ties=ties).ranks
    for i, query in enumerate(qrels):
        listed = run.get(query, {})
        both = [d for d in qrels[query] if d in listed]
        above = {d: sum(s > listed[d] for s in listed.values()) for d in both}
        tied = {d: sum(s == listed[d] for s in listed.values()) for d in both}
        rows = slice(table.first[i], table.first[i + 1])
        if ties == "average":
            expected = sorted((above[d], tied[d], qrels[query][d]) for d in both)
            columns = (table.above[rows], table.tied[rows], table.grade[rows])
            assert sorted(zip(*(c.tolist() for c in columns), strict=True)) == expected
            continue
        # What was not judged counts as a grade between 0 and the smallest one above it.
        grade = lambda d: qrels[query].get(d, 1e-9)  # noqa: B023, E731
        sign = -1 if ties == "best" else 1
        order = sorted(listed, key=lambda d: (-listed[d], sign * grade(d)))
        expected = [(r, grade(d)) for r, d in enumerate(order, 1) if d in qrels[query]]
        assert list(zip(table.rank[rows].tolist(), table.grade[rows].tolist(), strict=True)) == expected


def test_judged_only_ranks_the_rest_again(way):
    qrels = {"q": {"a": 1, "b": 0, "z": 1}}
    run = {"q": {"x": 9.0, "a": 5.0, "y": 4.0, "b": 3.0}}
    table = judged_ranks(*way(qrels, run), judged_only=True).ranks
    assert (table.rank.tolist(), table.grade.tolist(), table.n.tolist()) == ([1, 2], [1, 0], [2])


def test_single_precision_makes_ties(way):
    qrels, run = {"q": {"a": 1}}, {"q": {"a": 1.0, "b": 1.0 + 1e-9}}
    assert judged_ranks(*way(qrels, run)).ranks.rank.tolist() == [2]
    assert judged_ranks(*way(qrels, run), score_dtype="float32", ties="id_asc").ranks.rank.tolist() == [1]


def test_nan_is_an_error_that_names_it(way):
    with pytest.raises(InputError, match=r"NaN for document 'b' of query 'q2'"):
        judged_ranks(*way({"q1": {"a": 1}, "q2": {"a": 1}}, {"q1": {"a": 1.0}, "q2": {"a": 1.0, "b": math.nan}}))


def test_nan_may_come_last(monkeypatch):
    for walks in {_columns.WALKS, False}:
        monkeypatch.setattr(_columns, "WALKS", walks)
        table = judged_ranks({"q": {"a": 1, "b": 1}}, {"q": {"a": math.nan, "b": -5.0}}, nan="last").ranks
        assert table.rank.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("scores", "message"),
    [({"a": "0.5"}, "document 'a' of query 'q'"), ({"a": None}, "document 'a'"), (None, "NoneType")],
)
def test_what_is_no_number_is_refused(scores, message, monkeypatch):
    for walks in {_columns.WALKS, False}:
        monkeypatch.setattr(_columns, "WALKS", walks)
        with pytest.raises(InputTypeError, match=message):
            judged_ranks({"q": {"a": 1}}, {"q": scores})


def test_ids_of_different_types_are_refused(way):
    """Otherwise nothing would match, and every metric would be 0."""
    with pytest.raises(InputTypeError, match="document ids of one type"):
        judged_ranks(*way({"q": {"1": 1}}, {"q": {1: 1.0, 2: 2.0}}))
    with pytest.raises(InputTypeError, match="query ids of one type"):
        judged_ranks(*way({"1": {"a": 1}}, {1: {"a": 1.0}}))


def test_numbers_of_numpy_and_fractions_are_numbers(way):
    from fractions import Fraction

    kinds = [np.float32(2), np.int64(2), np.float16(2), 2, True + 1, Fraction(2)]
    for score in kinds if way({}, {})[0] == {} and isinstance(way({}, {})[0], dict) else kinds[:5]:
        table = judged_ranks(*way({"q": {"a": 1}}, {"q": {"b": 1.5, "a": score, "c": 3.0}})).ranks
        assert table.rank.tolist() == [2], score


def colliding(count):
    """Return different ids of 16 bytes whose keys are equal: the second half undoes what the first one did."""
    mask, odd = 2**64 - 1, 0x9FB21C651E98DF25
    made = []
    for i in range(count):
        state = ((16 * 0xD6E8FEB86659FD93 & mask) ^ i) * odd & mask
        state ^= state >> 35
        made.append(i.to_bytes(8, "little") + (state ^ 12345).to_bytes(8, "little"))
    return made


@pytest.mark.skipif(not _columns.NATIVE, reason="no C core was built")
@pytest.mark.skipif(sys.byteorder == "big", reason="keys depend on the byte order")
def test_ids_whose_keys_collide_are_told_apart():
    ids = colliding(40)
    assert len(set(Run.from_dict({"q": dict.fromkeys(ids, 1.0)}).documents.keys.tolist())) == 1
    run = {"q": {document: float(i) for i, document in enumerate(ids)}}
    for judged in (ids[:1], ids[7:9], ids[::2], [b"another", ids[3]]):
        qrels = {"q": dict.fromkeys(judged, 1)}
        tables = [judged_ranks(*pair).ranks for pair in ((qrels, run), (Qrels.from_dict(qrels), Run.from_dict(run)))]
        assert tables[0].rank.tolist() == tables[1].rank.tolist()


def test_threads_do_not_change_the_table():
    qrels, run = drawn(3)
    columns = Qrels.from_dict(qrels), Run.from_dict(run)
    one, two = (judged_ranks(*columns, threads=t).ranks for t in (1, 2))
    assert one.rank.tolist() == two.rank.tolist()


def test_inputs_are_not_changed(way):
    qrels, run = drawn(4)
    before = ({q: dict(v) for q, v in qrels.items()}, {q: dict(v) for q, v in run.items()})
    judged_ranks(*way(qrels, run), ties="worst", judged_only=True)
    assert (qrels, run) == before


@pytest.mark.parametrize("ties", ["id_desc", "id_asc", "input"])
def test_one_large_group_of_equal_scores_takes_no_quadratic_time(way, ties):
    """Comparing every judged document with every other would take minutes."""
    count, judged = 300_000, 100_000
    run = {"q": dict.fromkeys(map(str, range(count)), 1.0)}
    table = judged_ranks(*way({"q": {str(3 * i): 1 for i in range(judged)}}, run), ties=ties).ranks
    ranks = sorted_ranks(run["q"], ties)
    assert table.rank.tolist() == sorted(ranks[str(3 * i)] for i in range(judged))


@pytest.mark.parametrize("score", ["1", b"1", 10**400, [1.0]])
def test_no_text_and_no_number_beyond_float64_is_taken_for_one(score, monkeypatch):
    for walks in {_columns.WALKS, False}:
        monkeypatch.setattr(_columns, "WALKS", walks)
        with pytest.raises((InputError, InputTypeError), match="run: .* document 'b' of query 'q'"):
            judged_ranks({"q": {"a": 1}}, {"q": {"a": 1.0, "b": score}})
        with pytest.raises((InputError, InputTypeError), match="qrels: .* document 'b' of query 'q'"):
            judged_ranks({"q": {"a": 1, "b": score}}, {"q": {"a": 1.0}})
        with pytest.raises((InputError, InputTypeError), match="run: .* document 'b' of query 'q'"):
            judged_ranks({"q": {"a": 1}}, {"q": {"q": 1.0, "b": score}})  # a query that finds itself


def test_grades_are_finite(way):
    with pytest.raises(InputError, match="finite grades, got inf for document 'b' of query 'q'"):
        judged_ranks(*way({"q": {"a": 1, "b": math.inf}}, {"q": {"a": 1.0}}))


def test_ids_of_several_types_in_one_input_are_refused(way):
    with pytest.raises(InputTypeError, match="ids"):
        judged_ranks(*way({"q": {"a": 1, 5: 1}}, {"q": {"a": 1.0}}))
    with pytest.raises(InputTypeError, match="query ids"):
        judged_ranks(*way({"q": {"a": 1}}, {"q": {"a": 1.0}, 7: {"a": 1.0}}))


def test_ids_whose_comparison_changes_the_dicts_do_no_harm(monkeypatch):
    qrels = {}

    class Evil(str):
        def __hash__(self):
            return hash("a")

        def __eq__(self, other):
            qrels.get("q", {}).clear()
            return self is other

    for walks in {_columns.WALKS, False}:
        monkeypatch.setattr(_columns, "WALKS", walks)
        qrels.clear()
        row = {}
        for i in range(3):
            row[Evil("e" * 40 + str(i))] = 1
        qrels["q"] = row
        with pytest.raises((InputError, RuntimeError)):
            judged_ranks(qrels, {"q": {"a": 1.0, "b": 1.0}})
