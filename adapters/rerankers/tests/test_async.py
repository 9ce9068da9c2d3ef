"""rank_async: off the event loop, on threads of its own, a bounded number of them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

from rank_plugins import rerankers as core
from rank_plugins._threads import usable_cores
from rank_plugins.errors import InputError
from rank_plugins_rerankers import MaxSimRanker


class Slow(core.Reranker):
    """Takes its time, and notes on which threads and how many at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.threads: set[str] = set()
        self.now = self.most = 0
        self.lock = threading.Lock()

    def _rank(self, requests: Any, top_k: int | None) -> list[core.Ranking]:
        with self.lock:
            self.threads.add(threading.current_thread().name)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        return [core.Ranking.from_scores(np.zeros(len(request.documents)), top_k) for request in requests]


def test_the_loop_keeps_ticking() -> None:
    """While one ranking blocks its thread the event loop runs other work."""

    async def run() -> tuple[int, Any]:
        ticks = 0
        task = asyncio.create_task(MaxSimRanker(slow).rank_async("q", ["a", "b"]))
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks, task.result()

    slow = Slow(0.4)
    ticks, results = asyncio.run(run())
    assert ticks >= 5
    assert results.results_count() == 2
    assert all(name.startswith("rank-plugins") for name in slow.threads)


def test_many_at_once_are_bounded() -> None:
    """Many calls end, each with its own answer, on at most as many threads as cores."""

    async def run() -> list[Any]:
        ranker = MaxSimRanker(slow)
        return await asyncio.gather(*(ranker.rank_async("q", ["x"], [i]) for i in range(20)))

    slow = Slow(0.02)
    answers = asyncio.run(run())
    assert [answer[0].doc_id for answer in answers] == list(range(20))
    assert 1 <= slow.most <= usable_cores()
    assert len(slow.threads) <= usable_cores()


def test_same_as_rank(ranker: MaxSimRanker) -> None:
    """Ids and metadata, which the host's own rank_async has no place for, arrive as in `rank`."""
    arguments: Any = ("red", ["tea", "red", "red pie"], ["a", "b", "c"], [{"n": 0}, {"n": 1}, {"n": 2}])
    expected = ranker.rank(*arguments)
    results = asyncio.run(ranker.rank_async(*arguments))
    assert repr(results) == repr(expected)


def test_errors_arrive(ranker: MaxSimRanker) -> None:
    """An error is raised where the call is awaited."""
    with pytest.raises(InputError, match="query: expected text"):
        asyncio.run(ranker.rank_async(" ", ["a"]))
    assert asyncio.run(ranker.rank_async(" ", [])).results_count() == 0


def test_cancelling_leaves_the_executor_usable() -> None:
    """A call given up on does not hold back the next one."""

    async def run() -> int:
        ranker = MaxSimRanker(Slow(0.1))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ranker.rank_async("q", ["a"]), 0.02)
        results = await ranker.rank_async("q", ["a", "b"])
        return int(results.results_count())

    assert asyncio.run(run()) == 2


def test_context_variables_reach_the_thread() -> None:
    """What tracing keeps in context variables is visible while ranking."""
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
    seen = []

    class Reading(Slow):
        def _rank(self, requests: Any, top_k: int | None) -> list[core.Ranking]:
            seen.append(name.get())
            return super()._rank(requests, top_k)

    async def run() -> None:
        name.set("here")
        await MaxSimRanker(Reading(0)).rank_async("q", ["a"])

    asyncio.run(run())
    assert seen == ["here"]


def test_threads_share_a_ranker(ranker: MaxSimRanker) -> None:
    """One ranker called from several threads at once gives each its own answer."""
    answers: dict[int, list[Any]] = {}

    def run(i: int) -> None:
        answers[i] = [result.text for result in ranker.rank(f"word{i}", [f"word{j}" for j in range(8)])]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[i][0] for i in range(8)] == [f"word{i}" for i in range(8)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork() -> None:
    """A process forked after the first call, as a preloading server does, has working threads of its own."""
    code = """
import asyncio, os, signal, time, warnings
import rank_plugins_rerankers
from rank_plugins.rerankers import Ranking, Reranker
warnings.simplefilter("ignore")

class One(Reranker):
    def _rank(self, requests, top_k):
        return [Ranking.from_scores([1.0] * len(request.documents), top_k) for request in requests]

ranker = rank_plugins_rerankers.MaxSimRanker(One())
asyncio.run(ranker.rank_async("q", ["a"]))
time.sleep(0.2)  # until the thread is idle, and so would be waited for
child = os.fork()
if not child:
    signal.alarm(10)
    results = asyncio.run(ranker.rank_async("q", ["a", "b"]))
    os._exit(results.results_count())
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
