"""What a user gets: the package alone, typed, with what it needs and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="77", reason="setuptools builds the wheel")

ADAPTER = Path(__file__).parents[1]


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    """Built from a copy, so that nothing is left in the tree."""
    source = shutil.copytree(
        ADAPTER, tmp_path / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "tests")
    )
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == "langchain_rank_plugins-0.1.0-py3-none-any.whl"
    modules = {path.name for path in (ADAPTER / "src" / "langchain_rank_plugins").iterdir() if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        metadata = archive.read(f"{info}/METADATA").decode()
    assert {name for name in names if not name.startswith(info)} == {f"langchain_rank_plugins/{m}" for m in modules}
    assert f"{info}/licenses/LICENSE" in names
    needed = {line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist: ")}
    assert needed == {"langchain-core<2,>=1.0", "rank-plugins[onnx]<0.2,>=0.1"}


def test_the_import_loads_no_model_library() -> None:
    """Neither torch nor onnxruntime, and nothing of the host but its core."""
    code = (
        "import sys, langchain_rank_plugins;"
        "print([m for m in ('torch', 'onnxruntime', 'sentence_transformers', 'langchain_classic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
