"""Candidates of a first stage, and queries: TREC runs, lists of ids, files of queries."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

from rank_plugins.cli._corpus import opened, row_id
from rank_plugins.errors import InputError

Candidates = dict[str, "int | None"]  # documents in order, and their ranks if they come from a run


def read_candidates(name: str) -> dict[str | None, Candidates]:
    """Return the candidates of each query of a TREC run; those of a list of ids are of the query None, unranked.

    A run has six columns: query id, Q0, document id, rank, score, tag. A list has an id on each line.

    Raises:
        InputError: nothing there, a line that is not like the first, a document twice.

    """
    found: dict[str | None, list[tuple[int | None, str, int]]] = {}
    is_run = None
    for number, line in _lines(name):
        columns = line.split()
        looks_so = len(columns) == 6 and columns[3].lstrip("-").isdecimal()
        is_run = looks_so if is_run is None else is_run
        if is_run and not looks_so:
            raise InputError(
                f"{name}, line {number}: expected the six columns of a TREC run (query id, Q0, document id, rank,"
                f" score, tag) as on the lines before, got {line[:60]!r}"
            )
        query, document, rank = (columns[0], columns[2], int(columns[3])) if is_run else (None, line, None)
        found.setdefault(query, []).append((rank, document, number))
    if not found:
        raise InputError(f"{name}: expected candidates, a TREC run or an id on each line; got nothing")
    return {query: _ordered(name, rows) for query, rows in found.items()}


def read_queries(name: str) -> dict[str, str]:
    """Return the queries of a file by id: JSON Lines with _id (or id) and text, or lines of id, tab, text.

    Raises:
        InputError: another kind of file, a line that is not such, an id twice.

    """
    suffix = Path(name.removesuffix(".gz")).suffix.lower()
    if suffix not in (".jsonl", ".tsv"):
        raise InputError(f"{name}: expected queries in a file named *.jsonl or *.tsv (or these with .gz)")
    queries: dict[str, str] = {}
    for number, line in _lines(name):
        query, text = _json_query(line) if suffix == ".jsonl" else _tsv_query(line)
        if query is None or not isinstance(text, str) or query in queries:
            raise InputError(f"{name}, line {number}: expected an id not there before and a text, got {line[:60]!r}")
        queries[query] = text
    return queries


def _ordered(name: str, rows: list[tuple[int | None, str, int]]) -> Candidates:
    ordered: Candidates = {}
    for rank, document, number in sorted(rows, key=lambda row: row[0] or 0):
        if document in ordered:
            raise InputError(f"{name}, line {number}: {document!r} is there twice for one query; remove one")
        ordered[document] = rank
    return ordered


def _lines(name: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, stripped, with their numbers."""
    try:
        with opened(name) as file:
            for number, line in enumerate(io.TextIOWrapper(file, "utf-8-sig"), 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read: {error}") from error


def _json_query(line: str) -> tuple[str | None, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, None
    return (row_id(row), row.get("text")) if isinstance(row, dict) else (None, None)


def _tsv_query(line: str) -> tuple[str | None, object]:
    query, tab, text = line.partition("\t")
    return (query, text) if tab and query else (None, None)
