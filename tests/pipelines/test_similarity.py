"""Similarity of documents: each kind by its definition, and embeddings that are made once for all that needs them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, TokenEmbeddings
from rank_plugins.pipelines.mmr import MMRReranker
from rank_plugins.pipelines.near_duplicates import NearDuplicateReranker
from rank_plugins.pipelines.shingles import WORD, Shingles, words_of
from rank_plugins.pipelines.similarity import Cosines, MaxSims, joined_tokens, pooled, unit_tokens
from rank_plugins.quantize import quantize
from rank_plugins.rerankers import maxsim
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore
from rank_plugins.testing import QUERY, HashEncoder

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=12)


class Counting(HashEncoder):
    """Remembers which documents it encoded."""

    def __init__(self, dim=16):
        super().__init__(dim)
        self.seen = []

    def encode_documents(self, texts, **options):
        self.seen += texts
        return super().encode_documents(texts, **options)


def draw(rng, tokens, dim=24):
    """Return documents of so many tokens, of any length of vector."""
    return TokenEmbeddings.from_list([(rng.standard_normal((n, dim)) * 3).astype(np.float32) for n in tokens])


def by_definition(a, b):
    """Return the symmetric mean MaxSim of two documents in float64, of tokens rounded to 1 / 127 of their largest."""

    def unit(rows):
        rounded = np.rint(rows / (np.abs(rows).max(1, keepdims=True) / np.float32(127))).astype(np.float64)
        return rounded / np.linalg.norm(rounded, axis=1, keepdims=True)

    cosines = unit(a) @ unit(b).T
    return (cosines.max(1).mean() + cosines.max(0).mean()) / 2


def test_maxsim_is_its_definition_at_every_level(level, rng):
    documents = draw(rng, [1, 7, 30, 12, 65])
    similarities, n = MaxSims(unit_tokens(documents)), np.arange(5)
    rows = np.array([similarities.row(i, n) for i in n.tolist()])
    expected = [[by_definition(a, b) for b in documents] for a in documents]
    assert rows == pytest.approx(np.array(expected), abs=2e-6)
    assert (rows == rows.T).all()
    assert (np.diag(rows) == 1).all()


def test_int8_is_close_to_floats(rng):
    a, b = draw(rng, [40, 50], dim=384)
    similarity = MaxSims(unit_tokens(TokenEmbeddings.from_list([a, b]))).row(0, np.array([1]))[0]
    cosines = (a / np.linalg.norm(a, axis=1)[:, None]) @ (b / np.linalg.norm(b, axis=1)[:, None]).T
    assert similarity == pytest.approx((cosines.max(1).mean() + cosines.max(0).mean()) / 2, abs=0.005)


def test_what_is_far_is_not_computed_to_the_end(rng):
    """At or above `least` a similarity is exact; below, something below stands for it."""
    base = rng.standard_normal((20, 24)).astype(np.float32)
    near = base + 0.2 * rng.standard_normal((20, 24)).astype(np.float32)
    documents = TokenEmbeddings.from_list([base, near, *draw(rng, [20, 3, 50])])
    similarities, others = MaxSims(unit_tokens(documents)), np.arange(1, 5)
    exact = similarities.row(0, others)
    for least in (0.0, float(exact[0]), 0.9, 1.0):
        found = similarities.row(0, others, least)
        assert (found[exact >= least] == exact[exact >= least]).all()
        assert (found[exact < least] < least).all()
    assert np.isinf(similarities.row(0, others, 0.9)).any()


def test_threads_change_nothing(rng):
    documents = unit_tokens(draw(rng, [300] * 6, dim=128))
    one, four = (MaxSims(documents, threads).row(0, np.arange(1, 6)) for threads in (1, 4))
    assert (one == four).all()


def test_a_document_without_tokens_is_like_nothing(rng):
    documents = draw(rng, [0, 3, 0, 0, 5, 0])
    units = unit_tokens(documents)
    assert units.tokens.tolist() == [1, 3, 1, 1, 5, 1]
    for similarities in (MaxSims(units), Cosines(pooled(documents))):
        assert similarities.row(1, np.array([0, 2, 3, 5])).tolist() == [0, 0, 0, 0]
    alone = MaxSims(unit_tokens(documents[[1, 4]])).row(0, np.array([1]))
    assert MaxSims(units).row(1, np.array([4])) == alone


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "binary"])
def test_every_dtype_is_compared(rng, dtype):
    documents = draw(rng, [9, 4, 6], dim=64)
    kept = quantize(documents, dtype)
    bound = 0.35 if dtype == "binary" else 0.02
    exact = MaxSims(unit_tokens(documents)).row(0, np.arange(3))
    assert MaxSims(unit_tokens(kept)).row(0, np.arange(3)) == pytest.approx(exact, abs=bound)
    single = Cosines(pooled(documents)).row(0, np.arange(3))
    assert Cosines(pooled(kept)).row(0, np.arange(3)) == pytest.approx(single, abs=bound)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_tensors_come_to_the_cpu(rng, dtype):
    torch = pytest.importorskip("torch")
    kept = quantize(draw(rng, [5, 8, 2], dim=32), dtype)
    values, offsets = kept.contiguous()
    if dtype == "bfloat16":
        tensors = TokenEmbeddings(torch.from_numpy(values.astype(np.int16)).view(torch.bfloat16), offsets)
    else:
        scales = None if kept.scales is None else torch.from_numpy(kept.scales.copy())
        tensors = TokenEmbeddings(torch.from_numpy(values.copy()), offsets, scales=scales)
    ours, theirs = unit_tokens(kept), unit_tokens(tensors)
    assert (ours.contiguous()[0] == theirs.contiguous()[0]).all()
    assert (pooled(kept) == pooled(tensors)).all()


def test_parts_are_joined_in_order(rng):
    documents = draw(rng, [3, 0, 5, 2])
    whole, joined = unit_tokens(documents), joined_tokens([unit_tokens(documents[:1]), unit_tokens(documents[1:])])
    assert (whole.tokens == joined.tokens).all()
    assert (whole.contiguous()[0] == joined.contiguous()[0]).all()
    assert (whole.scales == joined.scales).all()


def test_single_is_the_cosine_of_mean_vectors(rng):
    documents = draw(rng, [5, 1, 9])
    means = np.array([np.mean(document, axis=0, dtype=np.float64) for document in documents])
    means /= np.linalg.norm(means, axis=1)[:, None]
    found = Cosines(pooled(documents)).row(2, np.arange(3))
    assert found == pytest.approx([sum(a * b) for a, b in zip([means[2]] * 3, means, strict=True)], abs=1e-6)


@settings(deadline=None)
@given(st.lists(WORDS.filter(bool), min_size=1, max_size=6))
def test_shingles_are_jaccard(texts):
    def runs(words):
        return {" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

    similarities = Shingles([" ".join(words) for words in texts])
    for i, words in enumerate(texts):
        others = [j for j in range(len(texts)) if j != i]
        mine = runs(words)
        expected = [len(mine & runs(texts[j])) / len(mine | runs(texts[j])) for j in others]
        assert similarities.row(i, np.array(others, np.int64)).tolist() == expected


def test_what_a_word_is():
    assert words_of("The CAT, the cat!") == words_of("the cat the Cat") == ["the", "cat", "the", "cat"]
    assert words_of("Straße 7 ok") == words_of("STRASSE 7 OK")
    assert words_of("snake_case 3.5") == ["snake_case", "3", "5"]
    assert words_of("猫が好き cat") == ["猫", "が", "好", "き", "cat"]
    assert words_of("แมว") == ["แ", "ม", "ว"]
    assert words_of("\U0001f600 !") == ["\U0001f600", "!"]


@given(st.text())
def test_short_cuts_change_no_word(text):
    assert words_of(text) == (WORD.findall(text.casefold()) or text.split())


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        (np.eye(2), "similarity: expected shape .3, 3. .the documents., got .2, 2."),
        ([[1, 0.5, 0], [0.4, 1, 0], [0, 0, 1]], "expected a symmetric matrix"),
        (np.full((3, 3), np.nan), "expected finite numbers"),
        (lambda documents, ids: np.zeros(3), "the function's result: expected shape"),
    ],
)
def test_similarities_that_are_none(similarity, message):
    with pytest.raises(InputError, match=message):
        MMRReranker(similarity=similarity).rerank("q", ["a", "b", "c"], scores=[3, 2, 1])


def test_wrong_options():
    with pytest.raises(InputError, match="did you mean 'maxsim'"):
        MMRReranker(similarity="maxsin")
    with pytest.raises(InputTypeError, match="encoder: nothing here takes it"):
        MMRReranker(MaxSimReranker(HashEncoder()), similarity="shingles", encoder=HashEncoder())
    with pytest.raises(InputTypeError, match="expected an array of numbers"):
        MMRReranker(similarity=[["a"]]).rerank("q", ["a"], scores=[1])
    with pytest.raises(InputTypeError, match='expected text, which similarity="shingles" compares'):
        MMRReranker(similarity="shingles").rerank("q", TokenEmbeddings.from_padded(np.ones((2, 1, 4))), scores=[1, 2])


def test_a_function_gets_documents_and_ids():
    def alike(documents, ids):
        vectors = {"x": [1, 0], "y": [1, 0], "z": [0, 1]}
        rows = np.array([vectors[name] for name in ids], float)
        assert documents == ["one", "two", "", "three"]
        return rows @ rows.T

    ranking = MMRReranker(similarity=alike, trade_off=0.5).rerank(
        "q", ["one", "two", "", "three"], ids=["x", "y", "x", "z"], scores=[3, 2.5, 9, 1]
    )
    assert ranking.indices.tolist() == [0, 3, 1, 2]
    assert ranking.scores.tolist() == [0.5, 0.0, -0.125, -np.inf]


TEXTS = ["aspirin blood", "blood pressure", "tea", "aspirin blood", "", "wind tea"]


@pytest.mark.parametrize("similarity", ["maxsim", "single"])
@pytest.mark.parametrize("at_once", [2048, 2])
def test_each_text_is_encoded_once(monkeypatch, similarity, at_once):
    """Relevance and similarity, all requests of a call, in whatever portions."""
    monkeypatch.setattr(maxsim, "TEXTS_AT_ONCE", at_once)
    encoder = Counting()
    mmr = MMRReranker(encoder=encoder, similarity=similarity)
    queries, lists = ["aspirin", "tea pressure"], [TEXTS, TEXTS[2:]]
    rankings = mmr.rerank_batch(queries, lists)
    assert sorted(encoder.seen) == sorted(set(TEXTS))
    for query, texts, ranking in zip(queries, lists, rankings, strict=True):
        plain = dict(MaxSimReranker(HashEncoder()).rerank(query, texts))
        assert ranking.details["relevance"] == [plain[i] for i in ranking.indices.tolist()]
        vectors = HashEncoder().encode_documents(texts)
        known = MMRReranker(encoder=HashEncoder(), similarity=similarity).rerank(query, vectors)
        assert list(known) == list(ranking)


def test_scores_that_are_given_are_relevance():
    """The encoder is for the similarity then, and for "shingles" there is none."""
    encoder = Counting()
    scores = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    ranking = MMRReranker(encoder=encoder).rerank(QUERY, TEXTS, scores=scores)
    assert sorted(encoder.seen) == sorted(set(TEXTS))
    assert ranking.details["relevance"] == [-np.inf if not TEXTS[i] else scores[i] for i in ranking.indices.tolist()]
    assert "parts" not in ranking.details
    encoder.seen.clear()
    MMRReranker(encoder=encoder, similarity="shingles").rerank(QUERY, TEXTS, scores=scores)
    assert not encoder.seen


def test_embeddings_come_from_the_store(tmp_path):
    """What is there is not encoded; what is not is encoded once, and kept where the reranker keeps it."""
    encoder = Counting(64)
    with EmbeddingStore.open(tmp_path / "store", "a") as store:
        store.add(["a", "b"], texts=TEXTS[:2], encoder=encoder)
    ids = list("abcdef")
    encoder.seen.clear()
    reader = MMRReranker(encoder=encoder, store=tmp_path / "store")
    first = reader.rerank(QUERY, TEXTS, ids=ids)
    assert sorted(encoder.seen) == sorted(set(TEXTS) - set(TEXTS[:2]))
    plain = dict(MaxSimReranker(HashEncoder(64), store=tmp_path / "store").rerank(QUERY, TEXTS, ids=ids))
    assert first.details["relevance"] == [plain[i] for i in first.indices.tolist()]
    reader.close()
    encoder.seen.clear()
    inside = MaxSimReranker(encoder, store=tmp_path / "store", update=True)
    writer = NearDuplicateReranker(inside, similarity="maxsim")
    assert list(writer.rerank(QUERY, TEXTS, ids=ids)) == list(writer.rerank(QUERY, TEXTS))
    assert sorted(encoder.seen) == sorted(set(TEXTS) - set(TEXTS[:2]))
    encoder.seen.clear()
    scored = MMRReranker(MaxSimReranker(encoder, cache="1MB")).rerank
    assert list(scored(QUERY, TEXTS, scores=range(6))) == list(scored(QUERY, TEXTS, scores=range(6)))
    assert sorted(encoder.seen) == sorted(set(TEXTS))


def test_a_store_of_another_encoder_is_refused(tmp_path):
    with EmbeddingStore.open(tmp_path / "store", "a") as store:
        store.add(["a"], texts=TEXTS[:1], encoder=HashEncoder(8))
    with pytest.raises(InputError, match="expected the one that made"):
        MMRReranker(encoder=HashEncoder(16), store=tmp_path / "store").rerank(QUERY, TEXTS, scores=range(6))


def test_the_similarity_may_have_an_encoder_of_its_own():
    """The reranker inside keeps its own; what was made here is warmed up and closed, what was given is not closed."""
    inner, other = Counting(32), Counting(16)
    mmr = MMRReranker(MaxSimReranker(inner), encoder=other)
    mmr.warm_up()
    ranking = mmr.rerank(QUERY, TEXTS)
    assert sorted(inner.seen) == sorted(other.seen) == sorted(set(TEXTS))
    assert set(ranking.details["timings"]) == {"MaxSimReranker", "embeddings", "arranging"}
    assert "maxsim" in ranking.details["parts"]["MaxSimReranker"]["timings"]
    mmr.close()
    assert not inner.closed
    assert not other.closed
