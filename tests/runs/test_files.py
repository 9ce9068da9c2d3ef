"""Files of every format: what is written is read back equal, whole or not at all."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError, MissingExtraError, RankPluginsError
from rank_plugins.runs import Ids, Qrels, Run
from rank_plugins.runs.files import read, write

FORMATS = ["run.trec", "run.txt.gz", "run.bz2", "run.json", "run.json.gz", "run.jsonl", "run.jsonl.bz2", "run.parquet"]
RUN = {"q2": {"é": 0.1 + 0.2, "b": -1e-300, "c": float("inf")}, "q1": {"b": 12345678.9}}
QRELS = {"q2": {"é": 0.9, "b": -2}, "q1": {"c": 3}}


def equal(a: Any, b: Any) -> bool:
    """Whether two tables are, apart from the order inside a query."""
    return type(a) is type(b) and a.to_dict() == b.to_dict() and a.queries == b.queries


@pytest.mark.parametrize("name", [*FORMATS, "run.trec.zst"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    if name.endswith("zst") and sys.version_info < (3, 14):
        pytest.importorskip("zstandard")
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    for table in (Run.from_dict(RUN, name="bm25"), Qrels.from_dict(QRELS)):
        path = tmp_path / name
        table.save(path)
        kind = "run" if isinstance(table, Run) else "qrels"
        assert equal(read(path, kind), table)
        assert list(tmp_path.iterdir()) == [path]


IDS = st.text(min_size=1, max_size=8)
SCORES = st.floats(allow_nan=False)
TABLES = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=5), min_size=1, max_size=5)


@pytest.mark.parametrize("name", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(table=TABLES, is_run=st.booleans())
@example(table={"\ufeffq": {"d": 1.0}}, is_run=True)
@example(table={"query_id": {"doc_id": 1.0}}, is_run=False)
@example(table={"#": {"d": 1.0}}, is_run=True)
@example(table={"#1": {"#d": 1.0}}, is_run=True)
@example(table={"\x1f": {"d": 1.0}}, is_run=True)
@example(table={"\ud800": {"d": 1.0}}, is_run=True)
def test_any_ids_are_read_back_or_refused(tmp_path: Path, name: str, table: Any, is_run: bool) -> None:
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    if not is_run:  # grades are finite
        table = {q: {d: min(max(s, -1e308), 1e308) for d, s in row.items()} for q, row in table.items()}
    made = (Run if is_run else Qrels).from_dict(table)
    path = tmp_path / name
    refused = None
    try:
        write(made, path)
    except InputError as error:
        refused = error
    if refused is not None:
        assert ".jsonl" in str(refused) or "parquet" in name
        assert "json" not in name
        return
    assert equal(read(path, "run" if is_run else "qrels"), made)


@pytest.mark.parametrize("suffix", ["txt", "json", "jsonl", "parquet", "gz", "bz2", "jsonl.gz"])
@pytest.mark.parametrize("kind", [None, "run", "qrels"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    content=st.binary(max_size=60)
    | st.lists(st.sampled_from([*b'{}[]",: \t\n\r#019.e-qd']), max_size=60).map(bytes)
    | st.sampled_from(
        [
            b'{"a": {"b": 1.5}}',
            b'{"a": ["b"]}',
            b'{"a": [["b", 1]]}',
            b'[["a", "b", 1]]',
            b'{"a": {"b": null}}',
            b"[" * 100000,
        ]
    ),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, suffix: str, kind: str | None, content: bytes) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == "jsonl.gz" else content)
    found, refused = None, ""
    try:
        found = read(path, kind)
    except InputError as error:
        refused = str(error)
    assert isinstance(found, {None: (Run, Qrels), "run": Run, "qrels": Qrels}[kind]) or str(path) in refused


@pytest.mark.parametrize("name", ["run.jsonl", "run.parquet"])
def test_whole_numbers_stay_whole_numbers(tmp_path: Path, name: str) -> None:
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    run = Run.from_dict({1: {10: 0.5, 20: 0.25}, 2: {10: 1.0}})
    write(run, tmp_path / name)
    assert equal(read(tmp_path / name), run)


def test_ids_that_are_bytes_go_into_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    run = Run.from_dict({b"\xff": {b"\x00 ": 0.5}})
    write(run, tmp_path / "run.parquet")
    assert equal(read(tmp_path / "run.parquet"), run)
    for name in ("run.json", "run.jsonl", "run.trec"):
        with pytest.raises(InputError, match=r"bytes|jsonl"):
            write(run, tmp_path / name)


@pytest.mark.parametrize("name", ["q.txt", "q.jsonl", "q.parquet"])
def test_subtopics_are_read_back(tmp_path: Path, name: str) -> None:
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    qrels = Qrels(["1"], [0, 3], Ids.from_list(["d", "d", "e"]), [1, 0, 2], subtopics=Ids.from_list(["a", "b", "a"]))
    write(qrels, tmp_path / name)
    found = read(tmp_path / name)
    assert found.subtopics.tolist() == ["a", "b", "a"]
    assert found.documents.tolist() == ["d", "d", "e"]
    assert found.grades.tolist() == [1, 0, 2]
    with pytest.raises(InputError, match=r"\.jsonl"):
        write(qrels, tmp_path / "q.json")


def test_trec_files_are_written_best_first(tmp_path: Path) -> None:
    write(Run.from_dict({"1": {"a": 0.5, "b": 2.0, "c": 0.5}}, name="my run"), tmp_path / "run")
    assert (tmp_path / "run").read_text() == "1 Q0 b 1 2.0 my_run\n1 Q0 a 2 0.5 my_run\n1 Q0 c 3 0.5 my_run\n"
    write(Qrels.from_dict({"1": {"a": 1, "b": 0.5}}), tmp_path / "qrels")
    assert (tmp_path / "qrels").read_text() == "1 0 a 1\n1 0 b 0.5\n"


def test_pitfall_16_a_run_without_a_name_is_tagged(tmp_path: Path) -> None:
    write(Run.from_dict({"1": {"a": 0.5}}), tmp_path / "run.txt")
    assert read(tmp_path / "run.txt").name == "rank-plugins"


@pytest.mark.parametrize("bad", ["a b", "", "a\u00a0b", "a\tb"])
def test_ids_with_spaces_are_refused_with_the_way_out(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "run.trec"
    path.write_text("as it was")
    for table in ({bad: {"d": 1.0}}, {"q": {bad: 1.0}}):
        with pytest.raises(InputError, match=r"run\.trec: .*JSON Lines instead \(\.jsonl\)"):
            write(Run.from_dict(table), path)
    assert path.read_text() == "as it was"


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "run.json"
    folder.mkdir()
    (folder / "inside").touch()
    with pytest.raises(OSError, match=r"run\.json"):
        write(Run.from_dict(RUN), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_equal_runs_are_equal_files(tmp_path: Path) -> None:
    write(Run.from_dict(RUN), tmp_path / "a.gz")
    write(Run.from_dict(RUN), tmp_path / "b.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize(
    ("name", "table", "kind", "expected"),
    [
        ("run.json", {"1": {"a": 0.5}}, None, Run),
        ("qrels.json", {"1": {"a": 1}}, None, Qrels),
        ("x.json", {"1": ["a", "b"]}, None, Run),
        ("x.json", {"1": [["a", 2], ["b", 1]]}, "run", Run),
        ("x.json", {"1": ["a", "b"]}, "qrels", Qrels),
        ("x.json", [{"qid": "1", "docno": "a", "label": 1}], None, Qrels),
        ("x.json", [["1", "a", 1]], "run", Run),
    ],
)
def test_json_in_its_shapes(tmp_path: Path, name: str, table: Any, kind: str | None, expected: type) -> None:
    (tmp_path / name).write_text(json.dumps(table))
    found = read(tmp_path / name, kind)
    assert type(found) is expected
    assert found.queries == ["1"]
    assert found.documents[0] == "a"


def test_json_that_may_be_both_must_be_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"1": {"a": 1}}')
    with pytest.raises(InputError, match=r'kind="run" or kind="qrels"'):
        read(tmp_path / "x.json")


def test_json_lines_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"qid": 1, "pid": 2, "score": 1}\n\n{"qid": 1, "pid": 3}\n')
    with pytest.raises(InputError, match=r"line 3: expected the fields of line 1, qid, pid, score, got qid, pid"):
        read(path)
    path.write_text('{"qid": 1}\n{"qid"\n')
    with pytest.raises(InputError, match=r"line 2: expected JSON"):
        read(path)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file, found none"):
        read(tmp_path / "none.txt")
    with pytest.raises(InputError, match="folder.*load_beir"):
        read(tmp_path)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"1 0 d 1\n")[:-6])
    with pytest.raises(InputError, match=r"x\.gz: cannot be read"):
        read(tmp_path / "x.gz")
    with pytest.raises(InputTypeError, match=r"expected a Run or Qrels, got dict.*from_dict"):
        write(RUN, tmp_path / "run.trec")  # type: ignore[arg-type]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="pyarrow"):
        write(Run.from_dict(RUN), tmp_path / "run.parquet")
    assert list(tmp_path.iterdir()) == []
    assert issubclass(MissingExtraError, RankPluginsError)
