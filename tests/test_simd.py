"""Levels: forcing one, proof that it ran, and life without a native core."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from rank_plugins import InputError, InputTypeError, maxsim, simd
from rank_plugins._arrays import level_that_answers


def test_forced_level_is_the_one_that_ran(level):
    """The level that `limit` names is active, and the C core says that its own kernel answers."""
    assert simd.active() == level
    assert level_that_answers(level, "BF16") == level  # the type that every level computes itself


def test_levels_differ_in_rounding():
    """Float levels add in different order: if all agreed to the bit, one kernel would serve them all."""
    rng = np.random.default_rng(3)
    query, documents = rng.standard_normal((32, 384), np.float32), rng.standard_normal((50, 90, 384), np.float32)
    results = {}
    for level in simd.supported():
        with simd.limit(level):
            results[level] = maxsim(query, documents).tobytes()
    if {"scalar", "avx2"} <= set(results):
        assert results["scalar"] != results["avx2"]
    assert results["numpy"] != results.get("scalar")


def test_limit_is_undone_and_may_be_nested():
    """Each context restores what was before, also after an error."""
    before = simd.active()
    with pytest.raises(KeyError), simd.limit("numpy"):
        with simd.limit(simd.supported()[-1]):
            assert simd.active() == simd.supported()[-1]
        assert simd.active() == "numpy"
        assert simd.reason() == "forced by simd.limit"
        raise KeyError
    assert simd.active() == before


@pytest.mark.parametrize(("level", "error"), [("avx1024", InputError), ("AVX2", InputError), (2, InputTypeError)])
def test_unknown_levels_are_refused(level, error):
    """The message lists the choices."""
    with pytest.raises(error, match="expected"), simd.limit(level):
        pass


def test_unsupported_levels_are_refused():
    """A level that this machine lacks is an error, not a silent fallback."""
    missing = [level for level in simd.LEVELS if level not in simd.supported()]
    assert missing, "no machine has amx and neon"
    with pytest.raises(InputError, match="is not supported here; choose one of"), simd.limit(missing[0]):
        pass


def test_environment_variable(monkeypatch):
    """RANK_PLUGINS_SIMD forces a level; an unknown one is an error at first use."""
    monkeypatch.setenv("RANK_PLUGINS_SIMD", "numpy")
    assert simd.active() == "numpy"
    assert simd.reason() == "forced by RANK_PLUGINS_SIMD"
    monkeypatch.setenv("RANK_PLUGINS_SIMD", "fast")
    with pytest.raises(InputError, match="RANK_PLUGINS_SIMD: expected one of numpy, scalar"):
        maxsim(np.ones((1, 2), np.float32), [np.ones((1, 2), np.float32)])


def run(code: str, **variables: str) -> str:
    """Run `code` in a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_without_native_core_numpy_computes_and_one_warning_helps():
    """With the extension absent, scores are right and the way to the fast path is told once."""
    out = run(
        """
        import sys, warnings
        sys.modules["rank_plugins._native"] = None
        import numpy as np, rank_plugins
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                scores = rank_plugins.maxsim(np.eye(2), [np.eye(2), np.zeros((0, 2))])
        print(rank_plugins.simd.active(), rank_plugins.simd.supported(), scores.tolist(), len(caught))
        print(caught[0].message)
        """
    )
    assert out.startswith("numpy ('numpy',) [2.0, -inf] 1\n")
    assert "pip install" in out


def test_import_is_light():
    """Importing loads no framework."""
    heavy = {"torch", "onnxruntime", "openvino", "tokenizers", "transformers", "rerankers", "tqdm", "pandas", "scipy"}
    out = run(f"import sys, rank_plugins, rank_plugins.rerankers; print(sorted({heavy} & set(sys.modules)))")
    assert out == "[]\n"
    code = f"import sys, rank_plugins.evaluation, rank_plugins.fusion; print(sorted({heavy} & set(sys.modules)))"
    assert run(code) == "[]\n"


def test_names_of_evaluation_and_fusion_come_when_asked_for():
    """`import rank_plugins` does not load them; their names are there all the same."""
    out = run(
        """
        import sys, rank_plugins
        print([name for name in ("evaluation", "fusion", "runs") if f"rank_plugins.{name}" in sys.modules])
        from rank_plugins import Qrels, Run, calibrate, compare, evaluate, fuse, read, tune
        print(all(map(callable, (Qrels, Run, calibrate, compare, evaluate, fuse, read, tune))))
        """
    )
    assert out == "[]\nTrue\n"
