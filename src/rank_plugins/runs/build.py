"""From rows to a Run or Qrels: which columns are which, and how they come together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs.ids import Ids
from rank_plugins.runs.run import Qrels, Run

KINDS = ("run", "qrels")

# The names that columns have in the files and frames of this field; earlier ones win ("query" is often the text).
QUERY = ("query_id", "qid", "q_id", "query")
DOCUMENT = ("doc_id", "document_id", "docno", "docid", "pid", "corpus_id")
SCORE = ("score", "sim")
GRADE = ("relevance", "rel", "grade", "label")
VALUE = {"run": SCORE, "qrels": (*GRADE, "score")}
RANK = ("rank",)
BEIR_GRADE = ("corpus_id",)  # in a file of three columns, query-id, corpus-id and score, the score is a grade
SUBTOPIC = ("subtopic", "subtopic_id", "iteration")


class Picked(NamedTuple):
    """The columns that matter, by the names that they have."""

    query: str
    document: str
    value: str | None
    """None: there are only ranks, in `rank`."""
    rank: str | None
    subtopic: str | None


def check_kind(kind: object) -> None:
    """Refuse what is no kind of table.

    Raises:
        InputError: neither "run", "qrels" nor None.

    """
    if kind is not None and kind not in KINDS:
        close = difflib.get_close_matches(str(kind), KINDS, 1)
        raise InputError(
            f'kind: expected "run" or "qrels", got {kind!r}{f"; did you mean {close[0]!r}?" if close else ""}'
        )


def column(names: Iterable[object], wanted: Sequence[str]) -> Any:
    """Return the name that is the first of the wanted ones, whatever its case and hyphens; None if there is none."""
    known: dict[str, object] = {}
    for name in names:
        known.setdefault(str(name).strip().lower().replace("-", "_"), name)
    return next((known[name] for name in wanted if name in known), None)


def pick(names: Sequence[object], kind: str, what: str) -> Picked:
    """Find the columns of a run or of qrels by their names.

    Raises:
        InputError: one is missing; the message lists what is there.

    """
    query, document = column(names, QUERY), column(names, DOCUMENT)
    value = column(names, VALUE[kind])
    rank = column(names, RANK) if kind == "run" else None
    subtopic = column(names, SUBTOPIC) if kind == "qrels" else None
    missing = [
        f"{meaning} ({', '.join(known)})"
        for meaning, known, found in (
            ("query ids", QUERY, query),
            ("document ids", DOCUMENT, document),
            ("scores" if kind == "run" else "grades", VALUE[kind], value or rank),
        )
        if found is None
    ]
    if missing:
        raise InputError(
            f"{what}: expected a column of {' and one of '.join(missing)} for {'a run' if kind == 'run' else kind}, got"
            f" columns {', '.join(map(str, names)) or 'none'}; rename yours"
        )
    return Picked(query, document, value, rank, subtopic)


def kind_of(names: Sequence[object]) -> str | None:
    """Return whether columns with these names are of a run or of qrels; None where it cannot be told."""
    if column(names, GRADE) is not None:
        return "qrels"
    return "run" if column(names, (*SCORE, *RANK)) is not None else None


def build(
    kind: str,
    queries: Any,
    documents: Any,
    values: NDArray[Any],
    *,
    name: str | None = None,
    duplicates: str = "error",
    subtopics: Ids | None = None,
    ranked: bool = False,
) -> Run | Qrels:
    """Build a run or qrels of rows in any order, ids as Ids; where `ranked` is set, `values` are ranks, 1 the best.

    Raises:
        InputError: NaN, or a document twice in a query.

    """
    if kind == "qrels":
        return Qrels.from_arrays(queries, documents, values, name=name, subtopics=_telling(subtopics))
    if not ranked:
        return Run.from_arrays(queries, documents, values, name=name, duplicates=duplicates)
    run = Run.from_arrays(queries, documents, -values, name=name, duplicates=duplicates)
    counts = np.diff(run.offsets)
    order = np.lexsort((-run.scores, np.repeat(np.arange(len(run)), counts)))
    scores = np.repeat(run.offsets[1:], counts) - np.arange(len(order))
    return Run(run.queries, run.offsets, run.documents.take(order), scores, name=name, ranked_only=True)


def ids_of(values: Any, what: str) -> Ids:
    """Return ids of an array or a sequence.

    Raises:
        InputTypeError: ids of several types, or of one that is no id.

    """
    if isinstance(values, Ids):
        return values
    if isinstance(values, np.ndarray):
        return Ids.from_array(values, what)
    return Ids.from_list(list(values), what)


def numbers_of(values: Any, what: str) -> NDArray[Any]:
    """Return numbers of an array or a sequence as an array; those of several Python types as float64.

    Raises:
        InputTypeError: something that is no number.

    """
    try:
        array = np.asarray(values)
    except ValueError:  # lists among the numbers
        array = np.empty(len(values), object)
        array[:] = values
    if array.dtype.kind != "O":
        if array.size and array.dtype.kind not in "fiub":
            raise InputTypeError(f"{what}: expected numbers, got {array.dtype.name}, such as {array.reshape(-1)[0]!r}")
        return array
    try:
        if any(isinstance(value, (str, bytes)) for value in array):
            raise TypeError
        return np.fromiter(map(float, array), np.float64, len(array))
    except OverflowError:
        raise InputError(f"{what}: expected numbers of float64, got a whole number that is larger") from None
    except (TypeError, ValueError):
        names = ", ".join(sorted({type(value).__name__ for value in array}))
        raise InputTypeError(f"{what}: expected numbers, got values of type {names}") from None


def _telling(subtopics: Ids | None) -> Ids | None:
    """Return subtopics where they differ: a column that is the same everywhere says nothing."""
    if subtopics is None or not len(subtopics) or not subtopics.differs_from_previous().any():
        return None
    return subtopics
