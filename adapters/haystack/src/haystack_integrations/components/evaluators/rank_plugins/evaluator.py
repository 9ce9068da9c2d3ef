"""RankPluginsEvaluator: a metric of rank_plugins as a Haystack component. It converts; it computes nothing."""

import sys
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.names import parse
from rank_plugins.rerankers.hosting import listed

RELEVANT = sys.float_info.min
"""The grade from which a document is relevant: any above 0."""
NOTHING = "nothing"
"""The judged document of a query without expected ones."""


@component
class RankPluginsEvaluator:
    """Scores retrieved Documents against the expected ones by one metric, as trec_eval does where it has the metric.

    The relevance of an expected Document is its score, or 1 without one; any above 0 is relevant, and metrics with
    gains read the grade. The retrieved Documents count in the order of their list. One that was retrieved before in the
    same list keeps its place, but gains nothing. A query without expected Documents counts 0.

    ```python
    from haystack import Document
    from haystack_integrations.components.evaluators.rank_plugins import RankPluginsEvaluator

    evaluator = RankPluginsEvaluator(metric="ndcg@10")
    expected, found = [[Document(content="Paris")]], [[Document(content="Berlin"), Document(content="Paris")]]
    print(evaluator.run(ground_truth_documents=expected, retrieved_documents=found)["score"])
    ```
    """

    def __init__(self, metric: str = "ndcg@10", document_comparison_field: str = "content") -> None:
        """Choose the metric.

        Args:
            metric: a name of `rank_plugins.evaluation`, such as "ndcg@10", "ap", "rr@10", "r@100" or "P(rel=2)@5".
            document_comparison_field: what tells Documents apart: "content", "id", or "meta." and a key, or keys of
                dicts in dicts: "meta.source.url".

        Raises:
            InputError: an unknown metric or field, or several metrics.
            InputTypeError: another type.

        """
        for name, value in (("metric", metric), ("document_comparison_field", document_comparison_field)):
            if not isinstance(value, str):
                raise InputTypeError(f"{name}: expected a str, got {type(value).__name__}")
        named = [one.name for one in parse(metric)]
        if len(named) != 1:
            raise InputError(f"metric: expected one, got {', '.join(named)}; use an evaluator for each")
        by_meta = document_comparison_field.startswith("meta.") and document_comparison_field != "meta."
        if document_comparison_field not in ("content", "id") and not by_meta:
            raise InputError(
                'document_comparison_field: expected "content", "id" or "meta.<key>",'
                f" got {document_comparison_field!r}"
            )
        self.metric = metric
        self.document_comparison_field = document_comparison_field
        self._name = named[0]
        self._path = document_comparison_field.split(".")

    def to_dict(self) -> dict[str, Any]:
        """Serialize this component to a dictionary."""
        return default_to_dict(self, metric=self.metric, document_comparison_field=self.document_comparison_field)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RankPluginsEvaluator":
        """Make the component that `to_dict` described."""
        return default_from_dict(cls, data)

    @component.output_types(score=float, individual_scores=list[float])
    def run(
        self, ground_truth_documents: list[list[Document]], retrieved_documents: list[list[Document]]
    ) -> dict[str, Any]:
        """Evaluate what was retrieved for each query.

        Args:
            ground_truth_documents: the expected Documents of each query; those that the field is missing of are left
                out.
            retrieved_documents: the retrieved Documents of each query, best first.

        Returns:
            "score", over all queries as the metric is averaged, and "individual_scores", one for each query.

        Raises:
            InputError: no query, or lists of different lengths.
            InputTypeError: another type.

        """
        expected = _queries(ground_truth_documents, "ground_truth_documents")
        found = _queries(retrieved_documents, "retrieved_documents")
        if len(expected) != len(found) or not expected:
            raise InputError(
                "ground_truth_documents, retrieved_documents: expected one list of each for every query, at least one,"
                f" got {len(expected)} and {len(found)}"
            )
        qrels, run = {}, {}
        for i, (wanted, ranked) in enumerate(zip(expected, found, strict=True)):
            grades = self._grades(wanted)
            names = {value: f"expected {place}" for place, value in enumerate(grades)}
            judged = {names[value]: grade for value, grade in grades.items()}
            qrels[str(i)] = judged or {NOTHING: 0.0}  # judged, so that it is evaluated, and nothing is relevant
            run[str(i)] = [names.pop(self._value(one), f"other {place}") for place, one in enumerate(ranked)]
        evaluation = evaluate(qrels, run, self.metric, relevance_level=RELEVANT)
        values = evaluation.per_query[self._name]
        return {"score": evaluation[self._name], "individual_scores": [values[query] for query in qrels]}

    def _grades(self, documents: Iterable[Document]) -> dict[Any, float]:
        """Return the relevance of each value of the field; the highest where several Documents share it."""
        grades: dict[Any, float] = {}
        for document in documents:
            value, grade = self._value(document), 1.0 if document.score is None else float(document.score)
            if value is not None:
                grades[value] = max(grades.get(value, grade), grade)
        return grades

    def _value(self, document: Document) -> Any:
        """Return what tells this Document from others; None where it does not have the field."""
        value: Any = getattr(document, self._path[0])
        for key in self._path[1:]:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, Hashable):
            raise InputTypeError(
                f"{self.document_comparison_field}: expected a value to compare by, got {type(value).__name__}"
                f" in document {document.id!r}"
            )
        return value


def _queries(lists: object, what: str) -> list[list[Document]]:
    if isinstance(lists, (str, bytes)) or not isinstance(lists, Sequence):
        raise InputTypeError(f"{what}: expected a list of lists of Documents, got {type(lists).__name__}")
    return [listed(one, Document, f"{what}[{i}]") for i, one in enumerate(lists)]
