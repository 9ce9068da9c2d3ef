"""Calibrators against scikit-learn and scipy; what must hold for any scores; and the round trip through JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import calibration
from rank_plugins.evaluation.calibrators import Calibrator, Isotonic, Platt, Softmax, Temperature, calibrate

METHODS = ["isotonic", "platt", "temperature", "softmax"]
finite = st.floats(-1e300, 1e300)
samples = st.lists(st.tuples(finite, st.booleans()), min_size=1, max_size=40).filter(lambda x: any(y for _, y in x))


@pytest.fixture
def data(rng):
    """Return 500 scores with ties, labels, and weights."""
    scores = np.round(rng.normal(0, 3, 500), 1)
    return scores, (rng.random(500) < 1 / (1 + np.exp(-scores / 2 + 1))).astype(int), rng.integers(0, 4, 500)


def nll(p, y, w):
    return float(-(w * np.log(np.where(y == 1, p, 1 - p))).sum())


class TestIsotonic:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_is_that_of_scikit_learn(self, data, weighted):
        sklearn = pytest.importorskip("sklearn.isotonic")
        scores, y, w = data
        w = w if weighted else None
        expected = sklearn.IsotonicRegression(out_of_bounds="clip").fit(scores, y, sample_weight=w)
        points = np.linspace(-15, 15, 1001)
        found = calibrate(scores, y, "isotonic", weights=w)
        np.testing.assert_allclose(found(points), expected.predict(points), atol=1e-12)

    @given(samples, st.lists(finite, min_size=2, max_size=30))
    @settings(deadline=None)
    def test_never_falls(self, pairs, points):
        found = calibrate(*map(list, zip(*pairs, strict=True)), "isotonic")
        p = found(sorted(points + [s for s, _ in pairs]))
        assert (np.diff(p) >= 0).all()
        assert p.min() >= 0
        assert p.max() <= 1

    def test_by_hand(self):
        found = calibrate([1, 2, 3, 4], [0, 1, 0, 1], "isotonic")
        assert found([0, 1, 2, 2.5, 3, 4, 9]).tolist() == [0, 0, 0.5, 0.5, 0.5, 1, 1]
        assert isinstance(found, Isotonic)
        assert found.scores == (1, 2, 3, 4)
        assert calibrate([2.0], [1], "isotonic")([-5, 5]).tolist() == [1, 1]


class TestPlatt:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_is_that_of_scikit_learn(self, data, weighted):
        sklearn = pytest.importorskip("sklearn.linear_model")
        scores, y, w = data
        w = w if weighted else np.ones(500)
        above, below = (w * y).sum(), (w * (1 - y)).sum()
        target = np.where(y == 1, (above + 1) / (above + 2), 1 / (below + 2))
        # a target t is t of a positive and 1 - t of a negative
        model = sklearn.LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
        model.fit(np.r_[scores, scores][:, None], np.repeat([1, 0], 500), np.r_[w * target, w * (1 - target)])
        found = calibrate(scores, y, "platt", weights=w)
        assert found.slope == pytest.approx(model.coef_[0, 0], rel=1e-7)
        assert found.intercept == pytest.approx(model.intercept_[0], rel=1e-7)

    @pytest.mark.parametrize("scale", [1e-200, 1e-9, 1, 1e12, 1e200])
    def test_the_scale_of_scores_does_not_matter(self, data, scale):
        scores, y, _ = data
        expected = calibrate(scores, y, "platt")(scores)
        np.testing.assert_allclose(
            calibrate(scores * scale + 5 * scale, y, "platt")(scores * scale + 5 * scale), expected
        )

    def test_separable_scores_do_not_diverge(self):
        found = calibrate([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1], "platt")
        p = found([1.0, 2.0, 3.0, 4.0])
        # The smoothed targets are 1/4 and 3/4: nothing can be surer than the data.
        assert p.mean() == pytest.approx(0.5)
        assert 0.1 < p[0] < p[1] < 0.5 < p[2] < p[3] < 0.9

    def test_one_class_only(self):
        assert calibrate([1.0, 2.0], [1, 1], "platt")([1.0, 9.0]) == pytest.approx([0.75, 0.75], abs=1e-6)
        assert calibrate([5.0, 5.0], [1, 0], "platt")([5.0]) == pytest.approx([0.5])


class TestTemperature:
    def test_is_the_minimum(self, data):
        optimize = pytest.importorskip("scipy.optimize")
        scores, y, w = data

        def loss(t):
            return nll(1 / (1 + np.exp(-scores / t)), y, w)

        best = optimize.minimize_scalar(loss, bounds=(0.1, 50), method="bounded", options={"xatol": 1e-10})
        found = calibrate(scores, y, "temperature", weights=w)
        assert isinstance(found, Temperature)
        assert found.temperature == pytest.approx(best.x, rel=1e-6)
        assert found(scores) == pytest.approx(1 / (1 + np.exp(-scores / found.temperature)))

    def test_separable_scores_are_bounded(self):
        assert calibrate([-1.0, 2.0], [0, 1], "temperature").temperature == pytest.approx(2e-6)
        assert calibrate([-1.0, 2.0], [1, 0], "temperature").temperature == pytest.approx(2e6)
        assert calibrate([0.0, 0.0], [1, 0], "temperature")([0.0]) == [0.5]


class TestSoftmax:
    def test_is_the_minimum(self, rng):
        special = pytest.importorskip("scipy.special")
        optimize = pytest.importorskip("scipy.optimize")
        scores = rng.normal(0, 4, (60, 8))
        relevant = [rng.choice(8, p=special.softmax(row / 2.5)) for row in scores]
        y = np.eye(8)[relevant]

        def loss(t):
            return -(y * special.log_softmax(scores / t, axis=1)).sum()

        best = optimize.minimize_scalar(loss, bounds=(0.1, 50), method="bounded", options={"xatol": 1e-10})
        offsets = np.arange(0, 481, 8)
        found = calibrate(scores.ravel(), y.ravel(), "softmax", offsets=offsets)
        assert isinstance(found, Softmax)
        assert found.temperature == pytest.approx(best.x, rel=1e-6)
        expected = special.softmax(scores / found.temperature, axis=1).ravel()
        assert found(scores.ravel(), offsets) == pytest.approx(expected)

    def test_lists_sum_to_one_without_what_is_missing(self):
        p = Softmax(1.0)([3.0, 1.0, -math.inf, 700.0, -700.0, -math.inf], [0, 3, 3, 5, 6])
        assert p[:2].sum() == pytest.approx(1)
        assert p[2] == p[5] == 0
        assert p[3:5].sum() == pytest.approx(1)

    def test_one_list_without_offsets(self):
        assert Softmax(2.0)([0.0, 0.0]).tolist() == [0.5, 0.5]
        for wrong in ([0, 1], [1, 2], [0, 2, 1, 2]):
            with pytest.raises(InputError, match="offsets: expected them to rise from 0"):
                Softmax(2.0)([0.0, 0.0], wrong)


@pytest.mark.parametrize("method", METHODS)
class TestEvery:
    def test_missing_scores_get_nothing_and_teach_nothing(self, data, method):
        scores, y, _ = data
        with_missing, labels = np.r_[scores, [-math.inf] * 50], np.r_[y, [1] * 50]
        found = calibrate(with_missing, labels, method)
        assert found == calibrate(scores, y, method)
        assert (found(with_missing)[500:] == 0).all()
        assert found([]).tolist() == []

    def test_weights_are_repetitions(self, data, method):
        scores, y, w = data
        one = calibrate(scores, y, method, weights=w)
        other = calibrate(np.repeat(scores, w), np.repeat(y, w), method)
        if method == "softmax":  # a list in which a document stands twice is another list
            assert one.temperature > 0
        else:
            np.testing.assert_allclose(one(scores), other(scores), rtol=1e-9)

    def test_round_trip_is_exact(self, data, method, tmp_path):
        scores, y, _ = data
        found = calibrate(scores, y, method)
        found.save(tmp_path / "calibrator.json")
        again = Calibrator.load(tmp_path / "calibrator.json")
        assert again == found
        assert type(again) is type(found)
        assert again(scores).tobytes() == found(scores).tobytes()
        assert json.loads((tmp_path / "calibrator.json").read_text(encoding="utf-8"))["method"] == method

    def test_errors_of_the_fit_and_of_other_data(self, data, method):
        scores, y, _ = data
        found = calibrate(scores, y, method)
        assert found.ece() == calibration.ece(found(scores), y) == found.ece(scores, y)
        assert found.reliability(bins=5) == calibration.reliability(found(scores), y, bins=5)
        assert found.ece(scores[:50], y[:50]) == calibration.ece(found(scores[:50]), y[:50])
        again = Calibrator.from_dict(found.to_dict())
        assert again.ece(scores, y) == found.ece()
        with pytest.raises(InputError, match="has seen no data"):
            again.ece()
        with pytest.raises(InputError, match="both or neither"):
            found.ece(scores)

    def test_what_cannot_be_used_is_refused(self, data, method):
        found = calibrate(data[0], data[1], method)
        for scores in ([math.nan, 1.0], [math.inf, 1.0]):
            with pytest.raises(InputError, match=r"scores: expected finite numbers.* at \[0\]"):
                calibrate(scores, [0, 1], method)
            with pytest.raises(InputError, match="scores: expected finite numbers"):
                found(scores)
        with pytest.raises(InputError, match="at least one finite score"):
            calibrate([-math.inf], [1], method)
        with pytest.raises(InputError, match="at least one finite score"):
            calibrate([], [], method)
        with pytest.raises(InputError, match="expected 0 or 1, got 3"):
            calibrate([0.5], [3], method)
        with pytest.raises(InputError, match="one length, got 2 and 1"):
            calibrate([0.5, 0.6], [1], method)
        with pytest.raises(InputError, match="weights: expected 1"):
            calibrate([0.5], [1], method, weights=[1, 2])
        with pytest.raises(InputError, match="at least 0"):
            calibrate([0.5], [1], method, weights=[-1])
        with pytest.raises(InputTypeError, match="expected numbers"):
            calibrate(["a"], [1], method)

    @given(pairs=samples)
    @settings(max_examples=60, deadline=None)
    def test_any_scores_give_finite_probabilities(self, method, pairs):
        scores, y = map(list, zip(*pairs, strict=True))
        p = calibrate(scores, y, method)(scores)
        assert ((p >= 0) & (p <= 1)).all()


def test_scores_better_than_chance_stay_in_order(data):
    scores, y, _ = data
    ranked = np.sort(scores)
    for method in ("isotonic", "platt", "temperature"):
        assert (np.diff(calibrate(scores, y, method)(ranked)) >= 0).all()


def test_calibration_helps_data_it_has_not_seen(rng):
    scores = rng.normal(0, 3, 4000)
    y = rng.random(4000) < 1 / (1 + np.exp(-scores / 3 + 1))
    raw = 1 / (1 + np.exp(-scores))
    for method in ("isotonic", "platt"):
        fitted = calibrate(scores[:2000], y[:2000], method)
        assert fitted.ece(scores[2000:], y[2000:]) < 0.5 * calibration.ece(raw[2000:], y[2000:])


def test_no_relevant_document_leaves_no_temperature():
    for method in ("temperature", "softmax"):
        with pytest.raises(InputError, match="at least one that is 1"):
            calibrate([1.0, 2.0], [0, 0], method)


def test_unknown_method_is_answered_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean 'platt'"):
        calibrate([1.0], [1], "plat")


def test_other_files_are_refused(tmp_path):
    for text in ("no json", "{}", "[]", '{"method": "platt"}', '{"method": "other"}', '{"method": "platt", "x": 1}'):
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="expected"):
            Calibrator.load(tmp_path / "x.json")


def test_made_by_hand():
    assert Platt(slope=2.0, intercept=0.0)([0.0, 1000.0, -1000.0]).tolist() == [0.5, 1.0, 0.0]
