"""TREC runs and qrels as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rank_plugins.errors import InputError
from rank_plugins.runs.run import Qrels, Run

TAG = "rank-plugins"
OTHER = "write JSON Lines instead (.jsonl)"


def trec_lines(table: Run | Qrels, what: str) -> bytes:
    """Return the lines of a TREC run, best first (equal scores keep their order), or of TREC qrels.

    Numbers are written so that they are read back equal. A run's tag is its name, with "_" for spaces.

    Raises:
        InputError: an id that a TREC file cannot hold.

    """
    queries = [_word(query, what) for query in table.queries]
    documents = [_word(document, what) for document in table.documents.tolist()]
    for query in queries:
        if not query.strip("#"):
            raise InputError(
                f"{what}: expected no query id of nothing but '#', as in a comment, got {query!r}; {OTHER}"
            )
    if isinstance(table, Run):
        return "".join(_run_lines(table, queries, documents)).encode()
    return "".join(_qrels_lines(table, queries, documents, what)).encode()


def _run_lines(run: Run, queries: list[str], documents: list[str]) -> Iterator[str]:
    tag = "_".join((run.name or "").split()) or TAG
    counts = np.diff(run.offsets)
    order = np.lexsort((-run.scores, np.repeat(np.arange(len(run)), counts))).tolist()
    scores, offsets = run.scores.tolist(), run.offsets.tolist()
    for query, start, end in zip(queries, offsets, offsets[1:], strict=False):
        for rank, i in enumerate(order[start:end], 1):
            yield f"{query} Q0 {documents[i]} {rank} {scores[i]!r} {tag}\n"


def _qrels_lines(qrels: Qrels, queries: list[str], documents: list[str], what: str) -> Iterator[str]:
    grades = [int(grade) if grade.is_integer() else grade for grade in qrels.grades.tolist()]
    subtopics = ["0"] * len(grades)
    if qrels.subtopics is not None:
        subtopics = [_word(subtopic, what) for subtopic in qrels.subtopics.tolist()]
    offsets = qrels.offsets.tolist()
    for query, start, end in zip(queries, offsets, offsets[1:], strict=False):
        for i in range(start, end):
            yield f"{query} {subtopics[i]} {documents[i]} {grades[i]!r}\n"


def _word(name: Any, what: str) -> str:
    """Return an id as text that every reader of TREC files takes for one word."""
    try:
        text = name.decode() if isinstance(name, bytes) else str(name)
        text.encode()
    except UnicodeError:
        text = ""
    if text.split() != [text] or "\0" in text or text.startswith("\ufeff"):
        raise InputError(
            f"{what}: expected ids that are text without spaces, as TREC files separate columns by spaces, got"
            f" {name!r}; {OTHER}"
        )
    return text
