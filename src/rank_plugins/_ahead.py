"""Work that is prepared on another thread while the last one's result is used."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextlib.contextmanager
def ahead(prepare: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Iterator[Result]]:
    """Give `prepare(item)` of each item in order; the next one is made while the caller uses the last.

    A single item is made on the caller's thread. The other thread has ended when the caller leaves, however it does.
    """
    if len(items) < 2:
        yield map(prepare, items)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="rank-plugins-ahead") as pool:
        yield _results(pool, prepare, items)


def _results(pool: ThreadPoolExecutor, prepare: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    context = contextvars.copy_context()
    coming = pool.submit(context.run, prepare, items[0])
    for item in items[1:]:
        done = coming.result()
        coming = pool.submit(context.run, prepare, item)
        yield done
        del done
    yield coming.result()
