"""The examples of evaluation and fusion run, on the sample that comes with them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "said"),
    [("05_evaluate.py", "BM25: nDCG@10 0.542, 95 % interval"), ("06_fuse.py", "of 55 trials on 20 queries")],
)
def test_example(name, said, capsys):
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert said in capsys.readouterr().out
