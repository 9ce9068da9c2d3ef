"""How the commands print facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WORST = -1e9  # stands for -inf, which JSON and TREC runs do not know


def print_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print facts as aligned lines, or as JSON."""
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}} {_shown(value)}")


def finite(score: float) -> float:
    """Return a score as JSON and TREC runs can hold it."""
    return max(score, WORST)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{name} {_shown(item)}" for name, item in value.items()]
    if isinstance(value, list):
        value = ", ".join(map(_shown, value))
    return "none" if value is None or value == "" else str(value)
