"""The engine of FlashRank, against its Ranker with the same files."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

pytest.importorskip("flashrank", reason="needs flashrank")
pytest.importorskip("onnx", reason="needs onnx")
pytest.importorskip("torch", reason="needs torch")

import flashrank
import numpy as np
import onnx
import onnxruntime.quantization
from pair_checks import PAIRS, TEXTS, check_batches, check_first, check_long_query, check_scores, check_windows

from rank_plugins import cross_encoders
from rank_plugins.cross_encoders.flashrank import FlashRankCrossEncoder
from rank_plugins.errors import InputError, InputTypeError, StoreError
from rank_plugins.export import export
from rank_plugins.rerankers import load
from rank_plugins.testing import QUERY, RerankerContract

ENGINE = {"engine": "flashrank"}


@pytest.fixture(scope="module")
def folder(bert, tmp_path_factory):
    """Return a folder as FlashRank has it: a graph, and beside it all that its tokenizer is made from."""
    root = tmp_path_factory.mktemp("models")
    export(bert, root / "exported", task="cross-encoder")
    place = root / "tiny"
    shutil.copytree(bert, place)
    (place / "model.safetensors").unlink()
    shutil.copy(root / "exported" / "model.onnx", place / "model.onnx")
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    (place / "special_tokens_map.json").write_text(json.dumps(special), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def ranker(folder):
    """Return FlashRank's own of that folder; what its constructor does to logging is taken back."""
    table = flashrank.Ranker.__init__.__globals__["model_file_map"]
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    table["tiny"] = "model.onnx"
    yield flashrank.Ranker("tiny", cache_dir=str(folder.parent))
    del table["tiny"]
    root.level, root.handlers[:] = before


class TestContract(RerankerContract):
    @pytest.fixture
    def reranker(self, folder):
        return load("rank-cross-encoder", model=folder, **ENGINE)


def scores(ranker):
    """Return a function that gives the scores of `rerank`, one passage at a time."""

    def predict(pairs):
        requests = [flashrank.RerankRequest(query, [{"id": 0, "text": text}]) for query, text in pairs]
        return [float(ranker.rerank(request)[0]["score"]) for request in requests]

    return predict


def counted(ranker):
    tokenizer = type(ranker.tokenizer).from_str(ranker.tokenizer.to_str())
    tokenizer.no_truncation()
    return lambda query, text: len(tokenizer.encode(query, text).ids)


def logits(ranker):
    return lambda pairs: [float(np.log(score / (1 - score))) for score in scores(ranker)(pairs)]


def test_scores_are_those_of_rerank(folder, ranker):
    check_scores(folder, scores(ranker), **ENGINE)
    check_scores(ranker, scores(ranker))


def test_padding_changes_nothing(folder):
    check_batches(folder, **ENGINE)


def test_long_documents(folder, ranker):
    check_windows(folder, logits(ranker), counted(ranker), **ENGINE)
    check_first(folder, logits(ranker), **ENGINE)
    check_long_query(folder, counted(ranker), **ENGINE)


def test_two_numbers_are_of_no_and_yes(folder, ranker, tmp_path):
    """FlashRank takes the softmax of them."""
    shutil.copytree(folder, tmp_path / "two")
    graph = onnx.load(tmp_path / "two" / "model.onnx")
    name = graph.graph.output[0].name
    half = onnx.helper.make_tensor("half", onnx.TensorProto.FLOAT, [1, 2], [-0.25, 0.5])
    graph.graph.initializer.append(half)
    graph.graph.node.append(onnx.helper.make_node("MatMul", [name, "half"], ["both"]))
    graph.graph.output[0].name = "both"
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    onnx.save(graph, tmp_path / "two" / "model.onnx")
    two = flashrank.Ranker.__new__(flashrank.Ranker)
    two.__dict__.update(vars(ranker), model_dir=tmp_path / "two")
    two.session = onnxruntime.InferenceSession(str(tmp_path / "two" / "model.onnx"))
    check_scores(tmp_path / "two", scores(two), **ENGINE)
    check_scores(two, scores(two))


def test_one_scale_for_all_runs_one_pair_at_a_time(folder, tmp_path):
    """As FlashRank's own quantised graphs have it: together, a passage changes another's score."""
    shutil.copytree(folder, tmp_path / "small")
    place = tmp_path / "small" / "model.onnx"
    onnxruntime.quantization.quantize_dynamic(folder / "model.onnx", place)
    loaded = cross_encoders.load(tmp_path / "small", **ENGINE)
    assert loaded.batch_tokens == 1
    assert abs(loaded.run(PAIRS) - [loaded.run([pair])[0] for pair in PAIRS]).max() > 1e-4  # why it does not
    alone = load("rank-cross-encoder", model=tmp_path / "small", **ENGINE).rerank(QUERY, TEXTS[:1])
    together = load("rank-cross-encoder", model=tmp_path / "small", **ENGINE).rerank(QUERY, TEXTS)
    assert dict(together)[0] == dict(alone)[0]


def test_logging_and_tables_stay_as_they_are(folder):
    root = logging.getLogger()
    before = root.level, list(root.handlers), dict(flashrank.Ranker.__init__.__globals__["model_file_map"])
    FlashRankCrossEncoder(folder)
    assert (root.level, root.handlers, flashrank.Ranker.__init__.__globals__["model_file_map"]) == before


def test_windows_are_flashranks(folder, ranker):
    assert cross_encoders.load(ranker).window == 64
    assert cross_encoders.load(folder, max_length=32, **ENGINE).window == 32
    assert cross_encoders.load(folder, max_length=500, **ENGINE).window == 64
    with pytest.raises(InputTypeError, match="max_length cannot change a Ranker"):
        cross_encoders.load(ranker, max_length=32)


def test_fingerprints_say_what_decides_scores(folder, ranker):
    fingerprint = cross_encoders.load(folder, **ENGINE).fingerprint
    assert cross_encoders.load(ranker).fingerprint == fingerprint
    assert cross_encoders.load(folder, max_length=32, **ENGINE).fingerprint != fingerprint


def test_what_gives_no_scores_is_refused(ranker):
    listwise = flashrank.Ranker.__new__(flashrank.Ranker)
    listwise.__dict__.update(vars(ranker), llm_model=object())
    with pytest.raises(InputError, match="got one of a generative model"):
        cross_encoders.load(listwise)
    with pytest.raises(InputTypeError, match=r"expected a folder or a flashrank\.Ranker, got int"):
        FlashRankCrossEncoder(7)


def test_folders_that_are_not_whole_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"expected a folder of a FlashRank model.*flashrank\.Ranker\(name\)"):
        cross_encoders.load("ms-marco-TinyBERT-L-2-v2", **ENGINE)
    for name, error in (("special_tokens_map.json", "found no special_tokens_map.json"), ("model.onnx", "got none")):
        place = tmp_path / Path(name).stem
        shutil.copytree(folder, place)
        (place / name).unlink()
        with pytest.raises(StoreError, match=error):
            cross_encoders.load(place, **ENGINE)
    (place / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(StoreError, match="FlashRank cannot load it"):
        cross_encoders.load(place, **ENGINE)
    shutil.copy(folder / "model.onnx", place / "other.onnx")
    with pytest.raises(StoreError, match=r"expected one ONNX graph, got model\.onnx, other\.onnx"):
        cross_encoders.load(place, **ENGINE)
