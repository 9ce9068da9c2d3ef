"""Reports as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rank_plugins.evaluation.reports.outline import evaluated, outline
from rank_plugins.evaluation.reports.page import page
from rank_plugins.evaluation.reports.sections import closing_sections, differences_section, lead, scores_section

if TYPE_CHECKING:
    from rank_plugins.evaluation.reports.outline import Result


def html(result: Result, *, title: str | None = None, ci: float = 0.95, more: Iterable[str] = ()) -> str:
    """Return an evaluation, several of them or a comparison as a page that needs no other file.

    `ci` is the level of the bootstrap intervals of the means; `more` are sections to put behind the scores.
    """
    from rank_plugins.evaluation.comparison import Comparison

    evaluations, names = evaluated(result)
    sections = [scores_section(result, evaluations, names, ci)]
    if isinstance(result, Comparison):
        sections.append(differences_section(result))
    sections += [*filter(None, more), *closing_sections(evaluations, names)]
    return page(title or outline(result).title, lead(evaluations, names), sections)
