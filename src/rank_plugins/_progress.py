"""A progress bar for long work, when asked for one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from rank_plugins._extras import require


@contextlib.contextmanager
def progress(total: int, unit: str, *, show: bool) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of units done, from any thread; shows a tqdm bar if `show`.

    Raises:
        MissingExtraError: a bar is asked for and tqdm is not installed.

    """
    if not show:
        yield lambda _: None
        return
    lock = threading.Lock()
    with require("tqdm").tqdm(total=total, unit=unit) as bar:

        def advance(done: int) -> None:
            with lock:
                bar.update(done)

        yield advance
