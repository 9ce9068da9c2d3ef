"""Deadlines: who waits is answered in time, what is left behind ends, and its threads are bounded."""

from __future__ import annotations

import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rank_plugins import _deadline
from rank_plugins._deadline import OutOfTime, finish

LONG = 60.0
SOON = 0.02


class Behind:
    """Work that takes until it is let go, and then asks whether it is too late."""

    def __init__(self):
        self.begun, self.go, self.ended, self.late = (threading.Event() for _ in range(4))

    def __call__(self):
        self.begun.set()
        assert self.go.wait(LONG)
        try:
            _deadline.check()
        except OutOfTime:
            self.late.set()
        self.ended.set()


def slots(count=4):
    return _deadline.Slots(count)


def free(semaphore, count):
    """Return whether so many slots become free."""
    return all(semaphore.acquire(timeout=LONG) for _ in range(count))


def test_without_a_deadline_nothing_is_too_late():
    _deadline.check()
    assert _deadline._current.get() is None


def test_the_result_is_that_of_the_function_on_another_thread():
    assert finish(threading.get_ident, LONG, slots()) != threading.get_ident()
    assert finish(lambda: _deadline.check(), LONG, slots()) is None


@pytest.mark.parametrize("error", [ValueError, TimeoutError, StopIteration, KeyboardInterrupt, SystemExit])
def test_errors_are_those_of_the_function(error):
    """One that means another timeout, too, is not taken for the deadline's."""

    def fail():
        raise error("mine")

    semaphore = slots(1)
    for _ in range(3):
        with pytest.raises(error, match="mine"):
            finish(fail, LONG, semaphore)


def test_the_context_is_the_callers():
    name = contextvars.ContextVar("name")
    token = name.set("caller")
    assert finish(name.get, LONG, slots()) == "caller"
    name.reset(token)
    assert _deadline._current.get() is None


def test_who_waits_is_answered_and_what_is_left_behind_ends():
    semaphore, behind = slots(1), Behind()
    with pytest.raises(OutOfTime):
        finish(behind, SOON, semaphore)
    behind.go.set()
    assert behind.late.wait(LONG)
    assert free(semaphore, 1)


def test_an_interrupted_caller_leaves_work_that_ends(monkeypatch):
    """Nobody waits for it any more, long before its time is over."""
    behind = Behind()

    def interrupted(*_):
        behind.begun.wait(LONG)
        raise KeyboardInterrupt

    monkeypatch.setattr(_deadline, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finish(behind, LONG, slots())
    behind.go.set()
    assert behind.late.wait(LONG)


def test_no_more_threads_than_slots_are_left_behind():
    semaphore, left = slots(3), [Behind() for _ in range(20)]
    before = threading.active_count()
    for behind in left:
        with pytest.raises(OutOfTime):
            finish(behind, SOON, semaphore)
    assert sum(behind.begun.is_set() for behind in left) <= 3
    assert threading.active_count() <= before + 3
    for behind in left:
        behind.go.set()
    assert free(semaphore, 3)


def test_a_slot_that_becomes_free_is_taken():
    semaphore, behind = slots(1), Behind()
    with pytest.raises(OutOfTime):
        finish(behind, SOON, semaphore)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(finish, lambda: "done", LONG, semaphore)
        behind.go.set()
        assert waiting.result(LONG) == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_all_slots():
    """The threads that hold them here are not there."""
    semaphore, behind = slots(1), Behind()
    with pytest.raises(OutOfTime):
        finish(behind, SOON, semaphore)
    child = os.fork()
    if not child:
        try:
            os._exit(0 if finish(lambda: 7, 5.0, semaphore) == 7 else 1)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    behind.go.set()
    assert code == 0
    assert free(semaphore, 1)


def test_no_time_is_no_work():
    """A deadline that has passed when the thread begins: the first check says so."""
    ran = []

    def work():
        _deadline.check()
        ran.append(1)

    with pytest.raises(OutOfTime):
        finish(work, 0.0, slots())
    assert not ran


def test_the_nearer_deadline_wins_inside():
    """What is set inside ends no later, though it asks for more."""
    behind, inside = Behind(), threading.Event()

    def outer():
        try:
            finish(behind, LONG, slots())
        except OutOfTime:
            inside.set()
            raise

    with pytest.raises(OutOfTime):
        finish(outer, SOON, slots())
    assert inside.wait(LONG / 2)
    behind.go.set()
    assert behind.late.wait(LONG)


def test_the_nearer_deadline_wins_outside():
    """One set inside that passes first leaves the outer one as it is."""
    behind = Behind()

    def outer():
        with pytest.raises(OutOfTime):
            finish(behind, SOON, slots())
        _deadline.check()
        return "went on"

    assert finish(outer, LONG, slots()) == "went on"
    behind.go.set()
    assert behind.late.wait(LONG)


def test_any_number_of_seconds_will_do():
    assert finish(lambda: 7, 1e300, slots()) == 7
