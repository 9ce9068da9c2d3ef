"""What users pass as runs and judgments, as Run, Qrels or dicts: the one door of fusion and evaluation."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rank_plugins.errors import InputTypeError
from rank_plugins.runs import hosts, records, tables
from rank_plugins.runs.files import read
from rank_plugins.runs.run import Qrels, Run

EXPECTED = (
    "a dict of dicts or lists, rows (query, document, number), three arrays, a data frame (pandas, polars, Arrow), a"
    " Run or Qrels (also of ranx), an iterable of ir_measures, {query: results of a reranker}, or the path of a file"
)


def as_run(x: Any, *, name: str | None = None, duplicates: str = "error") -> Run | dict[Any, dict[Any, float]]:
    """Return a run as a Run; a dict of dicts {query: {document: score}} is returned as it is.

    Args:
        x: a Run, or
            - {query: {document: score}}, {query: [document, ...]} or {query: [(document, score), ...]}, best first;
            - {query: results} of rerankers (RankedResults), LangChain (Documents), LlamaIndex (NodeWithScore), or
              (Ranking, ids) of this package;
            - rows (query, document, score): tuples, dicts, ScoredDoc of ir_measures and the like;
            - three columns [T], as a tuple of arrays or lists: queries, documents, scores;
            - pandas, polars, pyarrow, DuckDB, any other with `__arrow_c_stream__` or `__dataframe__`, or a structured
              array; columns query_id (qid, q_id, query), doc_id (document_id, docno, docid, pid) and score (sim), or
              rank where there are no scores;
            - a Run of ranx;
            - the path of a file, see `rank_plugins.runs.read`.
        name: what to call the run, instead of the name that it has.
        duplicates: a document twice in a query is an "error", or the "first" or "max" (best) row is kept.

    Raises:
        InputTypeError: something else, ids of several types, scores that are no numbers.
        InputError: a file that cannot be read, a column that is missing, NaN, a document twice in a query.

    """
    run: Run | dict[Any, dict[Any, float]] = _converted(x, "run", name, duplicates)
    if isinstance(run, Run) and name is not None and run.name != name:
        run = copy.copy(run)
        run.name = name
    return run


def as_qrels(x: Any) -> Qrels | dict[Any, dict[Any, float]]:
    """Return judgments as Qrels; a dict of dicts {query: {document: grade}} is returned as it is.

    Takes what `as_run` takes, with grades (relevance, rel, grade, label, score) for scores, and {query: documents}, a
    set or list of those that are relevant. Grades may be any numbers.

    Raises:
        InputTypeError: something else, ids of several types, grades that are no numbers.
        InputError: a file that cannot be read, a column that is missing, NaN, a document twice in a query.

    """
    qrels: Qrels | dict[Any, dict[Any, float]] = _converted(x, "qrels", None, "error")
    return qrels


def _converted(x: Any, kind: str, name: str | None, duplicates: str) -> Any:
    if isinstance(x, (Run, Qrels)):
        if isinstance(x, Run) != (kind == "run"):
            raise InputTypeError(f"{kind}: expected {kind}, got a {type(x).__name__}; are the arguments swapped?")
        return x
    if isinstance(x, (str, Path)):
        return read(x, kind, duplicates=duplicates)
    if isinstance(x, Mapping):
        if isinstance(x, dict) and all(isinstance(row, dict) for row in x.values()):
            return x
        return records.from_mapping(hosts.mapped(x) if kind == "run" else x, kind, name=name, duplicates=duplicates)
    if tables.is_table(x):
        return tables.from_table(x, kind, kind, name=name, duplicates=duplicates)
    table = hosts.table_of(x)
    if table is not None:
        return records.from_mapping(table, kind, name=name or getattr(x, "name", None))
    if _is_columns(x):
        return tables.from_columns(x, kind, kind, name=name, duplicates=duplicates)
    if isinstance(x, bytes) or not isinstance(x, Iterable) or hasattr(x, "results"):
        raise InputTypeError(f"{kind}: expected {EXPECTED}; got {type(x).__name__}")
    return records.from_rows(x, kind, kind, name=name, duplicates=duplicates)


def _is_columns(x: object) -> bool:
    """Return whether `x` is three columns, not rows: a tuple of what is no tuple, or a list of arrays."""
    if not isinstance(x, (tuple, list)) or len(x) != 3:
        return False
    if isinstance(x, list):
        return all(isinstance(part, np.ndarray) for part in x)
    return not any(isinstance(part, (tuple, str, bytes, Mapping)) for part in x) and all(map(_sized, x))


def _sized(part: object) -> bool:
    return hasattr(part, "__len__") or hasattr(part, "__array__")
