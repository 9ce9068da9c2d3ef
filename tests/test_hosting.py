"""What adapters share: rerankers by name, scores for hosts, one model per process, work off the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rank_plugins import _shared
from rank_plugins._executor import off_loop
from rank_plugins._shared import shared
from rank_plugins._threads import usable_cores
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import Ranking
from rank_plugins.rerankers.hosting import NOTHING, count, first_stage, listed, names, pairs, reranker_of, threshold
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder


class Thing:
    pass


def test_a_name_with_options_or_an_instance():
    made = reranker_of("rank-maxsim", {"encoder": HashEncoder(8), "score": "mean"})
    assert isinstance(made, MaxSimReranker)
    assert reranker_of(made) is made
    assert reranker_of(made, {}) is made
    with pytest.raises(InputTypeError, match="score cannot change a Reranker that is already made"):
        reranker_of(made, {"score": "sum"})
    with pytest.raises(InputError, match="did you mean 'rank-maxsim'"):
        reranker_of("rank-maxsin")
    with pytest.raises(InputTypeError, match="expected a name or a rank_plugins Reranker, got int"):
        reranker_of(7)
    with pytest.raises(InputTypeError, match="model_kwargs: expected a dict, got list"):
        reranker_of("rank-maxsim", [])
    with pytest.raises(InputTypeError, match="its options are"):
        reranker_of("rank-maxsim", {"colour": "red"})


def test_pairs_are_what_hosts_can_take():
    ranking = Ranking([2, 0, 1], [0.5, 0.25, -math.inf])
    assert pairs(ranking) == [(2, 0.5), (0, 0.25), (1, NOTHING)]
    assert json.loads(json.dumps(pairs(ranking), allow_nan=False)) == [[2, 0.5], [0, 0.25], [1, -1e9]]
    assert pairs(ranking, 0.25) == [(2, 0.5), (0, 0.25)]
    assert pairs(ranking, -math.inf) == [(2, 0.5), (0, 0.25)]


def test_counts_thresholds_and_first_stage():
    assert (count(None, "top_n"), count(3, "top_n")) == (None, 3)
    with pytest.raises(InputError, match="top_n"):
        count(0, "top_n")
    with pytest.raises(InputTypeError, match="top_n"):
        count(2.5, "top_n")
    assert (threshold(None), threshold(1), threshold(np.float32(0.5), "x")) == (None, 1.0, 0.5)
    with pytest.raises(InputError, match="score_threshold: expected a number, got NaN"):
        threshold(math.nan)
    with pytest.raises(InputTypeError, match="least: expected a number, got str '1'"):
        threshold("1", "least")
    assert first_stage([1, np.float32(0.5)]) == [1.0, 0.5]
    for scores in ([1.0, None], [1.0, math.nan], ["1"], [True]):
        assert first_stage(scores) is None


def test_lists_of_the_hosts_objects():
    things = (Thing(), Thing())
    assert listed(things, Thing, "things") == [*things]
    for wrong, words in (
        (iter(things), "things: expected a list of Things, got tuple_iterator"),
        (None, "things: expected a list of Things, got NoneType"),
        ("text", "things: expected a list of Things, got str"),
        ([*things, None], r"things\[2\]: expected a Thing, got NoneType"),
    ):
        with pytest.raises(InputTypeError, match=words):
            listed(wrong, Thing, "things")


def test_one_load_under_concurrent_first_use_and_none_kept():
    loads, start = [], threading.Barrier(16)

    def load():
        loads.append(1)
        return Thing()

    def use(_):
        start.wait(30)
        return shared(("test", "one"), load)

    with ThreadPoolExecutor(16) as pool:
        things = list(pool.map(use, range(16)))
    assert len(loads) == 1
    assert len({id(thing) for thing in things}) == 1
    del things
    gc.collect()
    assert ("test", "one") not in _shared._models
    assert ("test", "one") not in _shared._locks


def test_a_load_that_fails_is_tried_again():
    def fail():
        raise OSError("not there")

    with pytest.raises(OSError, match="not there"):
        shared(("test", "two"), fail)
    thing = Thing()
    assert shared(("test", "two"), lambda: thing) is thing


def test_work_runs_off_the_loop_on_a_bounded_number_of_threads_with_the_callers_context():
    variable = contextvars.ContextVar("variable", default=0)
    lock, now, most, threads = threading.Lock(), [0], [0], set()

    def work(i):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            threads.add(threading.get_ident())
        waiting.wait(0.01)
        with lock:
            now[0] -= 1
        return i, variable.get()

    async def main():
        variable.set(7)
        return await asyncio.gather(*(off_loop(work, i) for i in range(20)))

    waiting = threading.Event()
    assert asyncio.run(main()) == [(i, 7) for i in range(20)]
    assert most[0] <= usable_cores()
    assert threading.get_ident() not in threads


def test_an_error_that_no_future_can_hold_reaches_the_caller():
    """Else the coroutine would wait for ever."""

    async def main():
        await asyncio.wait_for(off_loop(next, iter(())), 10)

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(main())


def test_work_that_runs_a_loop_of_its_own_gets_a_thread():
    """As many as there are threads wait inside for one more."""
    start = threading.Barrier(usable_cores())

    def outer():
        start.wait(30)
        return asyncio.run(asyncio.wait_for(off_loop(int, "3"), 10))

    async def main():
        return await asyncio.gather(*(off_loop(outer) for _ in range(usable_cores())))

    assert asyncio.run(main()) == [3] * usable_cores()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_and_locks_of_its_own():
    asyncio.run(off_loop(int))
    lock = _shared._locks.setdefault(("test", "fork"), threading.Lock())
    with lock:  # as if another thread were loading just now
        child = os.fork()
        if child == 0:
            try:
                thing = Thing()
                ok = shared(("test", "fork"), lambda: thing) is thing and asyncio.run(off_loop(int, "3")) == 3
            finally:
                os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("ids", "texts", "expected"),
    [
        (["a", "b", "a"], ["x", "y", "x"], ["a", "b", "a"]),
        (["a", "b"], ["x", "x"], ["a", "b"]),
        (["a", "a"], ["x", "y"], None),
        (["a", None], ["x", "y"], None),
        ([1, 2], ["x", "y"], None),
        (["a", "b"], ["x", ["y"]], None),
        ([], [], []),
    ],
)
def test_names_for_stores(ids, texts, expected):
    """An id that is no str, or stands for two texts, names nothing: a store would refuse it."""
    assert names(iter(ids), texts) == expected
