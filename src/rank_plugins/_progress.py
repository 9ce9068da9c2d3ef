"""A progress bar for long work, when asked for one."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from rank_plugins._extras import importable, require


@contextlib.contextmanager
def progress(total: int | None, unit: str, *, show: bool) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of units done, from any thread; shows a tqdm bar if `show`.

    Without a `total` the bar shows no time left.

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


def on_terminal() -> bool:
    """Return whether a bar would be seen: stderr is a terminal, and tqdm is installed."""
    return sys.stderr.isatty() and importable("tqdm")
