"""What must hold for all lists: order of input, monotone scores, doubling, prefixes, one query against many."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
from fusion_oracle import IDS, columns
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.fusion import METHODS, fuse
from rank_plugins.fusion import fuse as fuse_function
from rank_plugins.runs import Run

PARAMETERS = {"gmnz": {"gamma": 0.6}}
RANKED = [name for name, method in METHODS.items() if method.norm is None]
few = settings(max_examples=8, deadline=None)


def apply(method, lists, **options):
    return fuse([list(row.items()) for row in lists], method, **PARAMETERS.get(method, {}), **options)


@pytest.mark.parametrize("method", METHODS)
@few
@given(lists=columns(), seed=st.integers(0, 99))
def test_the_order_of_the_input_changes_nothing(method, lists, seed):
    """Documents in another order give the same bits, in the same order."""
    rng = random.Random(seed)
    shuffled = [dict(rng.sample(list(row.items()), len(row))) for row in lists]
    assert apply(method, shuffled) == apply(method, lists)


@pytest.mark.parametrize("method", METHODS)
@few
@given(lists=columns())
def test_the_order_of_the_lists_changes_no_score(method, lists):
    """Fusion is symmetric in its lists, but for the last bits of a sum."""
    assert dict(apply(method, lists[::-1])) == pytest.approx(dict(apply(method, lists)), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("method", RANKED)
@few
@given(lists=columns())
def test_monotone_scores_leave_rank_fusion_unchanged(method, lists):
    """Only the order counts."""
    bent = [{d: s**3 * 7 + 2 for d, s in row.items()} for row in lists]
    assert apply(method, bent) == apply(method, lists)


@pytest.mark.parametrize("method", RANKED)
@few
@given(lists=columns())
def test_ids_in_order_fuse_as_scores(method, lists):
    """Lists of bare ids, best first, are the same to a method that reads ranks."""
    bare = [[d for d, _ in sorted(row.items(), key=lambda p: (p[1], p[0]), reverse=True)] for row in lists]
    assert fuse(bare, method) == apply(method, lists)


@pytest.mark.parametrize("norm", ["minmax", "zmuv", "dbsf", "rank", "sum"])
@few
@given(lists=columns())
def test_scale_and_shift_leave_normalised_sums_unchanged(norm, lists):
    """A list may be on any scale."""
    moved = [{d: s * 4 - 96 for d, s in row.items()} for row in lists]
    expected = dict(apply("sum", lists, norm=norm))
    assert dict(apply("sum", moved, norm=norm)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@few
@given(lists=columns())
def test_doubling_all_lists_doubles_rrf(lists):
    """Every document gets exactly twice its score."""
    once = dict(apply("rrf", lists))
    twice = dict(apply("rrf", [row for row in lists for _ in range(2)]))
    assert twice == pytest.approx({d: 2 * s for d, s in once.items()}, rel=1e-14)


@pytest.mark.parametrize("method", METHODS)
@few
@given(lists=columns(), top=st.integers(1, 12))
def test_top_is_a_prefix(method, lists, top):
    """A cut changes no score and no order, ties included."""
    assert apply(method, lists, top=top) == apply(method, lists)[:top]


@pytest.mark.parametrize("method", METHODS)
@few
@given(lists=columns(most=3), extra=st.dictionaries(st.sampled_from([*IDS, "x", "y"]), st.integers(-5, 5), min_size=1))
def test_a_list_of_weight_zero_contributes_nothing(method, lists, extra):
    """Its own documents are dropped, the others' scores are the same bits; keep=True keeps them, at 0."""
    weights = [1.0] * len(lists)
    expected = apply(method, lists, weights=weights)
    with_zero = apply(method, [*lists, extra], weights=[*weights, 0.0])
    assert with_zero == expected
    kept = dict(apply(method, [*lists, extra], weights=[*weights, 0.0], keep=True))
    assert kept == {**dict.fromkeys(extra, 0.0), **dict(expected)}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=5, deadline=None)
@given(queries=st.lists(columns(most=3), min_size=1, max_size=5), at_once=st.integers(1, 3))
def test_whole_runs_are_their_queries(method, queries, at_once):
    """Fusing runs is fusing each query alone, in batches of any size; dicts and Runs give the same."""
    count = max(map(len, queries))
    runs = [{f"q{i}": lists[j] for i, lists in enumerate(queries) if j < len(lists)} for j in range(count)]
    parameters = PARAMETERS.get(method, {})
    module = __import__("sys").modules[fuse_function.__module__]
    before, module.QUERIES_AT_ONCE = module.QUERIES_AT_ONCE, at_once
    try:
        fused = fuse(runs, method, **parameters)
        in_columns = fuse([Run.from_dict(run) for run in runs], method, **parameters)
    finally:
        module.QUERIES_AT_ONCE = before
    for i, lists in enumerate(queries):
        padded = [lists[j] if j < len(lists) else {} for j in range(count)]
        assert list(fused[f"q{i}"].items()) == apply(method, padded)
    assert {query: list(row.items()) for query, row in in_columns.to_dict().items()} == {
        query: list(row.items()) for query, row in fused.items()
    }


@pytest.mark.parametrize("method", ["rrf", "sum", "mnz", "mixed", "wmnz", "isr", "rbc", "borda", "dbsf", "anz"])
@few
@given(lists=columns())
def test_contributions_add_up(method, lists):
    """For methods that sum, the parts of an explanation add up to the score."""
    weights = np.linspace(1, 2, len(lists)).tolist()
    for one in apply(method, lists, weights=weights, explain=True):
        assert sum(part.contribution for part in one.parts) == pytest.approx(one.score, rel=1e-12, abs=1e-12)


@few
@given(lists=columns())
def test_inputs_are_not_changed(lists):
    """Neither lists nor dicts nor the order in them."""
    pairs = [list(row.items()) for row in lists]
    before = copy.deepcopy(pairs)
    runs = [{"q": row} for row in lists]
    for method in METHODS:
        fuse(pairs, method, higher_is_better=False, **PARAMETERS.get(method, {}))
        fuse(runs, method, **PARAMETERS.get(method, {}))
    assert pairs == before
    assert [list(run["q"].items()) for run in runs] == before
