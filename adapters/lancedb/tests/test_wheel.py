"""What the wheel holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools")


def test_contents(tmp_path: Path) -> None:
    """The package with its type marker, and nothing beside it."""
    source = Path(__file__).parents[1]
    ignored = shutil.ignore_patterns("build", "*.egg-info", "tests", "__pycache__")
    shutil.copytree(source, tmp_path / "source", ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path]
    subprocess.run([*command, tmp_path / "source"], check=True, timeout=120)
    (wheel,) = tmp_path.glob("rank_plugins_lancedb-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    modules = ["__init__", "awaiting", "columns", "reranker"]
    expected = {*(f"rank_plugins_lancedb/{name}.py" for name in modules), "rank_plugins_lancedb/py.typed"}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("licenses/LICENSE") for name in names)
