"""Ids, Run and Qrels: columns that are what was given, and refuse what cannot be."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import _columns
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs import Ids, Qrels, Run

TEXT = st.text(st.characters(), max_size=6)
LISTS = st.one_of(st.lists(TEXT), st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.binary(max_size=6)))


@given(LISTS)
def test_ids_are_what_was_given(items):
    ids = Ids.from_list(items)
    assert ids.tolist() == items
    assert [ids[i] for i in range(len(ids))] == items
    turned = np.arange(len(items))[::-1]
    assert ids.take(turned).tolist() == items[::-1]
    assert ids.differs_from_previous().tolist() == [a != b for a, b in itertools.pairwise(items)]


@given(LISTS)
def test_keys_are_equal_where_ids_are(items):
    if not _columns.NATIVE:
        pytest.skip("no C core was built")
    keys = Ids.from_list(items + items).keys.tolist()
    assert keys[: len(items)] == keys[len(items) :]
    assert len(set(keys)) == len(set(items))


@pytest.mark.parametrize("dtype", ["U5", "S5", "int32", "uint64", object])
def test_ids_of_arrays(dtype):
    given = np.array(["7", "12345", "7"]).astype(dtype)
    assert Ids.from_array(given).tolist() == given.tolist()
    assert Ids.from_array(given[:0]).tolist() == []


@pytest.mark.parametrize(
    ("items", "error"),
    [
        (["a", 1], InputTypeError),
        ([True], InputTypeError),
        ([1.5], InputTypeError),
        ([2**63], InputError),
        ([None], InputTypeError),
    ],
)
def test_other_ids_are_refused(items, error):
    with pytest.raises(error, match="ids"):
        Ids.from_list(items)
    with pytest.raises((InputError, InputTypeError)):
        Ids.from_array(np.array([[1, 2]]))


def test_rows_in_any_order_make_a_run():
    run = Run.from_arrays(["q2", "q1", "q2"], ["a", "b", "c"], [1, 2, 3], name="mine")
    assert run.to_dict() == {"q2": {"a": 1.0, "c": 3.0}, "q1": {"b": 2.0}}
    assert (run.queries, run.offsets.tolist(), run.name, len(run)) == (["q2", "q1"], [0, 2, 3], "mine", 2)
    with pytest.raises(ValueError, match="read-only"):
        run.scores[0] = 5


@pytest.mark.parametrize(("rule", "score"), [("first", 1.0), ("max", 3.0)])
def test_duplicates_are_refused_or_resolved(rule, score):
    columns = ["q", "q", "q"], ["a", "b", "a"], [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match=r"document 'a' of query 'q' twice"):
        Run.from_arrays(*columns)
    assert Run.from_arrays(*columns, duplicates=rule).to_dict() == {"q": {"a": score, "b": 2.0}}
    with pytest.raises(InputError, match="duplicates"):
        Run.from_arrays(*columns, duplicates="last")
    with pytest.raises(InputError, match="document 'a' of query 'q' twice"):
        Run(["p", "q"], [0, 1, 3], Ids.from_list(["a", "a", "a"]), [1, 2, 3])


def test_lists_of_ids_and_of_pairs():
    ranked = Run.from_dict({"q": ["b", "a"], "p": []})
    assert (ranked.ranked_only, ranked.to_dict()) == (True, {"q": {"b": 2.0, "a": 1.0}, "p": {}})
    pairs = Run.from_dict({"q": [("b", 0.5), ("a", 0.25)]})
    assert (pairs.ranked_only, pairs.to_dict()) == (False, {"q": {"b": 0.5, "a": 0.25}})
    with pytest.raises(InputTypeError, match="both"):
        Run.from_dict({"q": ["b"], "p": [("a", 0.5)]})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((["q"], [0, 2], ["a"], [1.0]), "2 documents"),
        ((["q"], [1, 1], [], []), "offsets"),
        ((["q", "q"], [0, 1, 2], ["a", "b"], [1, 2]), "'q' twice"),
        ((["q"], [0, 1], ["a"], [float("nan")]), "NaN for document 'a' of query 'q'"),
        ((["q"], [0, 1], ["a"], [[1.0]]), "axis"),
    ],
)
def test_columns_that_do_not_fit(columns, message):
    queries, offsets, documents, scores = columns
    with pytest.raises(InputError, match=message):
        Run(queries, offsets, Ids.from_list(documents), scores)


def test_scores_that_are_no_numbers():
    with pytest.raises(InputTypeError, match="dtype"):
        Run(["q"], [0, 1], Ids.from_list(["a"]), ["1"])


def test_grades_stay_real_and_whole_ones_are_whole():
    assert Qrels.from_dict({"q": {"a": 0.9}}).to_dict() == {"q": {"a": 0.9}}
    grades = Qrels.from_dict({"q": {"a": 2.0, "b": -1}}).to_dict()["q"]
    assert grades == {"a": 2, "b": -1}
    assert all(type(grade) is int for grade in grades.values())


def test_subtopics_of_a_document_are_one_judgment_when_flat():
    topics = Ids.from_list(["1", "2", "1"])
    qrels = Qrels.from_arrays(["q", "q", "q"], ["a", "a", "b"], [1, 2, 0], subtopics=topics)
    assert qrels.flat().to_dict() == {"q": {"a": 2, "b": 0}}
    with pytest.raises(InputError, match="subtopic '1'"):
        Qrels.from_arrays(["q", "q"], ["a", "a"], [1, 2], subtopics=Ids.from_list(["1", "1"]))


def test_without_the_core_it_is_the_same(monkeypatch):
    table = {"q": {"ä": 1.0, "b": 2.0}, "p": {"ä": 3.0}}
    columns = [query for query, row in table.items() for _ in row], [d for row in table.values() for d in row]
    for native in {_columns.NATIVE, False}:
        monkeypatch.setattr(_columns, "NATIVE", native)
        assert Run.from_arrays(*columns, [1.0, 2.0, 3.0]).to_dict() == table
        with pytest.raises(InputError, match="'ä' of query 'p' twice"):
            Run(["q", "p"], [0, 1, 3], Ids.from_list(["ä", "ä", "ä"]), [1, 2, 3])
