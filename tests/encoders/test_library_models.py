"""Models behind SentenceTransformersEncoder: threads, sharing, fingerprints, and what is refused."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")

import tiny
import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

from rank_plugins import InputError, InputTypeError, RankPluginsError, StoreError, encoders
from rank_plugins.encoders._choice import NEEDED
from rank_plugins.encoders.sentence_transformers import SentenceTransformersEncoder
from rank_plugins.testing import save_tiny_cross_encoder, save_tiny_encoder


@pytest.fixture(scope="module", params=tiny.KINDS)
def folder(request, library_folders):
    """Return each of the library_folders."""
    return library_folders / request.param


@pytest.fixture(scope="module")
def encoder(folder):
    """Return the encoder of each folder."""
    return SentenceTransformersEncoder(folder, device="cpu")


def test_threads_share_an_encoder(encoder):
    """Sixteen concurrent calls with texts of different length get their own results."""
    texts = [f"{'aspirin ' * n}number {n}" for n in range(1, 17)]
    expected = [(encoder.encode_queries([text])[0], encoder.encode_documents([text])[0]) for text in texts]
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda t: (encoder.encode_queries([t])[0], encoder.encode_documents([t])[0]), texts))
    for pair, reference in zip(got, expected, strict=True):
        assert pair[0] == pytest.approx(reference[0], abs=1e-5)
        assert pair[1] == pytest.approx(reference[1], abs=1e-5)


def test_fingerprint_names_what_decides_the_vectors(folder):
    """A live model has that of its folder; batches do not matter, long documents, weights and prompts do."""
    base = SentenceTransformersEncoder(folder, device="cpu").fingerprint
    assert len(base) == 32
    kind = MultiVectorEncoder if folder.name in ("colbert", "pylate") else SentenceTransformer
    load = lambda: kind(str(folder), device="cpu")  # noqa: E731 - one line
    live = load()
    live.encode_query(["a"], show_progress_bar=False)  # a call leaves its padding in the tokenizer
    assert SentenceTransformersEncoder(live, batch_tokens=7).fingerprint == base
    assert SentenceTransformersEncoder(live, long_documents="first").fingerprint != base
    prompted = load()
    prompted.prompts["query"] = "other "
    trained = load()
    with torch.no_grad():
        next(trained.parameters())[0, 0] += 1
    shorter = load()
    shorter.max_seq_length = 16
    others = [SentenceTransformersEncoder(model).fingerprint for model in (prompted, trained, shorter)]
    assert len({base, *others}) == (4 if folder.name in ("plain", "sentence") else 3 + (others[2] != base))


def test_a_live_model_that_changed_has_another_fingerprint(library_folders):
    """Training and prompts show in encoders that are there already, and in others over the same model."""
    model = SentenceTransformer(str(library_folders / "sentence"), device="cpu")
    encoder = SentenceTransformersEncoder(model)
    encoder.encode_documents(["aspirin"])
    found = [encoder.fingerprint]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(model.preprocess(["aspirin"]))["sentence_embedding"][0, 0].backward()
    optimizer.step()
    found.append(encoder.fingerprint)
    model.prompts["document"] = "aspirin and blood pressure "
    found += [encoder.fingerprint, SentenceTransformersEncoder(model).fingerprint]
    assert len(set(found)) == 3
    assert found[2] == found[3]
    model.prompts["document"] = " ".join(["aspirin"] * 40)
    text = " ".join(f"drag {word}" for word in tiny.TEXTS * 3)
    fresh = SentenceTransformer(str(library_folders / "sentence"), prompts=model.prompts, device="cpu")
    fresh.load_state_dict(model.state_dict())
    expected = SentenceTransformersEncoder(fresh).encode_documents([text])[0]
    assert encoder.encode_documents([text])[0] == pytest.approx(expected, abs=1e-5)  # pieces leave room for the prompt


def test_a_prompt_that_fills_the_window_is_refused(library_folders):
    """Every text would be cut off behind it, and all would look alike."""
    prompts = {"query": "", "document": "aspirin " * 80}
    encoder = SentenceTransformersEncoder(
        SentenceTransformer(str(library_folders / "plain"), prompts=prompts, device="cpu")
    )
    assert len(encoder.encode_queries(["drag"])[0]) == 3
    with pytest.raises(InputError, match="expected room for a document beside .* got none in its 64 tokens"):
        encoder.encode_documents(["drag"])


@pytest.mark.parametrize("kind", ["sentence-transformers", "flagembedding"])
def test_a_missing_tokenizer_is_refused(tmp_path, kind):
    """Where transformers makes one that knows no word, so that all texts of as many words are alike."""
    pytest.importorskip(NEEDED[kind])
    folder = tiny.save_bge_m3(tmp_path)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(InputError, match="expected a tokenizer with a vocabulary, got one of 5 special tokens"):
        encoders.load(folder, kind, device="cpu")


DAMAGE = {
    "model.safetensors": b"\x10\x00",
    "config.json": b"[]",
    "modules.json": b"{}",
    "config_sentence_transformers.json": b"null",
    "sentence_bert_config.json": b"3",
    "1_Dense/config.json": b"{}",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_folders_are_refused(tmp_path, name):
    """With an error of this package that names the folder, whatever the library makes of it."""
    folder = tiny.save_pylate(tmp_path / "model")
    (folder / name).write_bytes(DAMAGE[name])
    with pytest.raises((InputError, StoreError), match=str(folder)):
        encoders.load(folder, device="cpu")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
@pytest.mark.parametrize("kind", ["sentence-transformers", "flagembedding"])
def test_a_device_that_is_not_there_is_refused(tmp_path, kind, device):
    """Whatever torch raises, an AssertionError where it has no CUDA."""
    pytest.importorskip(NEEDED[kind])
    folder = tiny.save_bge_m3(tmp_path)
    with pytest.raises(InputError, match=f"cannot load {str(folder)!r}"):
        encoders.load(folder, kind, device=device)


def test_encoders_share_a_model_until_the_last_is_closed(library_folders):
    """One model for one folder and device, loaded once by many threads; freed by the last close."""
    make = lambda _: SentenceTransformersEncoder(library_folders / "colbert", device="cpu")  # noqa: E731 - one line
    with ThreadPoolExecutor(8) as pool:
        encoders = list(pool.map(make, range(8)))
    models = {id(encoder._model) for encoder in encoders}
    assert len(models) == 1
    watch = weakref.ref(encoders[0]._model._model)
    for encoder in encoders[:-1]:
        encoder.close()
    assert len(encoders[-1].encode_queries(["a"])) == 1
    with pytest.raises(RankPluginsError, match="is closed; make another one"):
        encoders[0].encode_queries(["a"])
    with pytest.raises(RankPluginsError, match="is closed"):
        encoders[0].fingerprint  # noqa: B018 - raises
    encoders[-1].close()
    gc.collect()
    assert watch() is None


def test_progress_is_shown_only_when_asked(library_folders, capsys):
    """A bar goes to standard error on request."""
    encoder = SentenceTransformersEncoder(library_folders / "plain", device="cpu")
    encoder.encode_documents(["a"])
    capsys.readouterr()
    encoder.encode_documents(tiny.TEXTS)
    assert capsys.readouterr() == ("", "")
    encoder.encode_documents(tiny.TEXTS, show_progress=True)
    assert "5/5" in capsys.readouterr().err


def test_half_precision_models_give_float32(library_folders):
    """The vectors are float32 whatever the weights are, and near those of float32."""
    model = MultiVectorEncoder(str(library_folders / "colbert"), device="cpu").to(torch.bfloat16)
    vectors = SentenceTransformersEncoder(model).encode_documents(tiny.TEXTS)[0]
    assert vectors.dtype == np.float32
    expected = SentenceTransformersEncoder(library_folders / "colbert", device="cpu").encode_documents(tiny.TEXTS)[0]
    assert (vectors * expected).sum(axis=1) == pytest.approx(1, abs=0.02)


def test_models_of_other_kinds_are_refused(library_folders, tmp_path):
    """Each error says what was expected, what came and what to do."""
    save_tiny_cross_encoder(tmp_path / "cross")
    with pytest.raises(InputError, match='the cross-encoder .*use the reranker "rank-cross-encoder"'):
        SentenceTransformersEncoder(tmp_path / "cross")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected a model of text .*got files of none in"):
        SentenceTransformersEncoder(tmp_path / "empty")
    with pytest.raises(
        InputTypeError, match="expected a MultiVectorEncoder or a SentenceTransformer, got CrossEncoder"
    ):
        SentenceTransformersEncoder(CrossEncoder(str(tmp_path / "cross"), device="cpu"))
    with pytest.raises(InputTypeError, match="got int"):
        SentenceTransformersEncoder(7)
    with pytest.raises(InputTypeError, match="device: cannot change"):
        SentenceTransformersEncoder(SentenceTransformer(str(library_folders / "plain"), device="cpu"), device="cpu")
    static = pytest.importorskip("sentence_transformers.sentence_transformer.modules").StaticEmbedding
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(library_folders / "plain" / "tokenizer.json"))
    words = SentenceTransformer(modules=[static(tokenizer, embedding_dim=8)], device="cpu")
    with pytest.raises(InputError, match="expected a model"):
        SentenceTransformersEncoder(words).encode_documents(["a"])
    config = json.loads((library_folders / "plain" / "config.json").read_text())
    (tmp_path / "empty" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="sentence-transformers cannot load"):
        SentenceTransformersEncoder(tmp_path / "empty", device="cpu")


def test_pickled_weights_are_not_read(library_folders, tmp_path):
    """Weights come from safetensors; a folder with pytorch_model.bin alone is refused."""
    save_tiny_encoder(tmp_path)
    torch.save(tiny.transformers.AutoModel.from_pretrained(tmp_path).state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="safetensors"):
        SentenceTransformersEncoder(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"long_documents": "cut"}, InputError, "long_documents: expected one of windows, first, got 'cut'"),
        ({"batch_tokens": 0}, InputError, "batch_tokens: expected at least 1"),
        ({"batch_tokens": "many"}, InputTypeError, "batch_tokens: expected a whole number"),
    ],
)
def test_bad_options_are_refused(library_folders, options, error, message):
    """Before anything is loaded."""
    with pytest.raises(error, match=message):
        SentenceTransformersEncoder(library_folders / "nowhere", **options)


def test_a_missing_package_is_named(library_folders):
    """Without sentence-transformers the error says how to install it."""
    code = (
        "import sys; sys.modules['sentence_transformers'] = None\n"
        "from rank_plugins import encoders\n"
        f"encoders.load({str(library_folders / 'plain')!r})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: sentence_transformers is needed here and is not installed; pip install" in result.stderr
    assert "sentence-transformers" in result.stderr.splitlines()[-1]
