"""Queries and documents of test collections in files: BEIR, MS MARCO and TREC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rank_plugins.errors import InputError
from rank_plugins.runs.build import DOCUMENT, QUERY, column
from rank_plugins.runs.packed import opened, suffixes

TOPIC = re.compile(r"<(top|topic)\b([^>]*)>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
NUMBER = re.compile(r"<num>\s*(?:Number:)?\s*([^\s<]+)|\bnumber\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
LABEL = re.compile(r"^\s*(?:Topic|Title|Description|Narrative)\s*:", re.IGNORECASE)
FIELDS = {
    "title": ("title", "query"),
    "desc": ("desc", "description", "question"),
    "narr": ("narr", "narrative"),
}


def read_queries(path: str | Path, *, field: str = "title") -> dict[str, str]:
    """Read queries as {id: text}.

    Formats: .jsonl (BEIR and others: _id, id or query_id, and text, query or title), .tsv (id, tab, text: MS MARCO),
    and any other for TREC topics, <top> with <num>, <title>, <desc> and <narr>, or <topic number="1"> with <query>,
    <question> and <narrative>. Behind it .gz, .bz2 or .zst.

    Args:
        path: the file.
        field: of TREC topics: "title", "desc" or "narr".

    Raises:
        InputError: a file that cannot be read, a line that is none of the format, an id twice.

    """
    path = Path(path)
    suffix = suffixes(path)[0]
    if suffix in (".jsonl", ".json"):
        rows = _json_rows(path, ("_id", "id", *QUERY[:3]), ("text", "query", "title"))
        return _once(path, ((number, name, text) for number, name, text, _ in rows))
    if suffix == ".tsv":
        return _once(path, ((number, columns[0], columns[1]) for number, columns in _tsv_rows(path, (2,))))
    if field not in FIELDS:
        raise InputError(f"field: expected one of {', '.join(FIELDS)}, got {field!r}")
    return _once(path, _topics(path, field))


def read_corpus(path: str | Path) -> dict[str, dict[str, str]]:
    """Read documents as {id: {"title": ..., "text": ...}}; a title that is not there is empty.

    Formats: .jsonl (BEIR, MS MARCO v2: _id, id, docid, pid ... and text, body, passage or contents), and .tsv (MS
    MARCO: passages of id and text, documents of id, URL, title and text). Behind it .gz, .bz2 or .zst.

    Raises:
        InputError: a file that cannot be read, a line that is none of the format, an id twice.

    """
    path = Path(path)
    suffix = suffixes(path)[0]
    if suffix == ".jsonl":
        rows = _json_rows(path, ("_id", "id", *DOCUMENT), ("text", "body", "passage", "contents"))
        return _once(path, ((number, name, {"title": title, "text": text}) for number, name, text, title in rows))
    if suffix == ".tsv":
        lines = _tsv_rows(path, (2, 4))
        return _once(
            path,
            (
                (number, columns[0], {"title": columns[2] if len(columns) == 4 else "", "text": columns[-1]})
                for number, columns in lines
            ),
        )
    raise InputError(f"{path}: expected documents in a file named *.jsonl or *.tsv (or these with .gz)")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, without their ends, with their numbers."""
    number = 0
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(f"{path}, line {number}: expected UTF-8, got {error}") from None
            if text.strip():
                yield number, text


def _json_rows(path: Path, ids: tuple[str, ...], texts: tuple[str, ...]) -> Iterator[tuple[int, str, str, str]]:
    """Yield number, id, text and title of each line."""
    import json

    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        found: dict[str, Any] = row if isinstance(row, dict) else {}
        name, text = found.get(column(found, ids)), found.get(column(found, texts))
        title = found.get("title") or ""
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str) or not isinstance(text, str) or not isinstance(title, str):
            raise InputError(
                f"{path}, line {number}: expected an object with an id ({ids[0]}) and text ({', '.join(texts)}), got"
                f" {line[:60]!r}"
            )
        yield number, name, text, title


def _tsv_rows(path: Path, counts: tuple[int, ...]) -> Iterator[tuple[int, list[str]]]:
    for number, line in _lines(path):
        columns = line.split("\t", max(counts) - 1)
        if len(columns) not in counts or not columns[0]:
            expected = " or ".join(map(str, counts))
            raise InputError(f"{path}, line {number}: expected {expected} columns between tabs, got {line[:60]!r}")
        yield number, columns


def _topics(path: Path, field: str) -> Iterator[tuple[int, str, str]]:
    import html

    with opened(path) as file:
        try:
            content = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: expected UTF-8, got {error}") from None
    number = 0
    for topic in TOPIC.finditer(content):
        number = content.count("\n", 0, topic.start()) + 1
        name = NUMBER.search(topic[2] + topic[3])
        text = re.search(rf"<({'|'.join(FIELDS[field])})>(.*?)(?=<[a-z/]|\Z)", topic[3], re.DOTALL | re.IGNORECASE)
        if name is None or text is None:
            raise InputError(
                f"{path}, line {number}: expected a topic with a number and <{field}>, got {topic[0][:60]!r}"
            )
        yield number, name[1] or name[2], " ".join(html.unescape(LABEL.sub("", text[2])).split())
    if not number:
        raise InputError(f"{path}: expected TREC topics (<top> or <topic>), found none; .tsv and .jsonl are known too")


def _once(path: Path, rows: Iterator[tuple[int, str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, name, value in rows:
        if name in found:
            raise InputError(f"{path}, line {number}: expected every id once, got {name!r} again")
        found[name] = value
    return found
