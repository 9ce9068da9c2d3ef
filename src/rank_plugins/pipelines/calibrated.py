"""CalibratedReranker: scores as probabilities of relevance, and nothing returned where they are too low."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._checks import whole_number
from rank_plugins._saved import Saved
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import calibration
from rank_plugins.evaluation._choice import choice
from rank_plugins.evaluation._evaluate import evaluate
from rank_plugins.evaluation.abstention import answered
from rank_plugins.evaluation.calibrators import METHODS, Calibrator, Isotonic, Platt, Softmax, calibrate
from rank_plugins.evaluation.providers.lists import ordered
from rank_plugins.evaluation.rerankers import evaluate_reranker
from rank_plugins.evaluation.thresholds import Selection, select_threshold, with_evidence
from rank_plugins.fusion.arguments import number
from rank_plugins.pipelines.wrapper import Wrapper
from rank_plugins.rerankers import hosting
from rank_plugins.rerankers.parts import Part, part, part_name
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker
from rank_plugins.runs.convert import as_run

Table = dict[Any, dict[Any, float]]
ROUNDING = 1e-9  # by which a mean of ones may exceed 1


class CalibratedReranker(Wrapper, Saved):
    """Ranks as another reranker does, with probabilities of relevance for scores, and with a threshold.

    The order is the other reranker's, also among documents of equal probability. Documents that have nothing to score
    keep -inf. With a threshold, those whose probability is below it are not returned, and perhaps none is: the
    reranker abstains. `details` of a ranking has "raw", the reranker's own scores, parallel to the ranking's indices;
    "abstained", with a threshold; "timings" in seconds; and "parts", the details of the reranker's own ranking.
    Probabilities alone do not tell the order, so there is no `fingerprint`: cache the reranker inside.
    """

    def __init__(
        self,
        reranker: Part,
        calibrator: Calibrator | Mapping[str, Any] | str | os.PathLike[str],
        *,
        threshold: float | None = None,
    ) -> None:
        """Choose the reranker and its calibrator; `fit` makes one from development data.

        Args:
            reranker: a name, a dict of a "name" and options, or a Reranker.
            calibrator: what `evaluation.calibrate` returned for this very reranker, the file to which that was saved,
                or its `to_dict()`.
            threshold: return only documents of at least this probability; None returns all.

        Raises:
            InputError: an unknown reranker, a damaged file, a calibrator that turns the order, a threshold of NaN.
            InputTypeError: another type, or an unknown option.

        """
        super().__init__(reranker)
        self.calibrator = _calibrator(calibrator)
        """From scores to probabilities."""
        self.threshold = hosting.threshold(threshold, "threshold")
        """The least probability of a document that is returned; None for no such limit."""
        self.selection: Selection | None = None
        """What `select` has found out."""

    @classmethod
    def fit(
        cls,
        reranker: Part,
        queries: Mapping[Any, Any],
        corpus: Mapping[Any, Any],
        run: Any,
        qrels: Any,
        *,
        method: str = "isotonic",
        top_k: int = 10,
        candidates: int = 100,
        batch_size: int = 16,
        relevance_level: float = 1,
        show_progress: bool = False,
    ) -> CalibratedReranker:
        """Rerank development data, and fit a calibrator to the best documents of each judged query.

        Documents that nobody judged count as not relevant.

        Args:
            reranker: a name, a dict of a "name" and options, or a Reranker.
            queries: {query: text}.
            corpus: {document: text} or {document: {"title": ..., "text": ...}}.
            run: the first stage, as `evaluate` takes it.
            qrels: judgments, as `evaluate` takes them.
            method: as for `evaluation.calibrate`; "softmax" is fitted to whole lists, since it depends on them.
            top_k: how many documents of each reranked list to fit to: about as many as will be used.
            candidates: how many documents of each query to rerank at most.
            batch_size: queries reranked at once.
            relevance_level: a document is relevant from this grade on.
            show_progress: show a bar.

        Raises:
            InputError: what `evaluate_reranker` and `calibrate` refuse, and scores that fall with relevance.
            InputTypeError: another type.

        """
        choice(method, METHODS, "method")
        top_k = whole_number(top_k, "top_k", 1)
        made = part(reranker, "reranker")
        raw = _reranked(made, queries, corpus, run, qrels, candidates, batch_size, show_progress)
        best = raw if method == "softmax" else _first(raw, top_k)
        pairs = calibration.labelled(qrels, best, relevance_level=relevance_level)
        fitted = cls(made, calibrate(pairs.scores, pairs.labels, method, offsets=pairs.offsets))
        fitted._given, fitted.name = reranker, part_name(reranker)
        return fitted

    def select(
        self,
        queries: Mapping[Any, Any],
        corpus: Mapping[Any, Any],
        run: Any,
        qrels: Any,
        no_evidence: Iterable[Any],
        *,
        max_false_evidence: float = 0.05,
        level: float = 0.95,
        metric: Any = "ndcg@10",
        candidates: int = 100,
        batch_size: int = 16,
        relevance_level: float = 1,
        show_progress: bool = False,
    ) -> CalibratedReranker:
        """Return this reranker with the threshold that is best in a metric and keeps false evidence rare.

        The threshold is such that the upper bound, at `level`, of the share of queries without evidence that are
        answered is at most `max_false_evidence` on these data. Its figures are in `selection` of what is returned; they
        are those of the data that chose it, so measure it on others.

        Args:
            queries: {query: text}, of both kinds.
            corpus: as for `fit`.
            run: the first stage, of both kinds of queries.
            qrels: judgments of the queries with evidence.
            no_evidence: the queries to which no document of the corpus is relevant, such as those of another
                collection; for 0.05, at least 59.
            max_false_evidence: epsilon, 0 ... 1.
            level: of the upper bound.
            metric: one metric, as `evaluate` takes it.
            candidates: as for `fit`.
            batch_size: as for `fit`.
            relevance_level: as for `fit`.
            show_progress: show a bar.

        Raises:
            InputError: what `evaluate_reranker` and `select_threshold` refuse.
            InputTypeError: another type.

        """
        raw = _reranked(self.reranker, queries, corpus, run, qrels, candidates, batch_size, show_progress)
        given = {
            query: dict(zip(row, self._probabilities(list(row.values())), strict=True)) for query, row in raw.items()
        }
        empty = list(no_evidence)
        found = select_threshold(
            qrels, given, empty, metric=metric, max_false_evidence=max_false_evidence, bound="upper", level=level,
            absent="empty", relevance_level=relevance_level,
        )  # fmt: skip
        chosen = copy.copy(self)
        chosen.threshold = found.threshold
        # Equal probabilities stand in the reranker's order here, not by id as in a run.
        kept = {
            query: [document for document in row if given[query][document] >= found.threshold]
            for query, row in raw.items()
        }
        whole = {query: list(row) for query, row in raw.items()}
        evidence = with_evidence(qrels, empty, relevance_level)
        values = [
            evaluate(evidence, lists, found.metric, relevance_level=relevance_level).mean[found.metric]
            for lists in (kept, whole)
        ]
        chosen.selection = dataclasses.replace(found, value=values[0], value_without=values[1])
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python objects, for JSON: a part that other rerankers and `from_dict` take.

        Raises:
            InputTypeError: the reranker was not given as a name or a dict.

        """
        if isinstance(self._given, Reranker):
            raise InputTypeError(
                f"{self!r}: expected a reranker given by name or as a dict, got an object, which JSON cannot hold; save"
                " its calibrator, and give CalibratedReranker that file and the reranker"
            )
        given = self._given if isinstance(self._given, str) else dict(self._given)
        return {
            "name": "rank-calibrated",
            "reranker": given,
            "calibrator": self.calibrator.to_dict(),
            "threshold": self.threshold,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> CalibratedReranker:
        """Return what `to_dict` gave.

        Raises:
            InputError: something is missing or does not fit.

        """
        if not isinstance(saved, Mapping):
            raise InputError(f"CalibratedReranker: expected what to_dict returned, got {type(saved).__name__}")
        try:
            return cls(saved["reranker"], saved["calibrator"], threshold=saved["threshold"])
        except KeyError as error:
            raise InputError(f"CalibratedReranker: expected what to_dict returned, got no {error}") from None

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        whole = isinstance(self.calibrator, Softmax)  # its probabilities are of all documents together
        rankings, details = self._inner(requests, None if whole else top_k)
        result = []
        for ranking, known in zip(rankings, details, strict=True):
            probabilities = self._probabilities(ranking.scores)[:top_k]
            kept = len(probabilities) if self.threshold is None else int(answered(probabilities, self.threshold).sum())
            known["raw"] = ranking.scores[:kept].tolist()
            if self.threshold is not None:
                known["abstained"] = kept == 0
            result.append(Ranking(ranking.indices[:kept], probabilities[:kept], known))
        return result

    def _probabilities(self, scores: Any) -> NDArray[np.float64]:
        """Return the probabilities of one list's scores, best first; -inf stays."""
        values = np.asarray(scores, np.float64)
        found = np.where(values == -np.inf, -np.inf, self.calibrator(values))
        result: NDArray[np.float64] = np.minimum.accumulate(found)  # rounding must not turn the order
        return result


def _calibrator(given: Calibrator | Mapping[str, Any] | str | os.PathLike[str]) -> Calibrator:
    """Return a calibrator that was given in one of three ways."""
    if isinstance(given, (str, os.PathLike)):
        found = Calibrator.load(os.fspath(given))
    elif isinstance(given, Mapping):
        found = Calibrator.from_dict(given)
    elif isinstance(given, Calibrator):
        found = given
    else:
        raise InputTypeError(f"calibrator: expected a Calibrator, its file or its dict, got {type(given).__name__}")
    if type(found) in METHODS.values():
        _check_numbers(found)
    if isinstance(found, Platt) and found.slope < 0:
        raise InputError(
            f"calibrator: expected probabilities that rise with the score, got a slope of {found.slope:g}; relevant"
            " documents scored lower than others in the data it was fitted to: check the judgments, or the reranker"
        )
    return found


def _check_numbers(calibrator: Calibrator) -> None:
    """Refuse a calibrator whose numbers `calibrate` cannot have returned: a file may say anything.

    Raises:
        InputError: they are not finite, or give no probabilities, or ones that fall.
        InputTypeError: they are no numbers.

    """
    told = calibrator.to_dict()
    method = told.pop("method")
    if isinstance(calibrator, Isotonic):
        rows = []
        for name, values in told.items():
            if not isinstance(values, list):
                raise InputTypeError(f"calibrator: {name}: expected a list, got {type(values).__name__}")
            rows.append(np.array([number(value, f"calibrator: {name}") for value in values]))
        scores, heights = rows
        if not len(scores) == len(heights) > 0 or (np.diff(scores) <= 0).any() or (np.diff(heights) < 0).any():
            raise InputError("calibrator: expected scores that rise, each with a probability that never falls")
        if heights[0] < 0 or heights[-1] > 1 + ROUNDING:
            raise InputError(f"calibrator: expected probabilities from 0 to 1, got {heights[0]:g} to {heights[-1]:g}")
        return
    for name, value in told.items():
        if number(value, f"calibrator: {name}") <= 0 and name == "temperature":
            raise InputError(f"calibrator: {method}: expected a temperature above 0, got {value!r}")


def _reranked(
    reranker: Reranker,
    queries: Mapping[Any, Any],
    corpus: Mapping[Any, Any],
    run: Any,
    qrels: Any,
    candidates: int,
    batch_size: int,
    show_progress: bool,
) -> Table:
    """Return the reranker's own scores of the first candidates of each query, best first."""
    depth = whole_number(candidates, "candidates", 1)
    first = _first(ordered(as_run(run), queries), depth)
    found = evaluate_reranker(
        reranker, queries, corpus, first, qrels, "rr", top_k=depth, batch_size=batch_size,
        show_progress=show_progress,
    )  # fmt: skip
    return ordered(found.run, first, ties="input")


def _first(table: Table, count: int) -> Table:
    """Return the first documents of each query."""
    return {query: dict(itertools.islice(row.items(), count)) for query, row in table.items()}
