"""What `tune` tries: methods with their normalisers, parameters and weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.arguments import number
from rank_plugins.fusion.plan import plan

MOST = 100_000
"""Trials in a grid; a larger one asks for a random search."""


@dataclass(frozen=True)
class Configuration:
    """The arguments of `fuse` that a trial stands for."""

    method: str
    weights: tuple[float, ...]
    norm: str | None
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.parameters.items()]
        shown += [f"norm={self.norm!r}"] if self.norm else []
        weights = ", ".join(f"{weight:.3g}" for weight in self.weights)
        return f"{self.method}({', '.join([*shown, f'weights=[{weights}]'])})"


def simplex(count: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to write `parts` as a sum of `count` whole numbers from 0; C(parts + count - 1, count - 1)."""
    for bars in itertools.combinations(range(parts + count - 1), count - 1):
        edges = (-1, *bars, parts + count - 1)
        yield tuple(end - start - 1 for start, end in itertools.pairwise(edges))


def grid(bases: Sequence[Configuration], count: int, step: float) -> list[Configuration]:
    """Return every base with every weighting of `count` lists in steps of `step`, which add up to 1.

    Raises:
        InputError: 1 / step is no whole number, or too many trials.

    """
    parts = round(1 / step) if 0 < number(step, "step") <= 1 else 0
    if parts < 1 or abs(parts * step - 1) > 1e-9:
        raise InputError(f"step: expected a number that divides 1, such as 0.1 or 0.05, got {step!r}")
    total = len(bases) * math.comb(parts + count - 1, count - 1)
    if total > MOST:
        raise InputError(
            f"tune: expected a grid of at most {MOST:,} trials, got {total:,}; take a larger step, or"
            ' search="random" with trials=1000'
        )
    shares = [tuple(share / parts for share in point) for point in simplex(count, parts)]
    return [_weighted(base, weights) for base in bases for weights in shares]


def sample(bases: Sequence[Configuration], count: int, trials: int, seed: int) -> list[Configuration]:
    """Return `trials` bases drawn at random, with weights drawn evenly from those that add up to 1."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(bases), size=whole_number(trials, "trials", 1)).tolist()
    weights = rng.dirichlet(np.ones(count), size=len(chosen)).tolist()
    return [_weighted(bases[base], tuple(row)) for base, row in zip(chosen, weights, strict=True)]


def bases(methods: Any, count: int, norms: Any, ks: Sequence[float]) -> list[Configuration]:
    """Return every method with every normaliser and parameter to try, weights 1.

    Raises:
        InputError: an unknown method or norm, or one that cannot be tuned.
        InputTypeError: names that are no str.

    """
    found: list[Configuration] = []
    for name in _words(methods, "methods"):
        chosen = plan(count, name)
        named = _words(norms, "norms") if norms is not None and chosen.norms else [None]
        options = [{"k": k} for k in ks] if name == "rrf" else [{}]
        found += [Configuration(name, (1.0,) * count, norm, option) for norm in named for option in options]
    for one in found:
        plan(count, one.method, norm=one.norm, parameters=one.parameters)
    return found


def _weighted(base: Configuration, weights: tuple[float, ...]) -> Configuration:
    return Configuration(base.method, weights, base.norm, base.parameters)


def _words(names: Any, what: str) -> list[str]:
    words = names.replace(",", " ").split() if isinstance(names, str) else names
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise InputTypeError(f"{what}: expected names, as one str or a list, got {names!r}")
    if not words:
        raise InputError(f"{what}: expected at least one name, got none")
    return list(dict.fromkeys(words))
