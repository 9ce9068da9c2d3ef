"""How many threads to use, for the kernel and the encoder alike, and how to spread work over them."""

from __future__ import annotations

import functools
import math
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError

VARIABLE = "RANK_PLUGINS_THREADS"
Item = TypeVar("Item")


def thread_count(threads: int | None) -> int:
    """Return `threads`, or where it is None RANK_PLUGINS_THREADS, or the cores that this process may use.

    Raises:
        InputError: less than 1, or the variable does not hold a whole number.
        InputTypeError: not a whole number.

    """
    if threads is None:
        text = os.environ.get(VARIABLE, "").strip()
        if not text:
            return usable_cores()
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"{VARIABLE}: expected a whole number of at least 1, got {text!r}; correct it or unset it")
        return int(text)
    return whole_number(threads, "threads", 1)


@functools.cache
def usable_cores() -> int:
    """Cores of this process: its CPU affinity, and the quota of its control group (a container's limit)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no control group, or its quota is "max"
        pass
    return max(1, cores)


def run_each(work: Callable[[Item], None], items: Iterable[Item], threads: int) -> None:
    """Call `work` with every item, on the caller's thread and on as many others as `threads` and the items allow.

    Each thread takes the next item when it is done with one. The first error ends the rest and is raised here.
    """
    todo = deque(items)
    helpers = min(threads, len(todo)) - 1
    if helpers < 1:
        for item in todo:
            work(item)
        return
    job = _Job(work, todo)
    _pool.help(job, helpers)
    job.take()
    job.close()
    if job.errors:
        raise job.errors[0]


class _Job:
    """Items to work on, which the caller's thread and helpers take from.

    The caller never waits for a helper to come, only for those at work to be done, so a job ends however busy the
    pool is, and jobs may be started by jobs.
    """

    def __init__(self, work: Callable[[Any], None], pending: deque[Any]) -> None:
        self.work = work
        self.pending = pending
        self.errors: list[BaseException] = []
        self._helpers = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self) -> None:
        """Work until nothing is pending or an error has come."""
        while not self.errors:
            try:
                item = self.pending.popleft()
            except IndexError:
                return
            try:
                self.work(item)
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, KeyboardInterrupt too
                self.errors.append(error)

    def help(self) -> None:
        """Take part, on another thread, unless the job is over."""
        with self._changed:
            if self._closed:
                return
            self._helpers += 1
        self.take()
        with self._changed:
            self._helpers -= 1
            self._changed.notify()

    def close(self) -> None:
        """Let no more helpers in, and wait for those inside."""
        with self._changed:
            self._closed = True
            while self._helpers:
                self._changed.wait()


class _Pool:
    """Threads that wait for jobs: starting one costs several times what waking one does.

    There are as many as were ever asked for at once; a job that finds them busy is done by its caller.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._size = 0

    def help(self, job: _Job, helpers: int) -> None:
        """Have up to `helpers` threads take part in the job."""
        with self._lock:
            while self._size < helpers:
                threading.Thread(target=self._serve, name="rank-plugins", daemon=True).start()
                self._size += 1
        for _ in range(helpers):
            self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            self._jobs.get().help()


_pool = _Pool()


def _renew() -> None:
    """Begin anew in a forked process, which has none of its parent's threads but may have their locks."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
