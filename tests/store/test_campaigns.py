"""A tenth of the campaigns; `python tests/store/campaign.py` runs them in full."""

from __future__ import annotations

import os
import re
import secrets

import numpy as np
import pytest
from crowd import crowd
from disk import Disk, Record
from flip import flip
from kill import kill
from power import compiler, lost, power

needs_compiler = pytest.mark.skipif(compiler() is None, reason="the recorder needs Linux and a C compiler (cc)")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks and kills")


@pytest.fixture
def seed() -> int:
    """Return a seed, another one in every run, that a failure shows."""
    chosen = secrets.randbelow(1 << 30)
    print(f"seed {chosen}")
    return chosen


@needs_compiler
def test_a_power_cut_loses_nothing(tmp_path, seed):
    """At sampled points of a writer's work, however much of what was not synced is on the disk."""
    figures = power(tmp_path, 32, seed, rounds=4, count=8)
    assert figures["disks"] == 6 * 32
    assert figures["unfinished writes reclaimed"] > 0


@needs_compiler
@pytest.mark.parametrize("unkept", [r"store/segments/\d+\.\w+", "store/segments", "store/catalogue.sqlite-wal"])
def test_a_disk_that_ignores_fsync_is_found_out(tmp_path, unkept):
    """The power test can fail: without the syncs of the segments, their folder or the catalogue, documents are lost."""
    assert lost(tmp_path, 3, lambda record: not re.fullmatch(unkept, record.path))


@needs_fork
def test_a_killed_writer_loses_nothing(tmp_path, seed):
    """Killed at random instants, again and again."""
    figures = kill(tmp_path, 20, seed)
    assert figures["operations"] > 0
    assert figures["killed inside one"] > 0


def test_changed_bytes_are_found_or_harmless(tmp_path, seed):
    """In the catalogue, its log and the segments."""
    figures = flip(tmp_path, 100, seed)
    assert figures["flips"] == 100
    assert figures["verify"] > 0


@needs_fork
def test_readers_beside_a_writer_see_one_state(tmp_path, seed):
    """Threads and processes, some of which fork."""
    figures = crowd(tmp_path, 6, seed)
    assert figures["steps"] > 10
    assert figures["snapshots"] > 10


def test_the_disk_keeps_what_was_synced(tmp_path):
    """The replay itself, on a log of which one sees what must come out."""
    disk = Disk()
    for operation, *parts in (
        ("d", "store"), ("s", ""), ("c", "store/old"), ("w", "store/old", "", 0, b"kept"), ("s", "store/old"),
        ("s", "store"), ("w", "store/old", "", 2, b"lost"), ("c", "store/new"), ("w", "store/new", "", 0, b"new"),
        ("s", "store/new"), ("u", "store/old"),
    ):  # fmt: skip
        disk.apply(Record(operation, *parts))

    def found(entries: str, contents: str) -> dict[str, bytes]:
        folder = tmp_path / f"{entries}-{contents}"
        disk.crash(folder, entries, contents, np.random.default_rng(0))
        return {path.name: path.read_bytes() for path in (folder / "store").iterdir()}

    assert found("dropped", "dropped") == {"old": b"kept"}
    assert found("dropped", "applied") == {"old": b"kelost"}
    assert found("applied", "dropped") == {"new": b"new"}
