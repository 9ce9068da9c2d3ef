"""Spreading work over threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rank_plugins import TokenEmbeddings, maxsim, maxsim_batch
from rank_plugins._arrays import PackedQueries, native_levels
from rank_plugins._threads import run_each, thread_count, usable_cores


@pytest.mark.parametrize("threads", [1, 3, 50])
def test_every_item_is_done_once(threads):
    """All items are worked on, by no more threads than allowed."""
    done, seen = [], set()

    def work(item):
        seen.add(threading.get_ident())
        done.append(item)

    run_each(work, range(20), threads)
    assert sorted(done) == list(range(20))
    assert len(seen) <= threads
    run_each(work, [], threads)


def test_the_first_error_reaches_the_caller():
    """An error ends the rest and is raised with its own type."""
    done = []

    def work(item):
        if item == 3:
            raise IndexError("mine")
        done.append(item)

    with pytest.raises(IndexError, match="mine"):
        run_each(work, range(1000), 1)
    assert done == [0, 1, 2]
    with pytest.raises(IndexError, match="mine"):
        run_each(work, range(1000), 4)


def test_default_is_every_usable_core(monkeypatch):
    """Without an argument or a variable, all cores that the process may use."""
    monkeypatch.delenv("RANK_PLUGINS_THREADS", raising=False)
    assert thread_count(None) == usable_cores() >= 1
    assert thread_count(7) == 7


def big():
    """Documents that pay for several threads, and a query."""
    rng = np.random.default_rng(3)
    documents = TokenEmbeddings(rng.standard_normal((40_000, 32), np.float32), np.arange(0, 40_001, 100))
    return rng.standard_normal((64, 32), np.float32), documents


def test_one_thread_starts_none(monkeypatch):
    """Neither threads=1 nor work too small for two threads starts a thread."""
    query, documents = big()
    expected = maxsim(query, documents, threads=4)

    def refuse(*_args, **_options):
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading, "Thread", refuse)
    assert np.array_equal(maxsim(query, documents, threads=1), expected)
    assert np.array_equal(maxsim(query, documents[:5], threads=4), expected[:5])
    assert np.array_equal(maxsim_batch([query], documents, [range(5)], threads=4)[0], expected[:5])


@pytest.mark.skipif(not native_levels(), reason="NumPy starts no threads of ours")
def test_big_work_is_shared(monkeypatch):
    """Several threads take part when the work pays for them, no more than asked for."""
    query, documents = big()
    seen, meet = set(), threading.Barrier(3)
    score = PackedQueries.maxsim

    def watched(self, *args):
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            meet.wait(60)
        score(self, *args)

    monkeypatch.setattr(PackedQueries, "maxsim", watched)
    maxsim(query, documents, threads=3)
    assert len(seen) == 3


def test_a_busy_pool_does_not_stop_a_job():
    """Helpers that are busy elsewhere are not waited for."""
    release = threading.Event()
    busy = threading.Thread(target=lambda: run_each(lambda _: release.wait(60), range(8), 8))
    busy.start()
    try:
        done = []
        run_each(done.append, range(100), 8)
        assert sorted(done) == list(range(100))
    finally:
        release.set()
        busy.join()


def test_pools_may_be_nested():
    """Scoring from the threads of another pool, each with threads of its own, changes nothing."""
    query, documents = big()
    expected = maxsim(query, documents, threads=1)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: maxsim(query, documents, threads=3), range(12)))
    assert all(np.array_equal(result, expected) for result in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_scoring_after_a_fork():
    """A process forked from one that has used threads scores with threads too, and ends."""
    query, documents = big()
    expected = maxsim(query, documents, threads=3)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(maxsim(query, documents, threads=3), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
