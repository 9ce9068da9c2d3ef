"""What users of fusion run into elsewhere, each with the guard that stands against it here."""

from __future__ import annotations

import copy

import pytest

from rank_plugins.errors import InputError
from rank_plugins.fusion import fuse


def test_pitfall_12_rrf_conventions():
    """With k = 60 it means two functions, and k = 2 a third: each is named, and equals the paper's with another k."""
    lists = [["a", "b", "c"], ["c", "a", "d"]]
    assert fuse(lists, convention="zero_based", k=60) == fuse(lists, k=59)
    assert fuse(lists, "weaviate-ranked") == fuse(lists, "llamaindex-rrf") == fuse(lists, k=59)
    assert fuse(lists, "qdrant-rrf") == fuse(lists, k=1)
    haystack = dict(fuse(lists, "haystack-rrf"))
    assert haystack == pytest.approx({d: s * 61 / 2 for d, s in fuse(lists)})


def test_pitfall_12_engines_fuse_only_what_they_prefetch():
    """A document below the window of one list is missing there: cutting the lists first is another fusion."""
    lists = [["a", "b", "c", "d"], ["d", "c", "b", "a"]]
    whole, window = dict(fuse(lists)), dict(fuse([row[:2] for row in lists]))
    assert len(set(whole.values())) == 2
    assert window == {"a": 1 / 61, "b": 1 / 62, "d": 1 / 61, "c": 1 / 62}


def test_pitfall_13_a_lone_hit_is_not_erased():
    """Min-max gives a single document 1, not the 0 of (s - min); constant=0 is ranx's choice."""
    lists = [[("a", 0.8)], [("b", 3.0), ("c", 1.0)]]
    assert dict(fuse(lists, "sum"))["a"] == 1.0
    assert dict(fuse(lists, "sum", constant=0))["a"] == 0.0


def test_pitfall_13_missing_is_not_above_average():
    """With z-scores 0 is the mean of a list: a missing document gets the list's least, unless told otherwise."""
    lists = [[("a", 9.0), ("b", 8.0), ("c", 1.0)], [("x", 5.0), ("c", 4.0)]]
    fused = dict(fuse(lists, "sum", norm="zmuv"))
    zero = dict(fuse(lists, "sum", norm="zmuv", missing="zero"))
    assert zero["b"] > zero["c"]
    assert fused["x"] < zero["x"]
    assert fused["x"] == pytest.approx(fused["c"] + 2)  # as low as c in the first list; 1 and -1 in the second


def test_pitfall_13_all_negative_logits():
    """A list of negative logits spans 0 to 1; the min-max of Elastic and OpenSearch, which starts at 0, does not."""
    logits = [[("a", -2.0), ("b", -3.0), ("c", -6.0)]]
    assert dict(fuse(logits, "sum")) == {"a": 1.0, "b": 0.75, "c": 0.0}
    assert dict(fuse(logits, "elastic-linear")) == pytest.approx({"a": 4 / 6, "b": 3 / 6, "c": 0.0})
    assert dict(fuse(logits, "opensearch-arithmetic")) == pytest.approx({"a": 4 / 6, "b": 3 / 6, "c": 0.001})


def test_pitfall_13_the_depth_of_a_list_changes_min_max():
    """Normalisation sees what was returned; bounds that do not depend on it are the remedy."""
    deep = [("a", 10.0), ("b", 8.0), ("c", 0.0)]
    assert dict(fuse([deep[:2]], "sum"))["b"] != dict(fuse([deep], "sum"))["b"]
    bounded = {"lower": 0.0, "upper": 10.0}
    assert dict(fuse([deep[:2]], "sum", **bounded))["b"] == dict(fuse([deep], "sum", **bounded))["b"] == 0.8


def test_pitfall_14_weights_count_as_given():
    """Not ignored (LlamaIndex), not made to add up to 1 (Haystack), not applied to ranks (Qdrant)."""
    lists = [["a", "b"], ["b"]]
    assert dict(fuse(lists, weights=[2, 3])) == pytest.approx({"a": 2 / 61, "b": 2 / 62 + 3 / 61})
    assert dict(fuse(lists, "haystack-rrf", weights=[2, 3])) == pytest.approx({"a": 0.4, "b": 0.4 * 61 / 62 + 0.6})
    assert dict(fuse(lists, "qdrant-rrf", weights=[2, 3])) == pytest.approx({"a": 1 / 1.5, "b": 1 / 2 + 1 / (4 / 3)})
    with pytest.raises(InputError, match="ignores weights"):
        fuse(lists, "llamaindex-rrf", weights=[2, 3])


def test_pitfall_15_equal_texts_are_two_documents():
    """Ids alone tell documents apart: two ids stay two, whatever they stand for, and no score is mutated."""
    lists = [[("page-1", 2.0), ("page-1 (copy)", 2.0)], [("page-1 (copy)", 1.0)]]
    before = copy.deepcopy(lists)
    assert len(fuse(lists)) == 2
    assert lists == before


def test_pitfall_16_runs_are_not_changed_and_need_not_have_the_same_queries():
    """Elsewhere (ranx) fusion adds empty queries to the caller's runs, or refuses; here the runs stay as they were."""
    runs = [{"q1": {"a": 1.0}}, {"q2": {"b": 1.0}, "q1": {"b": 2.0, "a": 1.0}}]
    before = copy.deepcopy(runs)
    fused = fuse(runs)
    assert runs == before
    assert [list(run) for run in runs] == [["q1"], ["q2", "q1"]]
    assert set(fused) == {"q1", "q2"}


def test_pitfall_16_the_same_input_gives_the_same_bytes():
    """No thread, hash seed or order of a dict decides: ranx's Condorcet depends on PYTHONHASHSEED."""
    import os
    import subprocess
    import sys

    code = """
from rank_plugins.fusion import fuse
lists = [[(f"d{i * 7 % 23}", float(i % 5)) for i in range(20)], [(f"d{i * 5 % 23}", float(i % 3)) for i in range(20)]]
print([fuse(lists, method, gamma=1) if method == "gmnz" else fuse(lists, method) for method in
       ("rrf", "sum", "condorcet", "borda", "gmnz", "dbsf")])
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "4321")
    }
    assert len(outputs) == 1
