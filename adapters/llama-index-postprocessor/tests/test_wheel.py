"""What the distribution holds, and that it lives beside the host and its other parts."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]
MODULE = "llama_index/postprocessor/rank_plugins"


def test_wheel_content(tmp_path: Path) -> None:
    """Our package and nothing above it: an __init__.py in a namespace would hide the host."""
    pytest.importorskip("setuptools", minversion="77")
    # a copy, for building writes into the folder and takes what lies in build/
    source = shutil.copytree(FOLDER, tmp_path / "source", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*command, str(source)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    expected = ("__init__.py", "py.typed", "rerank.py")
    assert sorted(names) == [f"{MODULE}/{name}" for name in expected]


def test_namespaces_stay_open() -> None:
    """Neither llama_index nor llama_index.postprocessor has an __init__.py in any distribution."""
    pytest.importorskip("llama_index.core", reason="the host package llama-index-core is not installed")
    for name in ("llama_index", "llama_index.postprocessor"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is None
