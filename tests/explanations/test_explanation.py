"""Explanations: the alignment is that of MaxSim computed by hand, and it adds up to the reranker's score."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore
from rank_plugins.store.reduction import TokenReduction
from rank_plugins.testing import HashEncoder

WORDS = st.sampled_from(["aspirin", "lowers", "blood", "Pressure", "und", "x", "\u6f22\u5b57", "\u0645\u0631\u0636"])
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map("  ".join)
QUERY, DOCUMENT = "does aspirin lower blood pressure", "Low doses of aspirin lower\n\nthe pressure of blood."


@pytest.fixture(scope="module")
def minilm():
    """Return a reranker over the embedded encoder."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("tokenizers", reason="needs the extra onnx")
    return MaxSimReranker("minilm", engine="onnxruntime")


def by_hand(query, document, encoder) -> tuple[list[int], list[float]]:
    """Return for each query token the first best document token and their dot product, without any matrix."""
    rows, columns = encoder.encode_queries([query])[0], encoder.encode_documents([document])[0]
    dots = [[float(np.dot(row.astype(np.float64), column)) for column in columns] for row in rows]
    best = [max(range(len(row)), key=lambda j, row=row: (row[j], -j)) for row in dots]
    return best, [row[j] for row, j in zip(dots, best, strict=True)]


@settings(max_examples=60, deadline=None)
@given(query=TEXTS, document=TEXTS, mean=st.booleans())
def test_alignment_is_that_of_maxsim(query, document, mean):
    """The first of equal tokens is the match, a contribution is its similarity, and their sum the score."""
    encoder = HashEncoder()
    reranker = MaxSimReranker(encoder, score="mean" if mean else "sum")
    found = reranker.explain(query, document)
    best, values = by_hand(query, document, encoder)
    assert found.matches.tolist() == best
    assert found.similarities.shape == (len(found.query_tokens), len(found.document_tokens))
    assert found.similarities.dtype == np.float32
    assert found.contributions * (len(best) if mean else 1) == pytest.approx(values, abs=1e-5)
    assert found.score == pytest.approx(reranker.rerank(query, [document]).scores[0], abs=1e-5)
    for text, tokens in ((query, found.query_tokens), (document, found.document_tokens)):
        assert [text[token.start : token.stop] for token in tokens] == text.split()


def test_a_model_is_explained(minilm):
    """Real tokens: words with their places, the model's own marked, and the score of the reranker."""
    found = minilm.explain(QUERY, DOCUMENT)
    words = ["does", "as", "pi", "rin", "lower", "blood", "pressure"]
    assert [token.text for token in found.query_tokens] == ["[CLS]", *words, "[SEP]"]
    assert [token.piece for token in found.query_tokens[2:5]] == ["as", "##pi", "##rin"]
    assert [token.special for token in found.query_tokens] == [True, *[False] * 7, True]
    for text, tokens in ((QUERY, found.query_tokens), (DOCUMENT, found.document_tokens)):
        assert all(token.text == text[token.start : token.stop] for token in tokens[1:-1])
    pairs = {
        token.text: found.document_tokens[match].text
        for token, match in zip(found.query_tokens, found.matches.tolist(), strict=True)
    }
    assert pairs["rin"] == "rin"
    assert pairs["blood"] == "blood"
    assert found.score == pytest.approx(minilm.rerank(QUERY, [DOCUMENT]).scores[0], abs=1e-5)


def test_windows_of_a_long_document(minilm):
    """Tokens repeat where windows overlap, each with its place in the whole text; the score is that of all windows."""
    filler = " ".join(f"line {i} says nothing of note." for i in range(120))
    document = f"{filler} Aspirin lowers the pressure of blood."
    found = minilm.explain(QUERY, document)
    assert sum(token.text == "[CLS]" for token in found.document_tokens) > 2
    matched = found.document_tokens[found.matches[[token.text for token in found.query_tokens].index("blood")]]
    assert (matched.text, matched.start) == ("blood", document.index("blood"))
    assert all(token.text == document[token.start : token.stop] for token in found.document_tokens if not token.special)
    assert found.score == pytest.approx(minilm.rerank(QUERY, [document]).scores[0], abs=1e-5)


def test_equal_windows_match_in_the_first(minilm):
    """Windows of the same words have the same vectors; the first of them is the match."""
    found = minilm.explain("blood", "blood " * (254 + 3 * 222))  # windows of 254 words, each 222 after the one before
    windows = np.split(found.similarities, 4, axis=1)
    assert all(np.array_equal(window, windows[0]) for window in windows)
    assert found.matches.max() < windows[0].shape[1]


@pytest.mark.parametrize("document", ["", " \n\t", "\u200b"])
def test_a_document_without_tokens(document):
    """The score is -inf, nothing is matched, and both forms can say so."""
    reranker = MaxSimReranker(HashEncoder()) if document != "\u200b" else None
    if reranker is None:
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")
        reranker = MaxSimReranker("minilm")
    found = reranker.explain("aspirin", document)
    assert found.score == -np.inf
    assert found.similarities.shape == (len(found.query_tokens), 0)
    assert set(found.matches.tolist()) == {-1}
    assert "the document has no token" in str(found)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["score"] == -1e9
    assert plain["query"]["tokens"][0]["match"] is None


@pytest.mark.parametrize("dtype", ["float16", "int8", "binary"])
def test_a_store_is_explained_as_it_is_scored(tmp_path, dtype):
    """What compression does to vectors is in the similarities, and a store's projection too."""
    encoder = HashEncoder(32)
    texts = [f"note {i} about {word}" for i, word in enumerate(["aspirin", "blood", "pressure", "sleep"] * 8)]
    with EmbeddingStore.open(tmp_path / "store", "a", codec=dtype, projection=24) as store:
        store.add([str(i) for i in range(len(texts))], encoder=encoder, texts=texts)
        reranker = MaxSimReranker(encoder, store=store)
        for text in (texts[3], "a text about pressure that the store does not have"):
            found = reranker.explain("blood pressure note", text)
            assert found.score == pytest.approx(reranker.rerank("blood pressure note", [text]).scores[0], abs=1e-5)


def test_a_cache_is_explained_as_it_is_scored():
    """A cache keeps int8; nothing is put into it here."""
    reranker = MaxSimReranker(HashEncoder(), cache="1MB")
    found = reranker.explain("blood pressure", "the pressure of the blood")
    assert len(reranker._source) == 0
    assert found.score == pytest.approx(
        reranker.rerank("blood pressure", ["the pressure of the blood"]).scores[0], abs=1e-5
    )
    assert found.score != MaxSimReranker(HashEncoder()).explain("blood pressure", "the pressure of the blood").score


def test_what_cannot_be_explained_is_refused(tmp_path):
    """Pooled vectors, encoders that keep their tokens to themselves, and what is no text."""
    encoder = HashEncoder()
    pytest.importorskip("scipy", reason="needs the extra pooling")
    with EmbeddingStore.open(tmp_path / "store", "a", reduction=TokenReduction(pool=2)) as store:
        store.add(["a"], encoder=encoder, texts=["one two three four five six"])
        with pytest.raises(InputError, match="a vector for each of the 6 tokens of the document, got 3; vectors that"):
            MaxSimReranker(encoder, store=store).explain("one", "one two three four five six")

    class Silent(HashEncoder):
        tokens = None

    with pytest.raises(InputTypeError, match=r"expected one with tokens\(texts, role\).*, got Silent"):
        MaxSimReranker(Silent()).explain("a", "b")
    reranker = MaxSimReranker(encoder)
    with pytest.raises(InputError, match="query: expected text, got ' '"):
        reranker.explain(" ", "b")
    with pytest.raises(InputTypeError, match="query: expected a str, got ndarray"):
        reranker.explain(np.ones((2, 16), np.float32), "b")
    with pytest.raises(InputTypeError, match="document: expected a str, got list"):
        reranker.explain("a", ["b"])


def test_text_form_is_aligned_and_best_first(minilm):
    """Columns begin below each other, wide characters count twice, and the sum of the first column is the score."""
    text = str(minilm.explain("blood \u6f22\u5b57 dose\x1b[31m", "\u6f22 and blood,\nin doses\x1b"))
    head, _, titles, *rows = text.splitlines()
    values = [float(row.split()[0]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert float(head.split()[1].rstrip(":")) == pytest.approx(sum(values), abs=1e-3)
    assert "\x1b" not in text
    place = titles.index("document token")
    for row in rows:
        columns, i = 0, 0
        while columns < place:
            columns += 2 if "\u2e80" < row[i] < "\ua000" else 1
            i += 1
        assert columns == place
        assert row[i - 1] == " " != row[i]
    assert any(row.endswith("\u6f22 and [blood], in doses\ufffd") for row in rows)


def test_dictionary_holds_everything(minilm):
    """It survives JSON, and score and alignment can be computed again from it."""
    found = minilm.explain(QUERY, DOCUMENT)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    matrix = np.array(plain["similarities"])
    assert matrix == pytest.approx(found.similarities, abs=1e-6)
    assert plain["score"] == pytest.approx(matrix.max(axis=1).sum(), abs=1e-4)
    for row, token in zip(matrix, plain["query"]["tokens"], strict=True):
        assert row[token["match"]] == pytest.approx(row.max(), abs=2e-6)
        assert token["similarity"] == token["contribution"] == pytest.approx(row.max(), abs=2e-6)
    for token in plain["document"]["tokens"]:
        assert token["special"] or DOCUMENT[token["start"] : token["stop"]] == token["text"]
