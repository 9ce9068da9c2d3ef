"""Tokens with their places: one for every vector, whatever the model puts around texts, adds or leaves out."""

from __future__ import annotations

import pytest

pytest.importorskip("tokenizers", reason="needs the extra onnx")

from rank_plugins import InputError, encoders
from rank_plugins.encoders.onnx import minilm

LONG = " ".join(f"aspirin lowers pressure {i}, in people" for i in range(40))
TEXTS = [
    "aspirin lowers blood pressure.",
    "",
    " \n",
    "Drag!  Wind,\ttunnels",
    LONG,
    "sleep na\u00efve \u6f22\u5b57 \U0001f600",
]


def check(encoder, role: str, texts=TEXTS) -> list[list]:
    """Return the tokens, which are as many as the vectors, and each of the text at its place."""
    found = encoder.tokens(texts, role)
    encode = encoder.encode_queries if role == "query" else encoder.encode_documents
    assert [len(tokens) for tokens in found] == encode(texts).tokens.tolist()
    for text, tokens in zip(texts, found, strict=True):
        for token in tokens:
            assert token.special or token.text == text[token.start : token.stop].strip()
            assert token.text == token.piece or not token.special
    return found


def words(tokens) -> list[str]:
    return [token.text for token in tokens if not token.special]


@pytest.mark.filterwarnings("ignore:a query is longer")
@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("long_documents", ["windows", "first"])
def test_onnx(role, long_documents):
    """The embedded encoder: windows that overlap, and words as they are written."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    found = check(minilm(engine="onnxruntime", long_documents=long_documents), role)
    assert words(found[0]) == ["as", "pi", "rin", "lowers", "blood", "pressure", "."]
    assert [token.text for token in found[0] if token.special] == ["[CLS]", "[SEP]"]
    assert words(found[3])[:2] == ["Drag", "!"]
    covered = {place for token in found[4] for place in range(token.start, token.stop)}
    assert (len(LONG) - 1 in covered) is (role == "document" and long_documents == "windows")
    assert found[5][-2][::3] == ("\U0001f600", "[UNK]")


@pytest.mark.filterwarnings("ignore:.*longer than")
@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("long_documents", ["windows", "first"])
@pytest.mark.parametrize("kind", ["plain", "colbert", "sentence", "pylate"])
def test_sentence_transformers(library_folders, kind, role, long_documents):
    """Prompts, markers and expansion are special, a skip-list's tokens are not there, pieces have their places."""
    pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")
    encoder = encoders.load(
        library_folders / kind, "sentence-transformers", device="cpu", long_documents=long_documents
    )
    found = check(encoder, role)
    skips = role == "document" and kind in ("colbert", "pylate")
    assert words(found[0])[:3] == ["aspirin", "lowers", "blood"]
    assert (words(found[0])[-1] == ".") is not skips
    special = [token.text for token in found[0] if token.special]
    assert special[0] == "[CLS]"
    if kind in ("colbert", "pylate"):
        assert special[1].strip().upper() == {"query": "[Q]", "document": "[D]"}[role]
        assert special.count("[MASK]") == (4 if role == "query" else 0)
    covered = {place for token in found[4] for place in range(token.start, token.stop)}
    assert (len(LONG) - 1 in covered) is (role == "document" and long_documents == "windows")


@pytest.mark.parametrize("role", ["query", "document"])
def test_unknown_characters_are_the_texts_own(library_folders, role):
    """Not the model's: tokens of what is not in the vocabulary are special ones too, behind any of its prompts."""
    pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")
    encoder = encoders.load(library_folders / "pylate", "sentence-transformers", device="cpu")
    (found,) = check(encoder, role, ["\u6f22 \u5b57"])
    assert [(token.text, token.piece) for token in found if not token.special] == [
        ("\u6f22", "[UNK]"),
        ("\u5b57", "[UNK]"),
    ]


@pytest.mark.filterwarnings("ignore:.*longer than")
@pytest.mark.parametrize("role", ["query", "document"])
def test_flag_embedding(tmp_path, role):
    """No vector and no token for CLS; an instruction around the text is special."""
    pytest.importorskip("FlagEmbedding", reason="needs the extra flagembedding")
    import tiny

    encoder = encoders.load(tiny.save_bge_m3(tmp_path), "flagembedding", device="cpu")
    found = check(encoder, role)
    assert [token.text for token in found[0] if token.special] == ["[SEP]"]
    encoder._model._model.query_instruction_for_retrieval = "drag of a wing"
    encoder._model._model.query_instruction_format = "{}: {} (paris)"
    found = check(encoder, role, ["aspirin", "in paris"])
    assert [words(tokens) for tokens in found] == [["aspirin"], ["in", "paris"]]
    special = [token.text for token in found[0] if token.special]
    assert special[:4] == (["drag", "of", "a", "wing"] if role == "query" else ["[SEP]"])


def test_bytes_and_sentencepiece_are_placed_without_their_spaces():
    """A space that a tokenizer counts as the word's own is not its text; a character of several tokens is in each."""
    tokenizers = pytest.importorskip("tokenizers")
    from rank_plugins.encoders._tokenize import TextCutter

    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>"]
    )
    tokenizer.train_from_iterator(["a wing in the wind"] * 9, trainer)
    cutter = TextCutter(tokenizer.to_str())
    text = "in the \U0001f600 wind"
    ids = tokenizer.encode("q: " + text).ids
    found = [token for token in cutter.placed(text, [("q: ", "")], ids) if not token.special]
    assert [(token.text, token.start) for token in found] == [
        (text[token.start : token.stop], token.start) for token in found
    ]
    assert [token.text for token in found if token.text == "\U0001f600"] == ["\U0001f600"] * 4
    assert "".join(dict.fromkeys(token.text for token in found)) == "inthe \U0001f600wind"
    assert cutter.placed(text, [("", "")], ids) is None
    cut_off = [*ids[:4], tokenizer.token_to_id("<s>")]
    assert [token.special for token in cutter.placed(text, [("q: ", "")], cut_off)][-1] is True


def test_an_unknown_role_is_refused(library_folders):
    """By name, not taken for one of the two."""
    pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    other = encoders.load(library_folders / "plain", "sentence-transformers", device="cpu")
    for encoder in (minilm(engine="onnxruntime"), other):
        with pytest.raises(InputError, match=r"role: expected query or document, got 'passage'"):
            encoder.tokens(["aspirin"], "passage")


def test_a_model_that_changes_texts_is_refused(library_folders, monkeypatch):
    """An error, and no token that is not the vector's."""
    pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra sentence-transformers")
    encoder = encoders.load(library_folders / "plain", "sentence-transformers", device="cpu")
    call = encoder._model._call
    monkeypatch.setattr(encoder._model, "_call", lambda texts, *rest: call([text[::-1] for text in texts], *rest))
    with pytest.raises(InputError, match="what its vectors stand for cannot be told"):
        encoder.tokens(["aspirin"], "query")
