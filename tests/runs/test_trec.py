"""TREC, MS MARCO and BEIR files: what is read, what is refused and how it is said."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from rank_plugins import _columns
from rank_plugins.errors import InputError
from rank_plugins.runs import Qrels, Run
from rank_plugins.runs.files import read


@pytest.fixture(params=["c", "python"], autouse=True)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by the C core and without it."""
    if request.param == "c" and not _columns.NATIVE:
        pytest.skip("built without the C core")
    monkeypatch.setattr(_columns, "NATIVE", request.param == "c")


@pytest.fixture
def file(tmp_path: Path):
    """Write a file and return its path."""

    def written(content: str | bytes, name: str = "table.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def test_trec_run(file) -> None:
    run = read(file("2 Q0 d1 1 0.9 bm25\n2 Q0 d2 2 0.5 bm25\n1 Q0 d1 1 -1e-3 bm25\n"))
    assert isinstance(run, Run)
    assert run.to_dict() == {"2": {"d1": 0.9, "d2": 0.5}, "1": {"d1": -0.001}}
    assert (run.name, run.ranked_only) == ("bm25", False)


def test_trec_qrels_keep_float_and_negative_grades(file) -> None:
    qrels = read(file("1 0 d1 0.9\n1 0 d2 -2\n2 0 d1 3\n"))
    assert isinstance(qrels, Qrels)
    assert qrels.to_dict() == {"1": {"d1": 0.9, "d2": -2}, "2": {"d1": 3}}
    assert qrels.subtopics is None


def test_subtopics_are_kept(file) -> None:
    qrels = read(file("1 a d1 1\n1 b d1 0\n1 a d2 1\n"))
    assert qrels.subtopics.tolist() == ["a", "b", "a"]
    assert qrels.documents.tolist() == ["d1", "d1", "d2"]


def test_pitfall_20_extra_columns_and_spaces_in_ids(file) -> None:
    extra = read(file("1 Q0 d1 1 0.9 my tag\n1 Q0 d2 2 0.5 my tag\n"))
    assert extra.to_dict() == {"1": {"d1": 0.9, "d2": 0.5}}
    tabs = read(file("q 1\tQ0\ta document\t1\t0.9\tmy tag\nq 1\tQ0\tanother\t2\t0.5\tmy tag\n"))
    assert tabs.to_dict() == {"q 1": {"a document": 0.9, "another": 0.5}}
    assert tabs.name == "my tag"
    with pytest.raises(
        InputError, match=r"line 2: expected 6 columns .* as on line 1, got 7.*ids with spaces need tabs"
    ):
        read(file("1 Q0 d1 1 0.9 t\n1 Q0 a document 2 0.5 t\n"))
    with pytest.raises(InputError, match=r"line 1: .*ids with spaces need tabs"):
        read(file("1 Q0 a document 1 0.9 t\n1 Q0 d1 2 0.5 t\n"))


def test_ids_may_begin_with_a_hash_and_comments_may_stand_anywhere(file) -> None:
    run = read(file("# made by hand\n#1 Q0 #d 1 2.5 t\n# 1 Q0 7 1 2 t\n1 Q0 d 1 1.5 t\n#\n# end\n"))
    assert run.to_dict() == {"#1": {"#d": 2.5}, "1": {"d": 1.5}}
    assert read(file("# c\n#1 Q0 d 1 2 t\n")).to_dict() == {"#1": {"d": 2.0}}
    for lost in ("#2 Q0 d 1 1.5\n", "#2 Q0 d 1 1.5 t more\n", "#2 Q0 d 1 x t\n", "#end\n"):
        with pytest.raises(InputError, match='line 3: .*comments start with "# "'):
            read(file(f"# c\n1 Q0 d 1 2 t\n{lost}"))
        with pytest.raises(InputError, match="line 1"):
            read(file(lost.replace("1.5 t more", "x t")), "run")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_tabs_and_a_byte_order_mark(file, end: str) -> None:
    lines = ["1 Q0\td1  1 0.9 t", "", "  1 Q0 d2 2 0.5 t  "]
    run = read(file("\ufeff" + end.join(lines) + end))
    assert run.to_dict() == {"1": {"d1": 0.9, "d2": 0.5}}


def test_ms_marco_run_and_qrels(file) -> None:
    run = read(file("7\t30\t2\n7\t10\t1\n8\t10\t1\n7\t20\t3\n"))
    assert isinstance(run, Run)
    assert run.ranked_only
    assert run.to_dict() == {"7": {"10": 3, "30": 2, "20": 1}, "8": {"10": 1}}
    qrels = read(file("7\t0\t10\t1\n8\t0\t11\t1\n"))
    assert isinstance(qrels, Qrels)
    assert qrels.to_dict() == {"7": {"10": 1}, "8": {"11": 1}}


def test_three_columns_are_qrels_where_that_is_said(file) -> None:
    assert read(file("1 d 0.5\n"), "qrels").to_dict() == {"1": {"d": 0.5}}
    assert isinstance(read(file("1 d 2\n", "qrels.dev.tsv")), Qrels)
    with pytest.raises(InputError, match=r'line 2: expected the rank.*kind="qrels"'):
        read(file("1 d 1\n1 e 0.5\n"))


def test_headers_name_the_columns(file) -> None:
    assert read(file("query-id\tcorpus-id\tscore\n1\td\t2\n")).to_dict() == {"1": {"d": 2}}
    run = read(file("docno\tQID\tscore\nd\t1\t2\n"))
    assert isinstance(run, Run)
    assert run.to_dict() == {"1": {"d": 2.0}}
    assert isinstance(read(file("qid docno label\n1 d 2\n")), Qrels)
    assert read(file("qid docno rank\n1 d 2\n1 e 1\n")).to_dict() == {"1": {"e": 2, "d": 1}}
    with pytest.raises(InputError, match=r"line 1: expected a column of scores .*got columns qid, docno, label"):
        read(file("qid docno label\n1 d 2\n"), "run")


@pytest.mark.parametrize("kind", ["run", "qrels"])
def test_an_empty_file_is_an_empty_table_where_the_kind_is_said(file, kind: str) -> None:
    assert len(read(file("\n# nothing\n"), kind)) == 0
    with pytest.raises(InputError, match="expected a TREC run.*got no row"):
        read(file("\n# nothing\n"))


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("1 Q0 d 1 x t\n", None, r"line 1: expected a TREC run.*got 6 columns"),
        ("1 Q0 d 1 1 t\n\n1 Q0 e 2 x t\n", None, r"line 3: expected the score, a number, in column 5, got 'x'"),
        ("1 Q0 d 1 nan t\n", None, r"line 1: expected a score, got NaN"),
        ("1 0 d 1\n1 0 d 2\n", None, r"line 2: .*once in a query, got 'd' of query '1' again, first on line 1"),
        ("1 Q0 d 1 2 t\r2 Q0 d 1 2 t\r1 Q0 d 2 1 t\r", None, r"line 3: .*duplicates=\"max\""),
        ("1 0 d 1\n", "run", r"line 1: expected .* of kind 'run', got 4 columns"),
        ("1 Q0 d 1 1 t\n", "qrels", r"line 1: expected .* of kind 'qrels', got 6 columns"),
        ("1 0 d 1 0.5\n", None, r'got 5 columns.*kind="run" or "qrels"'),
        (b"1 0 d 1\n1 0 \xe9 1\n", None, r"line 2: expected UTF-8, got byte 0xe9"),
        ("1\t0\t\t1\n", None, r"line 1: expected ids, got an empty column"),
        ("hello\n", None, r"line 1: expected a TREC run.*got 1 columns: 'hello'"),
        ("1 0 d 1\n", "runs", r"kind: expected .* got 'runs'; did you mean 'run'\?"),
    ],
)
def test_errors_name_file_line_expected_and_got(file, content: str | bytes, kind: str | None, message: str) -> None:
    path = file(content)
    with pytest.raises(InputError, match=message) as raised:
        read(path, kind)
    assert kind == "runs" or str(raised.value).startswith(f"{path}, line")


def test_duplicates_can_be_resolved(file) -> None:
    path = file("1 Q0 d 1 1 t\n1 Q0 e 2 0.5 t\n1 Q0 d 3 0.4 t\n")
    assert read(path, duplicates="first").to_dict() == {"1": {"d": 1.0, "e": 0.5}}
    path = file("1 Q0 d 1 0.4 t\n1 Q0 e 2 0.3 t\n1 Q0 d 3 0.2 t\n")
    assert read(path, duplicates="max").to_dict() == {"1": {"d": 0.4, "e": 0.3}}


def test_pitfall_3_ranks_that_contradict_scores(file) -> None:
    with pytest.warns(UserWarning, match=r"ranks contradict the scores in 1 of 3 neighbouring rows"):
        read(file("1 Q0 a 1 0.1 t\n1 Q0 b 2 0.2 t\n1 Q0 c 3 0.1 t\n1 Q0 d 4 0.05 t\n2 Q0 a 1 0.9 t\n"))
    with pytest.warns(UserWarning, match=r"100% of the rows have the score of the row before"):
        read(file("1 Q0 a 1 0 t\n1 Q0 b 2 0 t\n1 Q0 c 3 0 t\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(file("1 Q0 a 2 0.1 t\n1 Q0 b 1 0.2 t\n2 Q0 a 1 9 t\n2 Q0 b - inf t\n2 Q0 c 3 -inf t\n"))


def test_queries_in_pieces_come_together(file) -> None:
    run = read(file("1 Q0 a 1 3 t\n2 Q0 a 1 3 t\n1 Q0 b 2 2 t\n"))
    assert run.queries == ["1", "2"]
    assert run.to_dict() == {"1": {"a": 3, "b": 2}, "2": {"a": 3}}


def test_the_first_row_may_come_late(file) -> None:
    comments = "# a comment of some length, again and again\r\n" * 5000
    assert read(file(comments + "1 0 d 1\r\n")).to_dict() == {"1": {"d": 1}}


def test_a_run_is_what_pytrec_eval_reads(file, rng: np.random.Generator) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    formats = ["{!r}", "{:.4f}", "{:.3e}", "{:+}"]
    lines = [
        f"q{query} Q0 d{document} {rank} {formats[rng.integers(4)].format(rng.normal(0, 9))} t"
        for query in range(30)
        for rank, document in enumerate(rng.permutation(1000)[:50].tolist(), 1)
    ]
    rng.shuffle(lines)
    path = file("\n".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the ranks are nonsense
        run = read(path)
    with path.open() as opened:
        assert run.to_dict() == pytrec_eval.parse_run(opened)


def test_real_runs_and_qrels(data: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    for path in sorted(data.glob("*/runs/*.trec")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = read(path)
        with path.open() as opened:
            assert run.to_dict() == pytrec_eval.parse_run(opened)
        assert run.name == path.stem
        assert np.diff(run.offsets).max() == 100
    path = data / "runs-trec-covid" / "qrels.txt"
    with path.open() as opened:
        assert read(path).to_dict() == pytrec_eval.parse_qrel(opened)
