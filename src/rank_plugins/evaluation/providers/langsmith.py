"""LangSmith: metrics of the documents that a run retrieved, for `langsmith.evaluate(..., evaluators=[...])`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation._evaluate import evaluate
from rank_plugins.evaluation.names import parse


def langsmith_evaluator(
    metrics: Any = "ndcg@10 rr@10 r@10", *, documents: str = "documents", relevant: str = "relevant", **settings: Any
) -> Callable[[Any, Any], dict[str, Any]]:
    """Return an evaluator `(run, example)` as LangSmith calls it; both may be its objects or plain dicts.

    It reads the ranking in `run.outputs[documents]`: ids, (id, score), LangChain Documents, or dicts with an "id" or
    "doc_id", of their own or in their "metadata"; best first, in this order whatever the scores. An id that stands
    there again (another chunk of the same document) is left out. It reads the judgments in
    `example.outputs[relevant]`: {id: grade}, or a list of the ids that are relevant.

    It returns {"key": metric, "score": value}, or with several metrics {"results": [these]}. An example without
    relevant documents scores 0; with no_relevant="reward_empty" 1 where nothing was retrieved, and with
    no_relevant="skip" None.

    Args:
        metrics: as `evaluate` takes them.
        documents: the key of the ranking.
        relevant: the key of the judgments.
        settings: `evaluate`'s own: relevance_level, no_relevant, ...

    Raises:
        InputError: an unknown metric; from the evaluator: a key that is not there, or a document without an id.
        InputTypeError: from the evaluator: other types.

    """
    chosen = parse(metrics, compat=settings.get("compat", "trec_eval10"))

    def ranking_metrics(run: Any, example: Any) -> dict[str, Any]:
        found = list(dict.fromkeys(map(_id, _sequence(_output(run, "run", documents), documents))))
        grades = _grades(_output(example, "example", relevant), relevant) or {_absent(found): 0}
        values = evaluate(
            {"": grades}, {"": dict(zip(found, range(len(found), 0, -1), strict=True))}, chosen, **settings
        )
        results = [{"key": name, "score": None if math.isnan(value) else value} for name, value in values.mean.items()]
        return results[0] if len(results) == 1 else {"results": results}

    return ranking_metrics


def _output(source: Any, what: str, key: str) -> Any:
    outputs = source.get("outputs") if isinstance(source, Mapping) else getattr(source, "outputs", None)
    if not isinstance(outputs, Mapping) or key not in outputs:
        has = ", ".join(map(str, outputs)) if isinstance(outputs, Mapping) else "none"
        raise InputError(f"{what}: expected outputs with {key!r}, got {has or 'none'}; name the key that yours have")
    return outputs[key]


def _sequence(value: Any, key: str) -> Sequence[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise InputTypeError(f"{key}: expected a list, best first, got {type(value).__name__}")
    return value


def _id(document: Any) -> Any:
    """Return the id of whatever stands for a document."""
    if isinstance(document, (tuple, list)) and len(document) == 2:
        document = document[0]
    if isinstance(document, (str, int)):
        return document
    if isinstance(document, Mapping):
        fields, metadata = document, document.get("metadata")
    else:
        fields, metadata = {"id": getattr(document, "id", None)}, getattr(document, "metadata", None)
    for known in (fields, metadata or {}):
        for key in ("id", "doc_id"):
            if known.get(key) is not None:
                return known[key]
    raise InputError(f"documents: expected documents with ids, got {document!r:.80} without; give your documents ids")


def _grades(value: Any, key: str) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, Set)):
        raise InputTypeError(f"{key}: expected {{id: grade}} or a list of relevant ids, got {type(value).__name__}")
    return dict.fromkeys(value, 1)


def _absent(found: list[Any]) -> Any:
    """Return an id that is none of these, of their type."""
    if found and isinstance(found[0], int):
        return max(found) + 1
    return max(found, key=len, default="") + "-"
