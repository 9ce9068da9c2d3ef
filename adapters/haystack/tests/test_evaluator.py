"""RankPluginsEvaluator: by hand, and against the host's own evaluators."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.evaluators import DocumentMRREvaluator, DocumentNDCGEvaluator, DocumentRecallEvaluator
from haystack.evaluation import EvaluationRunResult
from hypothesis import given
from hypothesis import strategies as st

from haystack_integrations.components.evaluators.rank_plugins import RankPluginsEvaluator
from rank_plugins.errors import InputError, InputTypeError

TYPE = "haystack_integrations.components.evaluators.rank_plugins.evaluator.RankPluginsEvaluator"
PARIS, ROME, OSLO = (Document(content=name) for name in ("Paris", "Rome", "Oslo"))

NDCG_COUNTS_ONCE = all(  # what is twice in a list; the host's first versions did not
    DocumentNDCGEvaluator().run(ground_truth_documents=[wanted], retrieved_documents=[found])["score"] == 1
    for wanted, found in [([PARIS], [PARIS, PARIS]), ([PARIS, PARIS], [PARIS])]
)


def run(metric: str, expected: Any, found: Any, field: str = "content") -> dict[str, Any]:
    evaluator = RankPluginsEvaluator(metric, field)
    return evaluator.run(ground_truth_documents=expected, retrieved_documents=found)


def test_by_hand() -> None:
    expected, found = [[PARIS, ROME], [OSLO]], [[OSLO, PARIS, ROME], [OSLO]]
    assert run("rr@10", expected, found) == {"score": 0.75, "individual_scores": [0.5, 1.0]}
    assert run("P@1", expected, found) == {"score": 0.5, "individual_scores": [0.0, 1.0]}
    ap = (1 / 2 + 2 / 3) / 2
    assert run("ap", expected, found)["individual_scores"] == pytest.approx([ap, 1])
    dcg, best = 1 / math.log2(3) + 1 / math.log2(4), 1 + 1 / math.log2(3)
    assert run("ndcg@10", expected, found)["individual_scores"] == pytest.approx([dcg / best, 1])


def test_grades_are_the_scores_of_the_expected() -> None:
    """Without a score 1; metrics without grades take all above 0 as relevant, or those from `rel` on."""
    expected = [[Document(content="Paris", score=3.0), Document(content="Rome", score=0.5), OSLO]]
    found = [[ROME, OSLO, PARIS]]
    dcg = 0.5 + 1 / math.log2(3) + 3 / math.log2(4)
    best = 3 + 1 / math.log2(3) + 0.5 / math.log2(4)
    assert run("ndcg", expected, found)["score"] == pytest.approx(dcg / best)
    assert run("rr", expected, found)["score"] == 1
    assert run("rr(rel=2)", expected, found)["score"] == pytest.approx(1 / 3)
    assert run("rr", [[Document(content="Rome", score=0.0)]], found)["score"] == 0


def test_scores_of_the_retrieved_do_not_matter() -> None:
    """The order of the list counts, as it does for the host's evaluators."""
    found = [[Document(content="Rome", score=0.1), Document(content="Paris", score=0.9)]]
    assert run("rr", [[PARIS]], found)["score"] == 0.5


def test_a_document_retrieved_twice_gains_once_and_keeps_its_place() -> None:
    assert run("P@2", [[PARIS]], [[PARIS, PARIS]])["score"] == 0.5
    assert run("ap", [[PARIS, ROME]], [[PARIS, PARIS, ROME]])["score"] == pytest.approx((1 + 2 / 3) / 2)


def test_queries_without_documents_count_zero() -> None:
    assert run("ndcg@10", [[], [PARIS], [PARIS]], [[PARIS], [], [PARIS]]) == {
        "score": pytest.approx(1 / 3),
        "individual_scores": [0.0, 0.0, 1.0],
    }
    assert run("ap", [[]], [[]]) == {"score": 0.0, "individual_scores": [0.0]}


def test_many_queries_keep_their_order() -> None:
    expected = [[PARIS]] * 25
    found = [[OSLO] * i + [PARIS] for i in range(25)]
    assert run("rr", expected, found)["individual_scores"] == pytest.approx([1 / (i + 1) for i in range(25)])


def test_by_id_and_by_metadata() -> None:
    expected = [[Document(id="1", content="a", meta={"source": {"url": "u", "page": 1}})]]
    found = [[Document(id="2", content="a", meta={"source": "u"}), Document(id="1", content="b"), *expected[0]]]
    assert run("rr", expected, found)["score"] == 1
    assert run("rr", expected, found, "id")["score"] == 0.5
    assert run("rr", expected, found, "meta.source.url")["score"] == pytest.approx(1 / 3)
    assert run("rr", expected, found, "meta.missing")["score"] == 0


def test_metadata_that_cannot_be_compared_is_said() -> None:
    wrong = [[Document(id="x", content="a", meta={"tags": ["a"]})]]
    with pytest.raises(InputTypeError, match=r"meta.tags: expected a value to compare by, got list in document 'x'"):
        run("rr", wrong, wrong, "meta.tags")


values = st.sampled_from(["a", "b", "c", "d", None])
graded = st.lists(st.tuples(values, st.sampled_from([0.25, 1.0, 3.0])), max_size=5)
queries = st.lists(st.tuples(graded, st.lists(values, max_size=7)), min_size=1, max_size=5)


@given(queries, st.booleans())
def test_the_host_s_evaluators(rows: Any, by_meta: bool) -> None:
    """NDCG with grades, reciprocal rank and recall are the host's, with duplicates and missing fields too."""
    field = "meta.key" if by_meta else "content"
    expected = [[_document(value, by_meta, score) for value, score in graded] for graded, _ in rows]
    found = [[_document(value, by_meta) for value in retrieved] for _, retrieved in rows]
    theirs: dict[str, Any] = {
        "ndcg": DocumentNDCGEvaluator(field),
        "rr": DocumentMRREvaluator(field),
        "R": DocumentRecallEvaluator("multi_hit", field),
    }
    if not NDCG_COUNTS_ONCE and any(_twice(value for value, _ in wanted) or _twice(found) for wanted, found in rows):
        del theirs["ndcg"]
    for metric, evaluator in theirs.items():
        reference = evaluator.run(ground_truth_documents=expected, retrieved_documents=found)
        ours = run(metric, expected, found, field)
        assert ours["individual_scores"] == pytest.approx(reference["individual_scores"]), metric
        assert ours["score"] == pytest.approx(reference["score"]), metric


def _twice(values: Iterable[str | None]) -> bool:
    listed = list(values)
    return len(set(listed)) < len(listed)


def _document(value: str | None, by_meta: bool, score: float | None = None) -> Document:
    if by_meta:
        return Document(content="same", meta={} if value is None else {"key": value}, score=score)
    return Document(content=value, score=score)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"metric": "ndgc@10"}, InputError, "did you mean"),
        ({"metric": "ndcg@10 ap"}, InputError, "metric: expected one, got ndcg@10, ap"),
        ({"metric": 7}, InputTypeError, "metric: expected a str, got int"),
        ({"document_comparison_field": "text"}, InputError, 'expected "content", "id" or "meta.<key>", got \'text\''),
        ({"document_comparison_field": "meta."}, InputError, "got 'meta.'"),
        ({"document_comparison_field": None}, InputTypeError, "document_comparison_field: expected a str"),
    ],
)
def test_init_with_incorrect_input(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        RankPluginsEvaluator(**arguments)


@pytest.mark.parametrize(
    ("expected", "found", "error", "said"),
    [
        ([], [], ValueError, "at least one, got 0 and 0"),
        ([[PARIS]], [], ValueError, "got 1 and 0"),
        ([[PARIS]], [[PARIS], [ROME]], ValueError, "got 1 and 2"),
        ([PARIS], [[PARIS]], TypeError, r"ground_truth_documents\[0\]: expected a list of Documents, got Document"),
        ([[PARIS]], [["Paris"]], TypeError, r"retrieved_documents\[0\]\[0\]: expected a Document, got str"),
        (None, [[PARIS]], TypeError, "ground_truth_documents: expected a list of lists of Documents, got NoneType"),
    ],
)
def test_run_with_incorrect_input(expected: Any, found: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        run("ap", expected, found)


def test_to_dict_and_from_dict() -> None:
    saved = RankPluginsEvaluator("ap", "meta.key").to_dict()
    assert saved == {"type": TYPE, "init_parameters": {"metric": "ap", "document_comparison_field": "meta.key"}}
    assert RankPluginsEvaluator.from_dict(saved).to_dict() == saved


def test_in_a_pipeline_and_a_report() -> None:
    """Several evaluators in a pipeline that was saved and loaded; the host's report takes what they give."""
    made = Pipeline()
    for metric in ("ndcg@10", "rr@10"):
        made.add_component(metric, RankPluginsEvaluator(metric))
    loaded = Pipeline.loads(made.dumps())
    assert loaded == made
    data = {"ground_truth_documents": [[PARIS], [OSLO]], "retrieved_documents": [[PARIS], [ROME, OSLO]]}
    results = loaded.run(dict.fromkeys(("ndcg@10", "rr@10"), data))
    report = EvaluationRunResult("run", {"query": ["France?", "Norway?"]}, results)
    assert report.aggregated_report(output_format="json") == {
        "metrics": ["ndcg@10", "rr@10"],
        "score": [pytest.approx((1 + 1 / math.log2(3)) / 2), 0.75],
    }
    assert report.detailed_report(output_format="json")["rr@10"] == [1.0, 0.5]  # type: ignore[index]
