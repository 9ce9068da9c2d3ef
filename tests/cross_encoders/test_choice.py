"""Which engine serves a folder, by its files and by what is installed."""

from __future__ import annotations

import json

import pytest

from rank_plugins import _engines, cross_encoders
from rank_plugins.cross_encoders import _choice
from rank_plugins.errors import InputError

CAUSAL = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
RANKS = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}


@pytest.fixture
def write(tmp_path):
    """Return what makes a folder of empty files, or JSON ones."""

    def write(*names, **contents):
        for name in names:
            (tmp_path / name).touch()
        for name, content in contents.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return write


def test_an_encoder_over_a_language_model_is_no_cross_encoder(write):
    folder = write(config=CAUSAL, modules=[{"type": "sentence_transformers.models.Pooling"}])
    assert not cross_encoders.is_cross_encoder(folder)


@pytest.mark.parametrize("config", [CAUSAL, RANKS])
def test_what_ranks_is_a_cross_encoder(write, config):
    assert cross_encoders.is_cross_encoder(write(config=config))


def test_a_folder_that_cross_encoder_saved_is_one(write):
    folder = write(config=CAUSAL, modules=[], config_sentence_transformers={"model_type": "CrossEncoder"})
    assert cross_encoders.is_cross_encoder(folder)
    assert cross_encoders.explain(folder).engine == "sentence-transformers"


@pytest.mark.parametrize(
    ("names", "installed", "engine"),
    [
        (["model.onnx", "model.safetensors"], {"onnxruntime", "sentence_transformers"}, "onnxruntime"),
        (["model.onnx", "model.safetensors"], {"sentence_transformers"}, "sentence-transformers"),
        (["model.onnx", "model.safetensors"], set(), "onnxruntime"),
        (["model.onnx"], {"sentence_transformers"}, "onnxruntime"),
    ],
)
def test_a_graph_is_taken_unless_only_the_librarys_own_weights_can_run(write, monkeypatch, names, installed, engine):
    folder = write(*names, "tokenizer.json", config=RANKS)
    for module in (_choice, _engines):
        monkeypatch.setattr(module, "importable", lambda name: name in installed)
    choice = cross_encoders.explain(folder)
    assert (choice.engine, choice.installed) == (engine, engine.replace("-", "_") in installed)


def test_a_folder_of_other_files_is_refused(write):
    with pytest.raises(InputError, match="expected a cross-encoder, .* got notes.txt"):
        cross_encoders.explain(write("notes.txt"))
