"""Tests and intervals against scipy, and what must hold for any data."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.corrections import correct
from rank_plugins.evaluation.distributions import clopper_pearson_upper, incomplete_beta, t_quantile, t_two_sided
from rank_plugins.evaluation.joint import Contrasts, joint_p_values
from rank_plugins.evaluation.resampling import SIGNS, Samples, SignFlips
from rank_plugins.evaluation.statistics import (
    bootstrap_interval,
    bootstrap_test,
    effect,
    randomization_test,
    t_interval,
    t_test,
)

values = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=40)


@pytest.fixture
def pair(rng):
    """Return two systems' values over 40 queries."""
    a = rng.random(40)
    return a, a + rng.normal(0.03, 0.1, 40)


class TestDistributions:
    @pytest.mark.parametrize("df", [1, 2, 3, 5, 10, 49, 999, 10**5, 10**7])
    def test_t_is_that_of_scipy(self, df):
        stats = pytest.importorskip("scipy.stats")
        for t in (0, 1e-3, 0.1, 0.5, 1, 1.7, 1.9, 2, 3, 5, 10, 30):
            assert t_two_sided(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-11, abs=1e-12)
            assert t_two_sided(-t, df) == t_two_sided(t, df)
        assert t_quantile(0.95, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-11)

    def test_t_where_scipy_rounds_to_one(self):
        # One degree of freedom is the Cauchy distribution: P(|T| >= t) = 1 - 2 atan(t) / pi.
        assert t_two_sided(1e-9, 1) == pytest.approx(1 - 2e-9 / math.pi, rel=1e-15)
        assert t_two_sided(1.0, 1) == pytest.approx(0.5, rel=1e-14)
        assert t_two_sided(math.inf, 5) == 0.0

    @pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 1), (2, 7), (30, 0.5), (200, 300), (1, 5000)])
    def test_incomplete_beta_is_that_of_scipy(self, a, b):
        special = pytest.importorskip("scipy.special")
        for x in (0.0, 1e-8, 0.01, 0.3, 0.5, 0.77, 0.99, 1.0):
            assert incomplete_beta(a, b, x, 1 - x) == pytest.approx(special.betainc(a, b, x), rel=1e-11, abs=1e-15)

    @pytest.mark.parametrize("n", [1, 2, 10, 60, 500, 100_000])
    def test_clopper_pearson_is_the_beta_quantile(self, n):
        stats = pytest.importorskip("scipy.stats")
        for count in sorted({0, 1, n // 3, n - 1, n}):
            expected = 1.0 if count == n else stats.beta.ppf(0.95, count + 1, n - count)
            assert clopper_pearson_upper(count, n) == pytest.approx(expected, rel=1e-10)

    def test_clopper_pearson_of_none_seen(self):
        assert clopper_pearson_upper(0, 60) == pytest.approx(1 - 0.05 ** (1 / 60), rel=1e-14)
        assert clopper_pearson_upper(0, 60) == pytest.approx(0.0487, abs=5e-5)
        assert clopper_pearson_upper(0, 10, level=0.5) == pytest.approx(1 - 0.5 ** (1 / 10), rel=1e-14)

    def test_clopper_pearson_refuses_nonsense(self):
        for count, n, level in ((3, 2, 0.95), (-1, 2, 0.95), (0, 0, 0.95), (1, 2, 1.0), (1, 2, math.nan)):
            with pytest.raises(InputError, match="expected"):
                clopper_pearson_upper(count, n, level)


class TestTTest:
    def test_is_that_of_scipy(self, pair):
        stats = pytest.importorskip("scipy.stats")
        expected = stats.ttest_rel(pair[1], pair[0])
        found = t_test(*pair)
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-11)
        assert t_interval(*pair) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-11)
        assert (found.n, found.exact, found.resamples) == (40, True, 0)

    def test_no_difference_is_p_one(self):
        assert t_test([0.5, 0.2], [0.5, 0.2]).p == 1.0
        assert t_test([0.0, 0.0], [1.0, 1.0]).p == 0.0

    def test_one_query_is_refused(self):
        with pytest.raises(InputError, match="at least 2 queries, got 1"):
            t_test([0.1], [0.2])


class TestRandomization:
    def test_exact_is_that_of_scipy(self, rng):
        stats = pytest.importorskip("scipy.stats")
        for n in (2, 5, 8, 11, 13):
            d = np.round(rng.normal(0.2, 1, n), 1)
            found = randomization_test(np.zeros(n), d)
            expected = stats.permutation_test(
                (d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
            )
            # scipy doubles the smaller tail; on the symmetric set of all signs that is the same
            assert found.exact
            assert found.resamples == 2**n
            assert found.p == pytest.approx(min(1.0, expected.pvalue), rel=1e-12)

    def test_exact_is_all_signs_counted(self, rng):
        d = rng.normal(0.3, 1, 9)
        means = np.array([np.mean(d * signs) for signs in product((1, -1), repeat=9)])
        assert randomization_test(np.zeros(9), d).p == (np.abs(means) >= abs(d.mean()) - 1e-12).sum() / 2**9

    def test_random_signs_come_near_the_exact_p(self, rng):
        d = rng.normal(0.25, 1, 16)
        exact = randomization_test(np.zeros(16), d, resamples=2**16)
        drawn = randomization_test(np.zeros(16), d, resamples=60_000)
        assert exact.exact
        assert not drawn.exact
        assert drawn.p == pytest.approx(exact.p, abs=5 * math.sqrt(exact.p * (1 - exact.p) / 60_000))

    def test_p_counts_the_sign_vectors_that_were_drawn(self, rng):
        d = rng.normal(0.1, 1, 21)
        flips = SignFlips(np.eye(21), 5000, seed=3)
        signs = np.concatenate([flips.sums(chunk) for chunk in range(flips.chunks)])
        assert signs.shape == (5000, 21)
        assert set(np.unique(signs)) == {-1.0, 1.0}
        assert abs(signs.mean()) < 5 / math.sqrt(signs.size)
        reached = (np.abs((signs * d).mean(axis=1)) >= abs(d.mean()) - 1e-12).sum()
        assert randomization_test(np.zeros(21), d, resamples=5000, seed=3).p == (1 + reached) / 5001

    def test_signs_do_not_depend_on_how_many_are_drawn(self):
        few, many = SignFlips(np.eye(30), 100, 0).sums(0), SignFlips(np.eye(30), SIGNS + 7, 0)
        np.testing.assert_array_equal(few, many.sums(0)[:100])
        assert len(many.sums(1)) == 7
        assert not np.array_equal(many.sums(0)[:7], many.sums(1))

    @given(values, st.integers(1, 300), st.integers(0, 2**63 - 1))
    @settings(max_examples=60, deadline=None)
    def test_pitfall_17_p_is_never_zero(self, d, resamples, seed):
        found = randomization_test(np.zeros(len(d)), d, resamples=resamples, seed=seed)
        assert 1 / (resamples + 1) <= found.p <= 1

    @given(values)
    @settings(max_examples=40, deadline=None)
    def test_p_does_not_care_which_system_comes_first(self, d):
        zero = np.zeros(len(d))
        assert randomization_test(zero, d, resamples=500).p == randomization_test(d, zero, resamples=500).p

    def test_no_difference_is_p_one(self):
        assert randomization_test(np.full(30, 0.3), np.full(30, 0.3)).p == 1.0
        assert randomization_test([0.1], [0.9]).p == 1.0

    def test_large_values_are_compared_up_to_rounding(self):
        # counts in the millions: all sign vectors with the same sum must count, whatever order it was added in
        d = np.array([1e7 + 0.1, 1e7 + 0.2, 1e7 + 0.3, -1e7 - 0.6])
        exact = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in product((1, -1), repeat=4)]
        assert randomization_test(np.zeros(4), d).p == sum(x >= abs(d.sum()) - 1e-3 for x in exact) / 16

    def test_clusters_change_their_sign_as_one(self, rng):
        d = rng.normal(0.3, 1, 24)
        clusters = np.repeat([f"c{i}" for i in range(8)], 3)
        sums = d.reshape(8, 3).sum(axis=1)
        assert randomization_test(np.zeros(24), d, clusters=clusters).p == randomization_test(np.zeros(8), sums).p

    def test_pitfall_17_the_seed_matters_and_the_threads_do_not(self, rng):
        d = rng.normal(0.05, 1, 300)
        zero = np.zeros(300)
        ps = [randomization_test(zero, d, resamples=20_000, seed=7, threads=threads).p for threads in (1, 2, 5)]
        assert len(set(ps)) == 1
        assert randomization_test(zero, d, resamples=20_000, seed=8).p != ps[0]


class TestJoint:
    def test_max_t_is_its_definition(self, rng):
        """Westfall and Young's step-down, written as loops over the same signs."""
        d = rng.normal([0.1, 0.5, 0.0, 0.4], [1.0, 1.0, 2.0, 0.1], (12, 4))
        d[:, 3] = d[:, 1] * 0.1 + rng.normal(0, 0.02, 12)
        signs = np.array(list(product((1, -1), repeat=12)))
        t = np.abs(signs @ d) / np.sqrt((d * d).sum(axis=0))
        observed = np.abs(d.sum(axis=0)) / np.sqrt((d * d).sum(axis=0))
        order = sorted(range(4), key=lambda j: -observed[j])
        expected, highest = np.zeros(4), 0.0
        for i, j in enumerate(order):
            highest = max(highest, np.mean(t[:, order[i:]].max(axis=1) >= observed[j] - 1e-12))
            expected[j] = highest
        found = joint_p_values(Contrasts(d), "randomization", 5000, 0, None, 1)
        np.testing.assert_allclose(found.p_max, expected, rtol=1e-12)
        assert (found.p_max >= found.p).all()

    def test_equal_columns_cost_nothing(self, rng):
        d = np.repeat(rng.normal(0.3, 1, (10, 1)), 20, axis=1)
        found = joint_p_values(Contrasts(d), "randomization", 5000, 0, None, 1)
        np.testing.assert_array_equal(found.p_max, found.p)

    def test_pairs_of_columns_are_their_differences(self, rng):
        columns = rng.random((50, 3))
        a, b = np.array([0, 0, 1]), np.array([1, 2, 2])
        for method in ("randomization", "bootstrap"):
            pairs = joint_p_values(Contrasts(columns, a, b), method, 3000, 5, None, 1)
            direct = joint_p_values(Contrasts(columns[:, b] - columns[:, a]), method, 3000, 5, None, 1)
            np.testing.assert_array_equal(pairs.p, direct.p)
            np.testing.assert_array_equal(pairs.p_max, direct.p_max)

    def test_a_difference_of_none_has_p_one(self, rng):
        d = np.column_stack([np.zeros(30), rng.normal(3, 1, 30)])
        found = joint_p_values(Contrasts(d), "randomization", 1000, 0, None, 1)
        assert found.p[0] == found.p_max[0] == 1.0
        assert found.p_max[1] == 1 / 1001


class TestBootstrap:
    def test_bca_is_that_of_scipy(self, rng):
        """Scipy's own BCa, up to the chance of the draws: the same skewed data, many samples."""
        stats = pytest.importorskip("scipy.stats")
        x = rng.exponential(1.0, 60)
        for level in (0.9, 0.95):
            ends = [
                stats.bootstrap((x,), np.mean, confidence_level=level, n_resamples=20_000, rng=seed).confidence_interval
                for seed in range(4)
            ]
            spread = x.std() / math.sqrt(60)
            found = bootstrap_interval(x, level, resamples=40_000)
            assert found == pytest.approx(np.mean(ends, axis=0), abs=0.03 * spread)

    def test_bca_on_the_same_samples_is_the_formula(self, rng):
        stats = pytest.importorskip("scipy.stats")
        x = rng.exponential(1.0, 30)
        samples = Samples(x[:, None], None, 2000, 4)
        drawn = np.concatenate([samples.drawn(chunk) for chunk in range(samples.chunks)])
        means = x[drawn].mean(axis=1)
        z0 = stats.norm.ppf((means < x.mean()).mean())
        left = np.array([np.delete(x, i).mean() for i in range(30)])
        u = left.mean() - left
        a = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
        z = z0 + stats.norm.ppf([0.025, 0.975])
        expected = np.quantile(means, stats.norm.cdf(z0 + z / (1 - a * z)))
        assert bootstrap_interval(x, resamples=2000, seed=4) == pytest.approx(expected, rel=1e-12)

    def test_percentile_is_the_quantiles_of_the_samples(self, rng):
        x = rng.random(25)
        samples = Samples(x[:, None], None, 3000, 1)
        drawn = np.concatenate([samples.drawn(chunk) for chunk in range(samples.chunks)])
        assert drawn.shape == (3000, 25)
        assert drawn.min() == 0
        assert drawn.max() == 24
        assert np.bincount(drawn.ravel()) == pytest.approx(3000, rel=0.1)
        expected = np.quantile(x[drawn].mean(axis=1), [0.025, 0.975])
        assert bootstrap_interval(x, method="percentile", resamples=3000, seed=1) == pytest.approx(expected, rel=1e-13)

    def test_rows_are_drawn_jointly(self, rng):
        rows = rng.random((3, 50))
        found = bootstrap_interval(rows, resamples=500)
        assert found.shape == (3, 2)
        for row, ends in zip(rows, found, strict=True):
            np.testing.assert_array_equal(ends, bootstrap_interval(row, resamples=500))

    def test_threads_do_not_change_a_byte(self, rng):
        rows = rng.random((2, 700))
        one, two = (bootstrap_interval(rows, resamples=3000, threads=threads) for threads in (1, 2))
        assert one.tobytes() == two.tobytes()

    def test_clusters_are_drawn_whole(self, rng):
        x = rng.random(12)
        clusters = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4]
        sums = np.bincount(clusters, weights=x)
        sizes = np.bincount(clusters).astype(float)
        drawn = Samples(sums[:, None], sizes, 400, 9).drawn(0)
        assert drawn.shape == (400, 5)
        expected = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
        found = bootstrap_interval(x, method="percentile", resamples=400, seed=9, clusters=clusters)
        assert found == pytest.approx(expected, rel=1e-13)

    def test_clusters_of_one_are_queries(self, rng):
        x = rng.random(30)
        found = bootstrap_interval(x, resamples=500, clusters=[f"q{i}" for i in range(30)])
        assert found == pytest.approx(bootstrap_interval(x, resamples=500), rel=1e-13)

    def test_equal_values_have_no_width(self):
        assert bootstrap_interval([0.25] * 7).tolist() == [0.25, 0.25]

    def test_one_query_has_no_interval(self):
        assert np.isnan(bootstrap_interval([0.5])).all()
        assert np.isnan(bootstrap_interval([0.5, 0.6], clusters=["a", "a"])).all()

    def test_tiny_and_very_skewed_values(self):
        assert bootstrap_interval([0.0, 7e-135], resamples=200).tolist() == pytest.approx([0, 7e-135])
        skewed = np.r_[np.zeros(400), 1.0]
        low, high = bootstrap_interval(skewed, resamples=1000)
        assert 0 <= low < skewed.mean() < high <= 6 / 401

    @given(values.filter(lambda x: len(x) > 1), st.sampled_from(["bca", "percentile"]))
    @settings(max_examples=40, deadline=None)
    def test_ends_are_means_that_can_be(self, x, method):
        low, high = bootstrap_interval(x, method=method, resamples=200)
        assert min(x) - 1e-9 <= low <= high <= max(x) + 1e-9

    def test_the_test_counts_samples_that_stray_as_far(self, rng):
        d = rng.normal(0.2, 1, 30)
        samples = Samples(d[:, None], None, 2000, 6)
        means = np.concatenate([samples.means(chunk) for chunk in range(samples.chunks)])[:, 0]
        expected = (1 + (np.abs(means - d.mean()) >= abs(d.mean()) - 1e-12).sum()) / 2001
        assert bootstrap_test(np.zeros(30), d, resamples=2000, seed=6).p == expected

    def test_the_test_agrees_with_t_on_many_queries(self, rng):
        d = rng.normal(0.05, 1, 2000)
        zero = np.zeros(2000)
        assert bootstrap_test(zero, d).p == pytest.approx(t_test(zero, d).p, abs=0.02)


class TestEffect:
    def test_by_hand(self):
        found = effect([0.5, 0.5, 0.5, 0.5], [0.6, 0.4, 0.8, 0.5 + 1e-15])
        assert (found.wins, found.ties, found.losses, found.n) == (2, 1, 1, 4)
        assert found.mean == pytest.approx(0.075)
        assert found.sd == pytest.approx(np.std([0.1, -0.1, 0.3, 0.0], ddof=1))
        assert found.effect_size == pytest.approx(found.mean / found.sd)

    def test_where_nothing_varies(self):
        assert effect([0.5, 0.5], [0.5, 0.5]).effect_size == 0.0
        assert effect([0.0, 0.0], [1.0, 1.0]).effect_size == math.inf
        assert math.isnan(effect([0.0], [1.0]).sd)


class TestCorrections:
    def test_by_hand(self):
        p = [0.01, 0.04, 0.03, 0.005]
        assert correct(p, "holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert correct(p, "bh") == pytest.approx([0.02, 0.04, 0.04, 0.02])
        assert correct(p, "bonferroni") == pytest.approx([0.04, 0.16, 0.12, 0.02])
        assert correct(p, "none").tolist() == p

    @given(st.lists(st.floats(0, 1), max_size=20))
    @settings(deadline=None)
    def test_bh_is_that_of_scipy(self, p):
        stats = pytest.importorskip("scipy.stats")
        expected = stats.false_discovery_control(p) if p else []
        np.testing.assert_allclose(correct(p, "bh"), expected, rtol=1e-12)

    @given(st.lists(st.floats(0, 1), max_size=20))
    @settings(deadline=None)
    def test_each_is_at_least_as_careful(self, p):
        none, bh, holm, bonferroni = (correct(p, method) for method in ("none", "bh", "holm", "bonferroni"))
        assert (none <= bh * (1 + 1e-12)).all()
        assert (bh <= holm * (1 + 1e-12)).all()
        assert (holm <= bonferroni).all()
        assert (bonferroni <= 1).all()

    def test_unknown_method_is_answered_with_a_suggestion(self):
        with pytest.raises(InputError, match="did you mean 'holm'"):
            correct([0.1], "hom")

    def test_values_that_are_no_p_are_refused(self):
        for p in ([1.2], [math.nan], [[0.1]]):
            with pytest.raises(InputError, match="from 0 to 1"):
                correct(p, "holm")


class TestInput:
    @pytest.mark.parametrize("test", [t_test, randomization_test, bootstrap_test, effect])
    def test_what_cannot_be_compared_is_refused(self, test):
        with pytest.raises(InputError, match="queries, got 0"):
            test([], [])
        with pytest.raises(InputError, match="same order"):
            test([0.1, 0.2], [0.1])
        with pytest.raises(InputError, match=r"got nan at \[1\]"):
            test([0.1, 0.2], [0.1, math.nan])
        with pytest.raises(InputTypeError, match="expected numbers"):
            test(["a"], ["b"])

    def test_draws_are_checked(self):
        with pytest.raises(InputError, match="seed: expected at least 0"):
            randomization_test([0.1], [0.2], seed=-1)
        with pytest.raises(InputError, match="resamples: expected at least 1"):
            bootstrap_interval([0.1, 0.2], resamples=0)
        with pytest.raises(InputTypeError, match="whole number"):
            randomization_test([0.1], [0.2], seed=0.5)
        with pytest.raises(InputError, match="each of 2 queries, got 1"):
            randomization_test([0.1, 0.2], [0.2, 0.3], clusters=["a"])
        with pytest.raises(InputError, match="did you mean 'bca'"):
            bootstrap_interval([0.1, 0.2], method="bc")
        with pytest.raises(InputError, match="level: expected a number between 0 and 1"):
            bootstrap_interval([0.1, 0.2], 95)
        with pytest.raises(InputError, match="at least one query"):
            bootstrap_interval([])

    def test_input_is_not_changed(self, pair):
        copies = [x.copy() for x in pair]
        t_test(*pair)
        randomization_test(*pair, resamples=100)
        bootstrap_interval(pair[0], resamples=100)
        np.testing.assert_array_equal(pair, copies)
