"""rank-plugins fuse: runs made into one, as a TREC run, JSON or a file."""

from __future__ import annotations

import json

import pytest

from rank_plugins.fusion import fuse
from rank_plugins.runs.files import read

FIRST = {"q1": {"d1": 3.0, "d2": 2.0, "d3": 1.0}, "q2": {"d1": 1.0}}
SECOND = {"q1": {"d3": 0.9, "d4": 0.5}, "q3": {"d7": 0.2}}


@pytest.fixture
def files(tmp_path):
    """Return the paths of two runs."""
    for name, run in (("first", FIRST), ("second", SECOND)):
        lines = [f"{q} Q0 {d} 1 {s} {name}\n" for q, row in run.items() for d, s in row.items()]
        (tmp_path / f"{name}.trec").write_text("".join(lines))
    return [tmp_path / "first.trec", tmp_path / "second.trec"]


def rows(out: str) -> dict[str, dict[str, float]]:
    """Return the scores of a printed TREC run."""
    found: dict[str, dict[str, float]] = {}
    for line in out.splitlines():
        query, q0, document, rank, score, tag = line.split()
        found.setdefault(query, {})[document] = float(score)
        assert (q0, int(rank), tag) == ("Q0", len(found[query]), tag)
    return found


def test_reciprocal_ranks(files, command):
    """By default RRF with k 60, printed best first as a TREC run; a query of one run alone is there."""
    status, out, err = command("fuse", *files)
    assert (status, err) == (0, "")
    found = rows(out)
    assert list(found) == ["q1", "q2", "q3"]
    assert list(found["q1"]) == ["d3", "d1", "d4", "d2"]
    assert found["q1"]["d3"] == 1 / 63 + 1 / 61
    assert out.splitlines()[0].endswith(" rrf")


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["-k", "10", "--top", "2"], {"k": 10, "top": 2}),
        (
            ["--method", "wsum", "--norm", "minmax", "--weights", ".3,.7", "--missing", "zero"],
            {"method": "wsum", "norm": "minmax", "weights": [0.3, 0.7], "missing": "zero"},
        ),
        (["--method", "sum", "--norm", "zmuv,minmax"], {"method": "sum", "norm": ["zmuv", "minmax"]}),
        (["--method", "sum", "--missing", "-0.5"], {"method": "sum", "missing": -0.5}),
        (["--method", "rbc", "--parameter", "phi=0.8"], {"method": "rbc", "phi": 0.8}),
        (["--parameter", "convention=zero_based"], {"convention": "zero_based"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_are_those_of_fuse(files, command, options, arguments):
    """Each option gives what the function gives, in the same order, to the last digit."""
    _, out, _ = command("fuse", *files, *options)
    expected = fuse([FIRST, SECOND], **arguments)
    assert rows(out) == expected
    assert {q: list(row) for q, row in rows(out).items()} == {q: list(row) for q, row in expected.items()}


def test_json(files, command):
    """--json prints scores by query and document."""
    _, out, _ = command("fuse", *files, "--json")
    assert json.loads(out) == fuse([FIRST, SECOND])


@pytest.mark.filterwarnings("ignore:.*rows have the score")
@pytest.mark.parametrize("name", ["fused.trec", "fused.json", "fused.jsonl.gz"])
def test_output_file(files, tmp_path, command, name):
    """--output writes a file that reads back equal, and prints nothing."""
    status, out, err = command("fuse", *files, "--output", tmp_path / name)
    assert (status, out) == (0, "")
    assert "3 queries" in err
    assert read(tmp_path / name, "run").to_dict() == fuse([FIRST, SECOND])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "rff"], "got 'rff'"),
        (["--method", "sum", "--norm", "minmx"], "did you mean 'minmax'?"),
        (["--weights", "1,2,3"], "expected 2 numbers"),
        (["--parameter", "phy=0.8"], "unknown parameter 'phy'"),
        (["--top", "0"], "top: expected at least 1, got 0"),
        (["--output", "/nowhere/at/all.trec"], "cannot be written"),
    ],
)
def test_errors_end_with_1(files, command, arguments, said):
    """Unknown names with suggestions, wrong numbers of weights, places that cannot be written."""
    status, out, err = command("fuse", *files, *arguments)
    assert (status, out) == (1, "")
    assert said in err


@pytest.mark.parametrize("arguments", [["--weights", "a,b"], ["--parameter", "phi"], ["-k", "x"]])
def test_wrong_usage_ends_with_2(files, command, arguments, capsys):
    """What is no number, or no name=value, is wrong usage."""
    with pytest.raises(SystemExit) as ended:
        command("fuse", *files, *arguments)
    assert ended.value.code == 2
    assert "rank-plugins fuse: error" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["method=sum", "top=3", "runs=3", "explain=True"])
def test_arguments_of_fuse_are_no_parameters(given, files, command, capsys):
    """What has an option of its own, or no meaning here, is wrong usage."""
    with pytest.raises(SystemExit) as ended:
        command("fuse", *files, "--parameter", given)
    assert ended.value.code == 2
    assert given.partition("=")[0] in capsys.readouterr().err
