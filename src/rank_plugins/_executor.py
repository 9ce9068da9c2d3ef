"""The threads on which rankings asked for by coroutines are computed, so that an event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from rank_plugins._threads import usable_cores

P = ParamSpec("P")
T = TypeVar("T")

here = threading.local()
"""Has `ours` on the threads that this package made."""


async def off_loop(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(*args, **kwargs)`, called on a thread of this package's own, with the caller's context.

    As many calls run at a time as there are usable cores; further ones wait without blocking the loop. A call whose
    task is cancelled never starts if it was waiting; one that runs comes to its end, and its result is dropped.
    """
    call = functools.partial(contextvars.copy_context().run, _called, function, *args, **kwargs)
    # A loop that runs on one of these threads would wait for ever for another one where all of them do the same.
    executor = None if hasattr(here, "ours") else _executor()
    return await asyncio.get_running_loop().run_in_executor(executor, call)


def _called(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return function(*args, **kwargs)
    except StopIteration as error:  # which a Future cannot hold: who awaits it would wait for ever
        raise RuntimeError(f"{function!r} raised StopIteration") from error


@functools.cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        usable_cores(), thread_name_prefix="rank-plugins", initializer=setattr, initargs=(here, "ours", True)
    )


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: the child makes its own
    os.register_at_fork(after_in_child=_executor.cache_clear)
