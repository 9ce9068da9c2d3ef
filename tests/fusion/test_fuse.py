"""fuse: what it takes, what it returns, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.fusion import Explanation, Fused, Part, fuse, names
from rank_plugins.runs import Run

BM25 = [("a", 12.0), ("b", 9.0), ("c", 3.0)]
DENSE = [("c", 0.9), ("d", 0.8), ("a", 0.1)]


def test_pairs_give_pairs():
    """The lists of one query: best first, Python floats, ids of any kind."""
    fused = fuse([BM25, DENSE])
    assert fused == [("c", 1 / 63 + 1 / 61), ("a", 1 / 61 + 1 / 63), ("d", 1 / 62), ("b", 1 / 62)]
    assert all(type(score) is float for _, score in fused)
    assert fuse([((1, 0.5), (2, 0.4)), [(2, 9)]]) == [(2, 1 / 62 + 1 / 61), (1, 1 / 61)]
    assert fuse([[b"x"], [b"x"]]) == [(b"x", 2 / 61)]


def test_ids_give_pairs_and_may_stand_beside_pairs():
    """A list without scores has an order all the same."""
    assert fuse([["c", "a", "b"], BM25]) == fuse([[("c", 3), ("a", 2), ("b", 1)], BM25])


def test_dicts_give_a_dict_best_first():
    """Queries in order of appearance; one that a run lacks is fused from the others."""
    fused = fuse([{"q2": dict(BM25)}, {"q1": {"z": 1.0}, "q2": dict(DENSE)}])
    assert list(fused) == ["q2", "q1"]
    assert list(fused["q2"].items()) == fuse([BM25, DENSE])
    assert fused["q1"] == {"z": 1 / 61}


def test_the_first_run_decides_the_kind():
    """A Run first gives a Run, a dict first a dict; runs of both kinds fuse together."""
    a, b = {"q": dict(BM25)}, Run.from_dict({"q": dict(DENSE)}, name="dense")
    fused = fuse([b, a], "sum", weights=[2, 1])
    assert isinstance(fused, Run)
    assert fused.to_dict() == fuse([a, b], "sum", weights=[1, 2])
    assert fused.scores.tolist() == sorted(fused.scores.tolist(), reverse=True)


def test_a_run_of_bare_ids_has_ranks_only():
    """Run.from_dict of lists of ids fuses by rank; scores are asked for where a method needs them."""
    bare = Run.from_dict({"q": ["c", "d", "a"]})
    assert fuse([{"q": dict(BM25)}, bare]) == fuse([{"q": dict(BM25)}, {"q": dict(DENSE)}])
    with pytest.raises(InputError, match="list 1 has bare ids"):
        fuse([{"q": dict(BM25)}, bare], "sum")
    assert fuse([bare], "sum", norm="rank").to_dict() == {"q": {"c": 1.0, "d": 1 - 1 / 3, "a": 1 - 2 / 3}}


def test_a_fused_run_is_evaluated():
    """What fuse returns goes into evaluate."""
    fused = fuse([{"q": dict(BM25)}, {"q": dict(DENSE)}])
    assert evaluate({"q": {"a": 1}}, fused, "rr")["rr"] == 0.5


def test_equal_scores_stand_by_best_rank_then_by_id():
    """Deterministic whatever the order of input: the single rank first, the larger id then."""
    lists = [["a", "b", "x"], ["c", "d", "x"]]
    for method in ("rrf", "logisr"):
        fused = fuse(lists, method)
        assert [d for d, _ in fused if d != "x"] == ["c", "a", "d", "b"]
    tied = fuse([[("é", 1.0), ("z", 1.0), ("a", 1.0)]], "sum")
    assert [document for document, _ in tied] == ["é", "z", "a"]


def test_minus_infinity_is_missing():
    """A reranker's -inf is no rank and no score; for distances it is +inf."""
    with_it = [("a", 2.0), ("b", 1.0), ("x", -math.inf)]
    for method in ("rrf", "sum", "dbsf", "borda", "condorcet", "min"):
        assert fuse([with_it, DENSE], method) == fuse([with_it[:2], DENSE], method)
    assert fuse([[("a", 1.0), ("b", math.inf)]], higher_is_better=False) == [("a", 1 / 61)]
    assert fuse([[("a", -math.inf)]]) == []
    assert fuse([{"q": {"a": -math.inf}}]) == {"q": {}}


def test_distances():
    """The smaller is the better, for all lists or for some."""
    distances = [("c", 0.1), ("d", 0.2), ("a", 0.9)]
    assert fuse([BM25, distances], higher_is_better=[True, False]) == fuse([BM25, DENSE])
    fused = fuse([distances], "sum", higher_is_better=False)
    assert fused == [("c", 1.0), ("d", pytest.approx(0.875)), ("a", 0.0)]


def test_nothing_gives_nothing():
    """Empty lists, empty runs."""
    assert fuse([[], []]) == []
    assert fuse([[], BM25], "sum") == fuse([BM25], "sum")
    assert fuse([{}, {}]) == {}
    assert fuse([{"q": {}}, {}], "condorcet") == {"q": {}}


def test_one_list():
    """A single list is allowed: it is normalised or scored by rank."""
    assert fuse([BM25], "sum") == [("a", 1.0), ("b", pytest.approx(6 / 9)), ("c", 0.0)]


def test_explanation_of_one_query():
    """Each document with its score, and rank, own score and contribution in each list."""
    fused = fuse([BM25, ["c", "a"]], weights=[1, 2], explain=True, top=2)
    assert [one[:2] for one in fused] == fuse([BM25, ["c", "a"]], weights=[1, 2], top=2)
    assert fused[0] == Explanation("c", 1 / 63 + 2 / 61, (Part(3, 3.0, 1 / 63), Part(1, None, 2 / 61)))
    missing = {one.document: one for one in fuse([BM25, DENSE], "sum", missing=0.5, explain=True)}["d"]
    assert missing == ("d", pytest.approx(1.375), (Part(None, None, 0.5), Part(2, 0.8, pytest.approx(0.875))))


def test_explanation_of_whole_runs():
    """Fused holds the run and explains any of its documents; distances come as they were given."""
    runs = [{"q": dict(BM25), "r": {"x": 1.0}}, {"q": {"c": 0.1, "a": 0.7}}]
    fused = fuse(runs, higher_is_better=[True, False], explain=True)
    assert isinstance(fused, Fused)
    assert fused.run == fuse(runs, higher_is_better=[True, False])
    one = fused.explain("q", "a")
    assert one == Explanation("a", fused.run["q"]["a"], (Part(1, 12.0, 1 / 61), Part(2, 0.7, 1 / 62)))
    assert fused.explain("r", "x").parts == (Part(1, 1.0, 1 / 61), Part(None, None, 0.0))
    with pytest.raises(InputError, match="'nobody'"):
        fused.explain("q", "nobody")


def test_explanation_of_a_method_of_yours():
    """Ranks and scores are known; what a list brings is not."""
    (one,) = fuse([[("a", 2.0)]], lambda lists: lists.score, explain=True)
    assert one == Explanation("a", 2.0, (Part(1, 2.0, None),))


@pytest.mark.parametrize("method", ["max", "min", "med", "gmean", "hmean", "condorcet", "anz"])
def test_explanation_of_methods_that_choose(method):
    """A contribution is what the method chose from."""
    lists = [[("a", 4.0), ("b", 1.0)], [("b", 8.0), ("c", 2.0), ("a", 1.0)]]
    norm = None if method == "condorcet" else "none"
    found = {one.document: one for one in fuse(lists, method, norm=norm, explain=True)}
    expected = {"anz": (2.0, 0.5), "condorcet": (2.0, 0.0)}.get(method, (4.0, 1.0))
    assert tuple(part.contribution for part in found["a"].parts) == expected


def test_names():
    """Every method and preset is known by name and fuses."""
    assert {"rrf", "wsum", "rsf", "qdrant-rrf"} <= set(names())
    for name in names():
        assert fuse([BM25, DENSE], name, **({"gamma": 1} if name == "gmnz" else {}))


REFUSED = [
    ({"method": "rff"}, InputError, "did you mean .*'rrf'"),
    ({"method": "CombMNZ"}, InputError, "did you mean 'mnz'"),
    ({"method": "qdrant_rrf"}, InputError, "did you mean 'qdrant-rrf'"),
    ({"method": "mapfuse"}, InputError, "must be trained"),
    ({"method": 7}, InputTypeError, "expected a name"),
    ({"K": 60}, InputTypeError, "unknown parameter 'K'.*did you mean 'k'"),
    ({"method": "isr", "k": 60}, InputTypeError, "it takes none"),
    ({"k": 0, "convention": "zero_based"}, InputError, "more than 0"),
    ({"k": 0.5, "convention": "qdrant"}, InputError, "at least 1"),
    ({"k": "60"}, InputTypeError, "expected a number"),
    ({"k": math.nan}, InputError, "finite"),
    ({"convention": "papr"}, InputError, "did you mean 'paper'"),
    ({"method": "gmnz"}, InputTypeError, "needs gamma="),
    ({"method": "rbc", "phi": 1}, InputError, "between 0 and 1"),
    ({"method": "logn_isr", "sigma": -1}, InputError, "not negative"),
    ({"method": "condorcet", "cap": 0}, InputError, "at least 1"),
    ({"norm": "minmax"}, InputError, "reads ranks"),
    ({"method": "sum", "norm": "min_max"}, InputError, "did you mean 'minmax'"),
    ({"method": "sum", "norm": ["minmax"]}, InputError, "one per list"),
    ({"method": "sum", "norm": 7}, InputTypeError, "a function"),
    ({"method": "sum", "norm": lambda s: s[:1]}, InputError, "one value per score"),
    ({"method": "sum", "norm": lambda s: s * math.nan}, InputError, "got NaN"),
    ({"method": "sum", "constant": "x"}, InputTypeError, "constant"),
    ({"method": "dbsf", "ddof": 2}, InputError, "0 or 1"),
    ({"method": "sum", "lower": [1, 2, 3]}, InputError, "one per list"),
    ({"method": "sum", "lower": 3, "upper": 2}, InputError, "lower below upper"),
    ({"missing": "mean"}, InputError, "or give a number"),
    ({"method": "borda", "missing": "zero"}, InputError, "own rule"),
    ({"weights": [1]}, InputError, "one per list"),
    ({"weights": [1, -1]}, InputError, "not negative"),
    ({"weights": [1, math.nan]}, InputError, "not negative"),
    ({"weights": [0, 0]}, InputError, "at least one above 0"),
    ({"weights": "ab"}, InputTypeError, "expected 2 numbers"),
    ({"top": 0}, InputError, "top"),
    ({"higher_is_better": [True]}, InputError, "one per list"),
    ({"higher_is_better": "yes"}, InputTypeError, "bool"),
    ({"method": lambda lists: lists.score[:1]}, InputError, "one score per document"),
    ({"method": lambda lists: lists.score, "k": 2}, InputTypeError, "k"),
    ({"method": lambda lists: lists.score, "weights": [1, 1]}, InputError, "decides these itself"),
]


@pytest.mark.parametrize(("options", "error", "text"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_wrong_arguments_are_refused(options, error, text):
    """Each says what was expected, and what may have been meant."""
    with pytest.raises(error, match=text):
        fuse([BM25, DENSE], **options)


@pytest.mark.parametrize(
    ("runs", "error", "text"),
    [
        ([], InputTypeError, "got none"),
        ({"q": {}}, InputTypeError, "a list of runs"),
        ("run.trec", InputTypeError, "a list of runs"),
        ([BM25, {"q": {}}], InputTypeError, "got both"),
        ([[("a", 1.0), ("a", 2.0)]], InputError, "'a' twice"),
        ([["a", "a"]], InputError, "'a' twice"),
        ([[("a", 1.0), "b"]], InputTypeError, "got both"),
        ([[("a", 1.0), ("b", 1.0, 2.0)]], InputTypeError, "other lengths"),
        ([BM25, [("x", math.nan)]], InputError, r"NaN for document 'x' in runs\[1\]"),
        ([{"q": {"a": 1.0}}, {"q": {"b": 1.0, "x": math.nan}}], InputError, r"'x' in runs\[1\] of query 'q'"),
        ([{"q": {"a": "1"}}], InputTypeError, "got str '1' for document 'a'"),
        ([{"q": {"a": None}}], InputTypeError, "got NoneType"),
        ([{"q": 7}], InputTypeError, "."),
        ([{"q": {"a": 1.0}}, {"q": {1: 1.0}}], InputTypeError, "int, str"),
        ([{"1": {"a": 1.0}}, {1: {"a": 1.0}}], InputTypeError, "query ids"),
        ([[((1, 2), 0.5)]], InputTypeError, "got tuple"),
        ([[([1], 0.5)]], InputTypeError, "unhashable"),
    ],
)
def test_wrong_runs_are_refused(runs, error, text):
    """Duplicates, NaN, ids of several kinds and other things are said with their place."""
    with pytest.raises(error, match=text):
        fuse(runs)


@pytest.mark.parametrize("norm", ["minmax", "minmax_inverted", "max", "sum", "zmuv", "dbsf", "l2"])
def test_infinite_scores_need_a_norm_without_a_range(norm):
    """An infinite score leaves no range; ranks and pointwise norms take it."""
    lists = [BM25, [("a", math.inf), ("b", 1.0)]]
    with pytest.raises(InputError, match="finite scores, got inf at rank 1 of list 1"):
        fuse(lists, "sum", norm=norm)
    assert fuse(lists, "sum", norm="rank")[0][0] == "a"
    assert fuse(lists, "sum", norm="none")[0] == ("a", math.inf)


def test_norm_max_refuses_to_turn_the_order():
    """Dividing by a negative maximum would put the worst first."""
    with pytest.raises(InputError, match="positive largest score, got -1 in list 1"):
        fuse([BM25, [("a", -1.0), ("b", -2.0)]], "sum", norm="max")
    assert fuse([[("a", 0.0), ("b", 0.0)]], "sum", norm="max") == [("b", 1.0), ("a", 1.0)]


def test_numpy_numbers():
    """Scores and whole-number ids of NumPy fuse as Python's."""
    lists = [[(np.int64(1), np.float32(0.5)), (np.int64(2), np.float32(0.25))], [(2, 1)]]
    assert fuse(lists) == [(2, 1 / 62 + 1 / 61), (1, 1 / 61)]


@pytest.mark.parametrize("options", [{"method": "borda"}, {"method": "sum", "missing": 0.5}])
def test_nobody_brings_anything_to_a_document_that_is_kept(options):
    """Only a list of weight 0 has it, so its score is 0, and so are the parts of it."""
    lists = [[("a", 2.0), ("b", 1.0)], [("c", 1.0)]]
    last = fuse(lists, weights=[1, 0], keep=True, explain=True, **options)[-1]
    assert (last.document, last.score, [part.contribution for part in last.parts]) == ("c", 0.0, [0.0, 0.0])


@pytest.mark.parametrize("method", ["rrf", "sum"])
def test_ids_of_two_types_far_apart(method):
    """Queries are fused some hundreds at a time, which must not hide it."""
    run = {query: {f"d{query}": 1.0} for query in range(1999)} | {1999: {7: 1.0}}
    with pytest.raises(InputTypeError, match="all str, all int or all bytes"):
        fuse([run, run], method)
