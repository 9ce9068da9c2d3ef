"""rank-plugins eval: the metrics of runs as text, Markdown, LaTeX, HTML and JSON; and what is said when it fails."""

from __future__ import annotations

import gzip
import json
import math

import pytest

from rank_plugins.evaluation import Evaluation, evaluate, reports

QRELS = {"q1": {"d1": 1, "d2": 0, "d3": 2}, "q2": {"d1": 1}, "q3": {"d9": 1}}
BM25 = {"q1": {"d2": 3.0, "d3": 2.0, "d1": 2.0}, "q2": {"d5": 2.0, "d1": 1.0}, "extra": {"d1": 1.0}}
DENSE = {"q1": {"d3": 0.9, "d1": 0.8}, "q2": {"d1": 0.5}, "q3": {"d9": 0.1}}


@pytest.fixture
def files(tmp_path):
    """Return the paths of judgments and two runs."""
    qrels = "".join(f"{q} 0 {d} {g}\n" for q, row in QRELS.items() for d, g in row.items())
    (tmp_path / "qrels.txt").write_text(qrels)
    for name, run in (("bm25", BM25), ("dense", DENSE)):
        lines = [f"{q} Q0 {d} 1 {s} tag\n" for q, row in run.items() for d, s in row.items()]
        (tmp_path / f"{name}.trec").write_text("".join(lines))
    return [tmp_path / name for name in ("qrels.txt", "bm25.trec", "dense.trec")]


def test_one_run(files, command):
    """The default metrics of a run, the same as in Python, with what was left out."""
    status, out, _ = command("eval", *files[:2])
    assert status == 0
    found = evaluate(QRELS, BM25)
    found.name = "bm25"
    assert out == reports.text(found) + "\n"
    assert "1 judged but absent from the run (q3); 1 of the run without judgments, ignored (extra)." in out
    assert out.split()[:4] == ["metric", "bm25", "ndcg@10", f"{found['ndcg@10']:.4f}"]


def test_several_runs_are_named_by_their_files(files, command):
    """Runs are rows; two files of one name keep their paths."""
    _, out, _ = command("eval", *files, "-m", "rr")
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["run", "bm25", "dense"]
    other = files[0].parent / "other"
    other.mkdir()
    (other / "bm25.run.gz").write_bytes(gzip.compress(files[1].read_bytes()))
    _, out, _ = command("eval", files[0], files[1], other / "bm25.run.gz", "-m", "rr")
    assert out.splitlines()[1].startswith(str(files[1]))


def test_json_is_loaded_again(files, command):
    """--json prints what Evaluation.from_dict reads; of several runs a list."""
    _, out, _ = command("eval", *files[:2], "-m", "rr ap", "--json")
    loaded = Evaluation.from_dict(json.loads(out))
    assert loaded.mean == evaluate(QRELS, BM25, "rr ap").mean
    assert loaded.name == "bm25"
    _, out, _ = command("eval", *files, "-m", "rr", "--format", "json")
    assert [Evaluation.from_dict(each).name for each in json.loads(out)] == ["bm25", "dense"]


def test_json_has_no_nan(files, command):
    """A value that is left out is null, as JSON demands, and comes back as NaN."""
    (files[0].parent / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d1 0\n")
    _, out, _ = command("eval", *files[:2], "-m", "rr", "--no-relevant", "skip", "--json")
    saved = json.loads(out, parse_constant=lambda name: pytest.fail(f"JSON with {name}"))
    assert saved["values"] == [[pytest.approx(1 / 3), None]]
    assert math.isnan(Evaluation.from_dict(saved).per_query["rr"]["q2"])


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_other_formats(files, command, form):
    """Each format is the report of the same name."""
    _, out, _ = command("eval", *files[:2], "-m", "rr", "--format", form)
    found = evaluate(QRELS, BM25, "rr")
    found.name = "bm25"
    assert out.rstrip("\n") == getattr(reports, form)(found).rstrip("\n")


def test_rules(files, command):
    """Every rule reaches evaluate: ties, relevance level, missing queries, judged documents only, abstention."""

    def mean(*options: str) -> float:
        _, out, _ = command("eval", *files[:2], "-m", "rr", "--json", *options)
        return json.loads(out)["metrics"][0]["mean"]

    assert mean() == pytest.approx((1 / 2 + 1 / 2) / 3)
    assert mean("--missing", "skip") == pytest.approx(1 / 2)
    assert mean("--judged-only") == pytest.approx((1 / 2 + 1) / 3)
    assert mean("--relevance-level", "2", "--missing", "skip", "--ties", "id_asc") == pytest.approx((1 / 3) / 2)
    assert mean("--relevance-level", "2", "--no-relevant", "reward_empty") == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_intervals_and_queries(files, command):
    """--ci adds the bootstrap interval, --per-query every query."""
    _, out, _ = command("eval", *files[:2], "-m", "rr", "--ci", "--per-query")
    low, high = evaluate(QRELS, BM25, "rr").ci(0.95)["rr"]
    assert f"[{low:.4f}, {high:.4f}]" in out
    assert ["q2", "0.5000"] in [line.split() for line in out.splitlines()]


def test_standard_input(files, start):
    """A run can come from standard input."""
    process = start("eval", files[0], "-", "-m", "rr", "--json", stdin=-1)
    out, _ = process.communicate(files[1].read_text())
    assert json.loads(out)["name"] == "run"


def test_warnings_are_notes(files, command):
    """What reading warns of is a line of the command on standard error; the output stays clean."""
    ties = [f"q1 Q0 d{i} {i} 1.0 tag\n" for i in range(1, 40)]
    files[1].write_text("".join(ties))
    status, out, err = command("eval", *files[:2], "-m", "rr", "--json")
    assert status == 0
    assert json.loads(out)
    assert err.startswith("rank-plugins: ")
    assert "Warning" not in err


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (None, "gone.trec: expected a file"),
        ("q1 Q0 d1 1 high tag\n", "gone.trec, line 1: expected"),
        ("q1 Q0 d1 1 3.0 tag\nq1 Q0 d2 2 tag\n", "gone.trec, line 2: expected"),
        ("q1 Q0 d1 1 3.0 tag\nq1 Q0 d1 2 2.0 tag\n", "'d1'"),
        ("q1 Q0 d1 1 nan tag\n", "nan"),
        ("", "gone.trec: expected at least one document, got none"),
    ],
    ids=["missing", "malformed", "short", "twice", "nan", "empty"],
)
def test_files_that_cannot_be_read(files, command, broken, said):
    """A file that is missing, malformed or empty: status 1, one line that names the file and the line."""
    path = files[0].parent / "gone.trec"
    if broken is not None:
        path.write_text(broken)
    status, out, err = command("eval", files[0], path)
    assert (status, out) == (1, "")
    assert said.lower() in err.lower()
    assert "gone.trec" in err
    assert err.count("\n") == 1


def test_an_unknown_metric_is_answered_with_a_suggestion(files, command):
    """The message has the name and what it could mean."""
    status, _, err = command("eval", *files[:2], "-m", "ndgc@10")
    assert status == 1
    assert "unknown metric 'ndgc'" in err
    assert "did you mean nDCG" in err


def test_one_file_twice(files, command):
    """The same run twice is a slip, not a comparison."""
    status, _, err = command("eval", files[0], files[1], files[1])
    assert status == 1
    assert "expected different files" in err


@pytest.mark.parametrize("arguments", [[], ["qrels"], ["qrels", "run", "--ties", "coin"], ["qrels", "run", "--nope"]])
def test_wrong_usage_ends_with_2(arguments, command, capsys):
    """What argparse refuses ends with 2 and shows the usage."""
    with pytest.raises(SystemExit) as ended:
        command("eval", *arguments)
    assert ended.value.code == 2
    assert "usage: rank-plugins" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["eval", "compare", "fuse", "tune", "report", "trec-eval"])
def test_help(name, command, capsys):
    """Every command explains itself."""
    with pytest.raises(SystemExit) as ended:
        command(name, "--help")
    assert ended.value.code == 0
    assert f"usage: rank-plugins {name}" in capsys.readouterr().out


def test_published_figures(data, command):
    """DL19: BM25 .5058 and SPLADE++ED .7308 nDCG@10; TREC-COVID: BM25 .5947, in the order of the run's own ranks."""
    dl = data / "trec-dl19-pool"
    _, out, _ = command(
        "eval", dl / "qrels/test.full.tsv", dl / "runs/bm25.trec", dl / "runs/splade_pp_ed.trec", "-m", "ndcg@10"
    )
    rows = {line.split()[0]: line.split()[1].rstrip("*") for line in out.splitlines()[1:3]}
    assert rows == {"bm25": "0.5058", "splade_pp_ed": "0.7308"}
    covid = data / "runs-trec-covid"
    _, out, _ = command("eval", covid / "qrels.txt", covid / "runs/bm25.trec", "-m", "ndcg@10", "--ties", "input")
    assert out.splitlines()[1].split() == ["ndcg@10", "0.5947"]
