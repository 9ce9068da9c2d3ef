"""Calibration errors, Brier score, log loss and reliability against scikit-learn and their definitions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.calibration import (
    brier,
    ece,
    ece_debiased,
    labelled,
    log_loss,
    mce,
    null_band,
    reliability,
)
from rank_plugins.runs import Qrels, Run

pairs = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)
BINNINGS = ["mass", "width", "sweep"]


@pytest.fixture
def data(rng):
    """Return 600 probabilities that are too sure of themselves, and labels."""
    p = rng.random(600)
    return p, (rng.random(600) < 0.25 + 0.5 * p).astype(int)


@pytest.mark.parametrize(("binning", "strategy"), [("mass", "quantile"), ("width", "uniform")])
def test_bins_are_those_of_scikit_learn(data, binning, strategy):
    sklearn = pytest.importorskip("sklearn.calibration")
    share, mean = sklearn.calibration_curve(data[1], data[0], n_bins=15, strategy=strategy)
    found = reliability(*data, binning=binning)
    assert [b.accuracy for b in found] == pytest.approx(share)
    assert [b.confidence for b in found] == pytest.approx(mean)
    assert sum(b.count for b in found) == 600
    weights = np.array([b.count for b in found]) / 600
    assert ece(*data, binning=binning) == pytest.approx((weights * np.abs(share - mean)).sum())
    assert mce(*data, binning=binning) == pytest.approx(np.abs(share - mean).max())


def test_brier_and_log_loss_are_those_of_scikit_learn(data):
    metrics = pytest.importorskip("sklearn.metrics")
    p, y = data
    assert brier(p, y).score == pytest.approx(metrics.brier_score_loss(y, p), rel=1e-13)
    assert log_loss(p, y) == pytest.approx(metrics.log_loss(y, p), rel=1e-13)


def test_log_loss_of_certainty_is_finite():
    assert log_loss([0.0, 1.0], [1, 0]) == pytest.approx(-math.log(1e-15), rel=1e-3)
    assert log_loss([0.0, 1.0], [0, 1]) == pytest.approx(1e-15, rel=0.2)


@given(pairs, st.sampled_from(BINNINGS), st.integers(1, 20))
@settings(deadline=None)
def test_the_parts_of_the_brier_score_add_up(found, binning, bins):
    p, y = map(list, zip(*found, strict=True))
    parts = brier(p, y, bins=bins, binning=binning)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert parts.score == pytest.approx(total, abs=1e-12)


def test_the_three_parts_where_bins_hide_nothing():
    """Murphy 1973: forecasts of few values, one bin each."""
    p = np.repeat([0.2, 0.8], [5, 5])
    y = [0, 0, 0, 1, 1, 1, 1, 1, 1, 0]
    found = brier(p, y)
    assert found.reliability == pytest.approx(0.5 * (0.2 - 0.4) ** 2 + 0.5 * (0.8 - 0.8) ** 2)
    assert found.resolution == pytest.approx(0.5 * 0.2**2 * 2)
    assert found.uncertainty == pytest.approx(0.24)
    assert found.within == pytest.approx(0, abs=1e-15)


class TestBins:
    def test_ties_are_never_split(self):
        p = [0.1] * 7 + [0.5] * 20 + [0.9] * 3
        found = reliability(p, [0, 1] * 15, bins=15)
        assert [b.count for b in found] == [7, 20, 3]
        assert [b.confidence for b in found] == pytest.approx([0.1, 0.5, 0.9])

    @given(pairs, st.integers(1, 20), st.randoms(use_true_random=False))
    @settings(deadline=None)
    def test_order_does_not_matter(self, found, bins, chance):
        shuffled = list(found)
        chance.shuffle(shuffled)
        one, other = (reliability(*map(list, zip(*x, strict=True)), bins=bins) for x in (found, shuffled))
        assert [b.count for b in one] == [b.count for b in other]
        assert [b.accuracy for b in one] == [b.accuracy for b in other]

    @given(pairs, st.integers(1, 20))
    @settings(deadline=None)
    def test_bins_of_distinct_probabilities_are_equally_full(self, found, bins):
        y = [label for _, label in found]
        n = len(y)
        counts = [b.count for b in reliability((np.arange(n) + 0.5) / n, y, bins=bins)]
        assert len(counts) == min(bins, n)
        assert max(counts) - min(counts) <= 1

    def test_a_bin_of_equal_width_has_its_upper_end(self):
        found = reliability([0.0, 0.5, 0.50001, 1.0], [0, 0, 1, 1], bins=2, binning="width")
        assert [b.count for b in found] == [2, 2]

    def test_sweep_stops_before_shares_fall(self):
        p = np.arange(1, 9) / 10
        y = [0, 0, 1, 0, 1, 1, 1, 1]
        shares = {}
        for bins in range(1, 9):
            group = np.arange(8) * bins // 8
            shares[bins] = [np.mean(np.array(y)[group == g]) for g in np.unique(group)]
        most = next(b for b in range(1, 9) if any(x > z for x, z in zip(shares[b], shares[b][1:], strict=False))) - 1
        assert len(reliability(p, y, binning="sweep")) == most
        assert 1 < most < 8

    def test_sweep_of_rising_labels_is_one_bin_each(self):
        assert len(reliability([0.1, 0.2, 0.6, 0.7], [0, 0, 1, 1], binning="sweep")) == 4

    def test_wilson_interval(self):
        (found,) = reliability([0.5] * 10, [1] * 3 + [0] * 7)
        # R: prop.test(3, 10, correct = FALSE)
        assert (found.low, found.high) == pytest.approx((0.1077913, 0.6032219), abs=1e-6)
        (found,) = reliability([0.5] * 10, [0] * 10)
        assert found.low == 0
        assert found.high == pytest.approx(3.8415 / 13.8415, abs=1e-4)


class TestErrors:
    def test_debiased_is_the_formula(self, data):
        p, y = data
        order = np.argsort(p)
        total = Fraction(0)
        for part in np.array_split(order, 15):
            share, n = Fraction(int(y[part].sum()), len(part)), len(part)
            gap = share - Fraction(float(p[part].sum())) / n
            total += Fraction(n, 600) * (gap**2 - share * (1 - share) / (n - 1))
        assert ece_debiased(p, y) == pytest.approx(math.sqrt(total), rel=1e-12)

    def test_debiased_is_near_zero_where_plain_is_not(self, rng):
        p = rng.random(3000)
        y = rng.random(3000) < p
        assert ece(p, y) > 0.01
        assert ece_debiased(p, y) < ece(p, y)

    @given(pairs, st.sampled_from(BINNINGS))
    @settings(deadline=None)
    def test_range(self, found, binning):
        p, y = map(list, zip(*found, strict=True))
        assert 0 <= ece(p, y, binning=binning) <= mce(p, y, binning=binning) + 1e-12 <= 1 + 1e-12
        assert 0 <= ece_debiased(p, y, binning=binning) <= 1

    def test_perfect(self):
        assert ece([0.0, 1.0, 1.0], [0, 1, 1]) == 0
        assert brier([0.0, 1.0], [0, 1]).score == 0


class TestNullBand:
    def test_holds_the_error_of_calibrated_probabilities_and_not_of_others(self, rng):
        p = rng.random(500)
        band = null_band(p)
        inside = [band.low <= ece(p, rng.random(500) < p) <= band.high for _ in range(300)]
        assert 0.9 < np.mean(inside) < 0.99
        assert 0 < band.low < band.mean < band.high
        assert ece(p, rng.random(500) < p**3) > band.high

    def test_bands_of_bins_hold_their_probability(self, rng):
        p = rng.random(500)
        bins = reliability(p, np.zeros(500))
        band = null_band(p)
        assert len(band.bins) == len(bins) == 15
        assert all(low <= b.confidence <= high for b, (low, high) in zip(bins, band.bins, strict=True))

    def test_seed(self):
        p = [0.2, 0.4, 0.9] * 20
        assert null_band(p) == null_band(p)
        assert null_band(p) != null_band(p, seed=1)

    def test_bins_that_depend_on_labels_have_none(self):
        with pytest.raises(InputError, match="depend on the labels"):
            null_band([0.5], binning="sweep")
        with pytest.raises(InputError, match="at least one"):
            null_band([])


QRELS = {"q1": {"a": 2, "b": 0, "z": 1}, "q2": {"a": 1}, "q3": {"a": 1}}
RUN = {"q2": {"x": 0.1, "a": 0.7}, "q1": {"b": 0.5, "a": 0.9, "c": 0.5}, "q9": {"a": 1.0}}


class TestLabelled:
    @pytest.mark.parametrize("convert", [lambda q, r: (q, r), lambda q, r: (Qrels.from_dict(q), Run.from_dict(r))])
    def test_by_hand(self, convert):
        found = labelled(*convert(QRELS, RUN))
        assert found.queries == ["q1", "q2"]
        assert found.scores.tolist() == [0.9, 0.5, 0.5, 0.7, 0.1]
        assert found.labels.tolist() == [1, 0, 0, 1, 0]
        assert found.offsets.tolist() == [0, 3, 5]

    def test_top_k_takes_ties_as_evaluate_ranks_them(self):
        found = labelled({"q": {"c": 1}}, {"q": {"b": 0.5, "c": 0.5, "a": 0.9}}, at_k=2)
        assert found.labels.tolist() == [0, 1]

    def test_level_and_judged_only(self):
        assert labelled(QRELS, RUN, relevance_level=2).labels.tolist() == [1, 0, 0, 0, 0]
        assert labelled(QRELS, RUN, judged_only=True).scores.tolist() == [0.9, 0.5, 0.7]
        with pytest.raises(InputError, match="at_k: expected at least 1"):
            labelled(QRELS, RUN, at_k=0)


@pytest.mark.parametrize("measure", [ece, mce, ece_debiased, brier, log_loss, reliability])
class TestInput:
    def test_pitfall_21_raw_scores_are_no_probabilities(self, measure):
        with pytest.raises(InputError, match=r"got 3\.2 at \[1\].*calibrate them first"):
            measure([0.5, 3.2], [0, 1])
        with pytest.raises(InputError, match="got nan"):
            measure([math.nan], [0])

    def test_labels(self, measure):
        with pytest.raises(InputError, match=r"expected 0 or 1, got 2 at \[0\].*grades >= level"):
            measure([0.5], [2])
        with pytest.raises(InputError, match=r"got \(2,\) and \(1,\)"):
            measure([0.5, 0.5], [1])
        with pytest.raises(InputError, match="n >= 1"):
            measure([], [])
        with pytest.raises(InputTypeError, match="expected numbers"):
            measure(["a"], [1])


def test_bins_are_checked():
    with pytest.raises(InputError, match="bins: expected at least 1"):
        ece([0.5], [1], bins=0)
    with pytest.raises(InputError, match="did you mean 'mass'"):
        ece([0.5], [1], binning="masss")
