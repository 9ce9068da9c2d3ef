"""Cross-encoders as ONNX graphs: the scores of sentence-transformers, without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

os.environ.setdefault("HF_HUB_OFFLINE", "1")

library = pytest.importorskip("sentence_transformers")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from rank_plugins import cross_encoders  # noqa: E402 - after importorskip
from rank_plugins.errors import InputError, InputTypeError, StoreError  # noqa: E402
from rank_plugins.export import export  # noqa: E402
from rank_plugins.rerankers import load  # noqa: E402
from rank_plugins.testing import DOCUMENTS, QUERY, RerankerContract, save_tiny_cross_encoder  # noqa: E402

LONG = "the blood of mice " * 40 + "aspirin lowers pressure"
TEXTS = [text for text in DOCUMENTS if text]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save_tiny_cross_encoder(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    place = tmp_path_factory.mktemp("onnx") / "model"
    export(source, place, task="cross-encoder")
    return place


@pytest.fixture
def copied(folder, tmp_path):
    """Return a copy to spoil, without the sums that would tell."""
    place = tmp_path / "model"
    shutil.copytree(folder, place)
    (place / "SHA256SUMS").unlink()
    return place


class TestContract(RerankerContract):
    @pytest.fixture
    def reranker(self, folder):
        return load("rank-cross-encoder", model=folder)


class TestContractOnOpenVino(RerankerContract):
    tolerance = 0.02  # bfloat16

    @pytest.fixture
    def reranker(self, folder):
        pytest.importorskip("openvino")
        return load("rank-cross-encoder", model=folder, engine="openvino")


@pytest.mark.parametrize("activation", ["default", "none", "sigmoid"])
@pytest.mark.parametrize("batch_tokens", [1, 60, 8192])
def test_scores_are_those_of_sentence_transformers_in_the_callers_order(source, folder, activation, batch_tokens):
    function = {"default": None, "none": lambda x: x, "sigmoid": lambda x: 1 / (1 + (-x).exp())}[activation]
    expected = library.CrossEncoder(source).predict([(QUERY, text) for text in TEXTS], activation_fn=function)
    reranker = load("rank-cross-encoder", model=folder, activation=activation, batch_tokens=batch_tokens)
    found = dict(reranker.rerank(QUERY, TEXTS))
    assert [found[i] for i in range(len(TEXTS))] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("pool", ["max", "mean", "first"])
def test_long_documents_are_read_in_windows(source, folder, pool, recwarn):
    """The oracle cuts by its own tokenizer and scores every window."""
    model = library.CrossEncoder(source)
    tokenizer = model.tokenizer
    windows = tokenizer(
        "aspirin", LONG, truncation="only_second", max_length=64, stride=14, return_overflowing_tokens=True
    )
    with_torch = [
        float(model.model(**{
            name: __import__("torch").tensor([windows[name][i]])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }).logits)
        for i in range(len(windows["input_ids"]))
    ]  # fmt: skip
    assert len(with_torch) > 3
    expected = {"max": max(with_torch), "mean": np.mean(with_torch), "first": with_torch[0]}[pool]
    ranking = load("rank-cross-encoder", model=folder, long_documents=pool, activation="none").rerank(
        "aspirin", ["mice", LONG]
    )
    assert dict(ranking)[1] == pytest.approx(expected, abs=1e-5)
    assert ranking.details["truncated"] == ([1] if pool == "first" else [])
    assert ranking.details["windows"] == ({} if pool == "first" else {1: len(with_torch)})
    assert any("were cut" in str(one.message) for one in recwarn) == (pool == "first")


def test_the_end_of_a_long_document_counts(folder):
    """The word stands in the last window only; cut, the document has nothing of the query."""
    first, whole = (load("rank-cross-encoder", model=folder, long_documents=pool) for pool in ("first", "max"))
    text = "the blood of mice " * 40 + "aspirin"
    with pytest.warns(UserWarning, match="were cut"):
        assert first.rerank("aspirin", ["aspirin", text]).scores[1] < 0.06
    assert whole.rerank("aspirin", ["paris", text]).indices[0] == 1


def test_a_long_query_is_cut_and_told(folder):
    with pytest.warns(UserWarning, match="queries"):
        ranking = load("rank-cross-encoder", model=folder).rerank("aspirin " * 100, ["aspirin", LONG, ""])
    assert ranking.details["truncated"] == [0, 1]
    assert not np.isnan(ranking.scores).any()


def test_batches_are_sorted_by_length_across_queries(folder):
    reranker = load("rank-cross-encoder", model=folder)
    short, long = ["mice"] * 3, ["the blood of mice is high " * 5] * 3
    queries = ["aspirin", "blood", "sleep"]
    documents = [[short[i], f"{long[i]} {i}"] for i in range(3)]
    sizes = load("rank-cross-encoder", model=folder, batch_tokens=120).rerank_batch(queries, documents)[0].details
    together = reranker.rerank_batch(queries, documents)[0].details["tokens"]
    assert sizes["tokens"]["padded"] < together["padded"]
    assert sizes["tokens"]["real"] == together["real"] <= sizes["tokens"]["padded"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=st.lists(st.sampled_from([*TEXTS, LONG, "", "mice"]), min_size=1, max_size=8),
    budget=st.sampled_from([1, 64, 300, 8192]),
    threads=st.sampled_from([1, 3]),
)
def test_a_score_depends_on_nothing_but_the_pair(folder, documents, budget, threads):
    reranker = load("rank-cross-encoder", model=folder, batch_tokens=budget, threads=threads)
    alone = {text: reranker.rerank(QUERY, [text]).scores[0] for text in set(documents)}
    for index, score in reranker.rerank(QUERY, documents):
        assert score == pytest.approx(alone[documents[index]], abs=1e-6)


def test_two_labels_are_their_difference(source, folder, copied):
    """A model of two classes gives the second less the first."""
    model = onnx.load(copied / "model.onnx")
    output = model.graph.output[0]
    for node in model.graph.node:
        node.output[:] = ["one" if name == output.name else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Neg", ["one"], ["other"]))
    model.graph.node.append(onnx.helper.make_node("Concat", ["other", "one"], [output.name], axis=1))
    output.type.tensor_type.shape.dim[1].dim_value = 2
    onnx.save(model, copied / "model.onnx")
    one, two = (load("rank-cross-encoder", model=place, activation="none") for place in (folder, copied))
    assert two.rerank(QUERY, TEXTS).scores == pytest.approx(2 * one.rerank(QUERY, TEXTS).scores)


def test_a_model_that_gives_something_else_is_refused(copied):
    model = onnx.load(copied / "model.onnx")
    name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["one" if output == name else output for output in node.output]
    model.graph.node.append(onnx.helper.make_node("Concat", ["one"] * 3, [name], axis=1))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    onnx.save(model, copied / "model.onnx")
    with pytest.raises(InputError, match="one number for a pair"):
        load("rank-cross-encoder", model=copied).rerank(QUERY, TEXTS)


def without_settings(folder, **changes):
    """Make of an export what optimum or FlashRank would have written."""
    (folder / "cross-encoder.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "sigmoid"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "none"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "none"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "sigmoid"),
    ],
)
def test_a_folder_of_other_making_has_the_activation_of_sentence_transformers(copied, changes, expected):
    without_settings(copied, **changes)
    model = cross_encoders.load(copied)
    assert (model.default_activation, model.window) == (expected, 64)


def test_a_flashrank_folder_is_read(copied):
    """Its graph has the model's name."""
    without_settings(copied)
    (copied / "model.onnx").rename(copied / "flashrank-TinyModel_Quantized.onnx")
    assert cross_encoders.explain(copied).because == "it has flashrank-TinyModel_Quantized.onnx"
    assert load("rank-cross-encoder", model=copied).rerank(QUERY, TEXTS).indices[0] == 2


def test_a_graph_with_one_scale_for_all_runs_pair_by_pair(copied):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(copied / "model.onnx", copied / "int8.onnx", weight_type=QuantType.QInt8)
    shutil.move(copied / "int8.onnx", copied / "model.onnx")
    without_settings(copied)
    model = cross_encoders.load(copied)
    assert model.batch_tokens == 1
    reranker = load("rank-cross-encoder", model=copied)
    for index, score in reranker.rerank(QUERY, TEXTS):
        assert reranker.rerank(QUERY, [TEXTS[index]]).scores[0] == score


def test_damage_is_told(folder, copied, tmp_path):
    for name, content, message in (
        ("cross-encoder.json", '{"max_length": 2}', "max_length"),
        ("cross-encoder.json", '{"colour": 2}', "colour not known"),
        ("cross-encoder.json", '{"graphs": {"onnxruntime": "gone.onnx"}}', "expected gone.onnx"),
        ("tokenizer.json", "{}", "cannot be read as a tokenizer"),
        ("model.onnx", "nonsense", "cannot load it"),
    ):
        place = tmp_path / f"spoilt-{name}-{len(content)}"
        shutil.copytree(copied, place)
        (place / name).write_text(content)
        with pytest.raises(StoreError, match=message):
            load("rank-cross-encoder", model=place).rerank(QUERY, TEXTS)
    sums = tmp_path / "sums"
    shutil.copytree(folder, sums)
    with (sums / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(StoreError, match="SHA-256"):
        load("rank-cross-encoder", model=sums).rerank(QUERY, TEXTS)


def test_options_are_checked_at_once(folder, tmp_path):
    with pytest.raises(InputTypeError, match="max_length"):
        load("rank-cross-encoder", model=folder, device="cuda")
    with pytest.raises(InputError, match="engine: expected one of auto, onnxruntime"):
        load("rank-cross-encoder", model=folder, engine="tensorrt")
    with pytest.raises(InputError, match="long_documents"):
        load("rank-cross-encoder", model=folder, long_documents="last")
    with pytest.raises(InputError, match="at least 8"):
        load("rank-cross-encoder", model=folder, max_length=4).rerank(QUERY, TEXTS)
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"expected a cross-encoder.*readme.txt"):
        load("rank-cross-encoder", model=tmp_path)


def test_fingerprints_tell_models_and_windows_apart(folder, copied):
    same, short, mean = (
        load("rank-cross-encoder", model=copied, **options)
        for options in ({}, {"max_length": 32}, {"long_documents": "mean"})
    )
    known = load("rank-cross-encoder", model=folder).fingerprint
    assert known == same.fingerprint
    assert len({known, short.fingerprint, mean.fingerprint}) == 3


def test_fingerprints_tell_activations_and_padding_apart(folder, copied):
    known = load("rank-cross-encoder", model=folder).fingerprint
    for name, change in (("cross-encoder.json", {"activation": "none"}), ("config.json", {"pad_token_id": 3})):
        place = copied.parent / name
        shutil.copytree(copied, place)
        (place / name).write_text(json.dumps(json.loads((place / name).read_text()) | change))
        assert load("rank-cross-encoder", model=place).fingerprint != known, name


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_positions_that_begin_behind_the_paddings_are_no_window(copied, kind):
    without_settings(copied, model_type=kind, max_position_embeddings=42, pad_token_id=1)
    (copied / "tokenizer_config.json").unlink(missing_ok=True)
    assert cross_encoders.load(copied).window == 40


def test_no_torch_is_needed(folder):
    code = f"""
        import sys
        for name in ("torch", "transformers", "sentence_transformers"):
            sys.modules[name] = None
        from rank_plugins.rerankers import load
        print(load("rank-cross-encoder", model={str(folder)!r}).rerank({QUERY!r}, {TEXTS!r}).indices[0])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
