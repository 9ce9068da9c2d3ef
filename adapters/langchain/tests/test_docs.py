"""The README, the page and the example are what they print."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langchain_core", reason="the host package langchain-core is not installed")

ROOT = Path(__file__).parents[3]


def run(*arguments: object) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_the_readme_prints_what_it_says() -> None:
    """Its blocks, one after the other, as one program."""
    readme = (ROOT / "adapters" / "langchain" / "README.md").read_text(encoding="utf-8")
    programs, outputs = (re.findall(rf"^```{kind}\n(.*?)^```$", readme, re.M | re.S) for kind in ("python", "text"))
    assert len(programs) == len(outputs) == 2
    assert run("-c", "\n".join(programs)) == "".join(outputs)


def test_the_page_prints_what_it_says() -> None:
    """By doctest."""
    failed, tried = doctest.testfile(str(ROOT / "docs" / "langchain.md"), module_relative=False)
    assert tried >= 8
    assert failed == 0


def test_the_example_finds_relevant_documents() -> None:
    """The context of each claim that it shows has a relevant abstract."""
    claims = run(ROOT / "examples" / "07_langchain.py").strip().split("\n\n")
    assert len(claims) == 3
    for claim in claims:
        assert any(line.startswith("  * ") for line in claim.splitlines()), claim
