"""Kendall's tau, tau_AP and RBO against scipy, values worked out by hand, and all orders of what is tied."""

import math
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.correlation import kendall_tau, rbo, tau_ap

small = st.integers(2, 8).flatmap(lambda n: st.tuples(*(st.lists(st.integers(0, 5), min_size=n, max_size=n),) * 2))


def as_values(numbers):
    return {f"s{i}": number for i, number in enumerate(numbers)}


def orders(values):
    """Return every list, best first, that equal values allow."""
    groups = [
        [name for name in values if values[name] == value] for value in sorted(set(values.values()), reverse=True)
    ]
    return [[name for group in choice for name in group] for choice in product(*map(permutations, groups))]


def plain_tau_ap(reference, estimate):
    """Return the formula of the paper over two lists without ties."""
    total = 0.0
    for i in range(1, len(estimate)):
        agreed = sum(reference.index(other) < reference.index(estimate[i]) for other in estimate[:i])
        total += agreed / i
    return 2 / (len(estimate) - 1) * total - 1


def plain_rbo(a, b, p):
    """Return equation 32 of the paper over two lists without ties, with sets."""
    short, long = sorted((a, b), key=len)
    s, n = len(short), len(long)
    x = [len(set(a[:d]) & set(b[:d])) for d in range(n + 1)]
    total = sum(x[d] / d * p**d for d in range(1, n + 1))
    total += sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * total + ((x[n] - x[s]) / n + x[s] / s) * p**n


class TestKendall:
    @given(small)
    @settings(deadline=None)
    def test_is_that_of_scipy(self, pair):
        stats = pytest.importorskip("scipy.stats")
        expected = stats.kendalltau(*pair).statistic
        found = kendall_tau(*map(as_values, pair))
        assert math.isnan(found) if math.isnan(expected) else found == pytest.approx(expected, abs=1e-12)

    def test_lists(self):
        assert kendall_tau(["a", "b", "c", "d"], ["b", "a", "c", "d"]) == pytest.approx(4 / 6)
        assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1

    def test_the_order_of_a_mapping_does_not_matter(self):
        assert kendall_tau({"a": 1, "b": 2, "c": 3}, {"c": 9, "a": 7, "b": 8}) == 1

    def test_infinite_values_are_ordered(self):
        assert kendall_tau({"a": math.inf, "b": 1, "c": -math.inf}, ["a", "b", "c"]) == 1


class TestTauAp:
    def test_worked_out_by_hand(self):
        # C(2) / 1 = 0, C(3) / 2 = 1, C(4) / 3 = 1: a swap at the top; at the bottom 1, 1, 2/3.
        assert tau_ap(list("abcd"), list("bacd")) == pytest.approx(2 / 3 * 2 - 1)
        assert tau_ap(list("abcd"), list("abdc")) == pytest.approx(2 / 3 * (2 + 2 / 3) - 1)
        assert tau_ap(list("abcd"), list("abcd")) == 1
        assert tau_ap(list("abcd"), list("dcba")) == -1

    def test_is_not_symmetric(self):
        assert tau_ap(list("abcd"), list("dabc")) != tau_ap(list("dabc"), list("abcd"))

    @given(small)
    @settings(deadline=None)
    def test_ties_are_the_mean_over_all_orders(self, pair):
        reference, estimate = map(as_values, pair)
        means = []
        for values in orders(estimate):
            # a pair that the reference ties counts one half: the mean over the reference's orders, pair by pair
            total = 0.0
            for i in range(1, len(values)):
                for other in values[:i]:
                    better, worse = reference[other], reference[values[i]]
                    total += ((better > worse) + 0.5 * (better == worse)) / i
            means.append(2 / (len(values) - 1) * total - 1)
        assert tau_ap(reference, estimate) == pytest.approx(sum(means) / len(means), abs=1e-12)

    @given(st.permutations(list("abcdefg")))
    @settings(deadline=None)
    def test_lists_are_the_formula(self, estimate):
        assert tau_ap(list("abcdefg"), estimate) == pytest.approx(plain_tau_ap(list("abcdefg"), estimate), abs=1e-12)


class TestRbo:
    def test_worked_out_by_hand(self):
        # X = 0, 2, 3 and p = 0.5: (0.5 / 0.5) (0/1 * 0.5 + 2/2 * 0.25 + 3/3 * 0.125) + 3/3 * 0.125
        assert rbo(list("abc"), list("bac"), p=0.5) == pytest.approx(0.5)
        assert rbo(list("abc"), list("abc")) == pytest.approx(1)
        assert rbo(list("abc"), list("xyz")) == 0

    def test_a_prefix_agrees_as_far_as_anyone_can_see(self):
        assert rbo(list("ab"), list("abcdef"), p=0.9) == pytest.approx(1)

    @given(
        st.lists(st.integers(0, 9), min_size=1, max_size=7, unique=True),
        st.lists(st.integers(0, 9), min_size=1, max_size=7, unique=True),
        st.floats(0.05, 0.98),
    )
    @settings(deadline=None)
    def test_is_the_formula_and_symmetric(self, a, b, p):
        assert rbo(a, b, p) == pytest.approx(plain_rbo(a, b, p), abs=1e-12)
        assert rbo(a, b, p) == pytest.approx(rbo(b, a, p), abs=1e-12)
        assert -1e-12 <= rbo(a, b, p) <= 1 + 1e-12

    @given(
        st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), min_size=1, max_size=5),
        st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), min_size=1, max_size=5),
    )
    @settings(deadline=None)
    def test_ties_are_the_mean_over_all_orders(self, a, b):
        values = [plain_rbo(x, y, 0.8) for x in orders(a) for y in orders(b)]
        assert rbo(a, b, 0.8) == pytest.approx(sum(values) / len(values), abs=1e-12)

    def test_p_is_a_probability(self):
        for p in (0, 1, 1.5, math.nan):
            with pytest.raises(InputError, match="p: expected a number between 0 and 1"):
                rbo(["a"], ["a"], p)


@pytest.mark.parametrize("measure", [kendall_tau, tau_ap])
def test_orders_of_different_ids_are_refused(measure):
    with pytest.raises(InputError, match="2 that only one has, 'b' first"):
        measure(["a", "b"], ["a", "c"])
    with pytest.raises(InputError, match="at least 2 ids to order, got 1"):
        measure(["a"], ["a"])


@pytest.mark.parametrize("measure", [kendall_tau, tau_ap, rbo])
def test_what_is_no_order_is_refused(measure):
    with pytest.raises(InputError, match="'a' twice"):
        measure(["a", "b", "a"], ["a", "b"])
    with pytest.raises(InputTypeError, match=r"got 0\.5; give values as"):
        measure([0.5, 0.7], [0.1, 0.9])
    with pytest.raises(InputTypeError, match="got str"):
        measure("abc", "abc")
    with pytest.raises(InputError, match="got nan for 'b'"):
        measure({"a": 1.0, "b": math.nan}, {"a": 1.0, "b": 2.0})


def test_empty_orders_are_refused():
    with pytest.raises(InputError, match="an empty one"):
        rbo([], ["a"])
