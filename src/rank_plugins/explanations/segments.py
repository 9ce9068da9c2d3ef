"""A document's text in pieces: which query tokens match there, and how much of the score that is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from rank_plugins.explanations.explanation import Explanation

WHOLE = 320  # tokens of a document that is shown as it is; of longer ones passages are shown
NEARLY = 0.75  # of a text in passages: it is then shown as it is
CONTEXT = 140  # characters of a passage around a match


class Segment(NamedTuple):
    """A piece of a text, document[start:stop]; `rows` are the query tokens whose best match it belongs to."""

    start: int
    stop: int
    rows: tuple[int, ...]
    mass: float
    """What these bring to the score."""


def segments(explanation: Explanation) -> list[Segment]:
    """Return the document's whole text in order, cut where a matched token begins or ends.

    Tokens may overlap: a long document's windows do, and so do the bytes of one character.
    """
    matched = [
        (token.start, token.stop, row)
        for row, match in enumerate(explanation.matches.tolist())
        if match >= 0 and not (token := explanation.document_tokens[match]).special
    ]
    ends = {end for start, stop, _ in matched for end in (start, stop)}
    found = []
    for start, stop in itertools.pairwise(sorted(ends | {0, len(explanation.document)})):
        rows = tuple(row for first, last, row in matched if first <= start and stop <= last)
        found.append(Segment(start, stop, rows, float(explanation.contributions[list(rows)].sum())))
    return found


def own(explanation: Explanation) -> dict[str, tuple[int, ...]]:
    """Return the query tokens that match what the model added to the document, by its spelling."""
    found: dict[str, tuple[int, ...]] = {}
    for row, match in enumerate(explanation.matches.tolist()):
        if match >= 0 and (token := explanation.document_tokens[match]).special:
            found[token.text] = (*found.get(token.text, ()), row)
    return found


def passages(explanation: Explanation, pieces: Iterable[Segment]) -> list[list[Segment]]:
    """Return the segments of a long document near its matches, in runs; all of them where it is not long."""
    pieces = list(pieces)
    if len(explanation.document_tokens) <= WHOLE:
        return [pieces]
    text = explanation.document
    runs: list[list[int]] = []
    for piece in pieces:
        if piece.rows:
            first, last = _word(text, piece.start - CONTEXT, -1), _word(text, piece.stop + CONTEXT, 1)
            if runs and first <= runs[-1][1]:
                runs[-1][1] = max(last, runs[-1][1])
            else:
                runs.append([first, last])
    if sum(last - first for first, last in runs) > NEARLY * len(text):
        return [pieces]
    return [
        [
            piece._replace(start=max(piece.start, first), stop=min(piece.stop, last))
            for piece in pieces
            if piece.start < last and piece.stop > first
        ]
        for first, last in runs
    ] or [[Segment(0, _word(text, 4 * CONTEXT, 1), (), 0.0)]]


def columns(explanation: Explanation, near: int) -> list[list[int]]:
    """Return the document tokens within `near` of one that is matched, in runs."""
    matched = np.unique(explanation.matches[explanation.matches >= 0])
    wanted = np.unique(np.clip(matched[:, None] + np.arange(-near, near + 1), 0, len(explanation.document_tokens) - 1))
    return [run.tolist() for run in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)] if len(wanted) else []


def _word(text: str, place: int, step: int) -> int:
    """Return the end of the word at a place, looking at most 24 characters far; an end of the text if it is outside."""
    place = min(max(place, 0), len(text))
    for _ in range(24):
        if not 0 < place < len(text) or text[place - 1 if step < 0 else place].isspace():
            break
        place += step
    return place
