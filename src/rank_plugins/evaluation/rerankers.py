"""evaluate_reranker: what a reranker makes of a first stage's lists, and how long it takes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._progress import progress
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation._evaluate import Evaluation, evaluate
from rank_plugins.evaluation.names import parse
from rank_plugins.evaluation.providers.lists import ordered
from rank_plugins.runs import Qrels, Run
from rank_plugins.runs.convert import as_qrels, as_run
from rank_plugins.runs.hosts import pairs

# Queries, their documents' texts and ids, and first-stage scores, to each query's (id, score); all lists parallel.
Rerank: TypeAlias = (
    "Callable[[list[Any], list[list[str]], list[list[Any]], list[list[float]]], list[list[tuple[Any, float]]]]"
)


@dataclass(frozen=True)
class RerankerEvaluation:
    """A first stage and what a reranker made of it."""

    before: Evaluation
    after: Evaluation
    run: Run
    """The reranked run."""
    seconds: NDArray[np.float64]
    """Seconds for each query that has candidates, in their order; those of a batch share its time equally."""

    @property
    def p50(self) -> float:
        """The median of the seconds per query; NaN where no query has candidates."""
        return self._quantile(0.5)

    @property
    def p95(self) -> float:
        """The seconds within which 95 % of the queries were reranked; NaN where no query has candidates."""
        return self._quantile(0.95)

    def __str__(self) -> str:
        from rank_plugins.evaluation.reports import text

        times = f"Seconds per query: {self.p50:.4f} (p50), {self.p95:.4f} (p95); {len(self.seconds)} queries reranked."
        return f"{text([self.before, self.after])}\n{times}"

    def _quantile(self, share: float) -> float:
        return float(np.quantile(self.seconds, share)) if len(self.seconds) else math.nan


def evaluate_reranker(
    reranker: Any,
    queries: Mapping[Any, Any],
    corpus: Mapping[Any, Any],
    run: Any,
    qrels: Any,
    metrics: Any = "ndcg@10 ap rr@10 r@100",
    *,
    top_k: int = 100,
    batch_size: int = 1,
    show_progress: bool = False,
    **settings: Any,
) -> RerankerEvaluation:
    """Rerank the best documents of each query and evaluate the run before and after.

    What lies beyond `top_k` keeps its order below what was reranked: its scores are replaced by the lowest finite
    score of the reranker less 1, 2, 3, ..., equal ones by equal ones. Documents that the reranker scores -inf (it
    found nothing to score) stand last of all, and those that it does not return are not in the new run. A list
    without candidates stays empty. Scores that the reranker made equal stand by document id, as in every run;
    `ties="best"` and "worst" give the bounds.

    Args:
        reranker: a Reranker of this package (or whatever has its `rerank_batch` or `rerank`; ids that are all str and
            the first stage's scores go with the texts), or a ranker of `rerankers` (`rank(query, docs, doc_ids)`).
        queries: {query: text}, those to rerank; the run may hold more, but none that is judged.
        corpus: {document: text} or {document: {"title": ..., "text": ...}}; a title stands before its text.
        run: the first stage, as `evaluate` takes it.
        qrels: judgments, as `evaluate` takes them.
        metrics: as `evaluate` takes them.
        top_k: how many documents of each query to rerank at most.
        batch_size: queries per call of `rerank_batch`. The first call also loads the model.
        show_progress: show a bar.
        settings: `evaluate`'s own: relevance_level, ties, missing ...

    Raises:
        InputError: candidates that the corpus lacks, a judged query of the run without text, a document in the
            reranker's answer that it was not given or that stands there twice; and what `evaluate` refuses.
        InputTypeError: something that is no reranker, or queries or a corpus that are no mappings.

    """
    rerank = _rerank(reranker)
    top_k, batch_size = whole_number(top_k, "top_k", 1), whole_number(batch_size, "batch_size", 1)
    chosen = parse(metrics, compat=settings.get("compat", "trec_eval10"))
    qrels, run = as_qrels(qrels), as_run(run)
    check_queries(queries, run, qrels)
    before = evaluate(qrels, run, chosen, **settings)
    before.name = before.name or "first stage"
    have = run.rows if isinstance(run, Run) else run
    lists = ordered(run, [query for query in queries if query in have], **before.settings)
    candidates = {query: dict(itertools.islice(row.items(), top_k)) for query, row in lists.items() if row}
    texts = candidate_texts(corpus, candidates)
    answers, seconds = _answers(rerank, queries, candidates, texts, batch_size, show_progress)
    table = {
        query: _joined(query, candidates[query], answers[query], list(row.items())[top_k:]) if row else {}
        for query, row in lists.items()
    }
    reranked = Run.from_dict(table, name="reranked")
    return RerankerEvaluation(before, evaluate(qrels, reranked, chosen, **settings), reranked, np.array(seconds))


def _answers(
    rerank: Rerank,
    queries: Mapping[Any, Any],
    candidates: Mapping[Any, Mapping[Any, float]],
    texts: Mapping[Any, str],
    batch_size: int,
    show_progress: bool,
) -> tuple[dict[Any, list[tuple[Any, float]]], list[float]]:
    """Return what the reranker answers for each query, and in how many seconds."""
    found: dict[Any, list[tuple[Any, float]]] = {}
    seconds: list[float] = []
    with progress(len(candidates), "query", show=show_progress) as advance:
        for start in range(0, len(candidates), batch_size):
            batch = list(candidates)[start : start + batch_size]
            asked = [queries[query] for query in batch]
            ids = [list(candidates[query]) for query in batch]
            documents = [[texts[document] for document in row] for row in ids]
            scores = [list(candidates[query].values()) for query in batch]
            began = time.perf_counter()
            answers = rerank(asked, documents, ids, scores)
            seconds += [(time.perf_counter() - began) / len(batch)] * len(batch)
            found.update(zip(batch, answers, strict=True))
            advance(len(batch))
    return found, seconds


def check_queries(queries: Any, run: Any, qrels: Any) -> None:
    """Refuse queries that are no mapping, and those that lack a judged query of the run.

    Raises:
        InputTypeError: no mapping.
        InputError: a query is missing.

    """
    if not isinstance(queries, Mapping):
        raise InputTypeError(f"queries: expected {{query: text}}, got {type(queries).__name__}")
    have = run.rows if isinstance(run, (Run, Qrels)) else run
    judged = qrels.queries if isinstance(qrels, Qrels) else qrels
    lost = [query for query in judged if query in have and query not in queries]
    if lost:
        raise InputError(
            f"queries: expected the text of every judged query of the run, got none for {_some(lost)}; add them, or"
            " leave them out of qrels"
        )


def candidate_texts(corpus: Any, candidates: Mapping[Any, Iterable[Any]]) -> dict[Any, str]:
    """Return the text of every document that some query has as a candidate.

    Raises:
        InputTypeError: a corpus that is no mapping, or a document that is neither text nor has one.
        InputError: documents that the corpus lacks.

    """
    if not isinstance(corpus, Mapping):
        raise InputTypeError(f"corpus: expected {{document: text}}, got {type(corpus).__name__}")
    wanted = dict.fromkeys(document for row in candidates.values() for document in row)
    lost = [document for document in wanted if document not in corpus]
    if lost:
        raise InputError(f"corpus: expected the text of every candidate, got none for {_some(lost)}; add them")
    return {document: _text(document, corpus[document]) for document in wanted}


def _text(name: Any, document: Any) -> str:
    parts = [document.get("title"), document.get("text")] if isinstance(document, Mapping) else [None, document]
    if not isinstance(parts[1], str) or not isinstance(parts[0], (str, type(None))):
        raise InputTypeError(
            f'corpus: expected text or {{"title": ..., "text": ...}} for document {name!r}, got {document!r:.60}'
        )
    return f"{parts[0] or ''} {parts[1]}".strip()


def _some(names: list[Any]) -> str:
    shown = ", ".join(map(repr, names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _rerank(reranker: Any) -> Rerank:
    """Return one function for all kinds of rerankers."""
    if callable(getattr(reranker, "rerank_batch", None)) or callable(getattr(reranker, "rerank", None)):

        def ours(
            queries: list[Any], documents: list[list[str]], ids: list[list[Any]], scores: list[list[float]]
        ) -> list[list[tuple[Any, float]]]:
            named = all(isinstance(name, str) for row in ids for name in row)
            names = ids if named else None
            if hasattr(reranker, "rerank_batch"):
                found = reranker.rerank_batch(queries, documents, ids=names, scores=scores)
            else:
                found = [
                    reranker.rerank(query, texts, ids=row if named else None, scores=values)
                    for query, texts, row, values in zip(queries, documents, ids, scores, strict=True)
                ]
            return [pairs((ranking, row), "?") for ranking, row in zip(found, ids, strict=True)]

        return ours
    if callable(getattr(reranker, "rank", None)):

        def host(
            queries: list[Any], documents: list[list[str]], ids: list[list[Any]], _: list[list[float]]
        ) -> list[list[tuple[Any, float]]]:
            rows = zip(queries, documents, ids, strict=True)
            return [_scored(pairs(reranker.rank(query, texts, doc_ids=row), query)) for query, texts, row in rows]

        return host
    raise InputTypeError(
        f"reranker: expected a Reranker (rerank_batch or rerank) or a ranker of rerankers (rank), got"
        f" {type(reranker).__name__}"
    )


def _scored(answer: list[Any]) -> list[tuple[Any, float]]:
    """Return (id, score) of a ranker's answer; one that only orders gets n, n - 1, ..., 1."""
    if not answer or isinstance(answer[0], tuple):
        return answer
    return [(name, float(len(answer) - rank)) for rank, name in enumerate(answer)]


def _joined(
    query: Any, given: Mapping[Any, float], answer: list[tuple[Any, float]], rest: list[tuple[Any, float]]
) -> dict[Any, float]:
    """Return the new scores of a query: the reranker's, and below them those of the documents that it did not see."""
    scores = dict(answer)
    strange = [document for document in scores if document not in given]
    if strange or len(scores) < len(answer):
        what = f"got {strange[0]!r}, which is none" if strange else "got one twice"
        raise InputError(f"reranker: expected documents that it was given, each once, {what}, for query {query!r}")
    score = min((value for value in scores.values() if value > -math.inf), default=0.0)
    step = max(1.0, 2 * float(np.spacing(abs(score))))
    previous = None
    for document, value in rest:
        if value != previous:
            score, previous = score - step, value
        scores[document] = score
    return scores
