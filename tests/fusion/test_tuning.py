"""tune: every trial is what evaluate says of fuse; the grid is exact; the choice is cross-validated."""

from __future__ import annotations

import itertools
import math
import random
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import _columns
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.abstention import false_evidence_rate, truncate
from rank_plugins.fusion import Tuning, fuse, tune
from rank_plugins.fusion.bench import lowest_threshold
from rank_plugins.fusion.counting import Counter
from rank_plugins.fusion.trials import simplex
from rank_plugins.fusion.tuned import largest_of_normals
from rank_plugins.fusion.tuning import assign_folds
from rank_plugins.runs import Run


def collection(queries=12, runs=3, seed=0):
    """Return judgments and runs with ties, lists of other lengths, and queries that a run lacks."""
    rng = random.Random(seed)
    names = [f"d{i}" for i in range(25)]
    qrels = {f"q{q}": {name: rng.choice([0, 0, 1, 2, -1]) for name in rng.sample(names, 12)} for q in range(queries)}
    made = []
    for _ in range(runs):
        run = {}
        for query, judged in qrels.items():
            if rng.random() < 0.9:
                listed = rng.sample(names, rng.randint(1, 20))
                run[query] = {name: rng.randint(0, 6) / 2 + judged.get(name, 0) for name in listed}
        made.append(run)
    return qrels, made


def fused(trial, runs):
    one = trial.configuration
    return fuse(runs, one.method, weights=one.weights, norm=one.norm, **one.parameters)


@pytest.mark.parametrize(("count", "points"), [(2, 11), (3, 66), (4, 286), (5, 1001)])
def test_the_simplex_is_exact(count, points):
    """In whole numbers, so that none is lost: ranx drops 4 of 66, 30 of 286, 141 of 1001."""
    found = list(simplex(count, 10))
    assert len(found) == len(set(found)) == points
    assert all(sum(point) == 10 and min(point) >= 0 for point in found)


METHODS = ["rrf", "sum", "dbsf", "mnz", "max", "isr", "borda", "condorcet", "gmean", "wmnz", "rbc", "qdrant-rrf",
           "opensearch-arithmetic", "haystack-rrf"]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", ["ndcg@5", "bpref", "set_F"])
def test_a_trial_is_what_evaluate_says_of_fuse(method, metric):
    """Bit for bit: the cached table, the counted ranks and the lists of weight 0 change nothing."""
    qrels, runs = collection()
    tuning = tune(qrels, runs, method, metric=metric, step=0.25, folds=3)
    for trial in tuning.trials:
        assert trial.value == evaluate(qrels, fused(trial, runs), metric)[metric], trial


@pytest.mark.parametrize("options", [{"norms": "minmax zmuv rank borda l2"}, {"missing": "min"}, {"missing": 0.3}])
def test_norms_and_policies_are_tried(options):
    """Each norm is a trial of its own, and the policy for missing documents reaches fuse."""
    qrels, runs = collection(seed=2)
    tuning = tune(qrels, runs, "sum", step=0.5, folds=2, metric="ap", **options)
    assert len(tuning.trials) == 6 * (5 if "norms" in options else 1)
    for trial in tuning.trials:
        one = trial.configuration
        run = fuse(runs, one.method, weights=one.weights, norm=one.norm, missing=options.get("missing"))
        assert trial.value == evaluate(qrels, run, "ap")["ap"]
    assert evaluate(qrels, tuning.fuse(runs), "ap")["ap"] == tuning.value


def test_rrf_tries_k():
    """20, 60 and 100, or what is asked for."""
    qrels, runs = collection()
    tuning = tune(qrels, runs, "rrf", step=0.5, folds=2)
    assert [trial.configuration.parameters["k"] for trial in tuning.trials] == [20] * 6 + [60] * 6 + [100] * 6
    assert {t.configuration.parameters["k"] for t in tune(qrels, runs, "rrf", k=[1], step=1, folds=2).trials} == {1}


def test_distances_and_columns():
    """Runs of any kind and direction; the result fuses them alike."""
    qrels, runs = collection()
    negated = Run.from_dict({query: {d: -s for d, s in row.items()} for query, row in runs[1].items()})
    expected = tune(qrels, runs[:2], "sum", folds=2)
    tuning = tune(qrels, [runs[0], negated], "sum", folds=2, higher_is_better=[True, False])
    assert [trial.value for trial in tuning.trials] == [trial.value for trial in expected.trials]
    assert tuning.fuse([runs[0], negated]) == expected.fuse(runs[:2])


def test_random_search_is_seeded():
    """The same seed draws the same; weights add up to 1."""
    qrels, runs = collection()
    options = {"search": "random", "trials": 30, "folds": 3}
    one, two = (tune(qrels, runs, "rrf sum", seed=7, **options) for _ in range(2))
    assert one == two
    assert one.trials != tune(qrels, runs, "rrf sum", seed=8, **options).trials
    assert len(one.trials) == 30
    assert {trial.configuration.method for trial in one.trials} == {"rrf", "sum"}
    assert all(sum(trial.configuration.weights) == pytest.approx(1) for trial in one.trials)


def test_the_best_trial_is_the_first_of_equals():
    """`best` is what `fuse` applies."""
    qrels, runs = collection()
    tuning = tune(qrels, runs, "sum dbsf", folds=3)
    values = [trial.value for trial in tuning.trials]
    assert tuning.value == max(values)
    assert tuning.index == values.index(max(values))
    assert tuning.fuse(runs, top=3) == fuse(runs, tuning.best.method, weights=tuning.best.weights, top=3)
    single = [list(run["q0"].items()) for run in runs if "q0" in run]
    if len(single) == 3:
        assert tuning.fuse(single) == fuse(single, tuning.best.method, weights=tuning.best.weights)


def test_held_out_is_nested_cross_validation():
    """For each fold the choice is made outside and measured inside; the optimism is the difference."""
    qrels, runs = collection(queries=14)
    tuning = tune(qrels, runs, "sum", metric="ap", step=0.25, folds=4, seed=3)
    queries = list(qrels)
    folds = assign_folds(queries, 4, None, 3)
    values = np.array([
        list(evaluate(qrels, fused(trial, runs), "ap").per_query["ap"].values()) for trial in tuning.trials
    ])  # fmt: skip
    total = 0.0
    for fold in range(4):
        pick = int(values[:, folds != fold].mean(axis=1).argmax())
        total += values[pick, folds == fold].sum()
        assert tuning.held_out.configurations[fold] == tuning.trials[pick].configuration
    assert tuning.held_out.value == pytest.approx(total / len(queries), rel=1e-12)
    assert tuning.optimism == pytest.approx(tuning.value - total / len(queries))
    pairs = [np.var(a - b, ddof=1) for a, b in itertools.combinations(values, 2)]
    assert tuning.deviation == pytest.approx(math.sqrt(np.mean(pairs)), rel=1e-9)
    bound = tuning.deviation / math.sqrt(14) * largest_of_normals(len(tuning.trials))
    assert tuning.optimism_bound == bound


def test_folds_are_seeded_balanced_and_keep_groups():
    """Queries of a group stay together."""
    queries = [f"q{i}" for i in range(20)]
    folds = assign_folds(queries, 5, None, 0)
    assert np.bincount(folds).tolist() == [4] * 5
    assert (folds == assign_folds(queries, 5, None, 0)).all()
    assert (folds != assign_folds(queries, 5, None, 1)).any()
    groups = {query: i // 3 for i, query in enumerate(queries)}
    grouped = assign_folds(queries, 3, groups, 0)
    for group in set(groups.values()):
        assert len({fold for query, fold in zip(queries, grouped, strict=True) if groups[query] == group}) == 1


@pytest.mark.parametrize(("count", "expected"), [(1, 0.0), (2, 0.56419), (10, 1.53875), (1000, 3.24144)])
def test_expected_largest_of_normals(count, expected):
    """Tabulated values (Harter 1961)."""
    assert largest_of_normals(count) == pytest.approx(expected, abs=2e-5)


def test_the_rule_of_thumb():
    """A standard deviation of 0.1, 200 queries and 1,000 trials allow for 0.023."""
    assert 0.1 / math.sqrt(200) * largest_of_normals(1000) == pytest.approx(0.023, abs=5e-4)


SPARSE = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, math.nan, math.inf]), max_size=9), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(queries=SPARSE, seed=st.integers(0, 9))
def test_counted_ranks_are_those_of_sorting(queries, seed):
    """By score, then by place; NaN is not there."""
    rng = random.Random(seed)
    unions = np.cumsum([0, *map(len, queries)])
    codes = np.array(sorted(rng.sample(range(unions[-1]), unions[-1] // 2)), np.int64)
    scores = np.array([score for row in queries for score in row], np.float64)
    expected = np.zeros(len(scores), np.int64)
    for start, row in zip(unions.tolist(), queries, strict=False):
        there = [i for i, score in enumerate(row) if not math.isnan(score)]
        for place, i in enumerate(sorted(there, key=lambda i: (-row[i], i)), start=1):
            expected[start + i] = place
    for native in {_columns.NATIVE, False}:
        with mock.patch.object(_columns, "NATIVE", native):
            assert Counter(unions, codes).ranks(scores).tolist() == expected[codes].tolist()


@pytest.mark.parametrize(
    ("best", "most", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.0, np.nextafter(3.0, np.inf)),
        ([3.0, 1.0, 2.0], 0.34, np.nextafter(2.0, np.inf)),
        ([3.0, 3.0, 2.0], 1 / 3, np.nextafter(3.0, np.inf)),
        ([3.0, 1.0, 2.0], 1.0, -math.inf),
        ([-math.inf, -math.inf], 0.0, -math.inf),
    ],
)
def test_lowest_threshold(best, most, expected):
    """As low as the constraint allows; equal scores are over it or under it together."""
    assert lowest_threshold(np.array(best), most) == expected
    assert (np.array(best) >= expected).mean() <= most or expected == -math.inf


def test_the_constraint_holds():
    """Lists are cut at the trial's threshold; the false-evidence rate of the result is within the constraint."""
    qrels, runs = collection(queries=30, seed=4)
    empty = [f"q{i}" for i in range(20, 30)]
    evidence = {query: row for query, row in qrels.items() if query not in empty}
    for query in empty:
        qrels[query] = dict.fromkeys(qrels[query], 0)
    options = {"subject_to": "false_evidence <= 0.2", "no_evidence": empty, "metric": "ap", "folds": 4}
    tuning = tune(qrels, runs, "sum", step=0.25, **options)
    for trial in tuning.trials:
        run = fused(trial, runs)
        assert false_evidence_rate(run, empty, trial.threshold, absent="empty").rate <= 0.2
        below = np.nextafter(trial.threshold, -math.inf)
        assert false_evidence_rate(run, empty, below, absent="empty").rate > 0.2
        assert trial.value == pytest.approx(evaluate(evidence, truncate(run, trial.threshold), "ap")["ap"], rel=1e-12)
    cut = tuning.fuse(runs)
    assert sum(bool(cut.get(query)) for query in empty) <= 2
    assert cut == truncate(fused(tuning.trials[tuning.index], runs), tuning.threshold)
    single = tuning.fuse([list(run.get("q25", {}).items()) for run in runs])
    assert dict(single) == cut.get("q25", {})
    assert tuning.held_out.no_evidence == 10
    assert 0 <= tuning.held_out.false_evidence <= 10
    free = tune(evidence, runs, "sum", step=0.25, metric="ap", folds=4)
    assert tuning.value <= free.value
    loose = tune(qrels, runs, "sum", step=0.25, **options | {"subject_to": "false_evidence<=1"})
    assert [trial.value for trial in loose.trials] == [trial.value for trial in free.trials]
    assert loose.held_out.value == pytest.approx(free.held_out.value)


def test_saved_and_loaded(tmp_path):
    """A Tuning survives JSON, thresholds that cut nothing included, and fuses the same."""
    qrels, runs = collection()
    for options in ({}, {"subject_to": "false_evidence<=1", "no_evidence": ["q0", "q1"]}):
        tuning = tune({q: row for q, row in qrels.items() if q not in ("q0", "q1")}, runs, "rrf sum", folds=3, step=0.5,
                      **options)  # fmt: skip
        tuning.save(tmp_path / "tuning.json")
        loaded = Tuning.load(tmp_path / "tuning.json")
        assert loaded == tuning
        assert loaded.fuse(runs) == tuning.fuse(runs)
        assert str(loaded) == str(tuning)
    assert "optimism: " in str(tuning)
    assert "luck alone" in str(tuning)
    assert "false evidence" in str(tuning)
    (tmp_path / "other.json").write_text("{}")
    for text in ("{}", "[", '{"settings": 1}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(InputError, match="expected"):
            Tuning.load(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"methods": "rff"}, InputError, "did you mean .*'rrf'"),
        ({"methods": "mapfuse"}, InputError, "must be trained"),
        ({"methods": ""}, InputError, "at least one name"),
        ({"methods": "gmnz"}, InputTypeError, "needs gamma"),
        ({"methods": "llamaindex-rrf"}, InputError, "ignores weights"),
        ({"methods": 7}, InputTypeError, "expected names"),
        ({"norms": "minmx"}, InputError, "did you mean"),
        ({"metric": "ndcg@10 ap"}, InputError, "one metric"),
        ({"metric": "num_rel"}, InputError, "averaged"),
        ({"search": "optuna"}, InputError, "grid"),
        ({"step": 0.3}, InputError, "divides 1"),
        ({"step": 0.005, "methods": "rrf sum dbsf"}, InputError, 'search="random"'),
        ({"search": "random", "trials": 0}, InputError, "trials"),
        ({"folds": 1}, InputError, "folds"),
        ({"folds": 13}, InputError, "12 queries"),
        ({"groups": {}}, InputError, "none for 'q0'"),
        ({"groups": dict.fromkeys([f"q{i}" for i in range(12)], 0)}, InputError, "1 groups"),
        ({"subject_to": "fer<0.1", "no_evidence": ["q0"]}, InputError, "false_evidence<=SHARE"),
        ({"subject_to": "false_evidence<=0.1"}, InputError, "never inferred"),
        ({"no_evidence": ["q0"]}, InputError, "subject_to"),
        ({"subject_to": "false_evidence<=0.1", "no_evidence": ["q1", "q0"]}, InputError, "relevant"),
    ],
)
def test_wrong_arguments_are_refused(options, error, text):
    """Each says what was expected."""
    qrels, runs = collection()
    with pytest.raises(error, match=text):
        tune(qrels, runs, **{"methods": "sum", **options})


def test_wrong_runs_are_refused():
    """One run has nothing to tune; query ids that do not meet are said so."""
    qrels, runs = collection()
    with pytest.raises(InputTypeError, match="at least two"):
        tune(qrels, runs[:1])
    with pytest.raises(InputError, match="do the query ids match"):
        tune({"other": {"d": 1}}, runs)
    with pytest.raises(InputError, match="at least one query"):
        tune({}, runs)
