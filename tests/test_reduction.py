"""TokenReduction: scipy and sentence-transformers as oracles, documents alone or together, the skip-list."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, StoreError, TokenEmbeddings
from rank_plugins.quantize import quantize
from rank_plugins.store import reduction
from rank_plugins.store.reduction import STOP_WORDS, TokenReduction


def tokens(rng, lengths, dim=8):
    """Return documents of so many tokens of length 1."""
    values = rng.standard_normal((sum(lengths), dim)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return TokenEmbeddings(values, np.cumsum([0, *lengths]))


@pytest.fixture
def hierarchy():
    """Return scipy's clustering."""
    pytest.importorskip("scipy", reason="needs the extra pooling")
    from scipy.cluster import hierarchy

    return hierarchy


@pytest.mark.parametrize("pool", [2, 3, 7])
@pytest.mark.parametrize("length", [2, 3, 12, 90])
def test_the_clusters_are_scipys(rng, hierarchy, length, pool):
    """Mean directions of Ward's clusters on cosine distances; the first token stays, order is by first member."""
    vectors = tokens(rng, [length])[0]
    rest = vectors[1:].astype(np.float64)
    labels = np.ones(1, int)
    if len(rest) > 1:
        distances = (1 - rest @ rest.T)[np.triu_indices(len(rest), 1)]
        labels = hierarchy.fcluster(hierarchy.linkage(distances, "ward"), max(1, len(rest) // pool), "maxclust")
    means = [rest[labels == label].mean(axis=0) for label in dict.fromkeys(labels.tolist())]
    expected = np.array([vectors[0], *(mean / np.linalg.norm(mean) for mean in means)])
    assert TokenReduction(pool).pool_tokens(TokenEmbeddings(vectors, [0, length]))[0] == pytest.approx(
        expected, abs=1e-5
    )


def test_sentence_transformers_agrees(rng, hierarchy):
    """Its token pooling gives the same vectors, in another order."""
    torch = pytest.importorskip("torch")
    modules = pytest.importorskip("sentence_transformers.multi_vector_encoder.modules")
    documents = tokens(rng, [1, 2, 5, 40, 77], 16)
    oracle = modules.HierarchicalTokenPooling(pool_factor=2)
    expected = oracle.pool([torch.from_numpy(vectors.copy()) for vectors in documents])
    for got, reference in zip(TokenReduction(2).pool_tokens(documents), expected, strict=True):
        reference = reference.numpy()
        assert got.shape == reference.shape
        assert (got @ reference.T).max(axis=1) == pytest.approx(1, abs=1e-5)
        assert (got @ reference.T).max(axis=0) == pytest.approx(1, abs=1e-5)


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    pool=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_document_is_pooled_alike_in_any_company(lengths, pool, seed):
    """To the last bit; it keeps 1 + max(1, (D - 1) // pool) tokens, or what it has."""
    pytest.importorskip("scipy", reason="needs the extra pooling")
    documents = tokens(np.random.default_rng(seed), lengths)
    together = TokenReduction(pool).pool_tokens(documents)
    assert together.tokens.tolist() == [n if n < 2 else 1 + max(1, (n - 1) // pool) for n in lengths]
    for i in range(len(lengths)):
        assert np.array_equal(TokenReduction(pool).pool_tokens(documents[[i]])[0], together[i])
        if len(together[i]):
            assert np.linalg.norm(together[i], axis=1) == pytest.approx(1, abs=1e-5)


def test_equal_and_empty_vectors(hierarchy):
    """Ties give as many clusters as asked for, and vectors of length 0 or opposite ones no NaN."""
    same = np.tile(np.float32([0.6, 0.8]), (9, 1))
    assert TokenReduction(2).pool_tokens(TokenEmbeddings(same, [0, 9]))[0] == pytest.approx(same[:5], abs=1e-6)
    zeros = TokenReduction(2).pool_tokens(TokenEmbeddings(np.zeros((9, 2)), [0, 9]))
    assert zeros.tokens.tolist() == [5]
    assert not zeros[0].any()
    opposite = TokenEmbeddings(np.float32([[1, 0], [0, 1], [0, -1]]), [0, 3])
    assert TokenReduction(2).pool_tokens(opposite)[0].tolist() == [[1, 0], [0, 0]]


def test_pooled_vectors_have_their_members_mean_length(hierarchy):
    """Where the encoder's vectors are not of length 1; those alone in their cluster stay as they are."""
    lonely = np.float32([[1, 0, 0], [0, 0.3, 0.1], [0, 0.31, 0.1], [0, 0.3, 0.11], [0.7, -0.1, 0.2]])
    result = TokenReduction(2).pool_tokens(TokenEmbeddings(lonely, [0, 5]))[0]
    assert np.array_equal(result[[0, 2]], lonely[[0, 4]])
    assert np.linalg.norm(result[1]) == pytest.approx(np.linalg.norm(lonely[1:4], axis=1).mean(), rel=1e-6)


def test_a_very_long_document_is_pooled_in_parts(rng, hierarchy, monkeypatch):
    """Each part for itself, none of them much shorter than the others."""
    monkeypatch.setattr(reduction, "TOKENS_AT_ONCE", 50)
    vectors = tokens(rng, [128])[0]
    result = TokenReduction(2).pool_tokens(TokenEmbeddings(vectors, [0, 128]))[0]
    monkeypatch.undo()
    parts = [np.concatenate((vectors[:1], part)) for part in (vectors[1:43], vectors[43:85], vectors[85:])]
    alone = TokenReduction(2).pool_tokens(TokenEmbeddings.from_list(parts))
    assert np.array_equal(result, np.concatenate([vectors[:1], *(part[1:] for part in alone)]))


def test_inputs_are_not_changed(rng, hierarchy):
    """Pooling and skipping return new arrays, or the very embeddings where there is nothing to do."""
    documents = tokens(rng, [9, 4])
    before = documents.contiguous()[0].copy()
    names = [["a"] * 9, ["the"] * 4]
    TokenReduction(2, ("stop_words",)).apply(documents, names)
    assert np.array_equal(documents.contiguous()[0], before)
    assert TokenReduction().apply(documents) is documents


def skipped(words, *skip):
    """Return which of the words TokenReduction leaves, by their numbers."""
    vectors = np.arange(1, len(words) + 1, dtype=np.float32)[:, None]
    result = TokenReduction(skip=skip).apply(TokenEmbeddings(vectors, [0, len(words)]), [words])
    return [words[int(number) - 1] for number in result[0][:, 0]]


def test_punctuation_is_skipped():
    """ASCII's and Unicode's; signs with a meaning, words and special tokens stay."""
    words = ["[CLS]", ".", "p", "##53", "-", "“", "。", "...", "±", "a.", "+", "[UNK]", "the", "[SEP]"]
    assert skipped(words, "punctuation") == ["[CLS]", "p", "##53", "±", "a.", "[UNK]", "the", "[SEP]"]


def test_stop_words_are_skipped():
    """In any case; not as a piece of a longer word, first or later, and not negations."""
    words = ["[CLS]", "The", "of", "not", "an", "##emia", "##s", "and", "##the", ".", "IS", "[SEP]"]
    assert skipped(words, "stop_words") == ["[CLS]", "not", "an", "##emia", "##s", "and", "##the", ".", "[SEP]"]
    assert skipped(words, "punctuation", "stop_words") == [
        *("[CLS]", "not", "an", "##emia", "##s", "and", "##the", "[SEP]")
    ]
    assert STOP_WORDS.isdisjoint({"no", "not", "nor", "never", "more", "less", "all", "few"})
    assert all(word.isalpha() and word.islower() for word in STOP_WORDS)


def test_a_document_never_loses_all_its_tokens():
    """One of nothing but stop words keeps them, and one without tokens has none."""
    assert skipped(["the", "a", "."], "stop_words", "punctuation") == ["the", "a", "."]
    documents = TokenEmbeddings(np.float32([[1], [2]]), [0, 0, 2, 2])
    result = TokenReduction(skip=("stop_words",)).apply(documents, [[], ["the", "b"], []])
    assert [vectors.tolist() for vectors in result] == [[], [[2]], []]
    assert len(TokenReduction(skip=("stop_words",)).apply(TokenEmbeddings.from_list([]), [])) == 0


def test_skipping_comes_before_pooling(rng, hierarchy):
    """What is left out is in no mean."""
    documents = tokens(rng, [7])
    words = ["[CLS]", "a", "b", ".", "c", "d", "e"]
    kept = TokenEmbeddings(documents[0][[0, 1, 2, 4, 5, 6]], [0, 6])
    both = TokenReduction(2, ("punctuation",)).apply(documents, [words])
    assert np.array_equal(both[0], TokenReduction(2).pool_tokens(kept)[0])


def test_settings_survive_json():
    """Equal settings are equal, however they were written."""
    settings = TokenReduction(3, ("stop_words", "punctuation"))
    assert settings == TokenReduction(3, ["punctuation", "stop_words", "punctuation"])
    assert TokenReduction.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert TokenReduction.from_dict(TokenReduction().to_dict()) == TokenReduction()
    assert len({settings, TokenReduction()}) == 2


@pytest.mark.parametrize(
    "settings",
    [
        *({}, [], None, {"pool": 2}, {"pool": 2, "skip": [], "colour": 1}),
        *({"pool": 0, "skip": []}, {"pool": "2", "skip": []}, {"pool": 2, "skip": ["verbs"]}, {"pool": 2, "skip": 1}),
    ],
)
def test_settings_of_another_version_are_refused(settings):
    """A store of a later version is never read as something else."""
    with pytest.raises(StoreError, match="reduction: expected .*update rank-plugins"):
        TokenReduction.from_dict(settings)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pool": 0}, InputError, "pool: expected at least 1, got 0"),
        ({"pool": 1.5}, InputTypeError, "pool: expected a whole number, got float 1.5"),
        ({"skip": "punctuation"}, InputTypeError, "skip: expected a tuple of str, got str 'punctuation'"),
        ({"skip": ("verbs",)}, InputError, "skip: expected among punctuation, stop_words, got 'verbs'"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    """Each error lists what is possible."""
    with pytest.raises(error, match=message):
        TokenReduction(**options)


def test_bad_inputs_are_refused(rng):
    """Tokens that are missing or do not fit, and other types."""
    documents = tokens(rng, [3, 2])
    skip = TokenReduction(skip=("punctuation",))
    with pytest.raises(InputError, match=r"tokens: expected them, because skip=.*OnnxEncoder.document_tokens"):
        skip.apply(documents)
    with pytest.raises(InputError, match="tokens: expected 2 lists .the documents., got 1"):
        skip.apply(documents, [["a"] * 3])
    with pytest.raises(InputError, match=r"tokens\[1\]: expected 2 of them .the vectors., got 3"):
        skip.apply(documents, [["a"] * 3, ["a"] * 3])
    for bad in (quantize(documents, "int8"), documents[0]):
        with pytest.raises(InputTypeError, match="embeddings: expected"):
            TokenReduction(2).apply(bad)


def test_pooling_without_scipy_names_the_extra():
    """Nothing else needs it."""
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "from rank_plugins import TokenEmbeddings\n"
        "from rank_plugins.store.reduction import TokenReduction\n"
        "e = TokenEmbeddings([[1.0], [2.0]], [0, 2])\n"
        "assert len(TokenReduction(1, ('punctuation',)).apply(e, [['a', '.']])[0]) == 1\n"
        "TokenReduction(2).apply(e)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'MissingExtraError: scipy is needed here and is not installed; pip install "rank-plugins[pooling]"' in (
        result.stderr
    )
