"""Corpora: documents of JSON Lines, CSV and Parquet files, one after another."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from rank_plugins._extras import require
from rank_plugins.errors import InputError
from rank_plugins.store.ids import checked_ids

STDIN = "-"
LONGEST_FIELD = 1 << 28  # characters of a CSV field, where Python's own limit is 131072
LINES_KEPT, LINES_SHOWN = 1000, 10  # numbers of lines for each reason
ROWS_AT_ONCE = 1024  # of a Parquet file

BAD_ID = "the id is no text that a store can keep"
BAD_JSON = "not a JSON object"
BAD_ROW = "not a row of CSV"
BAD_TEXT = "no text"
BAD_UNICODE = "not UTF-8"
NO_ID = "no id"
REPEATED = "an id that was there before"

# A row is its number in the file, counted from 1, and its fields or the reason why it has none.
Row = tuple[int, "Mapping[str, Any] | str"]


class Document(NamedTuple):
    """A document that can be stored."""

    number: int
    id: str
    text: str


class Remarks:
    """Counts lines by what is to be said of them, with the numbers of the first."""

    def __init__(self, unit: str) -> None:
        """Take what a number counts: lines or rows."""
        self._unit = unit
        self._lines: dict[str, list[int]] = {}
        self._counts: dict[str, int] = {}

    def add(self, reason: str, number: int) -> None:
        """Count a line."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        lines = self._lines.setdefault(reason, [])
        if len(lines) < LINES_KEPT:
            lines.append(number)

    def as_json(self) -> list[dict[str, Any]]:
        """Return each reason, how many lines it has, and the numbers of the first."""
        return [
            {"reason": reason, "count": count, f"{self._unit}s": self._lines[reason]}
            for reason, count in self._counts.items()
        ]

    def __str__(self) -> str:
        parts = []
        for reason, lines in self._lines.items():
            more = ", ..." if self._counts[reason] > LINES_SHOWN else ""
            parts.append(f"{reason}: {self._unit} {', '.join(map(str, lines[:LINES_SHOWN]))}{more}")
        total = sum(self._counts.values())
        return f"{total} ({'; '.join(parts)})" if total else "0"


class Corpus:
    """A file of documents, read from its beginning each time; only the ids are all in memory."""

    def __init__(self, name: str) -> None:
        """Choose the format by the name; "-" is JSON Lines on standard input, which can be read only once.

        Raises:
            InputError: no such file, or an unknown format.
            MissingExtraError: Parquet, and pyarrow is not installed.

        """
        self.name = name
        self.once = name == STDIN
        stem = name.removesuffix(".gz")
        suffix = ".jsonl" if self.once else Path(stem).suffix.lower()
        self.unit = "row" if suffix == ".parquet" else "line"  # what a number counts
        self._rows = FORMATS.get(suffix)
        if self._rows is None or (suffix == ".parquet" and stem != name):
            raise InputError(
                f"{name}: expected a corpus named *.jsonl or *.csv (or these with .gz) or *.parquet, got"
                f" {suffix or 'no such ending'!r}"
            )
        if not self.once and not Path(name).is_file():
            raise InputError(f"{name}: expected a file, found none")
        if suffix == ".parquet":
            require("pyarrow")

    def documents(self, skipped: Remarks) -> Iterator[Document]:
        """Yield the documents; what cannot be used goes to `skipped`, and of equal ids the first one counts.

        Raises:
            InputError: the file cannot be read, or has no columns for ids and texts.

        """
        seen: set[str] = set()
        for number, row in self.rows():
            document = row if isinstance(row, str) else _document(number, row)
            if not isinstance(document, str) and document.id in seen:
                document = REPEATED
            if isinstance(document, str):
                skipped.add(document, number)
            else:
                seen.add(document.id)
                yield document

    def rows(self) -> Iterator[Row]:
        """Yield the rows as they are.

        Raises:
            InputError: the file cannot be read, or has no columns for ids and texts.

        """
        number = 0
        try:
            with opened(self.name) as file:
                for number, row in self._rows(self.name, file):  # type: ignore[misc]
                    yield number, row
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{self.name}: cannot be read after {self.unit} {number}: {error}") from error


def opened(name: str) -> AbstractContextManager[IO[bytes]]:
    """Open a file, unpacked where its name ends in .gz; "-" is standard input, which stays open."""
    if name == STDIN:
        return contextlib.nullcontext(sys.stdin.buffer)
    file = gzip.open(name) if name.endswith(".gz") else Path(name).open("rb")  # noqa: SIM115 - the caller closes it
    return cast("IO[bytes]", file)


def _json_rows(_: str, file: IO[bytes]) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        if not line.isspace():
            yield number, _json_row(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)


def _json_row(line: bytes) -> Mapping[str, Any] | str:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError:
        return BAD_UNICODE
    except (ValueError, RecursionError):
        return BAD_JSON
    return row if isinstance(row, dict) else BAD_JSON


def _csv_rows(name: str, file: IO[bytes]) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_FIELD)
    lines = csv.reader(io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline=""))
    header = [column.strip() for column in next(lines, [])]
    _check_columns(name, header)
    while True:
        number = lines.line_num + 1
        try:
            fields = next(lines)
        except StopIteration:
            return
        except csv.Error:
            yield number, BAD_ROW
            continue
        if any("\udc80" <= sign <= "\udcff" for field in fields if not field.isascii() for sign in field):
            yield number, BAD_UNICODE
        elif fields:
            yield number, dict(zip(header, fields, strict=False)) if len(fields) <= len(header) else BAD_ROW


def _parquet_rows(name: str, file: IO[bytes]) -> Iterator[Row]:
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        table = parquet.ParquetFile(file)
        _check_columns(name, table.schema_arrow.names)
        columns = [column for column in ("_id", "id", "title", "text") if column in table.schema_arrow.names]
        number = 0
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except arrow.ArrowException as error:
        raise InputError(f"{name}: expected a Parquet file, got one that cannot be read: {error}") from error


FORMATS: Mapping[str, Callable[[str, IO[bytes]], Iterator[Row]]] = {
    ".jsonl": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def _check_columns(name: str, columns: list[str]) -> None:
    if "text" not in columns or not {"_id", "id"} & set(columns):
        raise InputError(f"{name}: expected columns id (or _id) and text, got {', '.join(columns) or 'none'}")


def _document(number: int, row: Mapping[str, Any]) -> Document | str:
    """Return the document of a row, or why there is none."""
    name = row_id(row)
    if name is None:
        return NO_ID
    try:
        checked_ids([name])
    except InputError:
        return BAD_ID
    title, text = row.get("title"), row.get("text")
    if not isinstance(text, str) or not isinstance(title, (str, type(None))):
        return BAD_TEXT
    return Document(number, name, f"{title or ''} {text}".strip())


def row_id(row: Mapping[str, Any]) -> str | None:
    """Return the id of a row as text, or None if it has none; a whole number is one too."""
    name = row.get("id") if row.get("_id") is None else row["_id"]
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    return name if isinstance(name, str) and name else None
