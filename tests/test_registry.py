"""Names, entry points of other distributions, and extras."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from rank_plugins import MissingExtraError
from rank_plugins._extras import extras, require

PLUGIN = '''
import numpy as np
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.testing import HashEncoder

class Longest(Reranker):
    """Ranks long documents first."""

    def __init__(self, sign=1):
        self.sign = sign

    def _rank(self, requests, top_k):
        return [Ranking.from_scores([self.sign * len(d) for d in r.documents], top_k) for r in requests]

def words(dim=8):
    return HashEncoder(dim)
'''


def test_other_distributions_plug_in_by_entry_points(tmp_path):
    """A distribution's reranker and encoder load by name, with options, without a change here."""
    (tmp_path / "longest.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "longest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: longest\nVersion: 1.0\nRequires-Dist: rank-plugins\n")
    (info / "entry_points.txt").write_text(
        "[rank_plugins.rerankers]\nlongest = longest:Longest\n[rank_plugins.encoders]\nwords = longest:words\n"
    )
    code = """
        from rank_plugins import encoders, rerankers
        from rank_plugins.cli.info import collect
        print(rerankers.names()[-1], encoders.names(), collect()["adapters"]["longest"])
        print(list(rerankers.load("longest", sign=-1).rerank("q", ["aaa", "b"])))
        print(encoders.load("words", dim=4).dim, rerankers.load("rank-maxsim", encoder="words", threads=1).encoder.dim)
        try:
            rerankers.load("longest", banana=1)
        except TypeError as error:
            print(error)
    """
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines() == [
        "longest ['minilm', 'words'] 1.0",
        "[(1, -1.0), (0, -3.0)]",
        "4 8",
        "longest: got an unexpected keyword argument 'banana'; its options are: sign",
    ], result.stderr


def test_extras_come_from_the_metadata():
    """The extras are those of the installed distribution."""
    assert {"onnxruntime", "tokenizers"} <= set(extras()["onnx"])
    assert "openvino" in extras()["openvino"]


def test_a_missing_module_outside_any_extra():
    """What no extra provides is named by itself."""
    with pytest.raises(MissingExtraError, match="no_such_module is needed here .* pip install no-such-module"):
        require("no_such_module")
