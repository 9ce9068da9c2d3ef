"""rank-plugins compare: significance between runs, in every format."""

from __future__ import annotations

import json
import random

import pytest

from rank_plugins.evaluation.comparison import Comparison


@pytest.fixture
def files(tmp_path):
    """Return the paths of judgments and of three runs: good, as good on most queries, and bad."""
    rng = random.Random(4)
    queries = [f"q{i}" for i in range(30)]
    (tmp_path / "qrels.tsv").write_text("".join(f"{q} 0 d0 1\n" for q in queries))
    for name, chance in (("good", 0.9), ("alike", 0.85), ("bad", 0.1)):
        lines = []
        for query in queries:
            first, second = ("d0", "d1") if rng.random() < chance else ("d1", "d0")
            lines += [f"{query} Q0 {first} 1 2.0 t\n", f"{query} Q0 {second} 2 1.0 t\n"]
        (tmp_path / f"{name}.run").write_text("".join(lines))
    return [tmp_path / name for name in ("qrels.tsv", "good.run", "alike.run", "bad.run")]


def test_text(files, command):
    """Both good runs beat the bad one and not each other; test, correction and resamples are told."""
    status, out, err = command("compare", *files, "-m", "rr")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[1:4]]
    assert [row[1] for row in rows] == ["good", "alike", "bad"]
    assert rows[0][-1] == rows[1][-1] == "c"
    assert len(rows[2]) == 3
    assert (
        "Test: paired randomization (100,000 resamples, seed 0); correction maxt over 3 differences, all pairs." in out
    )


def test_options_reach_the_comparison(files, command):
    """Test, correction, baseline (by name or file), alpha, seed and rules are in the JSON, which loads again."""
    options = ["--test", "t", "--correction", "holm", "--alpha", "0.01", "--seed", "7", "--relevance-level", "1"]
    for baseline in ("bad", str(files[3])):
        _, out, _ = command("compare", *files, "-m", "rr ap", *options, "--baseline", baseline, "--json")
        found = Comparison.from_dict(json.loads(out))
        assert (found.test, found.correction, found.alpha, found.seed) == ("t", "holm", 0.01, 7)
        assert found.baseline == "bad"
        assert {d.a for d in found.differences} == {"bad"}
        assert len(found.differences) == 4


def test_the_same_seed_prints_the_same(files, command):
    """Nothing but the seed decides the numbers."""
    first, again = (command("compare", *files, "--seed", "3")[1] for _ in range(2))
    assert first == again


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_formats(files, command, form):
    """Markdown has superscripts, LaTeX too, HTML is a page."""
    _, out, _ = command("compare", *files, "-m", "rr", "--format", form)
    assert {"markdown": "<sup>c</sup>", "latex": r"$^{\mathrm{c}}$", "html": "<!DOCTYPE html>"}[form] in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--baseline", "nobody"], "nobody"),
        (["--alpha", "2"], "alpha"),
    ],
)
def test_errors(files, command, arguments, said):
    """An unknown baseline and a level beyond 1 end with status 1."""
    status, _, err = command("compare", *files, *arguments)
    assert status == 1
    assert said in err


def test_one_run_is_not_enough(files, command):
    """A single run cannot be compared."""
    status, _, err = command("compare", *files[:2])
    assert status == 1
    assert "at least two" in err
