"""How many threads to use, for the kernel and the encoder alike, and how to spread work over them."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

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
    pending = deque(items)
    errors: list[BaseException] = []

    def take() -> None:
        while not errors:
            try:
                item = pending.popleft()
            except IndexError:
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, KeyboardInterrupt too
                errors.append(error)

    helpers = [threading.Thread(target=take, daemon=True) for _ in range(min(threads, len(pending)) - 1)]
    for helper in helpers:
        helper.start()
    take()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
