"""Which engine serves an encoder: by files, by type, by wish; and what `rank-plugins info` says of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")
pytest.importorskip("FlagEmbedding", reason="needs the extra flagembedding")

import tiny
from FlagEmbedding import BGEM3FlagModel
from sentence_transformers import SentenceTransformer

from rank_plugins import InputError, InputTypeError, encoders
from rank_plugins.cli import main
from rank_plugins.encoders.onnx import MINILM
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import save_tiny_encoder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return one folder of each kind, some with an ONNX graph beside the weights."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(MINILM, root / "exported")
    save_tiny_encoder(root / "plain")
    shutil.copytree(root / "plain", root / "with graph")
    (root / "with graph" / "onnx").mkdir()
    (root / "with graph" / "onnx" / "model.onnx").write_bytes(b"a graph")
    tiny.save_bge_m3(root / "bge")
    (root / "bge" / "onnx").mkdir()
    (root / "bge" / "onnx" / "model.onnx").write_bytes(b"a graph without the colbert head")
    tiny.save_pylate(root / "pylate")
    (root / "pylate" / "model.onnx").write_bytes(b"a graph without the projection")
    SentenceTransformer(str(root / "plain"), device="cpu").save(str(root / "sentence"))
    (root / "empty").mkdir()
    (root / "empty" / "notes.txt").write_text("nothing")
    return root


CHOICES = [
    ("exported", ("onnxruntime", "openvino"), "it has float.onnx and encoder.json"),
    ("with graph", ("onnxruntime", "openvino"), "it has onnx/model.onnx"),
    ("bge", ("flagembedding",), "it has colbert_linear.pt, the colbert head of BGE-M3"),
    ("pylate", ("sentence-transformers",), "its folder was saved by PyLate"),
    ("sentence", ("sentence-transformers",), "saved by SentenceTransformer: token embeddings of its last layer"),
    ("plain", ("sentence-transformers",), "a plain transformers model.*no projection added"),
]


@pytest.mark.parametrize(("name", "engines", "because"), CHOICES)
def test_a_folder_is_served_by_what_its_files_ask_for(folders, name, engines, because):
    """A graph that lacks a model's head is never taken for the model."""
    choice = encoders.explain(folders / name)
    assert choice.engine in engines
    assert choice.installed
    assert re.search(because, choice.because)


@pytest.mark.parametrize("name", ["exported", "bge", "pylate", "sentence", "plain"])
def test_load_makes_the_encoder_that_explain_names(folders, name):
    """By path and by str; encoding works at once."""
    encoder = encoders.load(str(folders / name))
    modules = {"sentence-transformers": "sentence_transformers", "flagembedding": "flag_embedding"}
    module = modules.get(encoders.explain(folders / name).engine, "onnx")
    assert type(encoder).__module__ == f"rank_plugins.encoders.{module}"
    assert encoder.encode_documents(["blood pressure"])[0].shape[1] == encoder.dim


def test_a_graph_that_no_engine_would_find_decides_nothing(folders, tmp_path):
    """Weights beside onnx/model_quantized.onnx alone are served; without weights the folder names what it has."""
    folder = shutil.copytree(folders / "plain", tmp_path / "model")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_quantized.onnx").write_bytes(b"a graph")
    assert encoders.load(folder, device="cpu").dim == 32


def test_a_name_that_no_hub_can_have_is_refused():
    """Before anything is asked."""
    for name in ("  ", "a/b/", "a/b/c", "/nowhere", "-a/b"):
        with pytest.raises(InputError, match="expected a folder with a model or a hub name 'owner/model'"):
            encoders.load(name)


def test_an_engine_can_be_asked_for(folders):
    """The files are not asked then; an engine that cannot serve them says so."""
    assert encoders.explain(folders / "with graph", "sentence-transformers").because == "asked for"
    assert encoders.load(folders / "with graph", "sentence-transformers", device="cpu").dim == 32
    assert encoders.load(MINILM, engine="onnxruntime").engine == "onnxruntime"
    assert encoders.load("minilm", engine="onnxruntime").engine == "onnxruntime"
    assert MaxSimReranker(folders / "bge", engine="flagembedding", device="cpu").encoder.dim == 32
    with pytest.raises(InputError, match="found no colbert_linear.pt"):
        encoders.load(folders / "plain", "flagembedding")
    with pytest.raises(InputError, match="engine: expected one of auto, onnxruntime, .*, got 'tensorrt'"):
        encoders.prepare(folders / "plain", {"engine": "tensorrt"})


def test_live_models_are_wrapped(folders):
    """Their own library serves them; the vectors are those of their folder."""
    for name, model in (
        ("plain", SentenceTransformer(str(folders / "plain"), device="cpu")),
        ("bge", BGEM3FlagModel(str(folders / "bge"), use_fp16=False, devices="cpu")),
    ):
        assert encoders.explain(model).because == f"it is a live {type(model).__name__}"
        found = encoders.load(model).encode_documents(["blood pressure"])[0]
        expected = encoders.load(folders / name, device="cpu").encode_documents(["blood pressure"])[0]
        assert found == pytest.approx(expected, abs=1e-6)
        reranker = MaxSimReranker(model, score="mean")
        assert [i for i, _ in reranker.rerank("blood pressure", ["wing", "blood pressure"])] == [1, 0]
        with pytest.raises(InputError, match="engine: expected auto or .* for a live"):
            encoders.load(model, "onnxruntime")
        with pytest.raises(InputTypeError, match="banana"):
            encoders.prepare(model, {"banana": 1})


@pytest.mark.parametrize("wrong", [7, None, np.zeros(3), object()])
def test_what_is_no_model_is_refused(wrong):
    """The error lists what is taken."""
    with pytest.raises(
        InputTypeError, match="expected a name, a folder or an Encoder, got .*; models of sentence-transformers"
    ):
        encoders.load(wrong)


def test_options_are_checked_before_anything_is_loaded(folders):
    """Those of the engine that serves the folder; for a name on the hub, those that some engine takes."""
    with pytest.raises(InputTypeError, match=r"on sentence-transformers: .*threads.*its options are: long_documents"):
        encoders.prepare(folders / "plain", {"threads": 2})
    encoders.prepare(folders / "plain", {}, defaults={"threads": 2})  # a default is for those that take it
    encoders.prepare("owner/model", {"threads": 2})
    encoders.prepare("owner/model", {"device": "cpu"})
    with pytest.raises(InputTypeError, match="no engine takes threads, device; options of its engines are: batch_tok"):
        encoders.prepare("owner/model", {"threads": 2, "device": "cpu"})


def test_a_folder_without_a_model_is_refused(folders):
    """With what was looked for, and what is there."""
    with pytest.raises(InputError, match=r"expected an ONNX graph, colbert_linear.pt or a model of .*, got notes.txt"):
        encoders.load(folders / "empty")


def test_a_hub_name_is_served_from_the_cache(folders, tmp_path, monkeypatch):
    """Without a network the hub's cache answers, for what it holds; what it does not hold is a clear error."""
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    repository = tmp_path / "models--owner--model"
    (repository / "refs").mkdir(parents=True)
    commit = "0" * 40
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(folders / "sentence", repository / "snapshots" / commit)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.file_download, "HF_HUB_CACHE", str(tmp_path), raising=False)
    assert encoders.explain("owner/model").engine == "sentence-transformers"
    with pytest.raises(InputError, match="'owner/other' is no folder here and could not be fetched"):
        encoders.load("owner/other")


def test_info_names_the_engine_and_why(folders, capsys):
    """Without arguments for the encoders that have a name, else for the models given."""
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["encoder minilm"]["engine"] in ("onnxruntime", "openvino")
    assert facts["encoder minilm"]["installed"] is True
    assert "it is an ONNX graph, and" in facts["encoder minilm"]["because"]
    models = [str(folders / name) for name, _, _ in CHOICES]
    assert main(["info", *models, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    for model, (_, engines, _) in zip(models, CHOICES, strict=True):
        assert facts[f"encoder {model}"]["engine"] in engines
    assert main(["info", str(folders / "bge")]) == 0
    assert "engine flagembedding, because it has colbert_linear.pt" in capsys.readouterr().out
    assert main(["info", str(folders / "empty")]) == 1
    assert "expected an ONNX graph" in capsys.readouterr().err


def test_importing_encoders_is_light():
    """Neither torch nor a library of models is imported to have them to choose from."""
    heavy = ("torch", "transformers", "FlagEmbedding", "onnxruntime")
    code = f"import sys, rank_plugins.encoders; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
