"""Stages: what a cascade is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rank_plugins import rerankers as registry
from rank_plugins._checks import whole_number
from rank_plugins._registry import check_options
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.pipelines.cuts import Cut, rule_of
from rank_plugins.pipelines.gates import Query, When, gate
from rank_plugins.rerankers.fusion import FIRST_STAGE
from rank_plugins.rerankers.parts import Part, part, part_name
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Reranker


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a cascade; `stage` makes it and says what the fields mean."""

    reranker: Part
    keep: int | Cut | None
    when: Callable[[Query, Ranking], bool] | None
    name: str

    def __repr__(self) -> str:
        shown = "" if self.keep is None else f", keep={self.keep!r}"
        shown += "" if self.when is None else f", when={self.when!r}"
        return f"stage({self.name!r}{shown})"


def stage(
    reranker: Part, keep: int | Cut | Mapping[str, Any] | None = None, when: When | None = None, name: str | None = None
) -> Stage:
    """Describe one stage of a cascade.

    Args:
        reranker: a name that `rank_plugins.rerankers.load` takes, a dict of a "name" and that reranker's options, or
            a reranker.
        keep: how many documents, best first, go on to the next stage, or in the last stage come back from the cascade;
            None is all. Or a rule as for CutReranker, which says how many of this stage's ranking; documents with -inf
            are never among them. Where the stage is skipped, the rule sees the ranking so far; a rule that reads scores
            is not asked where there are none, or where a deadline left the stage out.
        when: a gate, its JSON form, or a function (query, ranking of the stage before) -> bool: whether the stage runs
            for a query. None: it always does.
        name: what the stage is called in `details`; None calls it after its reranker.

    Raises:
        InputError: keep < 1, an unknown gate, or a name that is empty or "first_stage".
        InputTypeError: another type.

    """
    if isinstance(keep, Mapping) or callable(keep):
        keep = rule_of(keep)
    elif keep is not None:
        keep = whole_number(keep, "stage: keep", 1)
    if not isinstance(reranker, (str, Mapping, Reranker)):
        raise InputTypeError(f"stage: expected a name, a dict or a Reranker, got {type(reranker).__name__}")
    if isinstance(reranker, Mapping) and "name" not in reranker:
        raise InputError(f'stage: expected a reranker\'s dict with "name", got {", ".join(map(str, reranker))}')
    if name is not None and not isinstance(name, str):
        raise InputTypeError(f"stage: name: expected a str, got {type(name).__name__}")
    name = part_name(reranker) if name is None else name
    if name in ("", FIRST_STAGE):
        raise InputError(f"stage: name: expected one that is not empty and not {FIRST_STAGE!r}, got {name!r}")
    return Stage(reranker, keep, None if when is None else gate(when, "stage: when"), name)


def stages_of(several: Sequence[Stage | Part | Mapping[str, Any]]) -> tuple[list[Stage], list[Reranker]]:
    """Return the stages with names that differ, and their rerankers.

    Raises:
        InputError: no stage, or what `stage` and the rerankers refuse.
        InputTypeError: another type, or an unknown option.

    """
    if isinstance(several, (str, bytes)) or not isinstance(several, Sequence):
        raise InputTypeError(f"stages: expected a list of stages or rerankers, got {type(several).__name__}")
    if not several:
        raise InputError("stages: expected at least one, got none")
    made = [_stage_of(one, f"stages[{i}]") for i, one in enumerate(several)]
    names: list[str] = []
    for one in made:
        count, name = 1, one.name
        while name in names:
            count += 1
            name = f"{one.name} {count}"
        names.append(name)
    named = [dataclasses.replace(one, name=name) for one, name in zip(made, names, strict=True)]
    return named, [part(one.reranker, f"stages[{i}]") for i, one in enumerate(named)]


def _stage_of(one: Stage | Part | Mapping[str, Any], where: str) -> Stage:
    if isinstance(one, Stage):
        return one
    if not isinstance(one, Mapping) or "reranker" not in one:
        return stage(one)
    if one.get("name") in registry.names():  # else {"name": "rank-calibrated", "reranker": ...} would not calibrate
        raise InputError(
            f'{where}: expected a stage\'s name beside "reranker", got that of the reranker {one["name"]!r};'
            ' for that reranker as a stage write {"reranker": {"name": ...}}'
        )
    check_options(stage, where, one)
    return stage(**one)
