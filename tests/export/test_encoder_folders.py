"""Folders of exported encoders that are damaged, and models of which none is written."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("onnx", reason="needs the extra export")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")

import tiny
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask

from rank_plugins import InputError, StoreError
from rank_plugins.encoders.onnx import OnnxEncoder
from rank_plugins.export import export
from rank_plugins.export.encoders import BOUNDS
from rank_plugins.testing import save_tiny_encoder

LONG = " ".join(f"document {i} is about aspirin, and of blood pressure: drag!" for i in range(20))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Return PyLate checkpoints, with query expansion and without."""
    root = tmp_path_factory.mktemp("originals")
    return {
        "expanding": tiny.save_pylate(root / "expanding"),
        "without": tiny.save_pylate(root / "without", do_query_expansion=False, skiplist_words=[]),
    }


@pytest.fixture(scope="module")
def exported(originals, tmp_path_factory):
    """Return the folders that they are exported to."""
    root = tmp_path_factory.mktemp("exported")
    for name, folder in originals.items():
        export(folder, root / name, task="token-embeddings")
    return root


@pytest.fixture
def folder(exported, tmp_path):
    """Return a copy of an exported folder, without sums."""
    copied = shutil.copytree(exported / "expanding", tmp_path / "copy")
    (copied / "SHA256SUMS").unlink()
    return copied


def changed(folder, **changes):
    """Change encoder.json; None takes a setting away."""
    content = json.loads((folder / "encoder.json").read_text()) | changes
    kept = {name: value for name, value in content.items() if value is not None}
    (folder / "encoder.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expanded": None}, "model.onnx: expected a graph without query expansion, as encoder.json says"),
        ({"pieces": False}, "expected query_length, expanded, .* only with pieces: true; export the model again"),
        ({"pieces": 1}, "pieces: expected bool, got 1"),
        ({"skipped": "."}, "skipped: expected list, got '.'"),
        ({"skipped": ["."]}, r"skipped: expected token ids, got \['.'\]"),
        ({"skipped_in_queries": [True]}, r"skipped_in_queries: expected token ids, got \[True\]"),
        ({"expanded": -1}, "expanded: expected int, at least 0, got -1"),
        ({"query_length": 4}, "expected room for a text beside the 3 tokens of its prefix .* got a window of 4"),
        ({"expansion": {}}, "expansion not known; update rank-plugins"),
    ],
)
def test_damaged_settings_are_refused(folder, changes, message):
    """Each error names the file or folder, and what to do."""
    changed(folder, **changes)
    with pytest.raises(StoreError, match=message):
        OnnxEncoder(folder, engine="onnxruntime")


def test_a_graph_that_does_not_expand_is_refused(exported, folder):
    """Settings of one model beside the graph of another."""
    shutil.copy(exported / "without" / "model.onnx", folder)
    with pytest.raises(StoreError, match="expected a graph that expands queries"):
        OnnxEncoder(folder, engine="onnxruntime")


def test_a_damaged_tokenizer_is_refused(folder):
    """With its path."""
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(StoreError, match="tokenizer.json: cannot be read as a tokenizer"):
        OnnxEncoder(folder, engine="onnxruntime")


def test_settings_that_decide_the_vectors_are_in_the_fingerprint(folder):
    """How many tokens run together is not."""
    seen = {OnnxEncoder(folder, engine="onnxruntime").fingerprint}
    changed(folder, tokens_per_batch=1)
    seen.add(OnnxEncoder(folder, engine="onnxruntime").fingerprint)
    assert len(seen) == 1
    for number, change in enumerate(({"skipped": []}, {"query_length": 20}, {"skipped_at_start": 1}), 2):
        changed(folder, **change)
        seen.add(OnnxEncoder(folder, engine="onnxruntime").fingerprint)
        assert len(seen) == number


def test_nothing_is_written_where_the_report_fails(originals, tmp_path, monkeypatch):
    """With a bound that no arithmetic keeps."""
    monkeypatch.setitem(BOUNDS[None], "max abs difference", 0.0)
    with pytest.raises(InputError, match=r"max abs difference .* \(at most 0\).*nothing was written"):
        export(originals["expanding"], tmp_path / "out", task="token-embeddings")
    assert list(tmp_path.iterdir()) == []


def test_what_no_graph_can_hold_is_refused(tmp_path):
    """Token pooling, markers on the left, a first module that is no transformer: named, and nothing is written."""
    plain = save_tiny_encoder(tmp_path / "plain")
    named = {"module_input_name": "token_embeddings"}
    pooled = [Transformer(plain), MultiVectorMask(), Normalize(**named), HierarchicalTokenPooling(pool_factor=2)]
    chosen = [Transformer(plain), MultiVectorMask(keep_only_token_ids=[7]), Normalize(**named)]
    left = Transformer(plain, query_expansion={"strategy": "fixed", "length": 9})
    for name, modules, message in (
        ("pooled", pooled, "expected modules among .*, got HierarchicalTokenPooling; encode with the original"),
        ("chosen", chosen, "without keep_only_token_ids"),
        ("left", [left, MultiVectorMask()], "padding on the left"),
    ):
        MultiVectorEncoder(modules=modules, device="cpu").save(str(tmp_path / name))
        settings = tmp_path / name / "tokenizer_config.json"
        side = "left" if name == "left" else "right"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"padding_side": side}))
        with pytest.raises(InputError, match=message):
            export(tmp_path / name, tmp_path / "out", task="token-embeddings")
        assert not (tmp_path / "out").exists()


def test_a_sample_is_compared_in_both_roles(originals, tmp_path):
    """The texts given, long ones and lone characters among them."""
    report = export(originals["expanding"], tmp_path / "out", task="token-embeddings", sample=[LONG, "x", "drag!"])
    assert report.sample == 3
    assert report.task == "token-embeddings"
    assert {figure.name for figure in report.figures} == set(BOUNDS[None])
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert all(f"- {figure}" in card for figure in report.figures)
