"""fuse_keyed: against fuse itself, and where it leads back to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import fuse
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.keyed import Fused, fuse_keyed, method_options

KEYS = st.sampled_from("abcdefgh")
LISTS = st.lists(st.lists(KEYS, max_size=8), min_size=1, max_size=4)


def bare(*lists):
    return [[(key, None) for key in one] for one in lists]


@given(LISTS)
def test_scores_are_those_of_fuse_over_distinct_keys(lists):
    fused = fuse_keyed(bare(*lists))
    expected = dict(fuse([list(dict.fromkeys(one)) for one in lists]))
    assert {one.key: one.score for one in fused} == pytest.approx(expected)
    assert [one.score for one in fused] == sorted((one.score for one in fused), reverse=True)


@given(LISTS)
def test_ranks_and_places_are_those_of_the_sources(lists):
    for one in fuse_keyed(bare(*lists)):
        distinct = [list(dict.fromkeys(source)) for source in lists]
        assert one.ranks == [source.index(one.key) + 1 if one.key in source else None for source in distinct]
        first = next(j for j, source in enumerate(lists) if one.key in source)
        assert (one.source, one.position) == (first, lists[first].index(one.key))


def test_ties_go_to_the_better_rank_then_the_earlier_source():
    assert [one.key for one in fuse_keyed(bare(["b", "x"], ["a", "y"]))] == ["b", "a", "x", "y"]


def test_equal_scores_keep_the_order_of_their_list():
    fused = fuse_keyed([[("a", 1.0), ("b", 0.5)], [("b", 1.0), ("a", 1.0)]])
    assert fused == [Fused("a", 1 / 61 + 1 / 62, [1, 2], 0, 0), Fused("b", 1 / 62 + 1 / 61, [2, 1], 0, 1)]


@given(st.lists(st.dictionaries(KEYS, st.floats(0, 9, width=16), min_size=1), min_size=1, max_size=4), st.data())
def test_scored_lists_give_what_fuse_gives(lists, data):
    method = data.draw(st.sampled_from(["sum", "mnz", "wsum", "dbsf", "rrf", "borda", "weaviate-relative"]))
    weights = data.draw(st.lists(st.sampled_from([0.5, 1, 2]), min_size=len(lists), max_size=len(lists)))
    if len({score for one in lists for score in one.values()}) < sum(map(len, lists)):
        return  # ties inside a list go by id there and by its order here
    fused = fuse_keyed([list(one.items()) for one in lists], method, weights=weights)
    expected = dict(fuse([list(one.items()) for one in lists], method, weights=weights))
    assert {one.key: one.score for one in fused} == pytest.approx(expected)


def test_scores_that_are_no_numbers():
    with pytest.raises(InputError, match="NaN"):
        fuse_keyed([[("a", float("nan"))]])
    assert [one.key for one in fuse_keyed([[("a", 1.0), ("b", float("-inf"))]])] == ["a"]
    with pytest.raises(InputError, match="top"):
        fuse_keyed(bare(["a"]), top=0)


def test_scores_count_where_all_of_a_list_have_one():
    lists = [[("a", 1.0), ("b", 3.0), ("a", 2.0)], [("b", 0.5), ("c", 0.4)]]
    fused = fuse_keyed(lists, "sum", norm="minmax", weights=[1, 3])
    assert fused[0] == Fused("b", 4.0, [1, 1], 0, 1)
    assert {one.key: one.score for one in fused} == pytest.approx({"b": 4.0, "a": 0.0, "c": 0.0})
    with pytest.raises(InputError, match="score"):
        fuse_keyed([[("a", 1.0), ("b", None)], [("b", 0.5)]], "sum", norm="minmax")


def test_top_weights_and_empty_sources():
    assert [one.key for one in fuse_keyed(bare([], ["a", "b"]), top=1)] == ["a"]
    assert fuse_keyed(bare([], [])) == []
    assert [one.key for one in fuse_keyed(bare(["a"], ["b"]), weights=[1, 2])] == ["b", "a"]
    with pytest.raises(InputError, match="weights"):
        fuse_keyed(bare(["a"], ["b"]), weights=[1])
    with pytest.raises(InputError, match="at least one"):
        fuse_keyed([])
    with pytest.raises(InputTypeError, match=r"lists\[0\]\[0\]: expected a key that is a str, got int"):
        fuse_keyed([[(1, None)]])


def test_options_of_a_method_in_a_dict():
    """What the host has a place of its own for does not come in twice."""
    given = {"k": 20}
    assert method_options(given) == given
    assert method_options(given) is not given
    assert method_options(None) == {}
    with pytest.raises(InputTypeError, match="method_kwargs: expected a dict, got list"):
        method_options(["k"])
    for own in ("method", "weights", "top", "explain"):
        with pytest.raises(InputTypeError, match=f"options: expected parameters of the method, got '{own}'"):
            method_options({own: 1}, "options")


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(InputTypeError, match=r"lists\[1\]\[0\]: expected a number as the score of 'a', got str"):
        fuse_keyed([[], [("a", "high")]])


def test_equal_scores_stand_by_their_best_rank():
    """And only then by the first source."""
    lists = [[("p", 9.0), ("x", 2.0)], [("q", 8.0), ("x", 1.0)], [("y", 3.0)]]
    fused = fuse_keyed(lists, "sum", norm="none", missing="zero")
    assert [(one.key, one.score) for one in fused] == [("p", 9.0), ("q", 8.0), ("y", 3.0), ("x", 3.0)]
