"""RerankerContract: what every reranker promises, as a pytest class to inherit."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import math
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from rank_plugins import _shared
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.reranker import Reranker

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


class RerankerContract:
    """What every reranker promises. Inherit, give a fixture `reranker`, and override what differs."""

    pointwise: ClassVar[bool] = True
    """A document's score does not depend on its neighbours; False for fusion, cascades and diversity."""
    complete: ClassVar[bool] = True
    """Every document comes back; False where some may be left out, as near-duplicates are."""
    alike: ClassVar[bool] = True
    """Equal texts get equal scores; False where a text counts for less when it stands above already (diversity)."""
    nothing: ClassVar[float] = -math.inf
    """The score of a document that has nothing to score; adapters write -1e9."""
    tolerance: ClassVar[float] = 1e-5
    """Relative difference allowed between two computations of one score."""
    top_name: ClassVar[str] = "top_k"
    """What the host calls top_k in its errors."""

    @pytest.fixture
    def reranker(self) -> Any:
        """Return the reranker under test."""
        pytest.fail("override the fixture `reranker`")

    def rank(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Return pairs (index into documents, score), best first."""
        return list(reranker.rerank(query, documents, top_k=top_k))

    async def rank_async(
        self, reranker: Any, query: Any, documents: Sequence[Any], top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """Return the same from a coroutine."""
        return list(await reranker.rerank_async(query, documents, top_k=top_k))

    @pytest.fixture
    def unloaded(self, reranker: Any) -> Any:
        """Return a reranker whose models are not loaded; override it where `reranker` is kept between tests."""
        return reranker

    @pytest.fixture
    def loads(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """Return a list that gets the key of every model that is loaded; none of this process counts as loaded."""
        loaded = _Loads()
        monkeypatch.setattr(_shared, "_models", loaded)
        return loaded.seen

    @pytest.fixture
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> Gate:
        """Return a gate at which every ranking waits."""
        gate, original = Gate(), Reranker.rerank_batch

        def rerank_batch(reranker: Reranker, *args: Any, **kwargs: Any) -> Any:
            gate.wait()
            return original(reranker, *args, **kwargs)

        monkeypatch.setattr(Reranker, "rerank_batch", rerank_batch)
        return gate

    def _check_indices(self, ranking: list[tuple[int, float]], count: int) -> None:
        """See that every document is there once, or, where some may be left out, some of them once."""
        indices = sorted(i for i, _ in ranking)
        if self.complete:
            assert indices == list(range(count))
        else:
            assert indices
            assert len(set(indices)) == len(indices)
            assert set(indices) <= set(range(count))

    def _close(self, expected: float) -> Any:
        return pytest.approx(expected, rel=self.tolerance, abs=self.tolerance)

    def test_every_document_comes_back_once(self, reranker: Any) -> None:
        """Without top_k the indices are a permutation of the input's, or of those that are not left out."""
        self._check_indices(self.rank(reranker, QUERY, DOCUMENTS), len(DOCUMENTS))

    def test_scores_never_increase_and_are_plain_numbers(self, reranker: Any) -> None:
        """Pairs are (int, float) of Python, in order, and JSON can hold them where the scores are finite."""
        ranking = self.rank(reranker, QUERY, DOCUMENTS)
        json.dumps(ranking, allow_nan=not math.isfinite(self.nothing))
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
        with pytest.raises(InputError, match=self.top_name):
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
        self._check_indices(ranking, 4)
        equal = [i for i, _ in ranking if i != 1]
        assert equal == [0, 2, 3][: len(equal)]
        if self.alike:
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
        self._check_indices(ranking, 3)
        assert not any(math.isnan(score) for _, score in ranking)

    def test_threads_get_the_same_answer(self, reranker: Any) -> None:
        """One reranker serves sixteen threads at once."""
        expected = self.rank(reranker, QUERY, DOCUMENTS)
        self._by_threads(reranker, expected)

    def test_no_model_is_loaded_for_no_documents(self, loads: list[Any], unloaded: Any) -> None:
        """An empty list is answered before anything is loaded, with or without a coroutine."""
        assert self.rank(unloaded, QUERY, []) == []
        assert asyncio.run(self.rank_async(unloaded, QUERY, [])) == []
        assert loads == []

    def test_first_use_by_many_threads_loads_a_model_once(self, loads: list[Any], unloaded: Any) -> None:
        """Threads that come first together wait for one load."""
        self._by_threads(unloaded, None)
        assert len(loads) == len(set(loads))

    def _by_threads(self, reranker: Any, expected: list[tuple[int, float]] | None) -> None:
        start = threading.Barrier(16)

        def rank(_: int) -> list[tuple[int, float]]:
            start.wait(30)
            return self.rank(reranker, QUERY, DOCUMENTS)

        with ThreadPoolExecutor(16) as pool:
            for ranking in pool.map(rank, range(16)):
                expected = expected or ranking
                assert [i for i, _ in ranking] == [i for i, _ in expected]
                assert [score for _, score in ranking] == [self._close(score) for _, score in expected]

    def test_a_coroutine_leaves_the_loop_free(self, reranker: Any, gate: Gate) -> None:
        """The work is done on another thread than the event loop's, which ticks meanwhile."""
        gate.open.set()
        expected = self.rank(reranker, QUERY, DOCUMENTS)
        gate.reset()

        async def main() -> list[tuple[int, float]]:
            task = asyncio.ensure_future(self.rank_async(reranker, QUERY, DOCUMENTS))
            await gate.reached(task)
            for _ in range(5):
                await asyncio.sleep(0.001)  # the heartbeat; the ranking goes on only after it
            gate.open.set()
            return await task

        ranking = asyncio.run(main())
        assert [i for i, _ in ranking] == [i for i, _ in expected]
        assert [score for _, score in ranking] == [self._close(score) for _, score in expected]
        assert gate.threads
        assert threading.get_ident() not in gate.threads

    def test_a_cancelled_coroutine_breaks_nothing(self, reranker: Any, gate: Gate) -> None:
        """Rankings that are cancelled while they run, or before, do not keep later ones from their answer."""

        async def main() -> list[tuple[int, float]]:
            tasks = [asyncio.ensure_future(self.rank_async(reranker, QUERY, DOCUMENTS)) for _ in range(20)]
            await gate.reached(tasks[0])
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
            gate.open.set()
            return await self.rank_async(reranker, QUERY, DOCUMENTS)

        ranking = asyncio.run(main())
        assert [i for i, _ in ranking] == [i for i, _ in self.rank(reranker, QUERY, DOCUMENTS)]


class Gate:
    """Where rankings wait until it opens; notes their threads. After ten seconds it fails: the loop stood still."""

    def __init__(self) -> None:
        """Start closed."""
        self.open = threading.Event()
        self._reached = threading.Event()
        self.threads: set[int] = set()

    def reset(self) -> None:
        """Close it, and forget who came."""
        self.open.clear()
        self._reached.clear()
        self.threads.clear()

    def wait(self) -> None:
        """Wait until it opens."""
        self.threads.add(threading.get_ident())
        self._reached.set()
        if not self.open.wait(10):
            pytest.fail("the event loop stood still, or nothing ticked, while documents were ranked")

    async def reached(self, task: asyncio.Future[Any]) -> None:
        """Return when the first ranking waits here, or `task` has ended without."""
        while not self._reached.is_set() and not task.done():
            await asyncio.sleep(0.001)


class _Loads(weakref.WeakValueDictionary[Any, Any]):
    """The models of a process, none at first; remembers the keys of those that are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        self.seen.append(key)
        super().__setitem__(key, value)
