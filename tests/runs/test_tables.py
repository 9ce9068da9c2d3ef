"""Data frames: pandas, polars, pyarrow, DuckDB and whatever speaks Arrow's C stream or the interchange protocol."""

from __future__ import annotations

import gc
import itertools
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.runs import Qrels, Run
from rank_plugins.runs.convert import as_qrels, as_run

LONG = "a document id of more than twelve bytes"
TABLE = {"q2": {"d1": 0.5, LONG: 0.25}, "é": {"d1": 2.0}}
COLUMNS = {"query_id": ["q2", "q2", "é"], "doc_id": ["d1", LONG, "d1"], "score": [0.5, 0.25, 2.0]}


class OnlyArrow:
    """Hide all but the Arrow stream."""

    def __init__(self, table: Any) -> None:
        self.__arrow_c_stream__ = table.__arrow_c_stream__


class OnlyInterchange:
    """Hide all but the interchange protocol."""

    def __init__(self, table: Any) -> None:
        self.__dataframe__ = table.__dataframe__


def arrow(columns: dict[str, Any] | None = None) -> Any:
    return pytest.importorskip("pyarrow").table(columns or COLUMNS)


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(COLUMNS)
    before = frame.copy()
    assert as_run(frame).to_dict() == TABLE
    assert as_run(frame.astype({"query_id": object, "doc_id": object})).to_dict() == TABLE
    assert as_run(frame.astype({"query_id": "category", "doc_id": "string", "score": "float32"})).to_dict() == TABLE
    assert as_run(frame.set_index(np.array([7, 7, 9]))).to_dict() == TABLE
    assert as_run(frame[["score", "doc_id", "query_id"]].assign(other=object())).to_dict() == TABLE
    assert as_qrels(frame.rename(columns={"score": "relevance"})).to_dict() == TABLE
    pandas.testing.assert_frame_equal(frame, before)


def test_pandas_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("rank_plugins.runs.tables.importable", lambda module: False)
    frame = pandas.DataFrame(COLUMNS)
    assert as_run(frame).to_dict() == TABLE
    whole = pandas.DataFrame({"qid": [1, 1], "docno": [5, 6], "rel": [1, 2]}).astype("Int64")
    assert as_qrels(whole).to_dict() == {1: {5: 1, 6: 2}}


def test_pandas_refuses_missing_and_mixed_values() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"qid": ["1", None], "docno": ["a", "b"], "score": [1.0, 2.0]})
    with pytest.raises((InputError, InputTypeError), match="no nulls|all str"):
        as_run(frame)
    with pytest.raises(InputTypeError, match="all str, all int"):
        as_run(pandas.DataFrame({"qid": ["1", 2], "docno": ["a", "b"], "score": [1.0, 2.0]}))
    with pytest.raises(InputError, match=r"a column of document ids .*got columns qid, text, score"):
        as_run(pandas.DataFrame({"qid": ["1"], "text": ["a"], "score": [1.0]}))
    with pytest.raises((InputError, InputTypeError), match="NaN|no nulls"):
        as_run(pandas.DataFrame({"qid": ["1"], "docno": ["a"], "score": [np.nan]}))


def test_pyterrier_frames_have_ids_beside_texts_and_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"qid": ["1"], "query": ["what is it"], "docid": [5], "docno": ["d5"], "rank": [0], "score": [1.5]}
    )
    assert as_run(frame).to_dict() == {"1": {"d5": 1.5}}


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(COLUMNS)
    assert as_run(frame).to_dict() == TABLE
    assert as_run(frame.with_columns(polars.col("query_id").cast(polars.Categorical))).to_dict() == TABLE
    assert as_run(polars.concat([frame[:1], frame[1:]], rechunk=False)).to_dict() == TABLE
    assert as_run(frame[1:]).to_dict() == {"q2": {LONG: 0.25}, "é": {"d1": 2.0}}
    with pytest.raises(InputError, match=r"column 'doc_id': expected no nulls, got 1, the first in row 2"):
        as_run(frame.with_columns(doc_id=polars.Series(["a", "b", None])))


def test_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql("select 'q' as query_id, 'd' || i as doc_id, 0.25 * i as score from range(3) t(i)")
    assert as_run(relation).to_dict() == {"q": {"d0": 0, "d1": 0.25, "d2": 0.5}}


TEXTS = ["string", "large_string", "string_view", "dictionary"]
NUMBERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@pytest.mark.parametrize("kind", TEXTS)
def test_arrow_text(kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    table = arrow()
    type_ = pa.dictionary(pa.int8(), pa.string()) if kind == "dictionary" else getattr(pa, kind)()
    for name in ("query_id", "doc_id"):
        column = table[name].dictionary_encode() if kind == "dictionary" else table[name].cast(type_)
        table = table.set_column(table.column_names.index(name), name, column)
    assert as_run(OnlyArrow(table)).to_dict() == TABLE
    assert as_run(OnlyArrow(table.slice(1))).to_dict() == {"q2": {LONG: 0.25}, "é": {"d1": 2.0}}
    assert as_run(OnlyArrow(pa.concat_tables([table, table.slice(0, 0)]))).to_dict() == TABLE
    pieces = pa.concat_tables([table.slice(2), table.slice(0, 2)])
    assert as_run(OnlyArrow(pieces)).to_dict() == TABLE


@pytest.mark.parametrize("kind", NUMBERS)
def test_arrow_whole_numbers(kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    ids = pa.array([1, 2, 100], getattr(pa, kind)())
    table = pa.table({"qid": ids, "docid": ids, "rel": ids})
    assert as_qrels(OnlyArrow(table)).to_dict() == {1: {1: 1}, 2: {2: 2}, 100: {100: 100}}


def test_arrow_numbers_of_other_types() -> None:
    pa = pytest.importorskip("pyarrow")
    for values in (
        pa.array(np.array([0.5, 2], np.float16)),
        pa.array([0.5, 2], pa.float32()),
        pa.array([Decimal("0.5"), Decimal("2.0")], pa.decimal128(9, 3)),
        pa.array([Decimal("0.5"), Decimal("2.0")], pa.decimal128(38, 10)),
    ):
        table = pa.table({"qid": ["1", "2"], "docid": [b"a", b"b"], "score": values})
        assert as_run(OnlyArrow(table)).to_dict() == {"1": {b"a": 0.5}, "2": {b"b": 2}}
    table = pa.table({"qid": ["1"] * 9, "docid": list(range(9)), "label": [True, False, True] * 3})
    assert as_qrels(OnlyArrow(table)).grades.tolist() == [1, 0, 1] * 3
    assert as_qrels(OnlyArrow(table.slice(1, 3))).grades.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ({"score": [1, None, 2]}, InputError, "column 'score': expected no nulls, got 1, the first in row 1"),
        ({"score": [None] * 3}, InputError, "no nulls, got nothing else"),
        ({"score": [Decimal(2**70)] * 3}, InputTypeError, "column 'score': expected numbers, got decimals beyond"),
        ({"score": ["1", "2", "3"]}, InputTypeError, r"column 'score': expected numbers, got Arrow type 'u' \(text\)"),
        (
            {"doc_id": [0.5, 1.5, 2.5]},
            InputTypeError,
            r"column 'doc_id': expected ids .* got Arrow type 'g' \(float64\)",
        ),
        ({"doc_id": [["a"], ["b"], ["c"]]}, InputTypeError, r"got Arrow type '\+l'"),
        ({"doc_id": ["d", LONG, "d"], "query_id": ["q", "q", "q"]}, InputError, "document 'd' of query 'q' twice"),
    ],
)
def test_arrow_columns_that_cannot_be_used(column: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_run(OnlyArrow(arrow({**COLUMNS, **column})))


def test_nulls_are_found_in_later_batches_and_slices() -> None:
    pa = pytest.importorskip("pyarrow")
    table = arrow({**COLUMNS, "score": [1.0, None, 2.0]})
    assert as_run(OnlyArrow(table.slice(2))).to_dict() == {"é": {"d1": 2.0}}
    with pytest.raises(InputError, match="got 1, the first in row 4"):
        as_run(OnlyArrow(pa.concat_tables([arrow({**COLUMNS, "query_id": ["a", "b", "c"]}), table])))


def test_a_stream_that_fails_is_told() -> None:
    pa = pytest.importorskip("pyarrow")

    def batches() -> Any:
        yield arrow().to_batches()[0]
        raise ValueError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(arrow().schema, batches())
    with pytest.raises(InputError, match=r"Arrow stream failed with code \d+: .*the disk is gone"):
        as_run(OnlyArrow(reader))


def test_text_of_one_batch_is_not_copied_and_outlives_its_table() -> None:
    pa = pytest.importorskip("pyarrow")
    ids = [f"document {i}" for i in range(1000)]
    table = arrow({"query_id": ["q"] * 1000, "doc_id": ids, "score": np.arange(1000.0)})
    address = table["doc_id"].chunk(0).buffers()[2].address
    run = as_run(OnlyArrow(table))
    assert run.documents.text.ctypes.data == address
    assert not run.documents.text.flags.writeable
    used = pa.total_allocated_bytes()
    del table
    gc.collect()
    assert run.documents.tolist() == ids
    del run
    gc.collect()
    assert pa.total_allocated_bytes() < used


@pytest.mark.parametrize("name", ["pyarrow", "pandas"])
@pytest.mark.filterwarnings("ignore:.*Interchange Protocol")
def test_interchange(name: str) -> None:
    module = pytest.importorskip(name)
    table = arrow() if name == "pyarrow" else module.DataFrame(COLUMNS)
    if not hasattr(table, "__dataframe__"):
        pytest.skip(f"this {name} has no __dataframe__")
    assert as_run(OnlyInterchange(table)).to_dict() == TABLE
    if name == "pyarrow":
        assert as_run(OnlyInterchange(table.slice(1))).to_dict() == {"q2": {LONG: 0.25}, "é": {"d1": 2.0}}
        coded = table.set_column(1, "doc_id", table["doc_id"].dictionary_encode())
        assert as_run(OnlyInterchange(coded)).to_dict() == TABLE
        with pytest.raises(InputError, match="column 'score': expected no nulls, got 1"):
            as_run(OnlyInterchange(arrow({**COLUMNS, "score": [1, None, 2]})))
        with pytest.raises(InputTypeError, match="column 'score': expected numbers, got text"):
            as_run(OnlyInterchange(arrow({**COLUMNS, "score": ["1", "2", "3"]})))
    whole = module.table({"qid": [1], "docid": [2], "rel": [3]}) if name == "pyarrow" else None
    if whole is not None:
        assert as_qrels(OnlyInterchange(whole)).to_dict() == {1: {2: 3}}


def test_tensors_are_columns() -> None:
    torch = pytest.importorskip("torch")
    columns = (torch.tensor([1, 1]), torch.tensor([5, 6]), torch.tensor([0.5, 0.25], requires_grad=True))
    assert as_run(columns).to_dict() == {1: {5: 0.5, 6: 0.25}}


@settings(deadline=None)
@given(
    rows=st.dictionaries(
        st.tuples(st.text(max_size=20), st.text(max_size=20)), st.floats(allow_nan=False), max_size=20
    ),
    kind=st.sampled_from(TEXTS[:3]),
    pieces=st.lists(st.integers(0, 20), max_size=3),
)
def test_any_text_in_any_pieces_is_what_pyarrow_holds(rows: Any, kind: str, pieces: list[int]) -> None:
    pa = pytest.importorskip("pyarrow")
    type_ = getattr(pa, kind)()
    table = pa.table(
        {
            "qid": pa.array([query for query, _ in rows], type_),
            "pid": pa.array([document for _, document in rows], type_),
            "score": pa.array(list(rows.values()), pa.float64()),
        }
    )
    ends = sorted({0, len(rows), *(piece for piece in pieces if piece <= len(rows))})
    table = pa.concat_tables([table.slice(a, b - a) for a, b in itertools.pairwise(ends)] or [table])
    run = as_run(OnlyArrow(table))
    expected: dict[str, dict[str, float]] = {}
    for (query, document), score in rows.items():
        expected.setdefault(query, {})[document] = score
    assert run.to_dict() == expected
    assert run.queries == list(expected)


def test_types_of_results() -> None:
    assert isinstance(as_run(OnlyArrow(arrow())), Run)
    assert isinstance(as_qrels(OnlyArrow(arrow())), Qrels)
