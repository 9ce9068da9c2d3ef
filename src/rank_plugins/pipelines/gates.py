"""Gates: small predicates that say, query by query, whether a stage of a cascade is worth its cost."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rank_plugins._registry import Registry, check_options
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.arguments import number
from rank_plugins.rerankers.ranking import Ranking

Query: TypeAlias = "str | NDArray[Any]"
When: TypeAlias = "Gate | Mapping[str, Any] | Callable[[Query, Ranking], bool]"
"""What `when=` takes: a gate, its JSON form, or a function of the query and the ranking so far."""


class Gate(abc.ABC):
    """Says whether a stage runs for a query; combine gates with |, & and ~."""

    @abc.abstractmethod
    def __call__(self, query: Query, ranking: Ranking) -> bool:
        """Return whether the stage runs, from the query and the ranking of the stage before."""

    @property
    def reads_scores(self) -> bool:
        """Whether it looks at scores, so that before the first stage the caller's are needed."""
        return True

    def __or__(self, other: Gate) -> Gate:
        return _Combined("any", (self, other)) if isinstance(other, Gate) else NotImplemented

    def __and__(self, other: Gate) -> Gate:
        return _Combined("all", (self, other)) if isinstance(other, Gate) else NotImplemented

    def __invert__(self) -> Gate:
        return _Not(self)


class Signal(Gate):
    """A gate that compares one number with its bound, `below` or `above`; the bound itself is neither."""

    side: ClassVar[str]
    """Which side of the bound has the stage run: "below" or "above"; it is the name of the bound, too."""

    def __post_init__(self) -> None:
        if isinstance(self.bound, (int, float)) and math.isinf(self.bound):  # always, or never
            return
        object.__setattr__(self, self.side, number(self.bound, f"{type(self).__name__}: {self.side}"))

    @property
    def bound(self) -> float:
        """The bound."""
        bound: float = getattr(self, self.side)
        return bound

    @abc.abstractmethod
    def value(self, query: Query, ranking: Ranking) -> float:
        """Return the number that is compared."""

    def __call__(self, query: Query, ranking: Ranking) -> bool:
        """Return whether the number lies on the side of the bound that has the stage run."""
        value = self.value(query, ranking)
        return value < self.bound if self.side == "below" else value > self.bound


@dataclasses.dataclass(frozen=True)
class TopGap(Signal):
    """Has the stage run where the first two documents lie closer than `below`; a lone document is far ahead."""

    below: float
    side: ClassVar[str] = "below"

    def value(self, query: Query, ranking: Ranking) -> float:  # noqa: ARG002 - every signal takes both
        """Return the first score minus the second; infinite where fewer than two documents have a finite score."""
        scores = _finite(ranking)
        return float(scores[0]) - float(scores[1]) if len(scores) > 1 else math.inf


@dataclasses.dataclass(frozen=True)
class TopScore(Signal):
    """Has the stage run where the best document scores less than `below`."""

    below: float
    side: ClassVar[str] = "below"

    def value(self, query: Query, ranking: Ranking) -> float:  # noqa: ARG002 - every signal takes both
        """Return the best score; -inf of an empty ranking."""
        return float(ranking.scores[0]) if len(ranking) else -math.inf


@dataclasses.dataclass(frozen=True)
class QueryWords(Signal):
    """Has the stage run for queries of more words than `above`."""

    above: float
    side: ClassVar[str] = "above"

    @property
    def reads_scores(self) -> bool:
        """Whether it looks at scores: it does not."""
        return False

    def value(self, query: Query, ranking: Ranking) -> float:  # noqa: ARG002 - every signal takes both
        """Return how many words the query has, cut at white space.

        Raises:
            InputTypeError: the query is an array.

        """
        if not isinstance(query, str):
            raise InputTypeError(f"QueryWords: expected a query of text, got {type(query).__name__}; use another gate")
        return float(len(query.split()))


@dataclasses.dataclass(frozen=True)
class Entropy(Signal):
    """Has the stage run where the scores leave open which document is the best.

    The scores become probabilities by softmax(score / temperature); their entropy H, in nats, says that about exp(H)
    documents are in question. A small temperature looks at the first few alone.
    """

    above: float
    temperature: float = 1.0
    side: ClassVar[str] = "above"

    def __post_init__(self) -> None:
        super().__post_init__()
        temperature = number(self.temperature, "Entropy: temperature")
        if temperature <= 0:
            raise InputError(f"Entropy: temperature: expected more than 0, got {temperature}")
        object.__setattr__(self, "temperature", temperature)

    def value(self, query: Query, ranking: Ranking) -> float:  # noqa: ARG002 - every signal takes both
        """Return the entropy of the finite scores; 0 without any."""
        scores = _finite(ranking)
        if not len(scores):
            return 0.0
        with np.errstate(over="ignore"):  # a difference too large is infinite, and its probability 0
            weights = np.exp((scores - scores[0]) / self.temperature)
        shares = weights[weights > 0] / weights.sum()
        return float(max(-(shares * np.log(shares)).sum(), 0.0))


@dataclasses.dataclass(frozen=True)
class _Combined(Gate):
    """Any or all of several gates; those that the answer does not need are not asked."""

    how: str
    gates: tuple[Gate, ...]

    @property
    def reads_scores(self) -> bool:
        return any(gate.reads_scores for gate in self.gates)

    def __call__(self, query: Query, ranking: Ranking) -> bool:
        return (any if self.how == "any" else all)(gate(query, ranking) for gate in self.gates)

    def __repr__(self) -> str:
        return f"({(' | ' if self.how == 'any' else ' & ').join(map(repr, self.gates))})"


@dataclasses.dataclass(frozen=True)
class _Not(Gate):
    """The opposite of a gate."""

    gate: Gate

    @property
    def reads_scores(self) -> bool:
        return self.gate.reads_scores

    def __call__(self, query: Query, ranking: Ranking) -> bool:
        return not self.gate(query, ranking)

    def __repr__(self) -> str:
        return f"~{self.gate!r}"


_HERE = "rank_plugins.pipelines.gates"
_GATES = Registry(
    "rank_plugins.gates",
    {
        "top-gap": f"{_HERE}:TopGap",
        "top-score": f"{_HERE}:TopScore",
        "query-words": f"{_HERE}:QueryWords",
        "entropy": f"{_HERE}:Entropy",
    },
)


def gate(when: When, where: str = "when") -> Callable[[Query, Ranking], bool]:
    """Return the gate that `when` stands for: itself, or what its JSON form says.

    JSON has {"gate": "top-gap", "below": 0.05}, likewise "top-score" (below), "query-words" (above) and "entropy"
    (above, temperature); and {"any": [...]}, {"all": [...]} and {"not": ...} of such.

    Raises:
        InputError: an unknown gate, a bound that is NaN, or a dict of another form.
        InputTypeError: neither a gate, a dict nor a function, or an unknown option.

    """
    if not isinstance(when, Mapping):
        if not callable(when):
            raise InputTypeError(f"{where}: expected a gate, a dict or a function, got {type(when).__name__}")
        return when
    return _read(when, where)


def _read(when: object, where: str) -> Gate:
    """Return the gate of a JSON form."""
    if not isinstance(when, Mapping):
        raise InputTypeError(f"{where}: expected a dict, got {type(when).__name__}")
    if "gate" in when:
        options = {name: value for name, value in when.items() if name != "gate"}
        factory = _GATES.factory(when["gate"])
        check_options(factory, f"{where}: {when['gate']}", options)
        made: Gate = factory(**options)
        return made
    key = next(iter(when)) if len(when) == 1 else None
    if key == "not":
        return _Not(_read(when[key], f"{where}: not"))
    if key in ("any", "all"):
        several = when[key]
        if isinstance(several, (str, bytes)) or not isinstance(several, Sequence):
            raise InputTypeError(f"{where}: {key}: expected a list, got {type(several).__name__}")
        if not several:
            raise InputError(f"{where}: {key}: expected at least one gate, got none")
        return _Combined(key, tuple(_read(one, f"{where}: {key}[{i}]") for i, one in enumerate(several)))
    shown = ", ".join(map(str, when)) or "nothing"
    raise InputError(f'{where}: expected a dict with "gate", or with one of "any", "all" and "not", got {shown}')


def _finite(ranking: Ranking) -> NDArray[np.float64]:
    return ranking.scores[np.isfinite(ranking.scores)]
