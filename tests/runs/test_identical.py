"""Queries that are themselves documents: pitfall 11."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins.runs import Run
from rank_plugins.runs.identical import drop_identical_ids, identical_ids, warn_of_identical_ids

TABLE = {"a": {"a": 3.0, "b": 2.0}, "b": {"a": 1.0}, "ab": {"b": 1.0, "ab": 0.5}, "c": {}}
IDS = st.text("ab0é", min_size=1, max_size=4)


@pytest.mark.parametrize("make", [dict, Run.from_dict])
def test_pitfall_11_identical_ids_are_found_and_dropped(make: Any) -> None:
    run = make(TABLE)
    before = copy.deepcopy(TABLE)
    assert identical_ids(run) == ["a", "ab"]
    dropped = drop_identical_ids(run)
    assert type(dropped) is type(run)
    assert as_dict(dropped) == {"a": {"b": 2.0}, "b": {"a": 1.0}, "ab": {"b": 1.0}, "c": {}}
    assert as_dict(drop_identical_ids(run, ["a", "b"]))["ab"] == {"b": 1.0, "ab": 0.5}
    assert as_dict(run) == before


def as_dict(run: Any) -> Any:
    return run.to_dict() if isinstance(run, Run) else run


@given(st.dictionaries(IDS, st.dictionaries(IDS, st.floats(-5, 5), max_size=5), max_size=6))
def test_columns_agree_with_dicts(table: Any) -> None:
    run = Run.from_dict(table)
    assert identical_ids(run) == identical_ids(table)
    assert drop_identical_ids(run).to_dict() == drop_identical_ids(table)
    assert warned(run) == warned(table)


def warned(run: Any) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_identical_ids(run)
    return bool(caught)


def test_ids_of_other_kinds() -> None:
    assert identical_ids(Run.from_dict({1: {1: 0.5, 11: 1.0}, 11: {1: 0.5}})) == [1]
    assert identical_ids(Run.from_dict({b"1": {b"1": 0.5}})) == [b"1"]
    assert identical_ids(Run.from_dict({1: {"1": 0.5}})) == []


def test_ranked_lists_stay_ranked_lists() -> None:
    run = drop_identical_ids(Run.from_dict({"a": ["b", "a", "c"], "b": ["c"]}))
    assert run.ranked_only
    assert run.to_dict() == {"a": {"b": 2, "c": 1}, "b": {"c": 1}}


@pytest.mark.parametrize("make", [dict, Run.from_dict])
def test_a_warning_where_queries_find_themselves_first(make: Any) -> None:
    itself = {str(i): {str(i): 2.0, "x": 1.0} for i in range(20)}
    with pytest.warns(UserWarning, match=r"20 of 20 queries have .*drop_identical_ids"):
        warn_of_identical_ids(make(itself))
    by_chance = {str(i): {str(i): 1.0, "x": 2.0} for i in range(20)}
    assert not warned(make(by_chance))
    assert not warned(make({}))
