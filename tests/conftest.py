"""Fixtures that several test files use."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rank_plugins import simd

OTHER_MACHINES = ("avx2", "avx512", "amx") if platform.machine() in ("aarch64", "arm64") else ("neon",)


@pytest.fixture(params=[level for level in simd.LEVELS if level not in OTHER_MACHINES])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Force each instruction-set level in turn."""
    if request.param not in simd.supported():
        pytest.skip(f"this machine or build has no {request.param}")
    with simd.limit(request.param):
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    """Return numbers that are the same in every run."""
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of test collections that RANK_PLUGINS_DATA names."""
    folder = os.environ.get("RANK_PLUGINS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RANK_PLUGINS_DATA names no folder of test collections")
    return Path(folder)


@pytest.fixture
def skip_without() -> Callable[[Iterable[str]], None]:
    """Return a function that skips the test where one of these modules is not installed; what is ours must be there."""

    def installed(module: str) -> bool:
        try:
            return module in sys.modules or importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # a package that it is in
            return False

    def skip(modules: Iterable[str]) -> None:
        for module in sorted(modules):
            if module.split(".")[0] != "rank_plugins" and not installed(module):
                pytest.skip(f"{module} is not installed")

    return skip
