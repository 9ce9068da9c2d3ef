"""MaxSimReranker with an encoder that needs no model: the contract, vectors as input, batches, memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rank_plugins import InputError, InputTypeError, TokenEmbeddings, encoders, maxsim, rerankers
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers import maxsim as maxsim_module
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract


class TestContract(RerankerContract):
    """The contract with a bag of hashed words."""

    @pytest.fixture
    def reranker(self):
        """Return a reranker over hashed words."""
        return MaxSimReranker(HashEncoder(64))


class TestContractMean(TestContract):
    """The contract on the mean scale."""

    @pytest.fixture
    def reranker(self):
        """Return a reranker with mean scores."""
        return MaxSimReranker(HashEncoder(64), score="mean")


class CountingEncoder(HashEncoder):
    """Remembers how many texts each call encoded."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def encode_documents(self, texts, *, show_progress=False):
        self.calls.append(len(texts))
        return super().encode_documents(texts, show_progress=show_progress)


def test_scores_are_those_of_maxsim():
    """Text in, the encoder's vectors through maxsim, ranking out; "mean" divides by the query's tokens."""
    encoder = HashEncoder()
    query = encoder.encode_queries([QUERY])[0]
    expected = maxsim(query, encoder.encode_documents(DOCUMENTS))
    ranking = MaxSimReranker(encoder).rerank(QUERY, DOCUMENTS)
    assert {i: np.float32(score) for i, score in ranking} == dict(enumerate(expected))
    mean = MaxSimReranker(encoder, score="mean").rerank(QUERY, DOCUMENTS)
    assert mean.scores == pytest.approx(ranking.scores / len(query))
    assert set(ranking.details["timings"]) == {"encode_queries", "encode_documents", "maxsim"}


def test_vectors_may_stand_for_text():
    """Query and documents may each be embeddings; no encoder is loaded when both are."""
    encoder = HashEncoder()
    query, documents = encoder.encode_queries([QUERY])[0], encoder.encode_documents(DOCUMENTS)
    expected = list(MaxSimReranker(encoder).rerank(QUERY, DOCUMENTS))
    assert list(MaxSimReranker(encoder).rerank(query, DOCUMENTS)) == expected
    assert list(MaxSimReranker(encoder).rerank(QUERY, documents)) == expected
    assert list(MaxSimReranker("/no/such/model").rerank(query, documents)) == expected
    with pytest.raises(InputError, match="documents: expected 8 dimensions .* got 16"):
        MaxSimReranker(encoder).rerank(np.ones((2, 8), np.float32), documents)


def test_a_batch_ranks_like_its_requests_alone():
    """rerank_batch equals rerank for each query; equal texts are encoded once."""
    encoder = CountingEncoder()
    reranker = MaxSimReranker(encoder)
    queries = [QUERY, "paris", np.ones((1, 16), np.float32), "drag"]
    documents = [DOCUMENTS, DOCUMENTS[::-1], HashEncoder().encode_documents(DOCUMENTS), []]
    batch = reranker.rerank_batch(queries, documents, top_k=4)
    assert encoder.calls == [len(set(DOCUMENTS))]
    for ranking, query, group in zip(batch, queries, documents, strict=True):
        assert list(ranking) == list(reranker.rerank(query, group, top_k=4))


def test_long_lists_are_encoded_in_parts(monkeypatch):
    """Ten thousand documents never stand in memory at once, and come back in the right order."""
    monkeypatch.setattr(maxsim_module, "TEXTS_AT_ONCE", 1000)
    encoder = CountingEncoder()
    documents = [f"word{i}" for i in range(10_000)]
    for i in (0, 42, 999, 1000, 9999):
        assert MaxSimReranker(encoder).rerank(f"word{i}", documents, top_k=1).indices.tolist() == [i]
    assert encoder.calls == [1000] * 50


def test_the_model_is_loaded_when_text_is_first_ranked():
    """A wrong model name is an error at first use, and none when there is nothing to rank."""
    reranker = rerankers.load("rank-maxsim", encoder="/no/such/model")
    assert len(reranker.rerank(QUERY, [])) == 0
    with pytest.raises(InputError, match="top_k"):
        reranker.rerank(QUERY, [], top_k=0)
    with pytest.raises(InputError, match="/no/such/model"):
        reranker.rerank(QUERY, DOCUMENTS)


def test_close_leaves_the_callers_encoder_alone():
    """An Encoder that was passed in is its owner's to close."""
    encoder = HashEncoder()
    with MaxSimReranker(encoder) as reranker:
        assert isinstance(reranker, Reranker)
    assert not encoder.closed


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"score": "max"}, InputError, "score: expected one of sum, mean, got 'max'"),
        ({"encoder": 5}, InputTypeError, "encoder: expected a name, a folder or an Encoder, got int"),
        ({"encoder": HashEncoder(), "engine": "openvino"}, InputTypeError, "engine cannot change an Encoder"),
        ({"threads": 0}, InputError, "threads: expected at least 1, got 0"),
        (
            {"banana": 1},
            InputTypeError,
            "encoder 'minilm': .*banana.*; its options are: engine, long",
        ),
        ({"encoder": "no/model", "banana": 1}, InputTypeError, "encoder 'no/model': .*banana"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    """Options are checked when the reranker is made."""
    with pytest.raises(error, match=message):
        MaxSimReranker(**options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ids": ["a"]}, InputError, "ids: expected 2 of them"),
        ({"ids": ["a", 1]}, InputTypeError, r"ids\[1\]: expected a str, got int"),
        ({"scores": [1.0, 2.0, 3.0]}, InputError, "scores: expected 2 of them"),
        ({"scores": [1.0, float("nan")]}, InputError, r"scores: expected numbers, got NaN at \[1\]"),
        ({"top_k": 1.0}, InputTypeError, "top_k: expected a whole number, got float"),
        ({"documents": "one text"}, InputTypeError, "documents: expected a list of str, got str"),
        ({"query": 5}, InputTypeError, "query: expected a str or an array"),
        ({"query": np.ones((0, 16), np.float32)}, InputError, "query: expected at least one token"),
    ],
)
def test_bad_requests_are_refused(arguments, error, message):
    """Each error names the argument, what was expected and what was got."""
    request = {"query": QUERY, "documents": ["a", "b"]} | arguments
    with pytest.raises(error, match=message):
        MaxSimReranker(HashEncoder()).rerank(**request)


def test_batches_must_be_parallel():
    """Lists of a batch have one element per query."""
    reranker = MaxSimReranker(HashEncoder())
    with pytest.raises(InputError, match=r"documents: expected 2 of them \(one per query\), got 1"):
        reranker.rerank_batch(["a", "b"], [["x"]])
    with pytest.raises(InputTypeError, match="queries: expected a list, got str"):
        reranker.rerank_batch("ab", [["x"], ["y"]])
    with pytest.raises(InputError, match=r"queries\[1\]: expected text, got ' '"):
        reranker.rerank_batch(["a", " "], [["x"], ["y"]])
    assert reranker.rerank_batch([], []) == []


def test_load_knows_its_names():
    """An unknown name lists the choices and guesses; an unknown option lists the options."""
    assert "rank-maxsim" in rerankers.names()
    with pytest.raises(InputError, match=r"got 'rank-maxism'; did you mean 'rank-maxsim'\?"):
        rerankers.load("rank-maxism")
    with pytest.raises(InputTypeError, match="expected a name, got int"):
        rerankers.load(5)


def test_ranking_holds_its_invariants():
    """Order, uniqueness and finiteness are checked; arrays are read-only."""
    ranking = Ranking.from_scores([1.0, 3.0, 3.0, -np.inf], top_k=3)
    assert list(ranking) == [(1, 3.0), (2, 3.0), (0, 1.0)]
    assert repr(ranking) == "Ranking([(1, 3), (2, 3), (0, 1)], n=3)"
    with pytest.raises(ValueError, match="read-only"):
        ranking.scores[0] = 0
    for indices, scores in (([0, 0], [2, 1]), ([0, 1], [1, 2]), ([0], [np.nan]), ([0, 1], [1])):
        with pytest.raises(InputError, match="Ranking: expected"):
            Ranking(indices, scores)


def test_empty_embeddings_rank_last():
    """A document without tokens stands behind a document of the lowest score."""
    documents = TokenEmbeddings(-np.ones((1, 2), np.float32), [0, 0, 1])
    assert list(MaxSimReranker(HashEncoder(2)).rerank(np.ones((1, 2)), documents)) == [(1, -2.0), (0, -np.inf)]


@pytest.mark.parametrize("options", [{}, {"update": True}, {"cache": "1MB"}], ids=str)
def test_close_waits_for_rankings_under_way(tmp_path, monkeypatch, options):
    """On another thread: it comes to its end with the encoder and the store that it began with, which then close."""
    inside, go_on = threading.Event(), threading.Event()

    class Slow(HashEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            inside.set()
            assert go_on.wait(10)
            assert not self.closed
            return super().encode_documents(texts)

    made = []
    monkeypatch.setattr(encoders, "prepare", lambda *_, **__: lambda: made.append(Slow()) or made[-1])
    if "update" in options:
        options = {**options, "store": tmp_path}
    reranker = MaxSimReranker("minilm", **options)
    with ThreadPoolExecutor(1) as pool:
        ranking = pool.submit(reranker.rerank, QUERY, DOCUMENTS)
        assert inside.wait(10)
        reranker.close()
        go_on.set()
        assert len(ranking.result()) == len(DOCUMENTS)
    assert [encoder.closed for encoder in made] == [True]
    assert len(reranker.rerank(QUERY, DOCUMENTS)) == len(DOCUMENTS)  # opens them again
    reranker.close()
