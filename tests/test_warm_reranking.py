"""MaxSimReranker with a store or a cache: known documents are not encoded, outdated ones always are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rank_plugins import InputError, InputTypeError, StoreError, maxsim, rerankers
from rank_plugins.quantize import quantize
from rank_plugins.rerankers import maxsim as maxsim_module
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore
from rank_plugins.store.memory import TokenCache
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract

IDS = [f"id-{i}" for i in range(len(DOCUMENTS))]


class Counting(HashEncoder):
    """Remembers the texts that were encoded."""

    def __init__(self, dim=16):
        super().__init__(dim)
        self.texts = []

    def encode_documents(self, texts, *, show_progress=False):
        self.texts.extend(texts)
        return super().encode_documents(texts, show_progress=show_progress)


class TestContractWithStore(RerankerContract):
    """The contract, while the store fills."""

    @pytest.fixture
    def reranker(self, tmp_path):
        """Return a reranker that adds what it sees to a store."""
        with MaxSimReranker(HashEncoder(64), store=tmp_path / "store", update=True) as reranker:
            yield reranker


class TestContractWithCache(RerankerContract):
    """The contract, with a cache that holds little."""

    @pytest.fixture
    def reranker(self):
        """Return a reranker with a cache of a few documents."""
        return MaxSimReranker(HashEncoder(64), cache="4KB")


def expected(encoder, documents, codec="int8"):
    query = encoder.encode_queries([QUERY])[0]
    return maxsim(query, quantize(encoder.encode_documents(documents), codec)).astype(float)


def by_index(ranking):
    return [score for _, score in sorted(ranking)]


@pytest.mark.parametrize("ids", [IDS, None])
def test_the_second_time_nothing_is_encoded(tmp_path, ids):
    """By id or by text; scores are those of the store's codec from the first call on, also in a new process's place."""
    encoder = Counting()
    scores = expected(encoder, DOCUMENTS)
    encoder.texts.clear()
    with MaxSimReranker(encoder, store=tmp_path / "s", update=True) as reranker:
        assert by_index(reranker.rerank(QUERY, DOCUMENTS, ids=ids)) == scores.tolist()
        assert sorted(encoder.texts) == sorted(set(DOCUMENTS))
        assert len(reranker.store) == len(DOCUMENTS if ids else set(DOCUMENTS))
    encoder.texts.clear()
    with MaxSimReranker(encoder, store=tmp_path / "s") as reranker:
        again = reranker.rerank(QUERY, DOCUMENTS[::-1], ids=ids and ids[::-1])
        assert by_index(again) == scores[::-1].tolist()
        assert encoder.texts == []
        assert {"encode_queries", "store", "maxsim"} <= set(again.details["timings"])


def test_a_changed_text_is_never_scored_with_its_old_embeddings(tmp_path):
    """Under the same id: encoded, and with update replaced; another process that only reads encodes it too."""
    encoder = Counting()
    with MaxSimReranker(encoder, store=tmp_path, update=True) as reranker:
        reranker.rerank(QUERY, ["old words", "other"], ids=["a", "b"])
        with MaxSimReranker(encoder, store=tmp_path) as reader:
            encoder.texts.clear()
            changed = ["aspirin pressure", "other"]
            right = expected(HashEncoder(), changed).tolist()
            assert by_index(reader.rerank(QUERY, changed, ids=["a", "b"])) == right
            assert encoder.texts == ["aspirin pressure"]
            assert (
                by_index(reranker.rerank(QUERY, changed, ids=["a", "b"])) == expected(HashEncoder(), changed).tolist()
            )
            # The text of "b" under the id "a": known as a text, but "a" is outdated.
            moved = reranker.rerank(QUERY, ["other"], ids=["a"])
            assert by_index(moved) == expected(HashEncoder(), ["other"]).tolist()
            assert reranker.store.changed(["a"], ["other"]) == [False]


def test_one_transaction_per_call(tmp_path, monkeypatch):
    """However many texts are encoded at once; the same text under two ids is encoded once and kept twice."""
    monkeypatch.setattr(maxsim_module, "TEXTS_AT_ONCE", 2)
    encoder = Counting()
    commits = []
    add = EmbeddingStore.keep
    monkeypatch.setattr(EmbeddingStore, "keep", lambda self, parts, enc: (commits.append(1), add(self, parts, enc)))
    with MaxSimReranker(encoder, store=tmp_path, update=True) as reranker:
        ranking = reranker.rerank(QUERY, DOCUMENTS, ids=IDS)
        assert by_index(ranking) == expected(HashEncoder(), DOCUMENTS).tolist()
        assert list(reranker.store) != IDS or len(encoder.texts) == len(set(DOCUMENTS))
        assert sorted(reranker.store) == IDS
    assert commits == [1]


def test_documents_of_the_store_by_id(tmp_path):
    """`store.get` gives documents to rerank; a projection reaches the query by itself."""
    encoder = HashEncoder(64)
    with EmbeddingStore.open(tmp_path, "a", projection=12) as store:
        store.add(IDS, texts=DOCUMENTS, encoder=encoder)
        reranker = MaxSimReranker(encoder, store=store)
        direct = reranker.rerank(QUERY, store.get(IDS))
        assert list(direct) == list(reranker.rerank(QUERY, DOCUMENTS, ids=IDS))
        query = store.project(encoder.encode_queries([QUERY])[0])
        assert by_index(direct) == maxsim(query, store.get(IDS)).astype(float).tolist()
        reranker.close()
        assert len(store) == len(IDS)  # it was not the reranker's to close


def test_another_encoder_than_the_store_s(tmp_path):
    """Is refused before anything is scored."""
    with EmbeddingStore.open(tmp_path, "a") as store:
        store.add(IDS, texts=DOCUMENTS, encoder=HashEncoder(16))
        with pytest.raises(InputError, match="hash-16"):
            MaxSimReranker(HashEncoder(8), store=store).rerank(QUERY, DOCUMENTS, ids=IDS)


def test_one_id_for_two_texts(tmp_path):
    """Cannot be kept, and says so."""
    with MaxSimReranker(HashEncoder(), store=tmp_path, update=True) as reranker:
        with pytest.raises(InputError, match="'a' 2 times"):
            reranker.rerank(QUERY, ["x", "y"], ids=["a", "a"])
        assert len(reranker.store) == 0


def test_options(tmp_path):
    """A store that is not there, and options that exclude each other."""
    with pytest.raises(StoreError, match="mode 'a'"):
        rerankers.load("rank-maxsim", store=tmp_path / "none")
    with pytest.raises(InputError, match="store or cache"):
        rerankers.load("rank-maxsim", store=tmp_path, cache="1MB", update=True)
    with pytest.raises(InputError, match="update"):
        rerankers.load("rank-maxsim", update=True)
    for size in ("lots", "0", "-1MB", "12 TB", ""):
        with pytest.raises(InputError, match="'256MB'"):
            rerankers.load("rank-maxsim", cache=size)
    with pytest.raises(InputTypeError, match="cache"):
        rerankers.load("rank-maxsim", cache=1.5)
    EmbeddingStore.open(tmp_path / "s", "a").close()
    with EmbeddingStore.open(tmp_path / "s") as store, pytest.raises(InputError, match="mode 'a'"):
        rerankers.load("rank-maxsim", store=store, update=True)


def test_close_and_go_on(tmp_path):
    """A closed reranker opens its store again; another may write in between."""
    encoder = Counting()
    reranker = MaxSimReranker(encoder, store=tmp_path, update=True)
    before = list(reranker.rerank(QUERY, DOCUMENTS))
    reranker.close()
    with EmbeddingStore.open(tmp_path, "a") as store:
        assert len(store) == len(set(DOCUMENTS))
    encoder.texts.clear()
    assert list(reranker.rerank(QUERY, DOCUMENTS)) == before
    assert encoder.texts == []
    reranker.close()


def test_the_cache_forgets_what_was_used_longest_ago():
    """Within its limit, counted in bytes of vectors and scales; a document larger than all of it is not kept."""
    encoder = Counting()
    reranker = MaxSimReranker(encoder, cache=3 * 2 * (16 + 4))  # three documents of two tokens
    for text in ("a b", "c d", "e f", "a b", "g h"):
        reranker.rerank(QUERY, [text])
    assert encoder.texts == ["a b", "c d", "e f", "g h"]
    reranker.rerank(QUERY, ["a b", "e f", "g h"])
    assert encoder.texts == ["a b", "c d", "e f", "g h"]
    reranker.rerank(QUERY, ["c d"])
    reranker.rerank(QUERY, ["x " * 100])
    reranker.rerank(QUERY, ["c d"])
    assert encoder.texts[4:] == ["c d", "x " * 100]
    reranker.close()
    reranker.rerank(QUERY, ["c d"])
    assert encoder.texts[6:] == ["c d"]


def test_cached_and_new_documents_score_alike():
    """A document's score does not tell whether it was there."""
    reranker = MaxSimReranker(HashEncoder(), cache="1MB")
    first = reranker.rerank(QUERY, DOCUMENTS[:3])
    second = reranker.rerank(QUERY, DOCUMENTS)
    assert by_index(second)[:3] == by_index(first)
    assert by_index(second) == expected(HashEncoder(), DOCUMENTS).tolist()


@pytest.mark.parametrize("where", ["store", "cache"])
def test_threads_share_it(tmp_path, where):
    """Calls side by side give the scores of calls one after another."""
    options = {"store": tmp_path, "update": True} if where == "store" else {"cache": "2KB"}
    texts = [f"{word} {other}" for word in ("aspirin", "blood", "fish") for other in ("pressure", "trial", "x", "y")]
    scores = dict(zip(texts, expected(HashEncoder(), texts).tolist(), strict=True))
    with MaxSimReranker(HashEncoder(), **options) as reranker, ThreadPoolExecutor(8) as pool:

        def work(seed):
            chosen = np.random.default_rng(seed).permutation(texts)[:5].tolist()
            return [(chosen[i], score) for i, score in reranker.rerank(QUERY, chosen)]

        for result in pool.map(work, range(100)):
            assert all(scores[text] == score for text, score in result)


def test_cache_size_in_words():
    """Decimal units, in any case."""
    for text, size in (("256MB", 256_000_000), ("1 gb", 10**9), ("5kb", 5000), ("7", 7), (9, 9), ("3B", 3)):
        assert TokenCache(text)._limit == size
