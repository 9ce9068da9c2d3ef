"""Tables in text: TREC runs and qrels, MS MARCO's, and any with a header that names its columns (BEIR's qrels).

The first row decides what a file is, and every other row has as many columns: six or more are a TREC run (query, Q0,
document, rank, score, tag), four are TREC or MS MARCO qrels (query, subtopic or iteration, document, grade), three an
MS MARCO run (query, document, rank) or, where it is said that they are, qrels (query, document, grade). Grades and
scores are real numbers. What a line, a column and a comment is, see `scan`.
"""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError
from rank_plugins.runs import scan
from rank_plugins.runs.build import BEIR_GRADE, DOCUMENT, QUERY, build, column, kind_of, pick
from rank_plugins.runs.ids import Ids
from rank_plugins.runs.run import Qrels, Run
from rank_plugins.runs.scan import Layout, LineError, Rows

Text: TypeAlias = "NDArray[np.uint8]"
MANY_TIES = 0.25  # of the rows that follow another of their query; rounded scores of real runs stay below
KNOWN = (
    "a TREC run (query, Q0, document, rank, score, tag), qrels (query, 0, document, grade), an MS MARCO run"
    " (query, document, rank) or a header that names the columns"
)


class Format(NamedTuple):
    """What the rows of a file are."""

    kind: str
    value: str
    """What the number is: a score, a grade or a rank."""
    layout: Layout
    """Of the texts, the first two are query and document, a third is the subtopic."""
    line: int
    """The line that told."""
    begin: int
    """Where the rows begin."""
    tag: str | None


def read_table(text: Text, what: str, kind: str | None, *, name: str, duplicates: str) -> Run | Qrels:
    """Read a table, bytes [B]; `what` names the file in messages, `name` is the run's if it has no tag.

    Where `kind` is None, three columns are qrels if `name` says "qrel".

    Raises:
        InputError: a line that is not like the first row, an unknown format, NaN, a document twice in a query.

    """
    _check_text(text, what)
    if text[:3].tobytes() == codecs.BOM_UTF8:
        text = text[3:]
    form = _find_format(text, what, kind, name)
    if form is None:
        if kind is None:
            raise InputError(f"{what}: expected {KNOWN}, got no row")
        empty = Ids.from_list([])
        return build(kind, empty, empty, np.empty(0), name=name)
    try:
        rows = scan.scan(text, form.begin, form.layout)
    except LineError as error:
        raise _line_error(text.tobytes(), what, form, error) from None
    ids = [Ids.from_text(rows.text, *place) for place in zip(rows.starts, rows.lengths, strict=True)]
    _check_numbers(what, form, rows)
    if form.layout.rank >= 0:
        _warn_of_ranks(what, ids[0], rows)
    try:
        return build(
            form.kind,
            ids[0],
            ids[1],
            rows.numbers,
            name=form.tag or name,
            duplicates=duplicates,
            subtopics=ids[2] if len(ids) > 2 else None,
            ranked=form.value == "rank",
        )
    except InputError as error:
        raise _twice(what, ids, rows) or InputError(f"{what}: {error}") from None


def _check_text(text: Text, what: str) -> None:
    if not len(text) or text.max() < 128:
        return
    data = text.tobytes()
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what}, line {_line_number(data, error.start)}: expected UTF-8, got byte 0x{data[error.start]:02x};"
            " convert the file, for example with iconv (packed files are known by .gz, .bz2 or .zst)"
        ) from None


def _line_number(data: bytes, at: int) -> int:
    return len((data[:at] + b"x").splitlines())


def _find_format(text: Text, what: str, kind: str | None, name: str) -> Format | None:
    """Return the format that the first row has, or None if there are no rows.

    A line that starts with "#" is the first row only where no other follows.
    """
    at, marked = 0, []
    for number, line in enumerate(_lines(text), 1):
        at += len(line)
        content = line.rstrip(b"\r\n")
        if content.strip(scan.BLANKS):
            if not content.startswith(b"#"):
                return _format(content, f"{what}, line {number}", kind, name, number, at)
            marked.append((content, number, at))
    for content, number, after in marked:
        if content.split()[0].strip(b"#"):
            return _format(content, f"{what}, line {number}", kind, name, number, after)
    return None


def _lines(text: Text) -> Iterator[bytes]:
    """Yield the lines with their ends, without splitting all of a large file first."""
    at, size = 0, 1 << 16
    while at < len(text):
        lines = text[at : at + size].tobytes().splitlines(keepends=True)
        if at + size < len(text):
            lines = lines[:-1]  # the last one may go on, even behind its CR
        yield from lines
        at += sum(map(len, lines))
        size *= 2


def _format(line: bytes, where: str, kind: str | None, name: str, number: int, after: int) -> Format:
    """Return what the rows are if this is the first line; the next one starts at `after`."""
    for tabs in (True, False):
        columns = scan.split(line, tabs=tabs)
        names = [name.decode() for name in columns]
        if not any(map(scan.is_number, columns)) and column(names, QUERY) and column(names, DOCUMENT):
            return _headed(names, where, kind, number, after, tabs=tabs)
    for tabs in (True, False):
        columns = scan.split(line, tabs=tabs)
        known = _counted(len(columns), kind, name)
        if known is None:
            continue
        texts, value, meaning, rank = known
        spaces = len(columns) > 6 and not tabs and not scan.is_number(columns[rank])  # in an id
        if scan.is_number(columns[value]) and not spaces:
            layout = Layout(texts, value, rank, min(len(columns), scan.MOST_COLUMNS), len(columns), tabs)
            tag = columns[5].decode() if rank >= 0 else None
            return Format("qrels" if meaning == "grade" else "run", meaning, layout, number, 0, tag)
    expected = KNOWN if kind is None else f"{KNOWN} of kind {kind!r}"
    raise InputError(
        f"{where}: expected {expected}, got {len(line.split())} columns: {_shown(line)}; ids with spaces need tabs"
        ' between the columns, and kind="run" or "qrels" says what a file is'
    )


def _counted(count: int, kind: str | None, name: str) -> tuple[tuple[int, ...], int, str, int] | None:
    """Return the columns of texts, the number's column and meaning, and the rank's column, of a file without header."""
    if count >= 6 and kind != "qrels":
        return (0, 2), 4, "score", 3
    if (count == 4 and kind != "run") or (count == 5 and kind == "qrels"):
        return (0, 2, 1), 3, "grade", -1
    if count != 3:
        return None
    is_run = kind == "run" or (kind is None and "qrel" not in name.lower())
    return (0, 1), 2, "rank" if is_run else "grade", -1


def _headed(names: list[str], where: str, kind: str | None, number: int, after: int, *, tabs: bool) -> Format:
    """Return the format that a header tells."""
    known = kind or ("qrels" if column(names, BEIR_GRADE) else kind_of(names))
    if known is None or len(names) > scan.MOST_COLUMNS:
        raise InputError(
            f"{where}: expected a header of at most {scan.MOST_COLUMNS} columns, one of them for scores or grades, got"
            f" {', '.join(names)}"
        )
    picked = pick(names, known, where)
    value = picked.value or picked.rank
    texts = [picked.query, picked.document] + ([picked.subtopic] if picked.subtopic else [])
    meaning = "grade" if known == "qrels" else "score" if picked.value else "rank"
    rank = names.index(picked.rank) if picked.rank and picked.value else -1
    layout = Layout(tuple(map(names.index, texts)), names.index(value), rank, len(names), len(names), tabs)  # type: ignore[arg-type]
    return Format(known, meaning, layout, number, after, None)


def _line_error(data: bytes, what: str, form: Format, error: LineError) -> InputError:
    line = data[error.start :].splitlines()[0]
    comment = '; comments start with "# "' if line.startswith(b"#") else ""
    layout, where = form.layout, f"{what}, line {_line_number(data, error.start)}"
    columns = scan.split(line, tabs=layout.tabs)
    between = "tabs" if layout.tabs else "blanks"
    if error.reason == scan.COLUMNS:
        return InputError(
            f"{where}: expected {layout.most} columns between {between}, as on line {form.line}, got {len(columns)}:"
            f" {_shown(line)}; ids with spaces need tabs between the columns{comment}"
        )
    if error.reason == scan.NO_NUMBER:
        return InputError(
            f"{where}: expected the {form.value}, a number, in column {layout.number + 1}, got"
            f" {columns[layout.number].decode()!r}: {_shown(line)}{comment}"
        )
    return InputError(f"{where}: expected ids, got an empty column: {_shown(line)}")


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _check_numbers(what: str, form: Format, rows: Rows) -> None:
    bad = np.isnan(rows.numbers)
    expected = f"a {form.value}, got NaN"
    if form.value == "rank":
        bad |= (rows.numbers < 0) | (rows.numbers != np.floor(rows.numbers))
        expected = 'the rank, a whole number, in column 3 of an MS MARCO run; kind="qrels" if these are grades'
    if bad.any():
        line = _line_number(rows.text.tobytes(), int(rows.starts[0][int(bad.argmax())]))
        raise InputError(f"{what}, line {line}: expected {expected} ({int(bad.sum())} such lines)")


def _twice(what: str, ids: list[Ids], rows: Rows) -> InputError | None:
    """Return the error for the first document that is there twice for its query."""
    seen: dict[tuple[str, str], int] = {}
    for row, pair in enumerate(zip(ids[0].tolist(), ids[1].tolist(), strict=True)):
        first = seen.setdefault(pair, row)
        if first != row:
            data = rows.text.tobytes()
            lines = [_line_number(data, int(rows.starts[0][i])) for i in (first, row)]
            return InputError(
                f"{what}, line {lines[1]}: expected every document once in a query, got {pair[1]!r} of query"
                f' {pair[0]!r} again, first on line {lines[0]}; remove one (of runs, duplicates="max" keeps the best)'
            )
    return None


def _warn_of_ranks(what: str, queries: Ids, rows: Rows) -> None:
    """Warn where ranks and scores tell different orders: scores alone count, and ties go by document id."""
    same = ~queries.differs_from_previous()
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf, 1e300 * 1e300
        step, rank_step = np.diff(rows.numbers), np.diff(rows.ranks)
        against = int((same & (step * rank_step > 0)).sum())
    pairs, ties = int(same.sum()), int((same & (rows.numbers[1:] == rows.numbers[:-1])).sum())
    if against:
        warnings.warn(
            f"{what}: the ranks contradict the scores in {against} of {pairs} neighbouring rows; scores decide, and"
            " higher is better",
            stacklevel=4,
        )
    elif ties > MANY_TIES * pairs:
        warnings.warn(
            f"{what}: {ties / pairs:.0%} of the rows have the score of the row before; ties go by document id, not by"
            " rank. If the ranks are what counts, write scores that tell them apart",
            stacklevel=4,
        )
