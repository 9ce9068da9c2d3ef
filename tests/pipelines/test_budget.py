"""Cascades with a budget: what comes back when the time is over, and what becomes of a stage left behind."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from rank_plugins import _deadline
from rank_plugins._threads import usable_cores
from rank_plugins.errors import InputError
from rank_plugins.pipelines import Cascade, QueryWords, TopGap, stage, work
from rank_plugins.pipelines.cascade import LEFT_BEHIND
from rank_plugins.pipelines.cuts import Mass, Threshold, Tokens
from rank_plugins.rerankers import Ranking, Reranker

LONG = 60.0
DOCUMENTS = ["a", "b", "c"]


class By(Reranker):
    """Scores a document by what a function of it says."""

    def __init__(self, score=lambda document: -float(ord(document[0])), before=lambda: None):
        self.score, self.before, self.calls, self.threads = score, before, 0, set()

    def _rank(self, requests, top_k):
        self.calls += 1
        self.threads.add(threading.get_ident())
        self.before()
        return [Ranking.from_scores([self.score(d) for d in r.documents], top_k) for r in requests]


class Stuck(By):
    """Takes until it is let go, then works in batches: it asks whether it is too late."""

    def __init__(self):
        super().__init__()
        self.go, self.begun, self.late = (threading.Event() for _ in range(3))

    def _rank(self, requests, top_k):
        self.begun.set()
        assert self.go.wait(LONG)
        try:
            _deadline.check()
        except _deadline.OutOfTime:
            self.late.set()
            raise
        return super()._rank(requests, top_k)


@pytest.fixture
def stuck(monkeypatch):
    """Return a stage that does not end; the time is over as soon as it runs, whatever the clock says."""
    one = Stuck()

    def until_begun(futures, timeout):
        while not one.begun.is_set() and wait(futures, 0.001).not_done:
            pass
        return wait(futures, 0 if one.begun.is_set() else timeout)

    monkeypatch.setattr(_deadline, "wait", until_begun)
    yield one
    one.go.set()


def test_the_last_complete_ranking_comes_back_marked(stuck):
    """It is that of the stages before, as if the others did not stand there."""
    after = By()
    cascade = Cascade([stage(By(), keep=2, name="quick"), stuck, stage(after, name="after")], budget=LONG)
    ranking = cascade.rerank("q", ["c", "b", "a"])
    assert list(ranking) == [(2, -97.0), (1, -98.0), (0, -99.0)]
    details = ranking.details
    assert (details["complete"], details["stopped"], details["stage"]) == (False, "deadline", ["quick"] * 3)
    assert [(r["name"], r["ran"], r["because"], r["candidates"], r["documents"]) for r in details["stages"]] == [
        ("quick", True, None, 3, 3), ("Stuck", False, "deadline", 2, 0), ("after", False, "deadline", 2, 0)
    ]  # fmt: skip
    assert list(details["parts"]) == ["quick"]
    assert (work([ranking]).incomplete, work([ranking]).stages[1].skipped) == (1, 1.0)
    stuck.go.set()
    assert stuck.late.wait(LONG)
    assert after.calls == 0


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([1.0, 3.0, 2.0], [(1, 3.0), (2, 2.0), (0, 1.0)]), (None, [(0, 0.0), (1, -1.0), (2, -2.0)])],
)
def test_without_a_complete_stage_the_first_order_comes_back(stuck, scores, expected):
    ranking = Cascade([stuck], budget=LONG).rerank("q", DOCUMENTS, scores=scores)
    assert list(ranking) == expected
    assert not ranking.details["complete"]
    assert ranking.details["stage"] == ["first_stage"] * 3


def test_the_last_keep_and_top_k_hold_all_the_same(stuck):
    cascade = Cascade([stage(stuck, keep=2)], budget=LONG)
    assert len(cascade.rerank("q", DOCUMENTS)) == 2
    assert len(cascade.rerank("q", DOCUMENTS, top_k=1)) == 1


@pytest.mark.parametrize("rule", [Mass(temperature=None), Threshold(9.0), lambda ranking, documents: 0])
def test_a_rule_for_the_scores_of_a_stage_that_did_not_end_is_not_asked(stuck, rule):
    """Those of the stage before are not its own; but a budget in tokens holds."""
    first = By(lambda document: -1.0)
    assert len(Cascade([first, stage(stuck, keep=rule)], budget=LONG).rerank("q", DOCUMENTS)) == 3
    assert len(Cascade([first, stage(stuck, keep=Tokens(2))], budget=LONG).rerank("q", DOCUMENTS)) == 2


def test_a_batch_is_cut_for_all_its_queries(stuck):
    """Those that skip the stage under way have passed it no more than the others."""
    cascade = Cascade([stage(By(), name="quick"), stage(stuck, when=QueryWords(1), name="slow")], budget=LONG)
    rankings = cascade.rerank_batch(["two words", "one"], [DOCUMENTS, DOCUMENTS])
    assert [ranking.details["stages"][1]["because"] for ranking in rankings] == ["deadline"] * 2
    assert [ranking.indices.tolist() for ranking in rankings] == [[0, 1, 2]] * 2


def test_with_time_enough_nothing_is_marked():
    """The ranking is that without a budget; the caller's context goes along."""
    name = contextvars.ContextVar("name")
    seen, one = [], threading.get_ident()
    name.set("caller")
    first = By(before=lambda: seen.append(name.get()))
    cascade = Cascade([stage(first, keep=2), stage(By(len), when=TopGap(5))], budget=LONG)
    ranking = cascade.rerank("q", DOCUMENTS)
    assert list(ranking) == list(Cascade(cascade.stages).rerank("q", DOCUMENTS))
    assert ranking.details["complete"]
    assert "stopped" not in ranking.details
    assert seen == ["caller"] * 2
    assert len(first.threads - {one}) == 1


def test_no_stage_begins_when_the_time_is_over(stuck):
    """One left behind that does not ask comes to its end, and the next one does not begin."""
    further = By()

    class Deaf(Reranker):
        def _rank(self, requests, top_k):
            stuck.begun.set()
            assert stuck.go.wait(LONG)
            return [Ranking.from_scores([0.0] * len(r.documents)) for r in requests]

    cascade = Cascade([Deaf(), further], budget=LONG)
    assert not cascade.rerank("q", DOCUMENTS).details["complete"]
    stuck.go.set()
    assert all(cascade._slots.acquire(timeout=LONG) for _ in range(LEFT_BEHIND))
    assert further.calls == 0


def test_without_a_budget_no_thread_is_used():
    one = By()
    Cascade([one]).rerank("q", DOCUMENTS)
    assert one.threads == {threading.get_ident()}


def test_the_clock_counts():
    """The one test here whose deadline comes by itself."""
    one = Stuck()
    ranking = Cascade([one], budget=0.01).rerank("q", DOCUMENTS)
    one.go.set()
    assert not ranking.details["complete"]


def test_a_batch_has_the_budget_of_each_query(monkeypatch):
    """Queries without documents have none."""
    asked = []
    monkeypatch.setattr(_deadline, "finish", lambda work, seconds, slots: asked.append(seconds))
    Cascade([By()], budget=2.0).rerank_batch(["q"] * 3, [DOCUMENTS, [], DOCUMENTS])
    assert asked == [4.0]


def test_an_error_of_a_stage_is_the_callers():
    """Also of a gate; and the next call is served."""

    def fail():
        raise InputError("mine")

    broken = Cascade([By(before=fail)], budget=LONG)
    for _ in range(LEFT_BEHIND + 1):
        with pytest.raises(InputError, match="mine"):
            broken.rerank("q", DOCUMENTS)
    with pytest.raises(InputError, match="pass scores="):
        Cascade([stage(By(), when=TopGap(1))], budget=LONG).rerank("q", DOCUMENTS)


def test_a_stage_that_says_it_is_late_is_late():
    """It may find out before who waits for it does."""

    def late():
        raise _deadline.OutOfTime

    ranking = Cascade([stage(By(), name="quick"), By(before=late)], budget=LONG).rerank("q", DOCUMENTS)
    assert ranking.details["stopped"] == "deadline"
    assert ranking.details["stage"] == ["quick"] * 3


def test_a_cascade_inside_with_less_time_is_cut_alone(stuck):
    """The one around it goes on with what it gave, and says so."""
    inner = Cascade([By(), stuck], budget=LONG)
    ranking = Cascade([stage(inner, name="inner"), stage(By(len), name="last")]).rerank("q", ["bb", "aaa", "c"])
    assert list(ranking) == [(1, 3.0), (0, 2.0), (2, 1.0)]
    assert [record["because"] for record in ranking.details["stages"]] == [None, None]
    assert (ranking.details["complete"], ranking.details["stopped"]) == (False, "deadline")
    assert ranking.details["parts"]["inner"]["complete"] is False


@pytest.mark.parametrize("budget", [None, 2 * LONG])
def test_a_cascade_inside_ends_with_the_one_around_it(budget, monkeypatch):
    """With no budget or a longer one, it begins no further stage when nobody waits any more."""
    slow, further, ended = Stuck(), By(), threading.Event()
    inner = Cascade([slow, further], budget=budget)
    before = inner.rerank_batch

    def watched(*args, **kwargs):
        try:
            return before(*args, **kwargs)
        except _deadline.OutOfTime:
            ended.set()
            raise

    inner.rerank_batch = watched
    ranking = Cascade([stage(By(), name="quick"), inner], budget=0.2).rerank("q", DOCUMENTS)
    assert ranking.details["stopped"] == "deadline"
    slow.go.set()
    if slow.begun.is_set():
        assert ended.wait(LONG)
    assert further.calls == 0


def test_stages_left_behind_are_bounded():
    """A stage that hangs holds so many threads at most; when it ends they are gone."""
    one = Stuck()
    cascade = Cascade([one], budget=0.005)
    before = threading.active_count()
    rankings = [cascade.rerank("q", DOCUMENTS) for _ in range(LEFT_BEHIND + 10)]
    assert all(ranking.details["stopped"] == "deadline" for ranking in rankings)
    assert threading.active_count() <= before + LEFT_BEHIND
    one.go.set()
    assert all(cascade._slots.acquire(timeout=LONG) for _ in range(LEFT_BEHIND))


def test_many_threads_at_once():
    """More callers than there may be stages under way; each gets its answer in time."""
    cascade = Cascade([stage(By(), keep=2), By(len)], budget=LONG)
    with ThreadPoolExecutor(2 * LEFT_BEHIND) as pool:
        rankings = list(pool.map(lambda _: cascade.rerank("q", DOCUMENTS), range(4 * LEFT_BEHIND)))
    assert all(ranking.details["complete"] for ranking in rankings)
    assert {tuple(ranking) for ranking in rankings} == {tuple(rankings[0])}


def test_coroutines_on_every_thread_of_the_package():
    """A stage that runs a loop of its own, in cascades that hold all the package's threads: nobody waits for ever."""
    inner = By()

    class Loop(Reranker):
        def _rank(self, requests, top_k):
            return [asyncio.run(inner.rerank_async(r.query, r.documents, top_k=top_k)) for r in requests]

    cascade = Cascade([Cascade([Loop()], budget=LONG)], budget=LONG)

    async def main():
        return await asyncio.gather(*(cascade.rerank_async("q", DOCUMENTS) for _ in range(4 * usable_cores() + 4)))

    rankings = asyncio.run(main())
    assert all(ranking.details["complete"] for ranking in rankings)
    assert all(math.isfinite(ranking.scores[0]) for ranking in rankings)
