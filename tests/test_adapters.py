"""What a user of an adapter installs: its packages alone, in namespaces that stay open, and a light import."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ADAPTERS = Path(__file__).parents[1] / "adapters"
PACKAGES = {  # folder, and in it the packages of the distribution
    "haystack": [
        "haystack_integrations.common.rank_plugins",
        "haystack_integrations.components.evaluators.rank_plugins",
        "haystack_integrations.components.joiners.rank_plugins",
        "haystack_integrations.components.rankers.rank_plugins",
    ],
    "lancedb": ["rank_plugins_lancedb"],
    "langchain": ["langchain_rank_plugins"],
    "llama-index-postprocessor": ["llama_index.postprocessor.rank_plugins"],
    "llama-index-retrievers": ["llama_index.retrievers.rank_plugins"],
    "pyterrier": ["pyterrier_rank_plugins"],
    "rerankers": ["rank_plugins_rerankers"],
}
HOSTS = {
    "haystack": "haystack-ai",
    "lancedb": "lancedb",
    "langchain": "langchain-core",
    "llama-index-postprocessor": "llama-index-core",
    "llama-index-retrievers": "llama-index-core",
    "pyterrier": "pyterrier",
    "rerankers": "rerankers",
}
SHARED = [
    "haystack_integrations",
    "haystack_integrations.common",
    "haystack_integrations.components",
    "haystack_integrations.components.rankers",
    "haystack_integrations.components.joiners",
    "haystack_integrations.components.evaluators",
    "llama_index",
    "llama_index.postprocessor",
    "llama_index.retrievers",
]
MODELS = {"torch", "onnxruntime", "openvino", "tokenizers", "transformers", "sentence_transformers", "FlagEmbedding"}


def test_every_adapter_is_listed():
    folders = {path.parent.name for path in ADAPTERS.glob("*/pyproject.toml")}
    assert folders == set(PACKAGES) == set(HOSTS)


@pytest.mark.parametrize("folder", PACKAGES)
def test_the_wheel_holds_our_packages_and_nothing_else(folder, tmp_path):
    """An __init__.py in a namespace that others share would hide them."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools builds the wheel")
    # a copy, for building writes into the folder and takes what lies in build/
    ignored = shutil.ignore_patterns("build", "*.egg-info", "tests", "__pycache__")
    source = shutil.copytree(ADAPTERS / folder, tmp_path / "source", ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    built = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    expected = set()
    for package in PACKAGES[folder]:
        path = package.replace(".", "/")
        modules = {module.name for module in (ADAPTERS / folder / "src" / path).glob("*.py")}
        assert "__init__.py" in modules
        expected |= {f"{path}/{name}" for name in modules | {"py.typed"}}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("licenses/LICENSE") for name in names)
    needed = re.findall(r"^Requires-Dist: ([\w.-]+)(?!.*extra ==)", metadata, re.M)
    assert sorted(needed) == sorted(["rank-plugins", HOSTS[folder]])


@pytest.mark.parametrize("name", SHARED)
def test_namespaces_stay_open(name, skip_without):
    skip_without([name])
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is None


@pytest.mark.parametrize("package", [package for packages in PACKAGES.values() for package in packages])
def test_the_import_loads_no_model_library(package, skip_without):
    """But for those that the host itself loads."""
    skip_without([package])
    folder = next(folder for folder, packages in PACKAGES.items() if package in packages)
    modules = {"langchain-core": "langchain_core", "llama-index-core": "llama_index.core", "haystack-ai": "haystack"}
    host = modules.get(HOSTS[folder], HOSTS[folder])
    code = f"import sys, {host}; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    environment = os.environ | {"HAYSTACK_TELEMETRY_ENABLED": "False"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & MODELS
