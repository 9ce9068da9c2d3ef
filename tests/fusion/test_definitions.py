"""Every method, normaliser and policy gives what its definition gives."""

from __future__ import annotations

import math

import fusion_oracle as oracle
import numpy as np
import pytest
from fusion_oracle import SCORES, columns
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError
from rank_plugins.evaluation.calibrators import calibrate
from rank_plugins.fusion import METHODS, NORMS, fuse

PARAMETERS = {"gmnz": {"gamma": 0.6}, "rbc": {"phi": 0.7}, "logn_isr": {"sigma": 0.3}, "rrf": {"k": 7}}
SCORED = [name for name, method in METHODS.items() if method.norm]
WEIGHTS = st.lists(st.sampled_from([0.25, 0.5, 1.0, 3.0]), min_size=4, max_size=4)


def check(lists, expected, *arguments, **options):
    """Compare the scores, and the order by score, best single rank and id."""
    fused = fuse([list(row.items()) for row in lists], *arguments, **options)
    assert dict(fused) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    best = {d: min(oracle.ranks(row)[d] for row in lists if d in row) for d in expected}
    if arguments[0] != "condorcet":
        assert fused == sorted(sorted(fused, reverse=True), key=lambda pair: (-pair[1], best[pair[0]]))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(lists=columns(), weights=st.none() | WEIGHTS)
def test_methods(method, lists, weights):
    """Each method with its defaults, weighted and not."""
    weights = None if weights is None else weights[: len(lists)]
    parameters = PARAMETERS.get(method, {})
    check(lists, oracle.fused(method, lists, weights, **parameters), method, weights=weights, **parameters)


@pytest.mark.parametrize("convention", ["paper", "zero_based", "qdrant", "haystack"])
@settings(max_examples=10, deadline=None)
@given(lists=columns(), weights=st.none() | WEIGHTS, k=st.none() | st.sampled_from([1.5, 10, 60]))
def test_conventions_of_rrf(convention, lists, weights, k):
    """Pitfall 12: the same k means four functions."""
    weights = None if weights is None else weights[: len(lists)]
    parameters = {"convention": convention} | ({} if k is None else {"k": k})
    check(lists, oracle.fused("rrf", lists, weights, **parameters), "rrf", weights=weights, **parameters)


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=15, deadline=None)
@given(lists=columns(), weights=WEIGHTS)
def test_norms(norm, lists, weights):
    """Each normaliser in a weighted sum, with its own default for missing documents."""
    if norm == "max":  # refuses a negative maximum
        lists = [{d: abs(s) + 0.5 for d, s in row.items()} for row in lists]
    weights = weights[: len(lists)]
    check(lists, oracle.fused("sum", lists, weights, norm=norm), "sum", norm=norm, weights=weights)


@pytest.mark.parametrize("missing", ["zero", "min", "skip", 0.25])
@pytest.mark.parametrize("method", SCORED)
@settings(max_examples=5, deadline=None)
@given(lists=columns(), norm=st.sampled_from(["minmax", "none", "zmuv"]))
def test_policies_for_missing_documents(method, missing, lists, norm):
    """Pitfall 13: what stands for a missing document is the caller's choice."""
    parameters = PARAMETERS.get(method, {})
    expected = oracle.fused(method, lists, norm=norm, missing=missing, **parameters)
    check(lists, expected, method, norm=norm, missing=missing, **parameters)


@pytest.mark.parametrize("norm", ["minmax", "minmax_inverted", "sum", "zmuv", "dbsf"])
@settings(max_examples=10, deadline=None)
@given(lists=columns(st.sampled_from([1.0, 2.0])))
def test_constant(norm, lists):
    """`constant` is the value of a list whose scores are all equal."""
    check(lists, oracle.fused("sum", lists, norm=norm, constant=0.125, missing="zero"), "sum", norm=norm,
          constant=0.125, missing="zero")  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(lists=columns(SCORES.map(lambda s: s + 5)))
def test_min_max_with_bounds(lists):
    """The theoretical minimum of TM2C2, and both bounds: beyond them is 0 and 1."""
    low = [dict(row) for row in lists]
    for row in low:
        top = max(row.values(), default=0.0)
        row |= {d: max(min((s - 2) / (top - 2), 1.0), 0.0) if top > 2 else 1.0 for d, s in row.items()}
    expected = {d: sum(row.get(d, 0.0) for row in low) for row in low for d in row}
    check(lists, expected, "sum", lower=2.0)
    both = {d: sum(max(min((row[d] - 1) / 3, 1.0), 0.0) for row in lists if d in row) for row in lists for d in row}
    check(lists, both, "sum", lower=[1.0] * len(lists), upper=4.0)


def test_dbsf_of_the_population():
    """ddof=0 divides by n."""
    lists = [{"a": 1.0, "b": 2.0, "c": 4.0}]
    check(lists, oracle.fused("dbsf", lists, ddof=0), "dbsf", ddof=0)


def test_l2_of_large_scores():
    """Squares would overflow; shares do not."""
    assert dict(fuse([[("a", 3e300), ("b", 4e300)]], "sum", norm="l2")) == pytest.approx({"a": 0.6, "b": 0.8})


@pytest.mark.parametrize("norm", ["zmuv", "dbsf"])
@pytest.mark.parametrize("unit", [2.0**-600, 2.0**600, 2.0**1022])
def test_deviations_have_no_unit(norm, unit):
    """Squares of such scores overflow or vanish."""
    rows = {"a": 1.5, "b": -0.75, "c": 0.25}
    scaled = {document: score * unit for document, score in rows.items()}
    assert fuse([{"q": scaled}], "sum", norm=norm) == fuse([{"q": rows}], "sum", norm=norm)


def test_scores_below_a_lower_bound_are_zero():
    """Also where the bound lies above the whole list, which leaves no range."""
    assert fuse([[("a", 0.3), ("b", 0.1)]], "sum", lower=0.5) == [("a", 0.0), ("b", 0.0)]
    assert fuse([[("a", 0.7), ("b", 0.6)]], "sum", upper=0.5) == [("a", 1.0), ("b", 1.0)]
    assert fuse([[("a", 0.5)]], "sum", lower=0.5) == [("a", 1.0)]


@pytest.mark.parametrize("norm", ["minmax", "minmax_inverted"])
def test_a_range_that_overflows(norm):
    with pytest.raises(InputError, match="overflows"):
        fuse([[("a", 1.7e308), ("b", -1.7e308)]], "sum", norm=norm)


def test_sigmoid_and_atan_of_anything():
    """No score overflows, infinite ones included."""
    scores = [("a", math.inf), ("b", 800.0), ("c", 0.0), ("d", -800.0)]
    assert dict(fuse([scores], "sum", norm="sigmoid")) == pytest.approx({"a": 1.0, "b": 1.0, "c": 0.5, "d": 0.0})
    assert dict(fuse([scores], "sum", norm="atan"))["a"] == 1.0


def test_condorcet_beats_by_majority():
    """A document that beats all others in pairs wins, where the sum of reciprocal ranks prefers another."""
    lists = [["a", "b", "c"], ["a", "b", "c"], ["b", "c", "a"]]
    assert fuse(lists, "condorcet") == [("a", 2.0), ("b", 1.0), ("c", 0.0)]


def test_condorcet_ties_are_broken_by_borda():
    """Equal wins: more Borda points stand first, then the larger id."""
    lists = [["a", "b", "c", "d"], ["c", "d", "a", "b"], ["d", "a", "b", "c"]]
    scores = fuse(lists, "condorcet")
    points = dict(fuse(lists, "borda"))
    assert scores == sorted(sorted(scores, reverse=True), key=lambda pair: (-pair[1], -points[pair[0]]))
    assert len({score for _, score in scores}) < len(scores)


def test_condorcet_cap():
    """Beyond the cap documents stand last with -1; the others meet among themselves."""
    lists = [[f"d{i}" for i in range(9)]]
    fused = fuse(lists, "condorcet", cap=4)
    assert fused[:4] == [("d0", 3.0), ("d1", 2.0), ("d2", 1.0), ("d3", 0.0)]
    assert fused[4:] == [(f"d{i}", -1.0) for i in range(4, 9)]


def test_a_method_of_yours_reads_lists():
    """A function gets Lists, here with normalised scores, and its own parameters."""

    def best(lists, *, penalty):
        assert lists.lengths.tolist() == [[3, 2]]
        return lists.spread(lists.score, 0.0).max(axis=0) - penalty * (lists.m - lists.count)

    lists = [[("a", 3.0), ("b", 2.0), ("c", 1.0)], [("c", 9.0), ("b", 1.0)]]
    assert fuse(lists, best, norm="minmax", penalty=0.1) == [("c", 1.0), ("a", 0.9), ("b", 0.5)]


def test_norms_of_yours():
    """A function of scores, or one per list beside names; what it returns is checked."""
    lists = [[("a", 3.0), ("b", 1.0)], [("b", 0.5)]]
    assert dict(fuse(lists, "sum", norm=[lambda s: s / 10, "none"], missing="zero")) == {"a": 0.3, "b": 0.6}
    assert dict(fuse(lists, "sum", norm=["zmuv", "none"])) == {"a": 1.5, "b": -0.5}
    assert dict(fuse(lists, "max", norm=np.sqrt)) == {"a": math.sqrt(3), "b": 1.0}
    assert dict(fuse(lists, "sum", norm=lambda s: s / s.sum())) == {"a": 0.75, "b": 1.25}  # a list at a time
    runs = [{"q": dict(row), "r": {"x": 2.0, "y": 2.0}} for row in lists]
    assert fuse(runs, "max", norm=lambda s: s / s.sum())["r"] == {"y": 0.5, "x": 0.5}


def test_calibrated_scores():
    """A Calibrator per list puts both on the scale of probabilities; a softmax sees one list at a time."""
    scores = [[3.0, 2.0, -1.0, -4.0, 0.5], [0.9, 0.7, 0.2, 0.1, 0.6]]
    relevant = [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]]
    fitted = [calibrate(s, r, "platt") for s, r in zip(scores, relevant, strict=True)]
    lists = [list(zip("abcde", row, strict=True)) for row in scores]
    fused = dict(fuse(lists, "sum", norm=fitted))
    expected = fitted[0](scores[0]) + fitted[1](scores[1])
    assert fused == pytest.approx(dict(zip("abcde", expected.tolist(), strict=True)))
    softmax = calibrate(scores[0], relevant[0], "softmax", offsets=[0, 5])
    assert sum(score for _, score in fuse(lists, "sum", norm=softmax)) == pytest.approx(2.0)
