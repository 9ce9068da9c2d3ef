"""Parity reports: their figures beside SciPy, their bounds, and the samples they are taken on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError
from rank_plugins.export import Report
from rank_plugins.export.parity import Figure, compare, spearman
from rank_plugins.export.sample import MOST_PAIRS, pairs, texts

NUMBERS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30)


def report(*figures: Figure, quantize: str | None = "int8") -> Report:
    return Report("model", "cross-encoder", quantize, "out", 50, figures, 1234)


@settings(deadline=None)
@given(NUMBERS)
def test_spearman_is_that_of_scipy(rows):
    stats = pytest.importorskip("scipy.stats")
    a, b = np.array(rows, float).T
    if np.ptp(a) and np.ptp(b):
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_spearman_without_an_order():
    assert spearman(np.ones(4), np.arange(4.0)) == 1
    assert spearman(np.arange(4.0), np.ones(4)) == 0


def test_an_order_with_nan_is_no_order():
    values = np.arange(40.0)
    spoilt = np.where(values == 39, np.nan, values)  # where a sort would leave it
    assert np.isnan(spearman(values, spoilt))
    assert np.isnan(spearman(np.ones(40), spoilt))
    assert not compare(values, spoilt, {"max abs difference": None, "rank correlation": 0.98})[1].passed


def test_figures():
    expected = np.array([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    got = np.array([[3.0, 0.0], [2.0, 2.0], [0.0, 0.0]])
    bounds = {"max abs difference": 1.0, "mean cosine": 0.9, "least cosine": None}
    difference, mean, least = compare(expected, got, bounds)
    assert (difference.value, difference.passed) == (2, False)
    assert mean.value == pytest.approx((2 + np.sqrt(0.5)) / 3)
    assert mean.passed
    assert least.value == pytest.approx(np.sqrt(0.5))
    assert least.passed


def test_results_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"expected results \[3\] as of the original, got \[2\]"):
        compare(np.zeros(3), np.zeros(2), {})


@pytest.mark.parametrize("at_most", [True, False])
def test_nan_never_passes(at_most):
    assert not Figure("difference", float("nan"), 1.0, at_most).passed


def test_a_failed_report_names_the_figure_and_its_bound():
    good, bad = Figure("max abs difference", 0.01, 0.02, True), Figure("rank correlation", 0.91, 0.98, False)
    report(good).check()
    with pytest.raises(InputError, match=r"rank correlation 0\.91 \(at least 0\.98\); nothing was written") as caught:
        report(good, bad).check()
    assert "max abs difference" not in str(caught.value)


def test_a_report_is_text_and_json():
    one = report(Figure("max abs difference", 0.01, 0.02, True), Figure("rank correlation", 0.9, None, False))
    assert "int8, 1,234 bytes" in str(one)
    assert "max abs difference 0.01 (at most 0.02)" in str(one)
    facts = json.loads(json.dumps(one.as_dict()))
    assert facts["passed"] is True
    assert facts["figures"]["max abs difference"] == {"value": 0.01, "at most": 0.02}


def test_the_built_in_sample_has_short_and_long_texts_and_no_pair_twice():
    found = pairs(None)
    assert len(set(found)) == len(found) <= MOST_PAIRS
    lengths = sorted(len(text.split()) for _, text in found)
    assert lengths[0] == 1
    assert lengths[-1] > 300


def test_pairs_of_texts_take_the_shortest_as_queries():
    found = pairs(["long enough to be a document", "query", "another one that is long", "query", "  "])
    assert found == [("query", "another one that is long"), ("query", "long enough to be a document")]
    assert len(pairs([f"text number {i}" for i in range(300)])) <= MOST_PAIRS


@pytest.mark.parametrize(
    ("sample", "error"), [([], InputError), (["one"], InputError), ("ab", InputTypeError), ([1, 2], InputTypeError)]
)
def test_samples_that_cannot_be_used_are_refused(sample, error):
    with pytest.raises(error, match="sample: expected"):
        texts(sample)
