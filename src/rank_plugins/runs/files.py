"""Runs and qrels in files: TREC, MS MARCO, BEIR, JSON, JSON Lines and Parquet, plain or packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, overload

from rank_plugins._extras import require
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs import records, trec
from rank_plugins.runs.build import check_kind, kind_of
from rank_plugins.runs.packed import read_array, read_bytes, suffixes, write_bytes
from rank_plugins.runs.run import Qrels, Run
from rank_plugins.runs.trec_writer import trec_lines


@overload
def read(path: str | Path, kind: Literal["run"], *, duplicates: str = "error") -> Run: ...
@overload
def read(path: str | Path, kind: Literal["qrels"], *, duplicates: str = "error") -> Qrels: ...
@overload
def read(path: str | Path, kind: str | None = None, *, duplicates: str = "error") -> Run | Qrels: ...
def read(path: str | Path, kind: str | None = None, *, duplicates: str = "error") -> Run | Qrels:
    """Read a run or qrels.

    Formats by suffix: .json (a dict of dicts, of lists, or a list of rows), .jsonl (a row on each line), .parquet, and
    any other for text: TREC runs and qrels, MS MARCO's run (query, document, rank) and qrels, and tables with a header
    such as BEIR's qrels. Behind it .gz, .bz2 or .zst. A run's name is its tag, or else the file's name.

    Args:
        path: the file.
        kind: "run" or "qrels"; None: the columns tell. Where they do not (three columns, JSON of whole numbers), a
            file that has "qrel" in its name is qrels.
        duplicates: a document twice in a query of a run is an "error", or the "first" or "max" (best) row is kept.

    Raises:
        InputError: a file that cannot be read; the message says the line, what was expected and what is there.
        MissingExtraError: Parquet or .zst, and what reads it is not installed.

    """
    check_kind(kind)
    path = Path(path)
    suffix, packing = suffixes(path)
    name = (path.with_suffix("") if packing else path).stem
    reader = READERS.get(suffix)
    if reader is None:
        return trec.read_table(read_array(path), str(path), kind, name=name, duplicates=duplicates)
    return reader(read_bytes(path), str(path), kind, name=name, duplicates=duplicates)


def write(table: Run | Qrels, path: str | Path) -> None:
    """Write a run or qrels, whole or not at all; what `read` then returns is equal to it.

    Formats by suffix: .json, .jsonl, .parquet, and any other for TREC (run: best first; its name, or "rank-plugins",
    for a tag); behind it .gz, .bz2 or .zst. In TREC files and JSON ids that are whole numbers become text.

    Raises:
        InputTypeError: neither Run nor Qrels.
        InputError: ids that the format cannot hold, such as ids with spaces in TREC files.
        MissingExtraError: Parquet or .zst, and what writes it is not installed.
        OSError: the file cannot be written.

    """
    if not isinstance(table, (Run, Qrels)):
        raise InputTypeError(
            f"write: expected a Run or Qrels, got {type(table).__name__}; Run.from_dict makes one of a dict of dicts"
        )
    path = Path(path)
    writer = WRITERS.get(suffixes(path)[0])
    write_bytes(path, writer(table) if writer else trec_lines(table, str(path)))


def _read_parquet(data: bytes, what: str, kind: str | None, *, name: str, duplicates: str) -> Run | Qrels:
    from rank_plugins.runs.arrow import from_arrow

    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        table = parquet.read_table(arrow.BufferReader(data))
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{what}: expected a Parquet file, got one that cannot be read: {error}") from error
    known = kind or kind_of(table.column_names)
    if known is None:
        raise InputError(
            f'{what}: expected columns of a run or of qrels, or kind="run" or "qrels", got {table.column_names}'
        )
    return from_arrow(table, known, what, name=name, duplicates=duplicates)


def _parquet(table: Run | Qrels) -> bytes:
    import numpy as np

    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    places = np.repeat(np.arange(len(table)), np.diff(table.offsets))

    def ids(values: list[Any]) -> Any:
        return arrow.array(values, None if values else arrow.string())

    sink = arrow.BufferOutputStream()
    try:
        columns = {"query_id": ids(table.queries).take(arrow.array(places)), "doc_id": ids(table.documents.tolist())}
        if isinstance(table, Run):
            columns["score"] = table.scores
        else:
            columns["relevance"] = table.grades
            if table.subtopics is not None:
                columns["subtopic_id"] = ids(table.subtopics.tolist())
        parquet.write_table(arrow.table(columns), sink)
    except (arrow.ArrowException, UnicodeError) as error:
        raise InputError(f"Parquet: expected ids that it can hold, got others: {error}") from error
    return bytes(sink.getvalue())


READERS: Mapping[str, Callable[..., Run | Qrels]] = {
    ".json": records.read_json,
    ".jsonl": records.read_json_lines,
    ".parquet": _read_parquet,
}
WRITERS: Mapping[str, Callable[[Run | Qrels], bytes]] = {
    ".json": records.json_text,
    ".jsonl": records.json_lines,
    ".parquet": _parquet,
}
