"""The contract of rerankers as a pytest class to inherit, and an encoder that needs no model.

    class TestMine(RerankerContract):
        @pytest.fixture
        def reranker(self):
            return MyReranker()

An adapter to another host overrides `rank` as well, to call the host and to translate back. A test of
something that the host does not have is removed by `test_name = None`.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders.encoder import clean_texts
from rank_plugins.errors import InputError, InputTypeError

QUERY = "effects of aspirin on blood pressure"
DOCUMENTS = [
    "Aspirin lowers blood pressure when taken at bedtime.",
    "The capital of France is Paris.",
    "Blood pressure and aspirin: a randomised trial of the effects of low doses.",
    "",
    "The capital of France is Paris.",
    "Wind tunnels measure the drag of a wing.",
]
ODD_TEXTS = {
    "one character": "x",
    "whitespace": " \t\n\u2003",
    "emoji": "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "right-to-left": "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "NUL": "a\x00b\x00",
    "lone surrogate": "before \ud800 after",
    "long word": "x" * 5000,
    "long text": "aspirin pressure " * 2000,
}


class HashEncoder:
    """Maps every word to a fixed random direction: an Encoder without a model, for tests."""

    def __init__(self, dim: int = 16) -> None:
        """Choose the dimension of the vectors."""
        self._dim = dim
        self.closed = False

    @property
    def dim(self) -> int:
        """K, the dimension of every vector."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Name the encoder and its dimension."""
        return f"hash-{self._dim}"

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Return one vector of length 1 per word."""
        return self._encode(clean_texts(texts, "queries"))

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:  # noqa: ARG002 - the protocol's name
        """Return one vector of length 1 per word."""
        return self._encode(clean_texts(texts, "documents"))

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        words = [text.lower().split() for text in texts]
        vectors = [_direction(word, self._dim) for document in words for word in document]
        values = np.array(vectors, np.float32).reshape(-1, self._dim)
        return TokenEmbeddings(values, np.cumsum([0, *map(len, words)]))


@functools.lru_cache(maxsize=100_000)
def _direction(word: str, dim: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


class RerankerContract:
    """What every reranker promises. Inherit, give a fixture `reranker`, and override what differs."""

    pointwise: ClassVar[bool] = True
    """A document's score does not depend on its neighbours; False for fusion, cascades and diversity."""
    nothing: ClassVar[float] = -math.inf
    """The score of a document that has nothing to score; adapters write -1e9."""
    tolerance: ClassVar[float] = 1e-5
    """Relative difference allowed between two computations of one score."""

    @pytest.fixture
    def reranker(self) -> Any:
        """Return the reranker under test."""
        pytest.fail("override the fixture `reranker`")

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Return pairs (index into documents, score), best first."""
        return list(reranker.rerank(query, documents, top_k=top_k))

    def _close(self, expected: float) -> Any:
        return pytest.approx(expected, rel=self.tolerance, abs=self.tolerance)

    def test_every_document_comes_back_once(self, reranker: Any) -> None:
        """Without top_k the indices are a permutation of the input's."""
        assert sorted(i for i, _ in self.rank(reranker, QUERY, DOCUMENTS)) == list(range(len(DOCUMENTS)))

    def test_scores_never_increase_and_are_plain_numbers(self, reranker: Any) -> None:
        """Pairs are (int, float) of Python, in order."""
        ranking = self.rank(reranker, QUERY, DOCUMENTS)
        assert all(type(i) is int and type(score) is float for i, score in ranking)
        assert all(a >= b for (_, a), (_, b) in itertools.pairwise(ranking))

    def test_relevant_before_irrelevant(self, reranker: Any) -> None:
        """Documents about the query stand above those about something else."""
        assert {i for i, _ in self.rank(reranker, QUERY, DOCUMENTS)[:2]} == {0, 2}

    @pytest.mark.parametrize("top_k", [1, 3, 100])
    def test_top_k_is_a_prefix(self, reranker: Any, top_k: int) -> None:
        """top_k cuts the full ranking and changes nothing else."""
        assert self.rank(reranker, QUERY, DOCUMENTS, top_k) == self.rank(reranker, QUERY, DOCUMENTS)[:top_k]

    @pytest.mark.parametrize("top_k", [0, -1])
    def test_top_k_below_one_is_refused(self, reranker: Any, top_k: int) -> None:
        """top_k is checked first, before the documents are looked at."""
        with pytest.raises(InputError, match="top_k"):
            self.rank(reranker, QUERY, [], top_k)

    @pytest.mark.parametrize("query", ["", " \t\n"])
    def test_empty_query_is_refused(self, reranker: Any, query: str) -> None:
        """A query without content is an error, not an order at random."""
        with pytest.raises(InputError, match="query"):
            self.rank(reranker, query, DOCUMENTS)

    def test_no_documents_give_an_empty_ranking(self, reranker: Any) -> None:
        """Nothing in, nothing out, whatever the query."""
        assert self.rank(reranker, QUERY, []) == []
        assert self.rank(reranker, "", []) == []

    @pytest.mark.parametrize("wrong", [None, 7, b"bytes"])
    def test_what_is_no_text_is_refused(self, reranker: Any, wrong: object) -> None:
        """A document or query of another type is an error that says so."""
        with pytest.raises(InputTypeError):
            self.rank(reranker, QUERY, ["text", wrong])
        with pytest.raises(InputTypeError):
            self.rank(reranker, wrong, DOCUMENTS)

    def test_empty_documents_come_last(self, reranker: Any) -> None:
        """A document without content never outranks a real one."""
        ranking = self.rank(reranker, QUERY, ["", "aspirin", " \n"])
        assert [i for i, _ in ranking] == [1, 0, 2]
        assert [score for _, score in ranking[1:]] == [self.nothing, self.nothing]

    def test_equal_texts_stay_two_documents_in_input_order(self, reranker: Any) -> None:
        """Identity is the position, and ties keep the input order."""
        ranking = self.rank(reranker, QUERY, ["aspirin", "paris", "aspirin", "aspirin"])
        assert [i for i, _ in ranking] == [0, 2, 3, 1]
        assert len({score for _, score in ranking[:3]}) == 1

    def test_permuting_the_documents_permutes_the_ranking(self, reranker: Any) -> None:
        """The order of the input decides ties and nothing else."""
        documents = list(dict.fromkeys(DOCUMENTS))
        expected = {documents[i]: score for i, score in self.rank(reranker, QUERY, documents)}
        for turn in range(1, len(documents)):
            turned = documents[turn:] + documents[:turn]
            assert {turned[i]: self._close(s) for i, s in self.rank(reranker, QUERY, turned)} == expected

    def test_a_score_does_not_depend_on_the_neighbours(self, reranker: Any) -> None:
        """A document scores alone what it scores in company."""
        for i, score in self.rank(reranker, QUERY, DOCUMENTS) if self.pointwise else []:
            assert self.rank(reranker, QUERY, [DOCUMENTS[i]]) == [(0, self._close(score))]

    def test_inputs_are_not_changed(self, reranker: Any) -> None:
        """The caller's list is the same afterwards."""
        documents = list(DOCUMENTS)
        before = copy.deepcopy(documents)
        self.rank(reranker, QUERY, documents)
        assert documents == before

    @pytest.mark.parametrize("name", ODD_TEXTS)
    def test_odd_texts_are_ranked(self, reranker: Any, name: str) -> None:
        """No text crashes, is lost or displaces another."""
        ranking = self.rank(reranker, QUERY, ["aspirin", ODD_TEXTS[name], "paris"])
        assert sorted(i for i, _ in ranking) == [0, 1, 2]
        assert not any(math.isnan(score) for _, score in ranking)

    def test_threads_get_the_same_answer(self, reranker: Any) -> None:
        """One reranker serves several threads at once."""
        expected = self.rank(reranker, QUERY, DOCUMENTS)
        rank: Callable[[int], Any] = lambda _: self.rank(reranker, QUERY, DOCUMENTS)  # noqa: E731 - one line, used once
        with ThreadPoolExecutor(4) as pool:
            for ranking in pool.map(rank, range(12)):
                assert [i for i, _ in ranking] == [i for i, _ in expected]
                assert [score for _, score in ranking] == [self._close(score) for _, score in expected]
