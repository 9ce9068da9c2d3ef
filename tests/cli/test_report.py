"""rank-plugins report: the page on disk."""

from __future__ import annotations

import json

import pytest

from rank_plugins.evaluation.reports import report
from rank_plugins.runs.files import read

QRELS = {f"q{i}": {"d0": 1, "d1": 0} for i in range(6)}
RUNS = {
    "one": {q: {"d0": 0.9, "d1": 0.2} for q in QRELS} | {"e1": {"d5": 0.1}},
    "two": {q: {"d0": 0.4, "d1": 0.6} for q in QRELS} | {"e1": {"d5": 0.7}},
}


@pytest.fixture
def files(tmp_path):
    """Return the paths of judgments and two runs of probabilities."""
    (tmp_path / "qrels.json").write_text(json.dumps(QRELS))
    for name, run in RUNS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(run))
    return [tmp_path / name for name in ("qrels.json", "one.json", "two.json")]


def test_the_page_is_that_of_the_function(files, tmp_path, command):
    """The file holds what `report` returns with the same arguments; standard output stays empty."""
    (tmp_path / "none.txt").write_text("e1\n")
    page = tmp_path / "page.html"
    options = ["-m", "rr ap", "--title", "Two & more", "--no-evidence", tmp_path / "none.txt", "--probabilities"]
    options += ["--baseline", "one", "--correction", "holm", "--seed", "4", "--missing", "skip"]
    status, out, err = command("report", *files, *options, "--output", page)
    assert (status, out) == (0, "")
    assert f"{page.stat().st_size:,} bytes" in err
    runs = {name: read(path, "run") for name, path in zip(RUNS, files[1:], strict=True)}
    expected = report(
        read(files[0], "qrels"), runs, "rr ap", title="Two & more", no_evidence=["e1"], probabilities=True,
        baseline="one", correction="holm", seed=4, missing="skip",
    )  # fmt: skip
    assert page.read_text(encoding="utf-8") == expected
    assert "<h1>Two &amp; more</h1>" in expected


def test_json(files, tmp_path, command):
    """--json says where the page is and how large."""
    page = tmp_path / "page.html"
    _, out, _ = command("report", *files[:2], "--output", page, "--json")
    assert json.loads(out) == {"output": str(page), "bytes": page.stat().st_size, "runs": ["one"]}


@pytest.mark.parametrize(
    ("output", "arguments", "said"),
    [
        ("/nowhere/page.html", [], "cannot be written"),
        ("page.html", ["--no-evidence", "/nowhere"], "expected ids, one on each line"),
        ("page.html", ["--baseline", "three"], "three"),
    ],
)
def test_errors_end_with_1(files, tmp_path, command, output, arguments, said):
    """A place that cannot be written, ids that cannot be read, an unknown baseline."""
    status, _, err = command("report", *files, "--output", tmp_path / output, *arguments)
    assert status == 1
    assert said in err
    assert not (tmp_path / "page.html").exists()


def test_an_output_is_needed(files, command):
    """Without --output the usage is wrong."""
    with pytest.raises(SystemExit) as ended:
        command("report", *files)
    assert ended.value.code == 2
