"""The command line."""

from __future__ import annotations

import json

import pytest

import rank_plugins
from rank_plugins import simd
from rank_plugins.cli import main


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


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["info", "--colour"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    """Wrong arguments print the usage."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: rank-plugins" in capsys.readouterr().err
