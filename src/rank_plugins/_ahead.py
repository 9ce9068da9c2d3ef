"""Work that is prepared on another thread while the last one's result is used."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(prepare: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield `prepare(item)` of each item in order; the next one is made while the caller uses the last.

    A single item is made on the caller's thread.
    """
    if len(items) < 2:
        yield from map(prepare, items)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="rank-plugins-ahead") as pool:
        context = contextvars.copy_context()
        coming = pool.submit(context.run, prepare, items[0])
        for item in items[1:]:
            done, coming = coming.result(), pool.submit(context.run, prepare, item)
            yield done
        yield coming.result()
