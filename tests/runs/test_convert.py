"""What users pass: dicts, lists, rows, columns and paths, all the same table."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs import Qrels, Run
from rank_plugins.runs.convert import as_qrels, as_run

TABLE = {"q2": {"d1": 0.5, "d3": 0.25}, "q1": {"d1": 2.0}}
ROWS = [("q2", "d1", 0.5), ("q2", "d3", 0.25), ("q1", "d1", 2.0)]


class Row(NamedTuple):
    query_id: str
    doc_id: str
    score: float


@dataclass
class Judgment:
    query_id: str
    doc_id: str
    relevance: float


QUERIES, DOCUMENTS, SCORES = (list(column) for column in zip(*ROWS, strict=True))
SAME: dict[str, Any] = {
    "tuples": ROWS,
    "lists": [list(row) for row in ROWS],
    "a tuple of tuples": tuple(ROWS),
    "a generator": (row for row in ROWS),
    "named tuples": [Row(*row) for row in ROWS],
    "dicts": [dict(zip(("qid", "docno", "score"), row, strict=True)) for row in ROWS],
    "other names": [{"score": score, "Query-ID": query, "PID": document, "rank": 7} for query, document, score in ROWS],
    "columns": (QUERIES, DOCUMENTS, SCORES),
    "arrays": (np.array(QUERIES), np.array(DOCUMENTS), np.array(SCORES, np.float16)),
    "a list of arrays": [np.array(QUERIES), np.array(DOCUMENTS, object), np.array(SCORES)],
    "bare scores": (QUERIES, DOCUMENTS, [np.float32(score) for score in SCORES]),
    "a structured array": np.array(ROWS, [("qid", "U4"), ("docid", "U4"), ("sim", "f4")]),
    "pairs": {"q2": [("d1", 0.5), ("d3", 0.25)], "q1": [("d1", 2)]},
    "a mapping that is no dict": MappingProxyType({query: MappingProxyType(row) for query, row in TABLE.items()}),
    "a Run": Run.from_dict(TABLE),
}


@pytest.mark.parametrize("form", SAME)
def test_every_form_is_the_same_run(form: str) -> None:
    run = as_run(SAME[form])
    assert isinstance(run, Run)
    assert run.to_dict() == TABLE
    assert run.queries == ["q2", "q1"]
    assert not run.ranked_only


@pytest.mark.parametrize("table", [TABLE, {}, {"q": {}}, {1: {2: np.float32(3)}}, OrderedDict(TABLE)])
def test_a_dict_of_dicts_is_returned_as_it_is(table: Any) -> None:
    assert as_run(table) is table
    assert as_qrels(table) is table


def test_ranked_lists_have_no_scores() -> None:
    run = as_run({"q": ["b", "a"], "p": [], "r": ("c",)})
    assert run.ranked_only
    assert run.to_dict() == {"q": {"b": 2, "a": 1}, "p": {}, "r": {"c": 1}}
    run = as_run([{"qid": 1, "docno": 7, "rank": 2}, {"qid": 1, "docno": 9, "rank": 1}])
    assert run.ranked_only
    assert run.to_dict() == {1: {9: 2, 7: 1}}


@pytest.mark.parametrize(
    "ids", [("q", "d", "e"), (1, 2, 3), (b"q", b"d", b"e"), (np.int64(1), np.int32(2), np.uint8(3))]
)
def test_ids_are_text_whole_numbers_or_bytes(ids: Any) -> None:
    query, first, second = ids
    assert as_run([(query, first, 1), (query, second, 0.5)]).to_dict() == {query: {first: 1, second: 0.5}}
    assert as_qrels([(query, first, 1)]).to_dict() == {query: {first: 1}}


@pytest.mark.parametrize(
    "rows",
    [
        [("q", "d", 1.0), ("q", 7, 1.0)],
        [("q", b"d", 1.0), ("q", "d", 1.0)],
        [("q", None, 1.0)],
        [(1.5, "d", 1.0)],
        [(True, "d", 1.0)],
    ],
)
def test_mixed_ids_are_refused(rows: Any) -> None:
    with pytest.raises(
        InputTypeError, match=r"run: (query|document) ids: expected ids that are all str, all int or all"
    ):
        as_run(rows)


def test_pitfall_10_numbers_of_numpy_and_float_grades() -> None:
    for number in (np.float32(0.5), np.float16(0.5), 0.5):
        assert as_run([("q", "d", number)]).to_dict() == {"q": {"d": 0.5}}
    assert as_run([("q", "d", np.int64(3)), ("q", "e", 0.5)]).to_dict() == {"q": {"d": 3.0, "e": 0.5}}
    assert as_qrels([("q", "d", 0.9)]).to_dict() == {"q": {"d": 0.9}}
    grades = as_qrels([("q", "d", np.int64(2))]).to_dict()["q"]
    assert type(grades["d"]) is int


@pytest.mark.parametrize("number", ["0.5", None, b"1", [1], 1j])
def test_what_is_no_number_is_refused(number: Any) -> None:
    with pytest.raises(InputTypeError, match=r"run: scores: expected numbers, got"):
        as_run([("q", "d", 1.0), ("q", "e", number)])


def test_nan_and_duplicates_are_errors() -> None:
    with pytest.raises(InputError, match=r"NaN for document 'd' of query 'q'"):
        as_run([("q", "d", float("nan"))])
    rows = [("q", "d", 1.0), ("q", "d", 2.0)]
    with pytest.raises(InputError, match=r"document 'd' of query 'q' twice"):
        as_run(rows)
    assert as_run(rows, duplicates="max").to_dict() == {"q": {"d": 2}}
    assert as_run(rows, duplicates="first").to_dict() == {"q": {"d": 1}}
    with pytest.raises(InputError, match="twice"):
        as_qrels(rows)
    pairs = {"q": [("d", 1.0), ("e", 3.0), ("d", 2.0)], "p": []}
    with pytest.raises(InputError, match="twice"):
        as_run(pairs)
    assert as_run(pairs, duplicates="max").to_dict() == {"q": {"d": 2, "e": 3}, "p": {}}
    assert as_run(pairs, duplicates="first").to_dict() == {"q": {"d": 1, "e": 3}, "p": {}}
    assert as_run({"q": ["d", "e", "d"]}, duplicates="max").to_dict() == {"q": {"d": 2, "e": 1}}
    for x in (rows, pairs):
        with pytest.raises(InputError, match='duplicates: expected "error", "first" or "max", got \'best\''):
            as_run(x, duplicates="best")


def test_qrels_in_their_forms() -> None:
    expected = {"q": {"a": 1, "b": 1}}
    assert as_qrels({"q": ["a", "b"]}).to_dict() == expected
    assert as_qrels({"q": {"a", "b"}}).to_dict() == expected
    assert as_qrels({"q": [("a", 1), ("b", 1)]}).to_dict() == expected
    assert as_qrels([Judgment("q", "a", 1), Judgment("q", "b", 1)]).to_dict() == expected
    assert as_qrels([{"query-id": "q", "corpus-id": d, "score": 1} for d in "ab"]).to_dict() == expected
    assert as_qrels((["q", "q"], ["a", "b"], [1, 1])).to_dict() == expected
    with pytest.raises(InputError, match="once in a query"):
        as_qrels({"q": ["a", "a"]})
    with pytest.raises(InputTypeError, match="relevant documents of query 'q', got str"):
        as_qrels({"q": "ab"})
    with pytest.raises(InputTypeError, match="relevant documents of query 'q', got NoneType"):
        as_qrels({"q": None})


def test_a_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.trec").write_text("1 Q0 d 1 0.5 tag\n1 Q0 d 2 0.4 tag\n")
    for path in (tmp_path / "a.trec", str(tmp_path / "a.trec")):
        run = as_run(path, duplicates="max")
        assert run.to_dict() == {"1": {"d": 0.5}}
        assert run.name == "tag"
    (tmp_path / "a.json").write_text('{"1": {"d": 1}}')
    assert as_qrels(tmp_path / "a.json").to_dict() == {"1": {"d": 1}}
    assert isinstance(as_run(tmp_path / "a.json"), Run)


def test_a_name_is_given_without_touching_the_run() -> None:
    run = Run.from_dict(TABLE, name="old")
    assert as_run(run) is run
    renamed = as_run(run, name="new")
    assert (renamed.name, run.name) == ("new", "old")
    assert renamed.to_dict() == TABLE
    assert as_run(ROWS, name="new").name == "new"


@pytest.mark.parametrize(
    "x", [None, 3, b"bytes", object(), [1, 2], [("q", "d")], ["abc"], [("q", "d", 1.0, 2)], {"q": 3}, {"q": "abc"}]
)
def test_anything_else_is_refused(x: Any) -> None:
    with pytest.raises(InputTypeError, match=r"^(run|Run): expected .*got"):
        as_run(x)


def test_swapped_arguments_are_noticed() -> None:
    with pytest.raises(InputTypeError, match="swapped"):
        as_run(Qrels.from_dict({"q": {"d": 1}}))
    with pytest.raises(InputTypeError, match="swapped"):
        as_qrels(Run.from_dict(TABLE))


def test_a_missing_column_lists_what_is_there() -> None:
    with pytest.raises(
        InputError, match=r"a column of scores \(score, sim\).* got columns qid, docno, number; rename yours"
    ):
        as_run([{"qid": "1", "docno": "d", "number": 1}])
    with pytest.raises(InputTypeError, match="'score' in every row, as in the first, got none in row 1"):
        as_run([{"qid": "1", "docno": "d", "score": 1}, {"qid": "1", "docno": "d"}])


def test_nothing_is_mutated() -> None:
    for form, x in SAME.items():
        if isinstance(x, (list, tuple, Mapping)) and not isinstance(x, MappingProxyType):
            before = copy.deepcopy(x)
            as_run(x)
            assert repr(before) == repr(x), form
    scores = np.array(SCORES)
    run = as_run((QUERIES, DOCUMENTS, scores))
    scores[:] = 7
    assert run.to_dict() == TABLE


def test_nothing_is_an_empty_table() -> None:
    assert len(as_run([])) == len(as_qrels([])) == len(as_run(([], [], []))) == 0


def test_lists_of_pairs_and_of_ids_are_not_mixed() -> None:
    with pytest.raises(InputTypeError, match=r"pairs \(document, score\), as the first is, got \('b',\) for query 'q'"):
        as_run({"q": [("a", 1.0), ("b",)]})


def test_columns_that_are_none_are_told() -> None:
    with pytest.raises(InputTypeError, match="got int, str"):
        Run.from_dict({1: {"a": 1.0}, "b": {"a": 1.0}})
    with pytest.raises(InputTypeError, match="expected numbers"):
        Run.from_dict({"q": {"a": 1.0, "b": [1.0]}})
    with pytest.raises(InputError, match="larger"):
        as_run([("q", "a", 10**400)])
