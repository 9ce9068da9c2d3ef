"""The time by which work must be done: work in batches asks `check` between them, and stops when it is too late."""

from __future__ import annotations

import contextvars
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from rank_plugins._executor import here

T = TypeVar("T")


class OutOfTime(Exception):  # noqa: N818 - no error of anybody: who set the deadline catches it
    """The deadline has come, or nobody waits for the result any more."""


class _Deadline:
    """A moment, not later than that of the deadline it was set under; who set it can bring it forward to now."""

    def __init__(self, seconds: float, outer: _Deadline | None) -> None:
        self._at = time.monotonic() + min(seconds, threading.TIMEOUT_MAX)
        self._outer = outer

    def left(self) -> float:
        """Return how many seconds are left, 0 at least."""
        own = max(self._at - time.monotonic(), 0.0)
        return own if self._outer is None else min(own, self._outer.left())

    def end(self) -> None:
        """Have no time left."""
        self._at = -math.inf


_current: contextvars.ContextVar[_Deadline | None] = contextvars.ContextVar("rank_plugins_deadline", default=None)


def check() -> None:
    """Do nothing, unless the caller works under a deadline that has passed.

    Raises:
        OutOfTime: it has; what the caller would return is not waited for.

    """
    deadline = _current.get()
    if deadline is not None and deadline.left() <= 0:
        raise OutOfTime


class Slots(threading.Semaphore):
    """How many threads there may be; a forked process, which has none of them, has all its slots again."""

    def __init__(self, count: int) -> None:
        """Have so many."""
        super().__init__(count)
        self.count = count
        _slots.add(self)


_slots: weakref.WeakSet[Slots] = weakref.WeakSet()


def _after_fork() -> None:
    for slots in _slots:
        threading.Semaphore.__init__(slots, slots.count)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def finish(function: Callable[[], T], seconds: float, slots: Slots) -> T:
    """Return `function()`, called on another thread under a deadline, with the caller's context.

    Where the time is over first, the caller is answered at once, and the thread goes on until `function` comes to its
    end or next asks `check`; Python waits for that when it exits. It holds one of the slots as long: they bound how
    many threads can be left behind. Waiting for a slot takes of the time.

    Args:
        function: what to do; deadlines that it sets in turn end no later than this one.
        seconds: how long it may take.
        slots: as many as there may be threads; not those of work that `function` itself is part of.

    Raises:
        OutOfTime: no result in time, or by the deadline that the caller works under.
        RuntimeError: no thread can be started.

    """
    deadline = _Deadline(seconds, _current.get())
    context = contextvars.copy_context()
    context.run(_current.set, deadline)
    outcome: Future[T] = Future()

    def work() -> None:
        here.ours = True  # the caller may be one of those threads: a loop that runs here must not wait for another
        try:
            outcome.set_result(context.run(function))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, whatever it is
            outcome.set_exception(error)
        finally:
            slots.release()

    if not slots.acquire(timeout=deadline.left()):
        raise OutOfTime
    try:
        threading.Thread(target=work, name="rank-plugins-deadline").start()
    except BaseException:
        slots.release()
        raise
    try:
        if wait([outcome], deadline.left()).not_done:
            raise OutOfTime
        return outcome.result()
    finally:  # also where the caller is interrupted
        deadline.end()
