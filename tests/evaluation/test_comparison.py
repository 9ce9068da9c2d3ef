"""compare: differences of runs, their p-values against the tests alone, and the round trip through JSON."""

import json
import math

import numpy as np
import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import compare, evaluate, statistics
from rank_plugins.evaluation.comparison import Comparison, Difference
from rank_plugins.evaluation.corrections import correct
from rank_plugins.runs import Run

METRICS = "ndcg@10 ap"


def collection(queries=30, runs=3, seed=1):
    """Return judgments and runs, each noisier than the one before."""
    rng = np.random.default_rng(seed)
    qrels = {f"q{i}": {f"d{j}": int(rng.integers(0, 3)) for j in range(12)} for i in range(queries)}
    found = {
        f"run{k}": {q: {d: g + (1 + k / 2) * rng.normal() for d, g in row.items()} for q, row in qrels.items()}
        for k in range(runs)
    }
    return qrels, found


@pytest.fixture(scope="module")
def data():
    return collection()


@pytest.fixture(scope="module")
def comparison(data):
    return compare(*data, METRICS, resamples=5000)


def test_differences_are_those_of_evaluate(data, comparison):
    qrels, runs = data
    assert comparison.runs == ["run0", "run1", "run2"]
    assert [(d.metric, d.a, d.b) for d in comparison.differences] == [
        (metric, a, b)
        for metric in ("ndcg@10", "ap")
        for a, b in (("run0", "run1"), ("run0", "run2"), ("run1", "run2"))
    ]
    for d in comparison.differences:
        a, b = (evaluate(qrels, runs[name], d.metric) for name in (d.a, d.b))
        assert d.mean == pytest.approx(b[d.metric] - a[d.metric], abs=1e-14)
        each = [b.per_query[d.metric][q] - a.per_query[d.metric][q] for q in qrels]
        assert d.wins == sum(x > 1e-12 for x in each)
        assert d.wins + d.ties + d.losses == d.n == 30
        assert d.effect_size == pytest.approx(np.mean(each) / np.std(each, ddof=1))
        assert comparison.evaluations[d.b][d.metric] == b[d.metric]


def test_p_and_intervals_are_those_of_the_pair_alone(data, comparison):
    for d in comparison.differences:
        a, b = (comparison.evaluations[name].values[comparison.metrics.index(d.metric)] for name in (d.a, d.b))
        assert d.p == statistics.randomization_test(a, b, resamples=5000).p
        assert (d.low, d.high) == pytest.approx(statistics.bootstrap_interval(b - a), abs=1e-12)
        assert d.p <= d.p_corrected <= 1
        assert d.low < d.mean < d.high


@pytest.mark.parametrize("method", ["holm", "bh", "bonferroni", "none"])
def test_corrections_are_over_all_pairs_and_metrics(data, method):
    found = compare(*data, METRICS, correction=method, resamples=2000).differences
    assert [d.p_corrected for d in found] == correct([d.p for d in found], method).tolist()


def test_t_is_that_of_scipy(data):
    stats = pytest.importorskip("scipy.stats")
    found = compare(*data, METRICS, test="t", correction="holm")
    assert found.resamples == 0
    for d in found.differences:
        a, b = (found.evaluations[name].values[found.metrics.index(d.metric)] for name in (d.a, d.b))
        expected = stats.ttest_rel(b, a)
        assert d.p == pytest.approx(expected.pvalue, rel=1e-10)
        assert (d.low, d.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-10)


def test_max_t_of_the_t_test_comes_from_random_signs(data):
    by_t = compare(*data, METRICS, test="t", resamples=5000)
    by_signs = compare(*data, METRICS, resamples=5000)
    for one, other in zip(by_t.differences, by_signs.differences, strict=True):
        assert one.p_corrected == max(one.p, other.p_corrected)


def test_bootstrap(data):
    found = compare(*data, "ap", test="bootstrap", resamples=3000)
    d = found.differences[0]
    a, b = (found.evaluations[name].values[0] for name in (d.a, d.b))
    assert d.p == statistics.bootstrap_test(a, b, resamples=3000).p
    assert all(d.p <= d.p_corrected for d in found.differences)


def test_baseline_is_compared_with_every_other_run(data):
    found = compare(*data, "ap", baseline="run1", resamples=500)
    assert [(d.a, d.b) for d in found.differences] == [("run1", "run0"), ("run1", "run2")]
    with pytest.raises(InputError, match="did you mean 'run1'"):
        compare(*data, "ap", baseline="run 1")


def test_same_seed_same_bytes_for_any_number_of_threads(data):
    one, two, three = (
        compare(*data, METRICS, resamples=20_000, seed=seed, threads=threads).to_dict()
        for seed, threads in ((3, 1), (3, 2), (4, 2))
    )
    assert json.dumps(one) == json.dumps(two)
    assert one["differences"] != three["differences"]


def test_pitfall_1_the_order_of_queries_in_a_run_does_not_matter(data):
    """Ranx pairs queries by their place in the dict: the same data in another order gives another result there."""
    qrels, runs = data
    turned = {name: {q: run[q] for q in reversed(run)} for name, run in runs.items()}
    one, other = (compare(qrels, r, METRICS, resamples=500).differences for r in (runs, turned))
    assert one == other


def test_a_run_against_itself_is_no_difference(data):
    qrels, runs = data
    (d,) = compare(qrels, {"a": runs["run0"], "b": dict(runs["run0"])}, "ap").differences
    assert (d.mean, d.effect_size, d.p, d.p_corrected) == (0, 0, 1, 1)
    assert (d.wins, d.ties, d.losses) == (0, 30, 0)
    assert (d.low, d.high) == (0, 0)


def test_pitfall_16_more_runs_than_letters():
    qrels, runs = collection(queries=5, runs=30)
    found = compare(qrels, runs, "ap", resamples=100, correction="holm")
    assert len(found.differences) == 30 * 29 // 2
    assert "run29" in str(found)


def test_lists_of_runs_are_named(data):
    qrels, runs = data
    columns = Run.from_dict(runs["run1"], name="dense")
    assert compare(qrels, [runs["run0"], columns], "ap", resamples=10).runs == ["run 1", "dense"]
    with pytest.raises(InputError, match="'dense' twice"):
        compare(qrels, [columns, columns], "ap")


def test_pitfall_4_queries_missing_in_a_run_follow_evaluate(data):
    qrels, runs = data
    partial = {q: row for q, row in runs["run1"].items() if q not in ("q0", "q1")}
    both = {"a": runs["run0"], "b": partial}
    counted = compare(qrels, both, "ap", resamples=100)
    assert counted.differences[0].n == 30
    assert counted.evaluations["b"].per_query["ap"]["q0"] == 0
    skipped = compare(qrels, both, "ap", resamples=100, missing="skip")
    assert skipped.differences[0].n == 28
    assert any("2 of 30 queries have no value" in note for note in skipped.notes)
    with pytest.raises(InputError, match="'q0'"):
        compare(qrels, both, "ap", missing="error")


def test_queries_left_out_for_lack_of_relevant_documents(data):
    qrels, runs = data
    changed = qrels | {"q3": dict.fromkeys(qrels["q3"], 0)}
    found = compare(changed, runs, "ap", resamples=100, no_relevant="skip")
    assert {d.n for d in found.differences} == {29}


def test_clusters(data):
    qrels, runs = data
    clusters = {q: i // 3 for i, q in enumerate(qrels)}
    found = compare(qrels, runs, "ap", clusters=clusters, resamples=2000)
    assert found.resamples == 2**10
    values = [found.evaluations[name].values[0] for name in ("run0", "run1")]
    expected = statistics.randomization_test(*values, resamples=2000, clusters=list(clusters.values()))
    assert found.differences[0].p == expected.p
    listed = compare(qrels, runs, "ap", clusters=list(clusters.values()), resamples=2000)
    assert listed.differences == found.differences
    with pytest.raises(InputError, match="1 of 30 have none, 'q7' first"):
        compare(qrels, runs, "ap", clusters={q: c for q, c in clusters.items() if q != "q7"})
    with pytest.raises(InputError, match="pass {query: cluster}"):
        compare(qrels, runs, "ap", clusters=[1, 2])
    with pytest.raises(InputError, match="the t-test has none"):
        compare(qrels, runs, "ap", clusters=clusters, test="t")


class TestNotes:
    def test_pitfall_17_no_correction_is_said(self, data):
        (note,) = [n for n in compare(*data, METRICS, correction="none", resamples=10).notes if "No correction" in n]
        assert "of 6 differences, 5% are expected below 0.05" in note
        assert not any("No correction" in n for n in compare(*data, METRICS, resamples=10).notes)

    def test_pitfall_17_many_queries_are_said(self):
        qrels, runs = collection(queries=1000, runs=2)
        assert any("effect sizes and intervals first" in n for n in compare(qrels, runs, "ap", resamples=10).notes)

    def test_too_few_queries_are_said(self):
        qrels, runs = collection(queries=4, runs=2)
        assert any("no p can be below 0.125" in n for n in compare(qrels, runs, "ap").notes)

    def test_one_query(self):
        qrels, runs = collection(queries=1, runs=2)
        (d,) = compare(qrels, runs, "ap").differences
        assert d.p == 1
        assert math.isnan(d.low)
        assert math.isnan(d.sd)


class TestFiles:
    def test_round_trip_is_exact(self, comparison, tmp_path):
        path = tmp_path / "comparison.json"
        comparison.save(path)
        again = Comparison.load(path)
        assert again.differences == comparison.differences
        assert again.to_dict() == comparison.to_dict()
        assert json.loads(path.read_text(encoding="utf-8")) == comparison.to_dict()

    def test_values_that_json_has_not(self, comparison):
        d = comparison.differences[0]
        odd = Difference(**d.__dict__ | {"sd": math.nan, "effect_size": -math.inf, "low": math.inf})
        saved = Comparison(**comparison.__dict__ | {"differences": [odd]}).to_dict()
        json.dumps(saved["differences"], allow_nan=False)
        (again,) = Comparison.from_dict(saved).differences
        assert math.isnan(again.sd)
        assert (again.effect_size, again.low) == (-math.inf, math.inf)

    def test_other_files_are_refused(self, tmp_path):
        for text in ("no json", "{}", "[]", '{"metrics": 1}'):
            (tmp_path / "x.json").write_text(text, encoding="utf-8")
            with pytest.raises(InputError, match="expected"):
                Comparison.load(tmp_path / "x.json")

    @pytest.mark.parametrize("show", [str, Comparison.to_markdown, Comparison.to_latex, Comparison.to_html])
    def test_every_format_names_the_runs(self, comparison, show):
        assert all(run in show(comparison) for run in comparison.runs)


class TestInput:
    def test_unknown_choices(self, data):
        with pytest.raises(InputError, match="did you mean 'randomization'"):
            compare(*data, test="randomisation")
        with pytest.raises(InputError, match="did you mean 'maxt'"):
            compare(*data, correction="max-t")
        with pytest.raises(InputError, match="alpha: expected a number between 0 and 1"):
            compare(*data, alpha=5)

    def test_runs(self, data):
        qrels, runs = data
        with pytest.raises(InputError, match="at least two to compare, got 1"):
            compare(qrels, {"a": runs["run0"]})
        with pytest.raises(InputTypeError, match="got int"):
            compare(qrels, 3)
        with pytest.raises(InputTypeError, match="names that are str, got int"):
            compare(qrels, {1: runs["run0"], 2: runs["run1"]})

    def test_runs_are_not_changed(self, data):
        qrels, runs = collection()
        compare(qrels, runs, METRICS, resamples=10)
        assert (qrels, runs) == data


def test_iterators_of_judgments_and_metrics_serve_every_run():
    rows = [("q1", "a", 1), ("q1", "b", 0), ("q2", "a", 1)]
    runs = {"x": {"q1": {"a": 1.0, "b": 2.0}, "q2": {"a": 1.0}}, "y": {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 1.0}}}
    found = compare(iter(rows), runs, iter(["ap", "rr"]), resamples=100)
    assert found.metrics == ["ap", "rr"]
    assert found.evaluations["x"].mean == {"ap": 0.75, "rr": 0.75}
    assert found.evaluations["y"].mean == {"ap": 1.0, "rr": 1.0}
