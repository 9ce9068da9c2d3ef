"""RankPluginsMetric in the host's evaluation: our values, beside the host's, under names of their own."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")

from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.evaluation.retrieval.metrics import METRIC_REGISTRY, resolve_metrics
from llama_index.core.evaluation.retrieval.metrics_base import BaseRetrievalMetric

from llama_index.retrievers.rank_plugins import RankPluginsMetric, register
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate

SAME_AS_HOST = {"rank-rr": "mrr", "rank-ap": "ap", "rank-ndcg": "ndcg", "rank-success@100": "hit_rate"}


def test_class() -> None:
    """The convention of the host's repository."""
    assert BaseRetrievalMetric.__name__ in [base.__name__ for base in RankPluginsMetric.__mro__]


def test_in_the_hosts_evaluator(listed: Callable[..., Any]) -> None:
    """By name and as objects, several of them side by side with the host's own."""
    retriever = listed(*((name, 1 - i / 10) for i, name in enumerate("abcde")))
    names = ["mrr", "ndcg", "rank-ndcg", "rank-ndcg@10", "rank-rr@1", "rank-p@3", "rank-r@3", "rank-success@1"]
    made = RetrieverEvaluator.from_metric_names(names, retriever=retriever)
    made.metrics.append(RankPluginsMetric("rbp(p=0.5)"))
    values = made.evaluate("q", ["b", "d", "z"]).metric_vals_dict
    assert list(values) == [*names, "rank-rbp(p=0.5)"]
    assert values["rank-p@3"] == pytest.approx(1 / 3)
    assert values["rank-r@3"] == pytest.approx(1 / 3)
    assert values["rank-rr@1"] == values["rank-success@1"] == 0.0
    assert values["rank-rbp(p=0.5)"] == pytest.approx(0.5 * (0.5 + 0.125))
    assert values["rank-ndcg"] == pytest.approx(values["ndcg"])
    assert all(type(value) is float for value in values.values())


def test_over_a_dataset(listed: Callable[..., Any]) -> None:
    """The host's own loop over queries gives one result for each."""
    made = RetrieverEvaluator(retriever=listed(("a", 0.9), ("b", 0.8)), metrics=[RankPluginsMetric("rr")])
    results = [asyncio.run(made.aevaluate(query, [name])) for query, name in (("1", "a"), ("2", "b"), ("3", "c"))]
    assert [result.metric_vals_dict["rank-rr"] for result in results] == [1.0, 0.5, 0.0]


@given(
    retrieved=st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8),
    expected=st.lists(st.sampled_from("abcdefghij"), unique=True, min_size=1, max_size=6),
    name=st.sampled_from(["ndcg@5", "ap", "rr@3", "p@10", "r@2", "rprec", "bpref", "rbp(p=0.8)", "setf", "infap"]),
)
def test_values_are_those_of_evaluate(retrieved: list[str], expected: list[str], name: str) -> None:
    """The same numbers as for a run and judgments of that query."""
    run = {"q": {one: 100.0 - place for place, one in enumerate(retrieved)}}
    value = RankPluginsMetric(name).compute("q", expected, retrieved).score
    assert value == evaluate({"q": dict.fromkeys(expected, 1)}, run, name)[name]


@given(
    retrieved=st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=8),
    expected=st.lists(st.sampled_from("abcdefghij"), unique=True, min_size=1, max_size=6),
)
def test_values_are_the_hosts_where_it_has_the_metric(retrieved: list[str], expected: list[str]) -> None:
    """On whole lists, that is; nDCG too, as far as the list is as long as the ideal one."""
    for ours, theirs in SAME_AS_HOST.items():
        value = METRIC_REGISTRY[theirs]().compute("q", expected, retrieved).score
        assert METRIC_REGISTRY[ours]().compute("q", expected, retrieved).score == pytest.approx(value)


def test_an_id_retrieved_twice_counts_where_it_stood_first() -> None:
    metric = RankPluginsMetric("p@2")
    assert metric.compute(expected_ids=["a"], retrieved_ids=["a", "a", "b"]).score == 0.5
    assert metric.compute(expected_ids=["a", "a"], retrieved_ids=["b", "a"]).score == 0.5


def test_nothing_retrieved_is_worth_nothing() -> None:
    """A retriever that finds nothing is a bad retriever; the host's own metrics raise an error."""
    assert RankPluginsMetric("ndcg@10").compute("q", ["a"], []).score == 0.0
    for arguments in (("q", [], ["a"]), ("q", None, ["a"]), ("q", ["a"], None)):
        with pytest.raises(InputError, match="expected_ids, retrieved_ids"):
            RankPluginsMetric("ndcg@10").compute(*arguments)


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("ndgc@10", InputError, "did you mean"),
        ("ndcg@0", InputError, "cutoff"),
        ("ndcg@5 ap", InputError, "name: expected one metric, got 2"),
        ("", InputError, "expected at least one"),
        (10, InputTypeError, "name: expected a str, got int"),
    ],
)
def test_bad_names(name: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        RankPluginsMetric(name)


def test_the_hosts_names_keep_their_meaning() -> None:
    """Importing adds names; none of those that were there before means something else."""
    code = """
from llama_index.core.evaluation.retrieval.metrics import METRIC_REGISTRY
before = dict(METRIC_REGISTRY)
METRIC_REGISTRY["rank-ap"] = taken = before["ap"]
from llama_index.retrievers.rank_plugins import register
assert {name: METRIC_REGISTRY[name] for name in before} == before
assert METRIC_REGISTRY["rank-ap"] is taken and "rank-ap" not in register()
assert all(name.startswith("rank-") for name in set(METRIC_REGISTRY) - set(before))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_registered_classes() -> None:
    """Each is a class that is made without arguments, has its name as a class too, and can be pickled."""
    kinds: list[Any] = resolve_metrics(register())
    assert len(kinds) == len(set(kinds)) == 41
    for name, kind in zip(register(), kinds, strict=True):
        metric = kind()
        assert kind.metric_name == metric.metric_name == name
        back = pickle.loads(pickle.dumps(metric))  # noqa: S301 - our own bytes
        assert back.metric_name == name
    assert resolve_metrics(register()) == kinds  # registering twice changes nothing
