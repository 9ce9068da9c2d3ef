"""sentence-transformers (6 and later): our metrics as the `evaluator=` of its trainers."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rank_plugins._extras import require
from rank_plugins.errors import InputError
from rank_plugins.evaluation._evaluate import evaluate
from rank_plugins.evaluation.abstention import false_evidence_rate
from rank_plugins.evaluation.names import parse
from rank_plugins.evaluation.rerankers import candidate_texts, check_queries
from rank_plugins.evaluation.thresholds import with_evidence
from rank_plugins.runs import Run
from rank_plugins.runs.convert import as_qrels, as_run

require("sentence_transformers")
host: Any = importlib.import_module("sentence_transformers.base.evaluation")


class RankingEvaluator(host.BaseEvaluator):  # type: ignore[misc]  # typed only where the host is installed
    """Scores the candidates of each query with the model, and evaluates the order that this gives.

    A CrossEncoder scores pairs, a SentenceTransformer compares embeddings by its own similarity. Relevant documents
    that are no candidates stay out and count as not found, so the figures are those of the pipeline; the host's own
    reranking evaluator adds them by default.
    """

    def __init__(
        self,
        queries: Mapping[Any, str],
        corpus: Mapping[Any, Any],
        qrels: Any,
        candidates: Any = None,
        metrics: Any = "ndcg@10 rr@10 ap",
        *,
        no_evidence: Iterable[Any] = (),
        threshold: float | None = None,
        name: str = "",
        batch_size: int = 64,
        show_progress: bool = False,
        write_csv: bool = True,
        relevance_level: float = 1,
        **settings: Any,
    ) -> None:
        """Hold a task; `primary_metric` is the first metric, behind the name and "_" where there is a name.

        Args:
            queries: {query: text}.
            corpus: {document: text} or {document: {"title": ..., "text": ...}}.
            qrels: judgments, as `evaluate` takes them.
            candidates: the first stage's run, as `evaluate` takes it; None scores the whole corpus for every query.
            metrics: as `evaluate` takes them.
            no_evidence: queries declared to have no evidence. They count in no metric; "false_evidence" is the share
                of them with a document that scores at least `threshold`, and "false_evidence_upper" its upper bound.
            threshold: in the scale of the model's scores (a CrossEncoder of one label gives 0 to 1 by default).
            name: of the task, for the keys of the results and the file.
            batch_size: pairs or texts per step of the model.
            show_progress: show the host's bars.
            write_csv: add a line to RankingEvaluator_<name>_results.csv in the folder that the trainer passes.
            relevance_level: the grade from which a document is relevant.
            settings: `evaluate`'s own: ties, missing ...

        Raises:
            InputError: a candidate without text, a judged query without text, no_evidence without a threshold or with
                a query that has a relevant document.
            InputTypeError: another type.

        """
        super().__init__()
        self.name, self.batch_size, self.show_progress, self.write_csv = name, batch_size, show_progress, write_csv
        self.no_evidence, self.threshold = list(no_evidence), threshold
        self.settings = settings | {"relevance_level": relevance_level}
        self.metrics = parse(metrics, compat=settings.get("compat", "trec_eval10"))
        self.primary_metric = f"{name}_{self.metrics[0].name}" if name else self.metrics[0].name
        judged = as_qrels(qrels)
        self._qrels = with_evidence(judged, self.no_evidence, relevance_level) if self.no_evidence else judged
        if self.no_evidence and threshold is None:
            raise InputError("threshold: expected a score from which a document is returned, got none")
        unknown = [query for query in self.no_evidence if query not in queries]
        if unknown:
            raise InputError(f"no_evidence: expected queries whose text is known, got {unknown[0]!r}")
        run = None if candidates is None else as_run(candidates)
        check_queries(queries, judged if run is None else run, judged)
        table = run.to_dict() if isinstance(run, Run) else run
        self._queries = dict(queries)
        self._candidates = {query: list(corpus if table is None else table.get(query, ())) for query in queries}
        self._texts = candidate_texts(corpus, self._candidates)
        self.csv_file = f"RankingEvaluator{'_' + name if name else ''}_results.csv"

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics, and write them where the trainer says.

        Raises:
            InputError: the model gives NaN, or several scores for a pair.

        """
        run = self.score(model)
        values = dict(evaluate(self._qrels, run, self.metrics, **self.settings).mean)
        if self.no_evidence and self.threshold is not None:
            found = false_evidence_rate(run, self.no_evidence, self.threshold)
            values |= {"false_evidence": found.rate, "false_evidence_upper": found.upper}
        results: dict[str, float] = self.prefix_name_to_metrics(values, self.name)
        self.store_metrics_in_model_card_data(model, results, epoch, steps)
        if output_path is not None and self.write_csv:
            path = Path(output_path, self.csv_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            new = not path.exists()
            with path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([["epoch", "steps", *values]] * new + [[epoch, steps, *values.values()]])
        return results

    def score(self, model: Any) -> dict[Any, dict[Any, float]]:
        """Return the scores that the model gives, {query: {document: score}}.

        Raises:
            InputError: the model gives several scores for a pair.

        """
        scores = self._pairs(model) if hasattr(model, "predict") else self._similarities(model)
        parts = np.split(scores, np.cumsum([len(row) for row in self._candidates.values()])[:-1])
        return {
            query: dict(zip(row, part.tolist(), strict=True))
            for (query, row), part in zip(self._candidates.items(), parts, strict=True)
        }

    def get_config_dict(self) -> dict[str, Any]:
        """Return what the model card says of the settings."""
        return {"metrics": [metric.name for metric in self.metrics], "threshold": self.threshold}

    def _options(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size, "show_progress_bar": self.show_progress}

    def _pairs(self, model: Any) -> np.ndarray[Any, Any]:
        pairs = [(self._queries[query], self._texts[name]) for query, row in self._candidates.items() for name in row]
        scores = np.asarray(model.predict(pairs, convert_to_numpy=True, **self._options()) if pairs else [], np.float64)
        if scores.shape != (len(pairs),):
            raise InputError(f"model: expected one score for each pair, [{len(pairs)}], got {list(scores.shape)}")
        return scores

    def _similarities(self, model: Any) -> np.ndarray[Any, Any]:
        options = self._options() | {"convert_to_tensor": True}
        documents = model.encode_document(list(self._texts.values()), **options)
        queries = model.encode_query(list(self._queries.values()), **options)
        place = {name: i for i, name in enumerate(self._texts)}
        rows = [
            model.similarity(queries[i : i + 1], documents[[place[name] for name in row]])[0].double().cpu().numpy()
            for i, row in enumerate(self._candidates.values())
            if row
        ]
        return np.concatenate([np.empty(0), *rows])
