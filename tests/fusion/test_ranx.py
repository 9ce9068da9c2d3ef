"""Agreement with ranx to 1e-14: with what it gave once (golden/make_ranx.py), and, where it is installed, with it."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from rank_plugins.fusion import Trained, fuse, train

GOLDEN = Path(__file__).parent / "golden"
KEPT = json.loads((GOLDEN / "ranx.json").read_text(encoding="utf-8"))
WEIGHTED = {"sum", "wmnz", "mixed", "weighted borda"}
# ranx's choices where ours are others: 0 for missing documents.
NORM_OPTIONS = {"zmuv": {"missing": "zero"}}
PARAMETERS = {"gmnz": {"gamma": 0.7}, "logn_isr": {"sigma": 0.02}, "rbc": {"phi": 0.85}}


def agree(ours, theirs):
    """Compare {query: {document: score}}."""
    assert ours.keys() == theirs.keys()
    for query, row in theirs.items():
        assert ours[query] == pytest.approx(row, rel=1e-14, abs=1e-14)


@pytest.fixture(params=["kept", "live"])
def ranx(request, tmp_path_factory):
    """Return what ranx made of the runs: from the file, or now."""
    if request.param == "kept":
        return KEPT
    if "RANK_PLUGINS_RANX" not in os.environ:
        pytest.skip("set RANK_PLUGINS_RANX=1 to compile ranx, which takes minutes")
    pytest.importorskip("ranx")
    return live(tmp_path_factory)


def live(tmp_path_factory, made=[]):  # noqa: B006 - compiled once for all tests
    if not made:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("numba")))
        spec = importlib.util.spec_from_file_location("make_ranx", GOLDEN / "make_ranx.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made.append(json.loads(json.dumps(module.fused(*module.data()))))
    return made[0]


@pytest.mark.parametrize("norm", KEPT["norms"])
def test_norms(ranx, norm):
    """Sums of normalised scores."""
    agree(fuse(ranx["runs"], "sum", norm=norm, **NORM_OPTIONS.get(norm, {})), ranx["norms"][norm])


@pytest.mark.parametrize("method", KEPT["methods"])
def test_methods(ranx, method):
    """Methods over min-max scores or ranks."""
    weights = [0.2, 0.5, 0.3] if method in WEIGHTED else None
    name = "borda" if method == "weighted borda" else method
    fused = fuse(ranx["runs"], name, weights=weights, **PARAMETERS.get(method, {}))
    agree(fused, ranx["methods"][method])


@pytest.mark.parametrize("method", KEPT["trained"])
def test_trained_methods(ranx, method):
    """What is learnt, and what it gives."""
    options = {"probfuse": {"segments": 4}, "slidefuse": {"window": 2}}.get(method, {})
    trained = train(ranx["qrels"], ranx["runs"], method, **options)
    kept = ranx["trained"][method]
    for ours, theirs in zip(trained.tables, kept["learnt"], strict=True):
        assert list(ours) == pytest.approx(theirs, rel=1e-14, abs=1e-14)
    agree(fuse(ranx["runs"], trained), kept["fused"])
    agree(fuse(ranx["runs"], Trained.from_dict(trained.to_dict())), kept["fused"])
