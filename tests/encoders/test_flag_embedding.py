"""FlagEmbeddingEncoder: BGE-M3's own vectors and scores as oracle, on a tiny model in its layout."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("FlagEmbedding", reason="needs the extra flagembedding")

import tiny
import torch
from FlagEmbedding import BGEM3FlagModel, FlagModel
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, RankPluginsError, StoreError
from rank_plugins.encoders import Encoder
from rank_plugins.encoders.flag_embedding import FlagEmbeddingEncoder
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import ODD_TEXTS, save_tiny_encoder

LONG = " ".join(f"document {i} is about aspirin and blood pressure" for i in range(20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a tiny BGE-M3."""
    return tiny.save_bge_m3(tmp_path_factory.mktemp("bge"))


@pytest.fixture(scope="module")
def encoder(folder):
    """Return the encoder of the folder."""
    return FlagEmbeddingEncoder(folder, device="cpu")


def live(folder, **options):
    """Return the library's own model."""
    options = {"use_fp16": False, "devices": "cpu", "query_max_length": 64, "passage_max_length": 64} | options
    return BGEM3FlagModel(str(folder), **options)


INSTRUCTIONS = {"query_instruction_for_retrieval": "query: ", "passage_instruction_for_retrieval": "about: "}


@pytest.mark.parametrize("options", [{}, INSTRUCTIONS, {"normalize_embeddings": False}])
def test_scores_are_those_of_the_model_itself(folder, options):
    """MaxSimReranker(score="mean") gives the model's `colbert_score` of its own vectors, to 1e-4."""
    model = live(folder, **options)
    encode = {"return_dense": False, "return_colbert_vecs": True}
    queries = [model.encode_queries([text], **encode)["colbert_vecs"][0] for text in tiny.QUERIES]
    documents = [model.encode_corpus([text], **encode)["colbert_vecs"][0] for text in tiny.TEXTS]
    reranker = MaxSimReranker(FlagEmbeddingEncoder(model), score="mean")
    for query, vectors in zip(tiny.QUERIES, queries, strict=True):
        expected = [float(model.colbert_score(vectors, document)) for document in documents]
        found = dict(reranker.rerank(query, tiny.TEXTS))
        assert [found[i] for i in range(len(expected))] == pytest.approx(expected, abs=1e-4, rel=1e-4)


def test_cls_has_no_vector(folder):
    """A text has one vector for each of its tokens and one for the last special token."""
    encoder = FlagEmbeddingEncoder(folder, device="cpu")
    assert isinstance(encoder, Encoder)
    assert encoder.encode_documents(["blood pressure"]).tokens.tolist() == [3]
    assert np.linalg.norm(encoder.encode_queries(["blood pressure"])[0], axis=1) == pytest.approx(1, abs=1e-5)


def test_a_head_of_another_dimension(tmp_path):
    """The head's own shape decides K."""
    folder = tiny.save_bge_m3(tmp_path, dim=8)
    encoder = FlagEmbeddingEncoder(folder, device="cpu")
    assert encoder.dim == 8
    expected = live(folder, colbert_dim=8).encode(["blood"], return_dense=False, return_colbert_vecs=True)
    assert encoder.encode_documents(["blood"])[0] == pytest.approx(expected["colbert_vecs"][0], abs=1e-5)


TEXT = st.lists(st.sampled_from(["a", "drag", "blood", ".", "wing,", "pressure", "xyzzy"]), max_size=12).map(" ".join)


@settings(max_examples=10, deadline=None)
@given(texts=st.lists(TEXT, max_size=4))
def test_a_text_is_encoded_alike_in_any_company(encoder, texts):
    """Neighbours, their number and their length change nothing, and empty texts have no tokens."""
    for encode in (encoder.encode_queries, encoder.encode_documents):
        for text, vectors in zip(texts, encode(texts), strict=True):
            assert vectors.dtype == np.float32
            assert vectors == pytest.approx(encode([text])[0], abs=1e-5)
            assert bool(text) or not len(vectors)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_no_token(folder, side):
    """On either side: a text next to a longer one has as many vectors as alone."""
    model = live(folder)
    model.tokenizer.padding_side = side
    encoder = FlagEmbeddingEncoder(model)
    assert encoder.encode_documents(["blood", LONG[:80]]).tokens[0] == 2


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_odd_texts(encoder, name):
    """Any text gives finite vectors; whitespace gives none."""
    found = encoder.encode_documents(["aspirin", ODD_TEXTS[name], ""])
    assert np.isfinite(found[1]).all()
    assert (len(found[1]) == 0) == (name == "whitespace")
    assert len(found[2]) == 0


def test_long_texts(folder):
    """Windows cover all of a document, "first" and queries say once that they do not; the live lengths decide."""
    documents = [LONG, f"{LONG} zebra"]
    whole = FlagEmbeddingEncoder(folder, device="cpu").encode_documents(documents)
    assert whole.tokens[0] > 64
    model = live(folder, query_max_length=8, passage_max_length=16)
    first = FlagEmbeddingEncoder(model, long_documents="first")
    with pytest.warns(UserWarning, match="a document is longer than 16 tokens"):
        cut = first.encode_documents(documents)
    assert cut.tokens.tolist() == [15, 15]
    with pytest.warns(UserWarning, match="a query is longer than 8 tokens"):
        assert first.encode_queries([LONG]).tokens.tolist() == [7]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.encode_documents(documents)


def test_threads_share_an_encoder(encoder):
    """Sixteen concurrent calls with texts of different length get their own results."""
    texts = [f"{'aspirin ' * n}number {n}" for n in range(1, 17)]
    expected = [encoder.encode_documents([text])[0] for text in texts]
    with ThreadPoolExecutor(16) as pool:
        for vectors, reference in zip(
            pool.map(lambda text: encoder.encode_documents([text])[0], texts), expected, strict=True
        ):
            assert vectors == pytest.approx(reference, abs=1e-5)


def test_fingerprint_names_what_decides_the_vectors(folder):
    """A live model has that of its folder; batches do not matter, instructions, weights and long documents do."""
    base = FlagEmbeddingEncoder(folder, device="cpu").fingerprint
    lengths = {"query_max_length": 512, "passage_max_length": 512}
    assert FlagEmbeddingEncoder(live(folder, **lengths), batch_tokens=9).fingerprint == base
    trained = live(folder)
    with torch.no_grad():
        trained.model.colbert_linear.bias += 1
    others = {
        FlagEmbeddingEncoder(folder, device="cpu", long_documents="first").fingerprint,
        FlagEmbeddingEncoder(live(folder, **INSTRUCTIONS)).fingerprint,
        FlagEmbeddingEncoder(trained).fingerprint,
    }
    assert len(others | {base}) == 4


def test_encoders_share_a_model_until_the_last_is_closed(tmp_path):
    """One model for one folder and device, be it chosen or named; a closed encoder says so."""
    folder = tiny.save_bge_m3(tmp_path)
    default = BGEM3FlagModel.get_target_devices(None)[0]
    first, second = FlagEmbeddingEncoder(folder), FlagEmbeddingEncoder(f"{folder}/", device=default)
    assert first._model is second._model
    watch = weakref.ref(first._model)
    first.close()
    with pytest.raises(RankPluginsError, match="is closed; make another one"):
        first.encode_queries(["a"])
    assert len(second.encode_queries(["a"])) == 1
    second.close()
    gc.collect()
    assert watch() is None


@pytest.mark.parametrize("head", ["colbert_linear.pt", "sparse_linear.pt"])
def test_a_folder_without_heads_is_refused(tmp_path, head):
    """FlagEmbedding would make heads of random numbers."""
    folder = tiny.save_bge_m3(tmp_path)
    (folder / head).unlink()
    with pytest.raises(InputError, match=f"found no {head} in .*random numbers"):
        FlagEmbeddingEncoder(folder)


class Trap:
    """What a pickle file of an attacker holds: a call made while it is read."""

    def __reduce__(self):
        """Return the call."""
        return (open, (str(self.path), "w"))


def test_heads_run_no_code(tmp_path):
    """The .pt files are read as tensors and nothing else; a damaged one is named."""
    folder = tiny.save_bge_m3(tmp_path / "model")
    Trap.path = tmp_path / "trap"
    with (folder / "colbert_linear.pt").open("wb") as file:
        pickle.dump({"weight": Trap()}, file, protocol=2)
    with pytest.raises(StoreError, match=r"colbert_linear.pt: cannot be read as a linear layer"):
        FlagEmbeddingEncoder(folder, device="cpu")
    assert not Trap.path.exists()


def test_models_of_other_kinds_are_refused(folder, tmp_path):
    """Each error says what was expected and what came."""
    plain = save_tiny_encoder(tmp_path)
    other = FlagModel(plain, use_fp16=False, devices="cpu")
    with pytest.raises(
        InputTypeError, match="expected a BGEM3FlagModel for its colbert vectors, got FlagModel|BaseEmb"
    ):
        FlagEmbeddingEncoder(other)
    with pytest.raises(InputTypeError, match="expected a folder, a name or a BGEM3FlagModel, got int"):
        FlagEmbeddingEncoder(7)
    with pytest.raises(InputTypeError, match="device: cannot change"):
        FlagEmbeddingEncoder(live(folder), device="cpu")


def test_a_missing_package_is_named(folder):
    """Without FlagEmbedding the error says how to install it."""
    code = (
        "import sys; sys.modules['FlagEmbedding'] = None\n"
        f"from rank_plugins import encoders\nencoders.load({str(folder)!r})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: FlagEmbedding is needed here and is not installed; pip install" in result.stderr
    assert "flagembedding" in result.stderr.splitlines()[-1]


def test_a_live_model_in_training_is_encoded_without_dropout(folder):
    """Between two steps of training the vectors are those of the weights, not of chance."""
    model = live(folder)
    encoder = FlagEmbeddingEncoder(model)
    expected = encoder.encode_documents(["blood pressure"])[0]
    model.model.train()
    assert encoder.encode_documents(["blood pressure"])[0] == pytest.approx(expected, abs=1e-6)
