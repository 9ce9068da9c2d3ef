"""Presets give what the engines and frameworks themselves give: their published tests, and their own code's output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rank_plugins.errors import InputError
from rank_plugins.fusion import PRESETS, fuse

GOLDEN = json.loads((Path(__file__).parent / "golden" / "presets.json").read_text(encoding="utf-8"))


def lists_of(scores):
    """Return lists of documents 0, 1, ... with these scores."""
    return [list(enumerate(row)) for row in scores]


@pytest.mark.parametrize(
    "result", GOLDEN["results"], ids=lambda r: f"{r['preset']}-{r['case'][:9]}-{'w' if r['weights'] else '1'}"
)
def test_frameworks_fuse_the_same(result):
    """Qdrant's client, Haystack, LlamaIndex and LangChain, run by golden/make_presets.py."""
    fused = fuse(GOLDEN["cases"][result["case"]], result["preset"], weights=result["weights"])
    if isinstance(result["fused"], list):  # LangChain gives the order alone
        scores = dict(fused)
        assert set(scores) == set(result["fused"])
        ordered = [scores[document] for document in result["fused"]]
        assert ordered == sorted(ordered, reverse=True)
    else:
        assert dict(fused) == pytest.approx(result["fused"], rel=1e-12, abs=1e-12)


def test_qdrant_unit_test():
    """lib/segment/src/common/reciprocal_rank_fusion.rs: test_rrf_scoring, test_rrf_scoring_one, k = 2 from rank 0."""
    lists = [[2, 1], [1, 2, 3], [5, 3, 1]]
    assert fuse(lists, "qdrant-rrf") == [
        (1, pytest.approx(1.0833334)),
        (2, pytest.approx(0.8333334)),
        (3, pytest.approx(0.5833334)),
        (5, 0.5),
    ]
    assert fuse([[1]], "qdrant-rrf") == [(1, 0.5)]


def test_qdrant_zero_weight():
    """The same file, test_rrf_scoring_zero_weight: the list contributes nothing, and its documents stay with 0."""
    assert fuse([[1], [2]], "qdrant-rrf", weights=[1, 0]) == [(1, 0.5), (2, 0.0)]


def test_qdrant_weights_stretch_ranks():
    """The same file, test_rrf_scoring_weighted: 1 / (r / w + k - 1)."""
    fused = dict(fuse([[1, 2], [2, 1]], "qdrant-rrf", weights=[3, 1]))
    assert fused == pytest.approx({2: 1 / (2 / 3 + 1) + 1 / 2, 1: 1 / (1 / 3 + 1) + 1 / 3})
    assert fused[2] > fused[1]


@pytest.mark.parametrize(
    ("weights", "scores", "expected"),
    [
        ([0.5, 0.5], [[1, 2, 3], [0, 1, 2]], {2: 1, 1: 0.5, 0: 0}),
        ([0.5, 0.5], [[0, 2, 0.1], [0, 0.2, 2]], {1: 0.55, 2: 0.525, 0: 0}),
        ([0.75, 0.25], [[0.5, 0.5, 0], [0, 0.01, 0.001]], {1: 1, 0: 0.75, 2: 0.025}),
        ([0.75, 0.25], [[1], []], {0: 0.75}),
        ([0.75, 0.25], [[], [1, 2]], {1: 0.25, 0: 0}),
        ([0.75, 0.25], [[1, 1], [1, 2]], {1: 1, 0: 0.75}),
        ([0.75, 0.25, 0.1], [[1, 2, 3, 4], [1, 2, 3], [4, 5]], {3: 0.75, 2: 0.75, 1: 0.475, 0: 0}),
    ],
)
def test_weaviate_unit_test(weights, scores, expected):
    """usecases/traverser/hybrid/fusion_test.go: TestFusionRelativeScore."""
    fused = fuse(lists_of(scores), "weaviate-relative", weights=weights)
    assert dict(fused) == pytest.approx(expected)
    assert [document for document, _ in fused] == list(expected)


def test_weaviate_documentation():
    """The comment of FusionRelativeScore in hybrid_fusion.go: [1, 8, 6, 11] becomes [0, 0.7, 0.5, 1]."""
    assert dict(fuse(lists_of([[1, 8, 6, 11]]), "weaviate-relative")) == pytest.approx({0: 0, 1: 0.7, 2: 0.5, 3: 1})


def test_weaviate_ranks_from_zero():
    """FusionRanked in hybrid_fusion.go: weight / (position + 60)."""
    fused = dict(fuse([["a", "b"], ["b"]], "weaviate-ranked", weights=[0.25, 0.75]))
    assert fused == pytest.approx({"a": 0.25 / 60, "b": 0.25 / 61 + 0.75 / 60})


@pytest.mark.parametrize(
    ("method", "scores", "expected"),
    [
        ("gmean", [1.0, 0.5, 0.3], 0.5567),
        ("gmean", [1.0, 0.0, 0.6], 0.7863),
        ("hmean", [1.0, 0.5, 0.3], 0.48),
        ("hmean", [1.0, 0.0, 0.6], 0.7611),
    ],
)
def test_opensearch_unit_test(method, scores, expected):
    """neural-search {Geometric,Harmonic}MeanScoreCombinationTechniqueTests.java, weights .45 .15 .4; 0 is skipped."""
    fused = fuse([[("d", score)] for score in scores], method, norm="none", weights=[0.45, 0.15, 0.4])
    assert fused == [("d", pytest.approx(expected, abs=1e-4))]


def test_opensearch_min_max():
    """MinMaxScoreNormalizationTechnique.java: the least is .001, a single result 1; the mean is over all lists."""
    lists = [[("a", 3.0), ("b", 2.0), ("c", 1.0)], [("c", 7.0)]]
    fused = dict(fuse(lists, "opensearch-arithmetic"))
    assert fused == pytest.approx({"a": 0.5, "b": 0.25, "c": (0.001 + 1) / 2})
    assert dict(fuse(lists, "opensearch-arithmetic", weights=[3, 1])) == pytest.approx(
        {"a": 0.75, "b": 0.375, "c": (3 * 0.001 + 1) / 4}
    )


def test_opensearch_geometric_does_not_punish_a_missing_document():
    """Weights are shared among the lists that have it: one hit of 0.5 beats 0.5 and 0.4."""
    lists = [[("x", 2.0), ("a", 1.0), ("b", 1.0), ("z", 0.0)], [("y", 1.0), ("b", 0.4), ("z", 0.0)]]
    fused = dict(fuse(lists, "opensearch-geometric"))
    assert fused["a"] == pytest.approx(0.5)
    assert fused["b"] == pytest.approx((0.5 * 0.4) ** 0.5)


def test_elastic_min_max():
    """MinMaxScoreNormalizer.java: a list whose scores are within 1e-6 keeps its lowest score."""
    fused = dict(fuse([[("a", 5.0)], [("a", 4.0), ("b", 3.0), ("c", 2.0)]], "elastic-linear", weights=[1, 2]))
    assert fused == pytest.approx({"a": 7.0, "b": 1.0, "c": 0.0})


@pytest.mark.parametrize("preset", ["elastic-rrf", "opensearch-rrf", "milvus-rrf", "mongodb-rrf", "langchain-rrf"])
def test_the_papers_rrf(preset):
    """These count ranks from 1 with k = 60; LangChain's weights are 1 / m where none are given."""
    share = 0.5 if preset == "langchain-rrf" else 1
    assert dict(fuse([["a", "b"], ["b"]], preset)) == pytest.approx({"a": share / 61, "b": share * (1 / 62 + 1 / 61)})


def test_a_preset_takes_other_settings_on_top():
    """k, norm and weights of the caller go before those of the preset."""
    assert fuse([["a"]], "qdrant-rrf", k=60) == [("a", 1 / 60)]
    assert fuse([[("a", 3.0)]], "elastic-linear", norm="l2") == [("a", 1.0)]


@pytest.mark.parametrize("preset", [name for name, one in PRESETS.items() if one.weights.__name__ == "_refused"])
def test_weights_that_a_system_ignores_are_refused(preset):
    """Pitfall 14: LlamaIndex drops the weights of its RRF in silence; here that is an error."""
    with pytest.raises(InputError, match="ignores weights"):
        fuse([[("a", 1.0)], [("b", 2.0)]], preset, weights=[1, 2])
