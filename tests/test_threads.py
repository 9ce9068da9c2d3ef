"""Spreading work over threads."""

from __future__ import annotations

import threading

import pytest

from rank_plugins._threads import run_each, thread_count, usable_cores


@pytest.mark.parametrize("threads", [1, 3, 50])
def test_every_item_is_done_once(threads):
    """All items are worked on, by no more threads than allowed."""
    done, seen = [], set()

    def work(item):
        seen.add(threading.get_ident())
        done.append(item)

    run_each(work, range(20), threads)
    assert sorted(done) == list(range(20))
    assert len(seen) <= threads
    run_each(work, [], threads)


def test_the_first_error_reaches_the_caller():
    """An error ends the rest and is raised with its own type."""
    done = []

    def work(item):
        if item == 3:
            raise IndexError("mine")
        done.append(item)

    with pytest.raises(IndexError, match="mine"):
        run_each(work, range(1000), 1)
    assert done == [0, 1, 2]
    with pytest.raises(IndexError, match="mine"):
        run_each(work, range(1000), 4)


def test_default_is_every_usable_core(monkeypatch):
    """Without an argument or a variable, all cores that the process may use."""
    monkeypatch.delenv("RANK_PLUGINS_THREADS", raising=False)
    assert thread_count(None) == usable_cores() >= 1
    assert thread_count(7) == 7
