"""Which of SciFact's training claims are held out: nothing is fitted to them, so thresholds may be chosen on them."""

from __future__ import annotations

import random

SEED = 0


def split(queries: list[str]) -> tuple[list[str], list[str]]:
    """Return nine tenths of the queries to train on, and the tenth that is held out; in whatever order they came."""
    shuffled = sorted(queries)
    random.Random(SEED).shuffle(shuffled)
    held_out = max(1, len(shuffled) // 10)
    return shuffled[held_out:], shuffled[:held_out]
