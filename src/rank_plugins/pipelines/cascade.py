"""Cascade: rerankers one after the other, each over the best documents of the one before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rank_plugins import _deadline
from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.arguments import number
from rank_plugins.pipelines.gates import Gate
from rank_plugins.pipelines.stages import Stage, stages_of
from rank_plugins.pipelines.standing import Standing
from rank_plugins.rerankers.fusion import FIRST_STAGE
from rank_plugins.rerankers.parts import Part, ranked
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker

LEFT_BEHIND = 32
"""How many stages of one cascade may be under way at a time where it has a budget, those that nobody waits for among
them; further calls wait, within their budgets."""


class Cascade(Reranker):
    """Ranks documents with one reranker after the other: a cheap one over all, a dear one over the best of these.

    The first stage that runs gets the documents in the caller's order, each later one its candidates in the order so
    far, with the scores of the stage before. A stage that its gate skips leaves the order as it is. Documents to which
    a stage gives -inf go no further and stand last with -inf; those that a stage leaves out of its ranking are left
    out of the result.

    Scores never increase: documents of the last stage that ran have its scores. Those that it did not see follow in
    the order of the stage before, by whose scores they are told apart, all moved by one constant: the best of them
    stands 1 below the lowest finite score before it. So it goes on with those that the stage before that scored last.
    Documents that no stage scored follow by the caller's `scores`, or without any by 0, -1, -2 ... in input order.

    `details` of a ranking has
        "stage" and "raw", parallel to the indices: the name of the stage that scored a document last ("first_stage":
            the caller) and what it gave, None where there is no score;
        "stages", for each stage a dict of "name", "ran", "because" (None if it ran, "gate", "deadline", or "nothing"
            where it has no candidates), "candidates", "documents" (that it ranked), and "seconds" (this query's part
            of the call, by documents);
        "complete", False where a deadline cut this ranking, or one inside a stage, short; "stopped", then "deadline";
        "timings" in seconds of the whole call, by stage; and "parts", the details of the stages' own rankings.
    """

    def __init__(self, stages: Sequence[Stage | Part | Mapping[str, Any]], *, budget: float | None = None) -> None:
        """Choose the stages; no model is loaded before documents are ranked.

        Args:
            stages: what `stage` makes, or its arguments as dicts (which JSON can hold: {"reranker": "rank-maxsim",
                "keep": 20, "when": {"gate": "query-words", "above": 3}}), or rerankers as `stage` takes them.
            budget: seconds per query, in a batch times the number of queries. When they are over, the caller gets the
                ranking of the last stage that all queries have passed, marked as incomplete; a stage under way is left
                behind on its thread, and soon ends if it works in batches. None: no limit, and no thread.

        Raises:
            InputError: no stage, a budget that is not above 0, or what `stage` and the rerankers refuse.
            InputTypeError: another type, or an unknown option.

        """
        if budget is not None and number(budget, "budget") <= 0:
            raise InputError(f"budget: expected seconds above 0, or None for no limit, got {budget}")
        self.budget = budget
        self.stages, self._rerankers = stages_of(stages)
        self._slots = _deadline.Slots(LEFT_BEHIND)

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        reached = [Standing.first(request) for request in requests]

        def work() -> None:
            nonlocal reached
            for standings in self._steps(reached):
                reached = standings

        if self.budget is None:
            work()
        else:
            try:
                _deadline.finish(work, self.budget * len(requests), self._slots)
            except _deadline.OutOfTime:
                _deadline.check()  # a deadline around this one is for whoever set it to answer
        ended = [self._ended(standing) for standing in reached]
        timings = {
            stage.name: sum(standing.records[i]["seconds"] for standing in ended) for i, stage in enumerate(self.stages)
        }
        return [self._answer(standing, top_k, timings) for standing in ended]

    def _steps(self, standings: list[Standing]) -> Iterator[list[Standing]]:
        """Yield the standings of all queries after each stage."""
        for i in range(len(self.stages)):
            _deadline.check()
            standings = self._step(i, standings)
            yield standings

    def _step(self, i: int, standings: list[Standing]) -> list[Standing]:
        """Return the standings after stage i, which ranks all queries that need it together."""
        because = [self._because(self.stages[i], standing) for standing in standings]
        requests = {j: standings[j].given() for j, reason in enumerate(because) if reason is None}
        start = time.perf_counter()
        rankings: dict[int, Ranking] = {}
        # Only where no query's scores are missing does the reranker get them: a neighbour must not take them away.
        for bare in (False, True):
            alike = {j: request for j, request in requests.items() if (request.scores is None) == bare}
            if alike:
                rankings |= zip(alike, ranked(self._rerankers[i], list(alike.values())), strict=True)
        each = (time.perf_counter() - start) / max(sum(len(one.documents) for one in requests.values()), 1)
        return [self._after(i, standing, because[j], rankings.get(j), each) for j, standing in enumerate(standings)]

    @staticmethod
    def _because(stage: Stage, standing: Standing) -> str | None:
        """Return why the stage does not run for this query, None if it does."""
        if not standing.candidates:
            return "nothing"
        if stage.when is None:
            return None
        first = standing.request.scores is None and standing.stage.max() < 0
        if first and isinstance(stage.when, Gate) and stage.when.reads_scores:
            raise InputError(
                f"scores: expected the first stage's scores, because {stage!r} decides by them, got none;"
                " pass scores=, or give a later stage this gate"
            )
        runs = stage.when(standing.request.query, standing.last)
        if not isinstance(runs, (bool, np.bool_)):  # None of a forgotten return would skip the stage for ever
            raise InputTypeError(f"{stage!r}: what when returned: expected True or False, got {type(runs).__name__}")
        return None if runs else "gate"

    def _after(self, i: int, standing: Standing, because: str | None, ranking: Ranking | None, each: float) -> Standing:
        """Return where the documents stand after stage i gave this ranking, or none."""
        stage = self.stages[i]
        if ranking is None:
            scored = standing.request.scores is not None or standing.stage.max() >= 0
            kept = self._kept(stage, standing, standing.of_candidates(), scored=scored)
            return standing.passed(kept, _record(stage, standing, because), None)
        after = standing.ranked(i, ranking)
        kept = self._kept(stage, after, after.last, scored=True)
        return after.passed(kept, _record(stage, standing, None, each * standing.candidates), ranking.details)

    @staticmethod
    def _kept(stage: Stage, standing: Standing, ranking: Ranking, *, scored: bool) -> int | None:
        """Return how many documents of this ranking the stage keeps, None for all; `scored`: whether by scores."""
        if not callable(stage.keep):
            return stage.keep
        if not scored and getattr(stage.keep, "reads_scores", True):
            return None
        if not len(ranking):
            return 0
        documents = standing.request.documents
        kept = stage.keep(ranking, documents if isinstance(documents, list) else None)
        found = int((ranking.scores > -np.inf).sum())  # behind these may stand documents that the rule did not see
        return min(whole_number(kept, f"{stage!r}: what keep returned", 0), found)

    def _ended(self, standing: Standing) -> Standing:
        """Return where the documents stand when the stages that are not done with are left out."""
        for stage in self.stages[len(standing.records) :]:
            kept = self._kept(stage, standing, standing.of_candidates(), scored=False)
            standing = standing.passed(kept, _record(stage, standing, "deadline"), None)
        return standing

    def _answer(self, standing: Standing, top_k: int | None, timings: Mapping[str, float]) -> Ranking:
        """Return the ranking of a query that is done with."""
        indices, scores = standing.ranking()
        indices = indices[: standing.kept][:top_k]
        names = [*(stage.name for stage in self.stages), FIRST_STAGE]  # of which -1 is the last
        numbers = standing.stage[indices].tolist()
        unscored = standing.request.scores is None
        details: dict[str, Any] = {
            "stage": [names[i] for i in numbers],
            "raw": [
                None if i < 0 and unscored else raw
                for i, raw in zip(numbers, standing.raw[indices].tolist(), strict=True)
            ],
            "stages": list(standing.records),
            "complete": all(record["because"] != "deadline" for record in standing.records)
            and all(map(_complete, standing.parts.values())),
        }
        if not details["complete"]:
            details["stopped"] = "deadline"
        details |= {"timings": dict(timings), "parts": dict(standing.parts)}
        return Ranking(indices, scores[: len(indices)], details)

    def warm_up(self) -> None:
        """Load the models of all stages."""
        for reranker in self._rerankers:
            reranker.warm_up()

    def close(self) -> None:
        """Close the rerankers that were made here from names; a stage left behind comes to its end first."""
        for stage, reranker in zip(self.stages, self._rerankers, strict=True):
            if reranker is not stage.reranker:
                reranker.close()

    def __repr__(self) -> str:
        budget = "" if self.budget is None else f", budget={self.budget!r}"
        return f"Cascade({self.stages!r}{budget})"


def _complete(details: Mapping[str, Any]) -> bool:
    """Return whether no deadline cut short the ranking that has these details, or one inside of it."""
    return details.get("complete", True) and all(map(_complete, details.get("parts", {}).values()))


def _record(stage: Stage, standing: Standing, because: str | None, seconds: float = 0.0) -> dict[str, Any]:
    """Return what `details` tell of a stage and one query, from where the documents stood before it."""
    return {
        "name": stage.name,
        "ran": because is None,
        "because": because,
        "candidates": standing.candidates,
        "documents": standing.candidates if because is None else 0,
        "seconds": seconds,
    }
