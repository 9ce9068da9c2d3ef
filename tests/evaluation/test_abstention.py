"""False evidence, coverage, thresholds and risk: by hand, by trying every threshold, and what must always hold."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.abstention import confidence, coverage, false_evidence_rate, truncate
from rank_plugins.evaluation.risk import nauc, risk_coverage
from rank_plugins.evaluation.thresholds import select_threshold
from rank_plugins.runs import Run

RUN = {
    "q1": {"a": 0.9, "b": 0.4},
    "q2": {"a": 0.2},
    "q3": {},
    "n1": {"c": 0.5, "d": 0.1},
    "n2": {"c": 0.3},
    "n3": {},
    "n4": {"c": -math.inf},
}
EMPTY = ["n1", "n2", "n3", "n4"]
scores = st.floats(-3, 3).map(lambda x: round(x, 1))
runs = st.dictionaries(st.sampled_from(EMPTY), st.dictionaries(st.sampled_from("abcd"), scores), min_size=1)


class TestFalseEvidence:
    @pytest.mark.parametrize(("threshold", "count"), [(0.0, 2), (0.3, 2), (0.31, 1), (0.5, 1), (0.51, 0)])
    def test_counts_best_scores_that_reach_the_threshold(self, threshold, count):
        found = false_evidence_rate(RUN, EMPTY, threshold)
        assert (found.count, found.n, found.rate) == (count, 4, count / 4)

    def test_pitfall_21_zero_is_reported_with_what_it_cannot_exclude(self):
        run = {f"n{i}": {"a": 0.1} for i in range(60)}
        found = false_evidence_rate(run, run, 0.5)
        assert found.rate == 0
        assert found.upper == pytest.approx(1 - 0.05 ** (1 / 60))
        assert false_evidence_rate(run, run, 0.5, level=0.9).upper == pytest.approx(1 - 0.1 ** (1 / 60))

    def test_missing_scores_and_empty_lists_are_no_evidence(self):
        assert false_evidence_rate(RUN, ["n3", "n4"], -math.inf).count == 0

    def test_queries_are_declared_never_inferred(self):
        with pytest.raises(InputError, match=r"1 of 2 are not there, 'typo' first; .*absent=\"empty\""):
            false_evidence_rate(RUN, ["n1", "typo"], 0.5)
        assert false_evidence_rate(RUN, ["n1", "silent"], 0.5, absent="empty").rate == 0.5
        with pytest.raises(InputError, match="at least one query without evidence"):
            false_evidence_rate(RUN, [], 0.5)
        with pytest.raises(InputError, match="'n1' twice"):
            false_evidence_rate(RUN, ["n1", "n1"], 0.5)
        with pytest.raises(InputTypeError, match="got one str 'n1'"):
            false_evidence_rate(RUN, "n1", 0.5)

    def test_nan_is_refused(self):
        with pytest.raises(InputError, match="NaN in query 'n1'"):
            false_evidence_rate({"n1": {"a": math.nan}}, ["n1"], 0.5)
        with pytest.raises(InputError, match="threshold: expected a number, got NaN"):
            false_evidence_rate(RUN, EMPTY, math.nan)

    def test_bare_ids_have_no_scores(self):
        with pytest.raises(InputError, match="expected scores, got lists of bare ids"):
            false_evidence_rate({"n1": ["a", "b"]}, ["n1"], 0.5)
        with pytest.raises(InputError, match="expected scores, got lists of bare ids"):
            truncate({"n1": ["a", "b"]}, 0.5)

    @given(runs, scores, scores)
    @settings(deadline=None)
    def test_never_rises_with_the_threshold(self, run, one, other):
        low, high = (false_evidence_rate(run, run, t) for t in sorted((one, other)))
        assert low.rate >= high.rate
        assert low.upper >= high.upper
        assert all(found.upper > found.rate or found.rate == 1 for found in (low, high))

    @given(runs, scores)
    @settings(deadline=None)
    def test_columns_say_the_same(self, run, threshold):
        assert false_evidence_rate(Run.from_dict(run), run, threshold) == false_evidence_rate(run, run, threshold)


class TestCoverage:
    def test_by_hand(self):
        assert coverage(RUN, 0.3, ["q1", "q2", "q3"]) == 1 / 3
        assert coverage(RUN, 0.2) == 4 / 7
        assert coverage(RUN, 0.2, ["q1", "nowhere"], absent="empty") == 0.5
        with pytest.raises(InputError, match="'nowhere' first"):
            coverage(RUN, 0.2, ["q1", "nowhere"])
        with pytest.raises(InputError, match="at least one"):
            coverage({}, 0.2)

    @pytest.mark.parametrize("convert", [dict, Run.from_dict])
    def test_truncated_lists_hold_what_reaches_the_threshold(self, convert):
        found = truncate(convert(RUN), 0.4)
        found = found.to_dict() if isinstance(found, Run) else found
        assert found == {"q1": {"a": 0.9, "b": 0.4}, "q2": {}, "q3": {}, "n1": {"c": 0.5}, "n2": {}, "n3": {}, "n4": {}}
        assert sum(map(len, truncate(RUN, -math.inf).values())) == 6

    def test_columns_stay_columns(self):
        run = Run.from_dict({1: {10: 0.5, 11: 0.1}}, name="mine")
        assert truncate(run, 0.2).name == "mine"
        assert truncate(run, 0.2).to_dict() == {1: {10: 0.5}}


class TestConfidence:
    def test_by_hand(self):
        queries = ["q1", "q2", "q3"]
        assert confidence(RUN, queries).tolist() == [0.9, 0.2, -math.inf]
        assert confidence(RUN, queries, "margin").tolist() == [0.5, 0.0, -math.inf]
        assert confidence(RUN, queries, "sd").tolist() == [0.25, 0.0, -math.inf]
        assert confidence(Run.from_dict(RUN), queries, "margin").tolist() == [0.5, 0.0, -math.inf]
        with pytest.raises(InputError, match="did you mean 'max'"):
            confidence(RUN, queries, "maximum")
        with pytest.raises(InputError, match="finite scores for kind='sd'"):
            confidence(RUN, ["n4"], "sd")


class TestRiskCoverage:
    def test_by_hand(self):
        found = risk_coverage([0.9, 0.8, 0.1], [1.0, 0.5, 0.0])
        assert found.coverage == pytest.approx([1 / 3, 2 / 3, 1])
        assert found.risk == pytest.approx([0, 0.25, 0.5])
        assert found.generalized_risk == pytest.approx([0, 0.5 / 3, 0.5])
        assert found.aurc == pytest.approx(0.25)
        assert found.augrc == pytest.approx((0 + 0.5 / 3 + 0.25) / 3)

    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), min_size=2, max_size=30))
    @settings(deadline=None)
    def test_augrc_is_that_of_the_paper(self, pairs):
        """Traub et al. 2024: AUGRC = (1 - AUROC) acc (1 - acc) + (1 - acc)^2 / 2 where answers are right or wrong."""
        metrics = pytest.importorskip("sklearn.metrics")
        sure, right = map(list, zip(*pairs, strict=True))
        accuracy = sum(right) / len(right)
        area = metrics.roc_auc_score(right, sure) if 0 < accuracy < 1 else 0.5
        expected = (1 - area) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
        assert risk_coverage(sure, right).augrc == pytest.approx(expected, abs=1e-12)

    def test_ties_are_the_mean_over_all_orders(self, rng):
        sure, values = np.array([2, 1, 1, 1, 0]), rng.random(5)
        found = risk_coverage(sure, values)
        areas = []
        for _ in range(20_000):
            order = np.lexsort((rng.random(5), -sure))
            areas.append((np.cumsum(1 - values[order]) / np.arange(1, 6)).mean())
        assert found.aurc == pytest.approx(np.mean(areas), abs=4 * np.std(areas) / math.sqrt(len(areas)) + 1e-12)

    def test_values_are_shares(self):
        with pytest.raises(InputError, match="from 0 to 1, got 0 to 3"):
            risk_coverage([1, 2], [0, 3])
        with pytest.raises(InputError, match="n >= 1"):
            risk_coverage([], [])
        with pytest.raises(InputError, match="without NaN"):
            risk_coverage([math.nan], [0.5])


def nauc_of_mteb(sure, values):
    """Return the definition as MTEB computes it, from its published code."""
    rates = np.linspace(0, 1, 11)[:-1]

    def curve(keys):
        order = np.argsort(keys)
        kept = [order[min(round(rate * len(order)), len(order) - 1) :] for rate in rates]
        return np.array([values[k].mean() for k in kept])

    def area(y):
        return float(((y[1:] + y[:-1]) / 2 * np.diff(rates)).sum())

    flat = curve(values)[0] * (rates[-1] - rates[0])
    return (area(curve(sure)) - flat) / (area(curve(values)) - flat)


class TestNauc:
    def test_is_that_of_mteb(self, rng):
        for n in (2, 3, 7, 15, 100, 333):
            sure, values = rng.permutation(n).astype(float), rng.random(n)
            assert nauc(sure, values) == pytest.approx(nauc_of_mteb(sure, values), abs=1e-9)

    def test_ends_of_the_scale(self, rng):
        values = rng.random(50)
        assert nauc(values, values) == pytest.approx(1)
        assert nauc(np.zeros(50), values) == pytest.approx(0, abs=1e-12)
        assert nauc(-values, values) < 0
        assert math.isnan(nauc(values, np.full(50, 0.7)))


def tried(qrels, run, empty, metric, most, ties):
    """Return the best value and the largest threshold that gives it, by trying every score."""
    best = None
    for threshold in sorted({s for q in qrels for s in run[q].values()} | {math.inf}, reverse=True):
        if false_evidence_rate(run, empty, threshold).rate <= most:
            value = evaluate(qrels, truncate(run, threshold), metric, ties=ties)[metric]
            if best is None or value > best[0] + 1e-11:
                best = (value, threshold)
    return best


def case(chance):
    """Return judgments, a run with ties, and declared queries."""
    qrels, run = {}, {}
    for i in range(chance.randint(1, 5)):
        run[f"q{i}"] = {f"d{j}": round(chance.gauss(0, 1), chance.randint(0, 2)) for j in range(chance.randint(0, 7))}
        qrels[f"q{i}"] = {f"d{j}": chance.randint(0, 2) for j in range(chance.randint(1, 7))}
    empty = [f"n{i}" for i in range(chance.randint(1, 5))]
    run |= {q: {f"d{j}": round(chance.gauss(-0.5, 1), 1) for j in range(chance.randint(0, 4))} for q in empty}
    return qrels, run, empty


class TestSelectThreshold:
    @pytest.mark.parametrize("metric", ["ndcg@10", "P@3", "ap", "rr", "f@5", "P", "judged@5", "rbp"])
    def test_is_the_best_of_all_that_can_be_tried(self, metric):
        chance = random.Random(metric)
        for _ in range(60):
            ties = chance.choice(["id_desc", "best", "worst", "input"])
            most = chance.choice([0, 0.2, 0.5, 1])
            qrels, run, empty = case(chance)
            found = select_threshold(qrels, run, empty, metric=metric, max_false_evidence=most, ties=ties)
            value, threshold = tried(qrels, run, empty, metric, most, ties)
            assert found.value == pytest.approx(value, abs=1e-12)
            assert found.threshold == threshold
            assert found.false_evidence == false_evidence_rate(run, empty, threshold)
            assert found.coverage == coverage(run, threshold, qrels)

    def test_averaged_ties(self):
        chance = random.Random(5)
        for _ in range(60):
            qrels, run, empty = case(chance)
            found = select_threshold(qrels, run, empty, metric="ap", max_false_evidence=0.5, ties="average")
            assert (found.value, found.threshold) == pytest.approx(tried(qrels, run, empty, "ap", 0.5, "average"))

    def test_many_queries_in_several_passes(self, monkeypatch):
        from rank_plugins.evaluation import thresholds

        chance = random.Random(6)
        qrels = {f"q{i}": {f"d{j}": chance.randint(0, 2) for j in range(5)} for i in range(40)}
        run = {q: {f"d{j}": chance.gauss(0, 1) for j in range(9)} for q in [*qrels, "n0", "n1", "n2"]}
        whole = select_threshold(qrels, run, ["n0", "n1", "n2"], metric="f@5", max_false_evidence=0.4)
        for steps in (1, 25, 100):
            monkeypatch.setattr(thresholds, "STEPS", steps)
            assert select_threshold(qrels, run, ["n0", "n1", "n2"], metric="f@5", max_false_evidence=0.4) == whole

    def test_upper_bound(self):
        run = {f"n{i}": {"a": i / 100} for i in range(100)} | {"q": {"a": 2.0, "b": 0.95, "c": 0.5}}
        qrels = {"q": {"a": 1, "b": 1, "c": 1}}
        empty = [f"n{i}" for i in range(100)]
        point = select_threshold(qrels, run, empty, metric="recall@5", max_false_evidence=0.06)
        upper = select_threshold(qrels, run, empty, metric="recall@5", max_false_evidence=0.06, bound="upper")
        assert (point.threshold, point.false_evidence.count) == (0.95, 5)
        assert (upper.threshold, upper.false_evidence.count) == (2.0, 0)
        assert upper.false_evidence.upper <= 0.06 < point.false_evidence.upper
        assert (point.value, upper.value, upper.value_without) == (2 / 3, 1 / 3, 1)

    def test_too_few_declared_queries_to_show_the_rate(self):
        with pytest.raises(InputError, match=r"4 queries cannot show .* declare at least 59"):
            select_threshold({"q1": {"a": 1}}, RUN, EMPTY, bound="upper")
        run = {f"n{i}": {"a": 0.5} for i in range(59)} | {"q1": {"a": 1.0}}
        found = select_threshold({"q1": {"a": 1}}, run, [f"n{i}" for i in range(59)], bound="upper")
        assert found.false_evidence.upper <= 0.05

    def test_nothing_may_be_returned(self):
        found = select_threshold({"q2": {"a": 1}}, RUN, EMPTY, max_false_evidence=0)
        assert (found.threshold, found.value, found.coverage) == (math.inf, 0, 0)

    def test_a_declared_querywith_evidence_is_a_contradiction(self):
        with pytest.raises(InputError, match="'n1', of which 'c' is one"):
            select_threshold({"q1": {"a": 1}, "n1": {"c": 1}}, RUN, EMPTY)
        judged = {"q1": {"a": 1}, "n1": {"c": 0}}
        assert select_threshold(judged, RUN, EMPTY).n == 1
        with pytest.raises(InputError, match="at least one query that has evidence"):
            select_threshold({"n1": {"c": 0}}, RUN, EMPTY)

    def test_choices(self):
        with pytest.raises(InputError, match="metric: expected one, got ap, rr"):
            select_threshold({"q1": {"a": 1}}, RUN, EMPTY, metric="ap rr")
        with pytest.raises(InputError, match="bound: expected one of point, upper"):
            select_threshold({"q1": {"a": 1}}, RUN, EMPTY, bound="top")
        with pytest.raises(InputError, match="a share from 0 to 1, got 5"):
            select_threshold({"q1": {"a": 1}}, RUN, EMPTY, max_false_evidence=5)
        with pytest.raises(InputError, match="not there, 'typo' first"):
            select_threshold({"q1": {"a": 1}}, RUN, ["typo"])

    @given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
    @settings(max_examples=40, deadline=None)
    def test_a_stricter_limit_is_never_better(self, seed, one, other):
        qrels, run, empty = case(random.Random(seed))
        strict, loose = (
            select_threshold(qrels, run, empty, metric="f@5", max_false_evidence=most) for most in sorted((one, other))
        )
        assert strict.value <= loose.value + 1e-12
        assert strict.false_evidence.rate <= min(one, other)
