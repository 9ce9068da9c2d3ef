"""The engine of sentence-transformers, against the library itself."""

from __future__ import annotations

import importlib.util
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")

import sentence_transformers as library
import torch
import transformers
from pair_checks import LONG, TEXTS, check_batches, check_first, check_long_query, check_scores, check_windows

from rank_plugins import cross_encoders
from rank_plugins.errors import InputError, InputTypeError, MissingExtraError
from rank_plugins.rerankers import load
from rank_plugins.testing import QUERY, RerankerContract

ENGINE = {"engine": "sentence-transformers"}
RAW = torch.nn.Identity()


class TestContract(RerankerContract):
    @pytest.fixture
    def reranker(self, bert):
        return load("rank-cross-encoder", model=bert, **ENGINE)


@pytest.fixture(scope="module")
def model(bert):
    return library.CrossEncoder(bert)


def raw(model):
    return lambda pairs: model.predict(pairs, activation_fn=RAW)


def counted(model):
    return lambda query, text: len(model.tokenizer(query, text, truncation=False, verbose=False)["input_ids"])


def test_scores_are_the_librarys(bert, model):
    check_scores(bert, model.predict, **ENGINE)
    check_scores(bert, raw(model), activation="none", **ENGINE)
    check_scores(
        bert, lambda pairs: model.predict(pairs, activation_fn=torch.nn.Sigmoid()), activation="sigmoid", **ENGINE
    )
    check_scores(model, model.predict)


def test_padding_changes_nothing(bert):
    check_batches(bert, **ENGINE)


def test_long_documents_are_read_in_windows(bert, model):
    check_windows(bert, raw(model), counted(model), **ENGINE)


def test_the_start_alone_is_what_the_library_reads(bert, model):
    check_first(bert, raw(model), **ENGINE)


def test_long_queries_are_cut(bert, model):
    check_long_query(bert, counted(model), **ENGINE)


def test_an_activation_of_its_own_is_used(bert):
    class Halved(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, scores):
            return torch.tanh(scores * self.scale)

    model = library.CrossEncoder(bert, activation_fn=Halved())
    check_scores(model, model.predict)
    assert cross_encoders.load(model).fingerprint != cross_encoders.load(library.CrossEncoder(bert)).fingerprint


@pytest.mark.parametrize("activation", ["Identity", "Sigmoid", "Tanh"])
def test_the_activation_of_the_configuration_is_the_default(bert, tmp_path, activation):
    library.CrossEncoder(bert, activation_fn=getattr(torch.nn, activation)()).save_pretrained(str(tmp_path / "model"))
    check_scores(str(tmp_path / "model"), library.CrossEncoder(str(tmp_path / "model")).predict, **ENGINE)


def test_a_prompt_takes_its_part_of_the_window(bert):
    model = library.CrossEncoder(bert, prompts={"ask": "documents about "}, default_prompt_name="ask")
    plain = library.CrossEncoder(bert)
    check_scores(model, model.predict)
    assert cross_encoders.load(model).fingerprint != cross_encoders.load(plain).fingerprint
    seen = []
    hook = model[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]["input_ids"].shape[1]))
    ranking = load("rank-cross-encoder", model=model, batch_tokens=1).rerank(QUERY, [LONG])
    hook.remove()
    assert ranking.details["windows"][0] > 2
    assert max(seen) < 64  # where the library cuts nothing


def test_large_logits_keep_their_order(bert):
    """In float32 the sigmoid of 20 and of 30 are both 1."""
    loaded = cross_encoders.load(bert, **ENGINE)
    scores = loaded.activated(np.array([20.0, 30.0]), "default")
    assert scores[0] < scores[1]


def test_a_live_model_is_used_as_it_is(model):
    loaded = cross_encoders.load(model)
    assert loaded._model is model
    assert cross_encoders.load(model) is loaded
    with pytest.raises(InputTypeError, match="device cannot change a CrossEncoder that is already made"):
        cross_encoders.load(model, device="cpu")
    with pytest.raises(InputTypeError, match="max_length cannot change"):
        cross_encoders.load(model, max_length=16)


def test_fingerprints_say_what_decides_scores(bert, model, tmp_path):
    fingerprint = cross_encoders.load(bert, **ENGINE).fingerprint
    assert len(fingerprint) == 32
    shutil.copytree(bert, tmp_path / "copy")
    assert cross_encoders.load(tmp_path / "copy", device="cpu", **ENGINE).fingerprint == fingerprint
    assert cross_encoders.load(bert, max_length=32, **ENGINE).fingerprint != fingerprint
    live = library.CrossEncoder(bert)
    assert cross_encoders.load(live).fingerprint == fingerprint
    with torch.no_grad():
        live.model.classifier.weight.mul_(2)
    assert cross_encoders.load(live).fingerprint != fingerprint


def test_a_smaller_window_is_respected(bert):
    loaded = cross_encoders.load(bert, max_length=32, **ENGINE)
    assert loaded.window == 32
    assert (
        load("rank-cross-encoder", model=bert, max_length=32, **ENGINE).rerank(QUERY, [LONG]).details["windows"][0] > 20
    )


@pytest.mark.parametrize("live", [False, True])
def test_positions_that_begin_behind_the_paddings_are_no_window(bert, tmp_path, live):
    """RoBERTa's first token has the position after the padding's number: the last positions are never reached."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    tokenizer.model_max_length, tokenizer.model_input_names = 1 << 40, ["input_ids", "attention_mask"]
    config = transformers.XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, pad_token_id=tokenizer.pad_token_id, num_labels=1,
    )  # fmt: skip
    transformers.XLMRobertaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = library.CrossEncoder(str(tmp_path)) if live else tmp_path
    reranker = load("rank-cross-encoder", model=model)
    assert reranker._loaded().window == 31
    assert len(reranker.rerank("blood", ["the blood of mice " * 40, "mice"])) == 2
    if not live:
        with pytest.warns(UserWarning, match="31 tokens"):
            load("rank-cross-encoder", model=model, long_documents="first").rerank("blood", ["mice " * 40])


def test_nothing_is_drawn(bert, capfd):
    load("rank-cross-encoder", model=bert, max_length=60, **ENGINE).rerank("blood", ["mice"])
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.is_progress_bar_enabled()  # for those who draw bars themselves


def test_half_precision_is_handed_through(bert):
    loaded = cross_encoders.load(bert, model_kwargs={"dtype": "bfloat16"}, **ENGINE)
    assert next(loaded._model.parameters()).dtype == torch.bfloat16


def test_what_cannot_rank_is_refused(bert, bert_encoder, three_labels, tmp_path):
    with pytest.raises(InputError, match=r"expected a cross-encoder, got .* of BertModel.*score at random"):
        cross_encoders.load(bert_encoder, **ENGINE)
    with pytest.raises(InputError, match="expected one number for a pair, got 3"):
        cross_encoders.load(three_labels, **ENGINE)
    with pytest.raises(InputError, match="could not be loaded as a cross-encoder"):
        cross_encoders.load(tmp_path, **ENGINE)
    with pytest.raises(InputError, match="backend: expected one of torch, openvino, got 'onnx'.*rank-plugins export"):
        cross_encoders.load(three_labels, backend="onnx", **ENGINE)
    with pytest.raises(InputError, match="max_length: expected room for a query and a document"):
        cross_encoders.load(bert, max_length=5, **ENGINE)
    with pytest.raises(InputTypeError, match="its options are: model, max_length, device"):
        load("rank-cross-encoder", model=bert_encoder, templat="x", **ENGINE)


def test_pickled_weights_are_not_read(bert, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(bert, folder)
    safetensors = pytest.importorskip("safetensors.torch")
    torch.save(safetensors.load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="could not be loaded as a cross-encoder"):
        cross_encoders.load(folder, **ENGINE)


def test_the_openvino_backend(bert, model, tmp_path):
    """Of sentence-transformers' own; it computes in bfloat16 where the CPU can."""
    if importlib.util.find_spec("optimum") is None:
        with pytest.raises(MissingExtraError, match=r"needs optimum-intel.*engine=\"openvino\""):
            cross_encoders.load(bert, backend="openvino", **ENGINE)
        return
    loaded = cross_encoders.load(bert, backend="openvino", **ENGINE)
    pairs = [(QUERY, text) for text in TEXTS]
    expected = library.CrossEncoder(bert, backend="openvino").predict(pairs, batch_size=1, activation_fn=RAW)
    assert loaded.batch_tokens == 1
    assert [loaded.run([pair])[0] for pair in pairs] == pytest.approx(expected.tolist(), abs=1e-5)
    assert loaded.run(pairs).tolist() == pytest.approx(raw(model)(pairs).tolist(), abs=0.1)
    assert loaded.fingerprint == cross_encoders.load(library.CrossEncoder(bert, backend="openvino")).fingerprint
    changed = library.CrossEncoder(bert)
    with torch.no_grad():
        changed.model.classifier.weight.mul_(2)
    changed.save_pretrained(str(tmp_path))
    assert loaded.fingerprint != cross_encoders.load(tmp_path, backend="openvino", **ENGINE).fingerprint


class TestLanguageModel:
    """A causal model with yes and no, which sentence-transformers runs with a chat template."""

    TEMPLATE = (
        "{% set query = messages | selectattr('role', 'equalto', 'query') | map(attribute='content') | first %}"
        "{% set document = messages | selectattr('role', 'equalto', 'document') | map(attribute='content') | first %}"
        "query {{ query }} document {{ document }} answer"
    )

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory):
        from rank_plugins.testing import save_tiny_causal

        folder = tmp_path_factory.mktemp("causal")
        save_tiny_causal(folder)
        (folder / "chat_template.jinja").write_text(cls.TEMPLATE, encoding="utf-8")
        library.CrossEncoder(str(folder)).save_pretrained(str(folder / "saved"))
        return folder / "saved"

    def test_it_is_found_by_its_files(self, folder):
        assert json.loads((folder / "modules.json").read_text(encoding="utf-8"))[1]["type"].endswith("LogitScore")
        assert cross_encoders.explain(folder).engine == "sentence-transformers"

    def test_scores_are_the_librarys(self, folder):
        model = library.CrossEncoder(str(folder))
        check_scores(str(folder), model.predict)
        check_batches(str(folder))

    def test_the_templates_end_is_never_cut(self, folder):
        seen = []
        model = library.CrossEncoder(str(folder), max_length=64)
        model[0].register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0]["input_ids"][:, -1].tolist()))
        loaded = cross_encoders.load(model)
        windows = [piece.content for piece in loaded.pieces([(QUERY, LONG)], first_only=False)[0]]
        assert len(windows) > 3
        loaded.run(windows)
        assert set(seen) == {model.tokenizer.convert_tokens_to_ids("answer")}
        assert max(loaded.run(windows)) == pytest.approx(max(raw(model)(windows)), abs=1e-5)
