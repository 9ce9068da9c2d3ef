"""The evaluator for LangSmith, with plain objects and inside the real package."""

from __future__ import annotations

import datetime as dt
import types
import uuid

import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.providers.langsmith import langsmith_evaluator

IDS = ["d3", "d1", "d7"]
EXAMPLE = {"outputs": {"relevant": ["d1", "d9"]}}


def scores(answer):
    return {result["key"]: result["score"] for result in answer["results"]}


def test_one_metric_and_several():
    run = {"outputs": {"documents": IDS}}
    assert langsmith_evaluator("rr@10")(run, EXAMPLE) == {"key": "rr@10", "score": 0.5}
    wanted = evaluate({"q": {"d1": 1, "d9": 1}}, {"q": IDS}, "ndcg@10 rr@10 r@10").mean
    assert scores(langsmith_evaluator()(run, EXAMPLE)) == wanted


def test_objects_with_outputs_and_other_keys():
    run = types.SimpleNamespace(outputs={"context": IDS})
    example = types.SimpleNamespace(outputs={"ids": {"d1": 2, "d3": 1}})
    evaluator = langsmith_evaluator("ndcg@10 p@1", documents="context", relevant="ids", relevance_level=2)
    wanted = evaluate({"q": {"d1": 2, "d3": 1}}, {"q": IDS}, "ndcg@10 p@1", relevance_level=2).mean
    assert scores(evaluator(run, example)) == wanted


@pytest.mark.parametrize(
    "documents",
    [
        [("d3", 0.1), ("d1", 0.9), ("d7", 0.5)],
        [{"id": name} for name in IDS],
        [{"page_content": "text", "metadata": {"doc_id": name}, "type": "Document"} for name in IDS],
        [{"id": None, "page_content": "text", "metadata": {"id": name}} for name in IDS],
        ["d3", "d3", "d1", "d3", "d7"],
    ],
    ids=["pairs", "dicts", "metadata", "id-none", "chunks"],
)
def test_the_order_of_the_list_is_the_ranking(documents):
    assert langsmith_evaluator("rr@10")({"outputs": {"documents": documents}}, EXAMPLE)["score"] == 0.5


def test_documents_of_langchain():
    core = pytest.importorskip("langchain_core.documents")
    documents = [core.Document(id=name, page_content="the same") for name in IDS]
    documents[1] = core.Document(page_content="the same", metadata={"doc_id": "d1"})
    assert langsmith_evaluator("rr@10")({"outputs": {"documents": documents}}, EXAMPLE)["score"] == 0.5


@pytest.mark.parametrize(
    ("ids", "no_relevant", "score"),
    [
        (IDS, "zero", 0.0),
        ([], "zero", 0.0),
        (IDS, "reward_empty", 0.0),
        ([], "reward_empty", 1.0),
        ([1, 2], "reward_empty", 0.0),
        (IDS, "skip", None),
    ],
)
def test_an_example_without_relevant_documents(ids, no_relevant, score):
    evaluator = langsmith_evaluator("rr@10", no_relevant=no_relevant)
    for nothing in ([], {}):
        assert evaluator({"outputs": {"documents": ids}}, {"outputs": {"relevant": nothing}})["score"] == score


def test_what_is_missing_is_said():
    evaluator = langsmith_evaluator("rr@10")
    run = {"outputs": {"documents": IDS}}
    with pytest.raises(InputError, match="example: expected outputs with 'relevant', got answer"):
        evaluator(run, {"outputs": {"answer": "x"}})
    with pytest.raises(InputError, match="run: expected outputs with 'documents', got none"):
        evaluator({"outputs": None}, EXAMPLE)
    with pytest.raises(InputError, match="expected documents with ids"):
        evaluator({"outputs": {"documents": [{"page_content": "text"}]}}, EXAMPLE)
    with pytest.raises(InputTypeError, match="documents: expected a list"):
        evaluator({"outputs": {"documents": "d1"}}, EXAMPLE)
    with pytest.raises(InputTypeError, match="relevant: expected"):
        evaluator(run, {"outputs": {"relevant": "d1"}})
    with pytest.raises(InputError, match="unknown metric"):
        langsmith_evaluator("ndgc@10")


def test_inside_langsmith():
    """LangSmith wraps evaluators in its RunEvaluator, which reads their signature and their answer."""
    pytest.importorskip("langsmith")
    from langsmith.evaluation import run_evaluator
    from langsmith.run_helpers import tracing_context
    from langsmith.schemas import Example, Run

    now = dt.datetime.now(dt.timezone.utc)
    run = Run(
        id=uuid.uuid4(), name="x", start_time=now, run_type="chain", inputs={}, outputs={"documents": IDS},
        trace_id=uuid.uuid4(), dotted_order="x",
    )  # fmt: skip
    example = Example(id=uuid.uuid4(), dataset_id=uuid.uuid4(), inputs={}, outputs=EXAMPLE["outputs"], created_at=now)
    with tracing_context(enabled=False):
        one = run_evaluator(langsmith_evaluator("rr@10")).evaluate_run(run, example)
        several = run_evaluator(langsmith_evaluator("rr@10 r@10")).evaluate_run(run, example)
    assert (one.key, one.score) == ("rr@10", 0.5)
    assert {result.key: result.score for result in several["results"]} == {"rr@10": 0.5, "r@10": 0.5}
