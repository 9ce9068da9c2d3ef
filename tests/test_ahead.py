"""Work prepared on another thread: in order, with errors where they belong, and no thread left behind."""

from __future__ import annotations

import threading

import pytest

from rank_plugins._ahead import ahead


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("rank-plugins-ahead")]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_order(count):
    with ahead(lambda i: i * i, range(count)) as results:
        assert list(results) == [i * i for i in range(count)]
    assert not threads()


def test_the_next_is_made_meanwhile():
    made = [threading.Event() for _ in range(3)]
    with ahead(lambda i: made[i].set(), range(3)) as results:
        next(results)
        assert made[1].wait(30)
        assert not made[2].is_set()  # one ahead, not all


def test_an_error_is_raised_in_its_place():
    def prepare(i):
        if i == 1:
            raise ValueError("second")
        return i

    with ahead(prepare, range(3)) as results:
        assert next(results) == 0
        with pytest.raises(ValueError, match="second"):
            next(results)
    assert not threads()


def test_who_stops_midway_leaves_no_thread():
    with pytest.raises(KeyboardInterrupt) as caught, ahead(lambda i: i, range(9)) as results:
        next(results)
        raise KeyboardInterrupt
    assert caught.value is not None  # its traceback holds all that was local
    assert not threads()
