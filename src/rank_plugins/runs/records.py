"""Rows as Python objects (tuples, dicts, named tuples), and JSON and JSON Lines, which hold such rows or dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs.build import build, ids_of, kind_of, numbers_of, pick
from rank_plugins.runs.run import Qrels, Run

FIELDS = ("_fields", "__dataclass_fields__", "__slots__", "__dict__")
"""What tells the names of an object's fields: named tuples, data classes, others."""
EXPECTED = {
    "run": "rows (query, document, score)",
    "qrels": "rows (query, document, grade)",
}


def from_rows(
    rows: Iterable[Any], kind: str, what: str, *, name: str | None = None, duplicates: str = "error"
) -> Run | Qrels:
    """Build a run or qrels of rows: (query, document, number), dicts, or objects with such fields, in any order.

    The fields of dicts and named tuples are found by name, see `build.pick`; all rows have those of the first.

    Raises:
        InputTypeError: rows of another shape, ids of several types, numbers that are none.
        InputError: NaN, or a document twice in a query.

    """
    rows = list(rows)
    names = _names(rows[0]) if rows else None
    if names is None:
        columns = _positional(rows, kind, what)
        ranked, subtopics = False, None
    else:
        picked = pick(names, kind, what)
        ranked = picked.value is None
        wanted = [picked.query, picked.document, picked.value or picked.rank]
        columns = [_field(rows, str(key), what) for key in wanted]
        subtopics = _field(rows, picked.subtopic, what) if picked.subtopic else None
    return build(
        kind,
        ids_of(columns[0], f"{what}: query ids"),
        ids_of(columns[1], f"{what}: document ids"),
        numbers_of(columns[2], f"{what}: {'grades' if kind == 'qrels' else 'scores'}"),
        name=name,
        duplicates=duplicates,
        subtopics=None if subtopics is None else ids_of(subtopics, f"{what}: subtopics"),
        ranked=ranked,
    )


def from_mapping(
    table: Mapping[Any, Any], kind: str, *, name: str | None = None, duplicates: str = "error"
) -> Run | Qrels:
    """Build a run of {query: {document: score}}, or lists of documents or pairs, best first; or qrels likewise.

    Of qrels, {query: documents} makes each of these documents relevant, with grade 1.

    Raises:
        InputTypeError: another structure, numbers that are none, or ids of several types.
        InputError: NaN, or a document twice in a query.

    """
    rows = {query: row.tolist() if isinstance(row, np.ndarray) else row for query, row in table.items()}
    collections = (Mapping, Sequence) if kind == "run" else (Mapping, Sequence, Set)
    for query, row in rows.items():
        if isinstance(row, (str, bytes)) or not isinstance(row, collections):
            raise InputTypeError(
                f"{kind}: expected a dict {{document: {'score' if kind == 'run' else 'grade'}}} or the"
                f" {'ranked' if kind == 'run' else 'relevant'} documents of query {query!r}, got {type(row).__name__}"
            )
    if kind == "run" and duplicates != "error":
        rows = {query: row if isinstance(row, Mapping) else _unique(row, duplicates) for query, row in rows.items()}
    if kind == "run":
        return Run.from_dict(rows, name=name)
    graded = {query: row if isinstance(row, Mapping) else _graded(query, list(row)) for query, row in rows.items()}
    qrels: Qrels = Qrels.from_dict(graded, name=name)
    return qrels


def read_json(data: bytes, what: str, kind: str | None, *, name: str, duplicates: str) -> Run | Qrels:
    """Read JSON: a dict of dicts, a dict of lists, or a list of rows.

    Raises:
        InputError: not JSON, another structure, or one that may be a run as well as qrels and `kind` does not say.

    """
    table = _parsed(data, what)
    kind = kind or ("qrels" if "qrel" in name.lower() else _kind_of_json(table, what))
    try:
        if isinstance(table, dict):
            return from_mapping(table, kind, name=name, duplicates=duplicates)
        if isinstance(table, list):
            return from_rows(table, kind, what, name=name, duplicates=duplicates)
    except (InputError, InputTypeError) as error:
        raise InputError(f"{what}: {error}") from error
    raise InputError(f"{what}: expected a dict or a list of rows, got {type(table).__name__}")


def read_json_lines(data: bytes, what: str, kind: str | None, *, name: str, duplicates: str) -> Run | Qrels:
    """Read JSON Lines: a row on each, such as {"query_id": "1", "doc_id": "d", "score": 0.5}.

    Raises:
        InputError: a line that is no such row, NaN, a document twice in a query, or nothing tells run from qrels.

    """
    rows: list[dict[str, Any]] = []
    first = 0
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            row = _parsed(line, f"{what}, line {number}")
            if not isinstance(row, dict):
                raise InputError(f"{what}, line {number}: expected an object, got {type(row).__name__}")
            if rows and row.keys() != rows[0].keys():
                raise InputError(
                    f"{what}, line {number}: expected the fields of line {first}, {', '.join(rows[0])}, got"
                    f" {', '.join(row)}"
                )
            first = first or number
            rows.append(row)
    known = kind or (kind_of(list(rows[0])) if rows else None)
    if known is None:
        raise InputError(f'{what}: expected rows with scores or grades, or kind="run" or "qrels", got neither')
    try:
        return from_rows(rows, known, what, name=name, duplicates=duplicates)
    except InputTypeError as error:
        raise InputError(str(error)) from error


def json_text(table: Run | Qrels) -> bytes:
    """Return a run or qrels as JSON, {query: {document: number}}; ids that are whole numbers become text.

    Raises:
        InputError: ids that are bytes.

    """
    import json

    _check_json_ids(table)
    if isinstance(table, Qrels) and table.subtopics is not None:
        raise InputError("JSON holds a grade for each document and query, got subtopics; write JSON Lines (.jsonl)")
    return json.dumps(table.to_dict()).encode()


def json_lines(table: Run | Qrels) -> bytes:
    """Return a run or qrels as JSON Lines, with the fields query_id, doc_id and score, or relevance and subtopic_id.

    Raises:
        InputError: ids that are bytes.

    """
    import json

    _check_json_ids(table)
    queries = np.repeat(np.arange(len(table)), np.diff(table.offsets)).tolist()
    documents = table.documents.tolist()
    if isinstance(table, Run):
        rows = [
            {"query_id": table.queries[query], "doc_id": document, "score": score}
            for query, document, score in zip(queries, documents, table.scores.tolist(), strict=True)
        ]
    else:
        grades = [int(grade) if grade.is_integer() else grade for grade in table.grades.tolist()]
        rows = [
            {"query_id": table.queries[query], "doc_id": document, "relevance": grade}
            for query, document, grade in zip(queries, documents, grades, strict=True)
        ]
        if table.subtopics is not None:
            for row, subtopic in zip(rows, table.subtopics.tolist(), strict=True):
                row["subtopic_id"] = subtopic
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _unique(row: Sequence[Any], duplicates: str) -> list[Any]:
    """Return a list of ids or of pairs with one of each document: the first, or the one with the highest score."""
    if duplicates not in ("first", "max"):
        raise InputError(f'duplicates: expected "error", "first" or "max", got {duplicates!r}')
    best: dict[Any, Any] = {}
    for item in row:
        document = item[0] if isinstance(item, (tuple, list)) and len(item) == 2 else item
        other = best.setdefault(document, item)
        if duplicates == "max" and document is not item and item[1] > other[1]:
            best[document] = item
    return list(best.values())


def _graded(query: Any, row: list[Any]) -> dict[Any, Any]:
    """Return the relevant documents of a query, or pairs (document, grade), as a dict."""
    pairs = bool(row) and all(isinstance(item, (tuple, list)) and len(item) == 2 for item in row)
    try:
        graded = dict(row) if pairs else dict.fromkeys(row, 1)
    except TypeError:
        raise InputTypeError(f"qrels: expected ids of documents or pairs (id, grade) for query {query!r}") from None
    if len(graded) != len(row):
        raise InputError(f"qrels: expected every document once in a query, got one again for query {query!r}")
    return graded


def _names(row: Any) -> list[str] | None:
    """Return the names of a row's fields; None for a plain tuple or list."""
    if isinstance(row, Mapping):
        return list(row)
    fields = next((getattr(row, name) for name in FIELDS if hasattr(row, name)), None)
    return list(fields) if fields else None


def _field(rows: list[Any], name: str, what: str) -> list[Any]:
    try:
        return [row[name] if isinstance(row, Mapping) else getattr(row, name) for row in rows]
    except (KeyError, AttributeError):
        bad = next(i for i, row in enumerate(rows) if name not in (row if isinstance(row, Mapping) else dir(row)))
        raise InputTypeError(
            f"{what}: expected {name!r} in every row, as in the first, got none in row {bad}"
        ) from None


def _positional(rows: list[Any], kind: str, what: str) -> list[list[Any]]:
    for i, row in enumerate(rows):
        if not isinstance(row, (tuple, list)) or len(row) != 3:
            got = f"{len(row)} fields" if isinstance(row, (tuple, list)) else type(row).__name__
            raise InputTypeError(f"{what}: expected {EXPECTED[kind]}, got {got} in row {i}: {str(row)[:60]}")
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]


def _parsed(data: bytes, where: str) -> Any:
    import json

    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON
        raise InputError(f"{where}: expected JSON, got {data[:60].decode(errors='replace')!r}: {error}") from error


def _kind_of_json(table: Any, what: str) -> str:
    if isinstance(table, list) and table and isinstance(table[0], dict) and kind_of(list(table[0])):
        return str(kind_of(list(table[0])))
    rows = list(table.values()) if isinstance(table, dict) else []
    if any(isinstance(row, list) for row in rows):
        return "run"
    if any(isinstance(number, float) for row in rows if isinstance(row, dict) for number in row.values()):
        return "run"
    raise InputError(f'{what}: whole numbers may be scores as well as grades; say kind="run" or kind="qrels"')


def _check_json_ids(table: Run | Qrels) -> None:
    if table.documents.kind == "bytes" or any(isinstance(query, bytes) for query in table.queries):
        raise InputError("JSON holds ids that are text or whole numbers, got bytes; decode them, or write Parquet")
