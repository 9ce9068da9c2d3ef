"""rank-plugins tune: the best configuration, and the command that applies it."""

from __future__ import annotations

import json
import random
import shlex

import pytest

from rank_plugins.fusion import Tuning


@pytest.fixture
def files(tmp_path):
    """Return the paths of judgments and two runs, each good at other queries."""
    rng = random.Random(2)
    queries = [f"q{i}" for i in range(30)]
    (tmp_path / "qrels").write_text("".join(f"{q} 0 d0 1\n" for q in queries))
    for side, name in enumerate(("left", "right")):
        lines = []
        for i, query in enumerate(queries):
            scores = {f"d{j}": rng.random() + (1.0 if j == 0 and i % 2 == side else 0.0) for j in range(8)}
            lines += [f"{query} Q0 {d} 1 {s} {name}\n" for d, s in scores.items()]
        (tmp_path / f"{name}.trec").write_text("".join(lines))
    return [tmp_path / name for name in ("qrels", "left.trec", "right.trec")]


def test_text_and_the_command_to_go_on_with(files, command):
    """The best trials, the held-out value, the optimism; the command that is printed reaches the best value."""
    status, out, err = command("tune", *files, "--methods", "rrf wsum", "--metric", "rr")
    assert (status, err) == (0, "")
    assert "held out, 5 folds:" in out
    assert "optimism:" in out
    assert "weights in the order of left, right" in out
    line = out.splitlines()[-1].split("rank-plugins ", 1)[1]
    best = float(next(row for row in out.splitlines() if row.startswith("best of")).split()[-1])
    fused = files[0].parent / "fused.trec"
    assert command(*shlex.split(line), "--output", fused)[0] == 0
    _, scored, _ = command("eval", files[0], fused, "-m", "rr", "--json")
    assert json.loads(scored)["metrics"][0]["mean"] == pytest.approx(best, abs=5e-5)


def test_json_has_all_trials(files, command):
    """--json is a Tuning; --trials draws at random, the same for the same seed."""
    arguments = ("tune", *files, "--methods", "wsum", "--trials", "12", "--seed", "5", "--folds", "3", "--json")
    _, out, _ = command(*arguments)
    found = Tuning.from_dict(json.loads(out))
    assert len(found.trials) == 12
    assert found.settings["folds"] == 3
    assert command(*arguments)[1] == out
    assert command(*[5 if a == 5 else "6" if a == "5" else a for a in arguments])[1] != out


def test_a_constraint(files, tmp_path, command):
    """--subject-to needs queries without evidence, which come from a file."""
    (tmp_path / "none.txt").write_text("e1\ne2\n\n")
    for name in ("left", "right"):
        with (tmp_path / f"{name}.trec").open("a") as run:
            run.write(f"e1 Q0 d1 1 0.1 {name}\ne2 Q0 d1 1 0.2 {name}\n")
    arguments = ("tune", *files, "--methods", "sum", "--subject-to", "false_evidence<=0.5")
    status, _, err = command(*arguments)
    assert (status, "no_evidence" in err) == (1, True)
    status, out, _ = command(*arguments, "--no-evidence", tmp_path / "none.txt", "--json")
    assert status == 0
    assert json.loads(out)["held_out"]["no_evidence"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "rff"], "rff"),
        (["--metric", "nddcg"], "unknown metric 'nddcg'"),
        (["--folds", "99"], "folds"),
        (["--step", "0.3"], "step"),
        (["--no-evidence", "/nowhere"], "expected ids, one on each line"),
    ],
)
def test_errors_end_with_1(files, command, arguments, said):
    """Unknown names and impossible numbers are said in one line."""
    status, _, err = command("tune", *files, *arguments)
    assert status == 1
    assert said in err
