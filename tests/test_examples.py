"""Every example runs as it stands, offline, where what it imports is installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
OFFLINE = {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"}


def imports(source: str) -> set[str]:
    """Return the top-level modules that a script imports."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {*names, *(node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, skip_without):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) < 60
    skip_without(imports(source))
    result = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, env=os.environ | OFFLINE, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"
