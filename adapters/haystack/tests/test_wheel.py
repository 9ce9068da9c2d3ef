"""The wheel: our packages, and nothing at the levels that other distributions share."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="builds a wheel")

PROJECT = Path(__file__).parents[1]
PACKAGES = {
    "haystack_integrations/common/rank_plugins": ["documents"],
    "haystack_integrations/components/evaluators/rank_plugins": ["evaluator"],
    "haystack_integrations/components/joiners/rank_plugins": ["joiner"],
    "haystack_integrations/components/rankers/rank_plugins": ["ranker"],
}


def test_wheel_has_our_packages_and_no_shared_level(tmp_path: Path) -> None:
    source = tmp_path / "project"
    shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(source),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {
        f"{folder}/{name}"
        for folder, modules in PACKAGES.items()
        for name in ["__init__.py", "py.typed", *(f"{module}.py" for module in modules)]
    }
