"""What the stages of a cascade did, and what their gates and a budget spared, over many rankings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rank_plugins.errors import InputError
from rank_plugins.rerankers.ranking import Ranking


@dataclasses.dataclass(frozen=True)
class StageWork:
    """One stage over many queries."""

    name: str
    queries: int
    """Queries for which it ran."""
    skipped_queries: int
    """Those for which it did not."""
    documents: int
    """Documents that it ranked."""
    skipped_documents: int
    """Those that it would have ranked for the queries that skipped it."""
    seconds: float

    @property
    def skipped(self) -> float:
        """The share of its documents that were skipped; 0 where it had none."""
        return self.skipped_documents / max(self.documents + self.skipped_documents, 1)


@dataclasses.dataclass(frozen=True)
class Work:
    """The stages of a cascade over many queries; printed as a table."""

    stages: tuple[StageWork, ...]
    queries: int
    incomplete: int
    """Queries that a deadline cut short."""

    def __str__(self) -> str:
        width = max(5, *(len(stage.name) for stage in self.stages)) if self.stages else 5
        rows = [f"{'stage':<{width}}  queries  skipped  documents  skipped   share   seconds"]
        rows += [
            f"{stage.name:<{width}}  {stage.queries:7}  {stage.skipped_queries:7}  {stage.documents:9}"
            f"  {stage.skipped_documents:7}  {stage.skipped:6.1%}  {stage.seconds:8.3f}"
            for stage in self.stages
        ]
        return "\n".join([*rows, f"{self.queries} queries, {self.incomplete} cut short by a deadline"])


def work(rankings: Iterable[Ranking]) -> Work:
    """Return what the stages did for these rankings of one cascade; empty ones are not counted.

    Raises:
        InputError: a ranking that is not of a cascade, or one of a cascade with other stages.

    """
    counted = [ranking for ranking in rankings if len(ranking) or ranking.details]
    for ranking in counted:
        if "stages" not in ranking.details:
            raise InputError(f"work: expected rankings of a Cascade, got {ranking!r} without details['stages']")
    records = [ranking.details["stages"] for ranking in counted]
    names = [[record["name"] for record in stages] for stages in records]
    if any(other != names[0] for other in names[1:]):
        raise InputError("work: expected rankings of one cascade, got some with other stages")
    stages = tuple(
        StageWork(
            column[0]["name"],
            sum(record["ran"] for record in column),
            sum(not record["ran"] for record in column),
            sum(record["documents"] for record in column),
            sum(record["candidates"] - record["documents"] for record in column),
            sum(record["seconds"] for record in column),
        )
        for column in zip(*records, strict=True)
    )
    return Work(stages, len(counted), sum(not ranking.details["complete"] for ranking in counted))
