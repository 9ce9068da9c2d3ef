"""Metrics of rank_plugins.evaluation for LlamaIndex's retriever evaluation."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from llama_index.core.evaluation.retrieval.metrics import METRIC_REGISTRY
from llama_index.core.evaluation.retrieval.metrics_base import BaseRetrievalMetric, RetrievalMetricResult

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.names import parse

PREFIX = "rank-"
CUT_OFFS = (1, 3, 5, 10, 20, 100)
COMMON = (
    *(f"{name}@{cut_off}" for name in ("ndcg", "ap", "rr", "p", "r", "success") for cut_off in CUT_OFFS),
    *("ndcg", "ap", "rr", "rprec", "bpref"),
)
"""The metrics that are registered under names; `RankPluginsMetric` takes any other."""

_lock = threading.Lock()


class RankPluginsMetric(BaseRetrievalMetric):  # type: ignore[misc, unused-ignore]  # typed if installed
    """A metric of rank_plugins, such as RankPluginsMetric("ndcg@10"), called "rank-ndcg@10" in results.

    The expected ids are the relevant documents, all alike; the retrieved ids are the ranking, best first.
    """

    name: str

    def __init__(self, name: str) -> None:
        """Choose the metric.

        Args:
            name: one metric, as `rank_plugins.evaluation.evaluate` takes it: "ndcg@10", "rbp(p=0.9)", ...

        Raises:
            InputError: an unknown metric, a parameter that cannot be used, or several metrics.
            InputTypeError: not a str.

        """
        if not isinstance(name, str):
            raise InputTypeError(f"name: expected a str, got {type(name).__name__}")
        if len(metrics := parse(name)) != 1:
            raise InputError(f"name: expected one metric, got {len(metrics)} in {name!r}; make one object for each")
        fields: dict[str, Any] = {"name": metrics[0].name}
        super().__init__(**fields)

    @property
    def metric_name(self) -> str:  # type: ignore[override, unused-ignore]  # the host's is one per class, and this class has many
        """What the value is called in results."""
        return PREFIX + self.name

    def compute(
        self,
        query: str | None = None,  # noqa: ARG002 - the host's signature
        expected_ids: list[str] | None = None,
        retrieved_ids: list[str] | None = None,
        expected_texts: list[str] | None = None,  # noqa: ARG002 - the host's signature
        retrieved_texts: list[str] | None = None,  # noqa: ARG002 - the host's signature
        **kwargs: Any,  # noqa: ARG002 - the host's signature
    ) -> RetrievalMetricResult:
        """Return the metric of one query. An id that was retrieved twice counts where it stood first.

        Args:
            query: not used.
            expected_ids: the relevant documents.
            retrieved_ids: the ranking, best first; an empty one is worth what the metric gives it, mostly 0.
            expected_texts: not used.
            retrieved_texts: not used.
            kwargs: not used.

        Raises:
            InputError: no expected ids, or no list of retrieved ids.

        """
        if not expected_ids or retrieved_ids is None:
            raise InputError(
                "expected_ids, retrieved_ids: expected at least one id that is relevant and a list of those retrieved,"
                f" got {expected_ids!r} and {retrieved_ids!r}"
            )
        qrels = {"query": dict.fromkeys(expected_ids, 1)}
        run = {"query": {name: -float(place) for place, name in enumerate(dict.fromkeys(retrieved_ids))}}
        values = evaluate(qrels, run, self.name).per_query[self.name]
        return RetrievalMetricResult(score=values["query"])


def register() -> list[str]:
    """Make `RetrieverEvaluator.from_metric_names` know the common metrics; return their names.

    They are "rank-" and the name: "rank-ndcg@10". Importing this package does it. A name that LlamaIndex or another
    package has registered keeps its meaning, and is not in the list returned.
    """
    with _lock:
        for name in COMMON:
            if PREFIX + name not in METRIC_REGISTRY:
                METRIC_REGISTRY[PREFIX + name] = _named(name)
        return [name for name in map(PREFIX.__add__, COMMON) if _is_ours(METRIC_REGISTRY[name])]


def _is_ours(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, RankPluginsMetric)


def _named(metric: str) -> type[RankPluginsMetric]:
    """Return a class of one metric, which the host makes without arguments."""

    class Named(RankPluginsMetric):
        metric_name: ClassVar[str] = PREFIX + metric

        def __init__(self) -> None:
            super().__init__(metric)

        def __reduce__(self) -> tuple[type[RankPluginsMetric], tuple[str]]:  # pickle finds no class made here
            return RankPluginsMetric, (metric,)

    Named.__name__ = Named.__qualname__ = f"{RankPluginsMetric.__name__}({metric!r})"
    return Named
