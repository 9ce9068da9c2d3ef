"""Models that are one per configuration in a process: loaded once, shared, and freed with their last user."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_models: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()
_locks: weakref.WeakValueDictionary[Hashable, threading.Lock] = weakref.WeakValueDictionary()
_guard = threading.Lock()  # of _locks


def shared(key: Hashable, load: Callable[[], T]) -> T:
    """Return the object of that key, made by `load()` if nobody uses one now.

    It is held weakly: who wants it to stay keeps it. Calls with the same key wait for one load; others do not.
    What cannot be loaded raises what `load` raises, and the next call tries again.
    """
    with _guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        found: T | None = _models.get(key)
        if found is None:
            found = _models[key] = load()
        return found


def _renew() -> None:
    """Begin with new locks in a forked process: one that another thread held at the fork would stay locked."""
    global _guard
    _guard = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
