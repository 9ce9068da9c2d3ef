"""The command line."""

from __future__ import annotations

import json

import pytest

import rank_plugins
from rank_plugins import simd
from rank_plugins.cli import main

COMMANDS = ("index", "rerank", "store", "info")


def test_info_as_text(capsys):
    """The lines name the version, the level and why, threads, extras, models and adapters."""
    with simd.limit("numpy"):
        assert main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " set " not in line[:20])
    assert lines["version"] == rank_plugins.__version__
    assert lines["because"] == "forced by simd.limit"
    assert "rank-maxsim" in lines["rerankers"]


def test_info_as_json(capsys, monkeypatch):
    """--json gives the same facts for machines."""
    monkeypatch.setenv("RANK_PLUGINS_THREADS", "3")
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["threads"] == 3
    assert facts["instruction set"] in facts["supported"]
    assert facts["kernels"]["int8"] in facts["supported"]
    assert set(facts["extra onnx"]) >= {"onnxruntime", "tokenizers"}
    assert "rank-plugins" not in facts["adapters"]


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help(arguments, capsys):
    """Every command explains itself; the first page lists them all."""
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    out = capsys.readouterr().out
    assert out.startswith(" ".join(["usage: rank-plugins", *arguments[:-1]]))
    assert arguments != ["--help"] or all(f"\n    {name} " in out for name in COMMANDS)


def test_version(capsys):
    """The version is that of the package."""
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"rank-plugins {rank_plugins.__version__}\n"


WRONG = [
    [],
    ["nonsense"],
    ["info", "--colour"],
    ["index", "corpus.jsonl"],
    ["index", "corpus.jsonl", "--store", "folder", "--codec", "int4"],
    ["store"],
    ["store", "stats"],
    ["rerank", "--store", "folder", "--candidates", "run"],
    ["rerank", "--store", "folder", "--candidates", "run", "--query", "one", "--queries", "many"],
]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_usage_exits_with_2(arguments, capsys):
    """Wrong arguments print the usage."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: rank-plugins" in capsys.readouterr().err
