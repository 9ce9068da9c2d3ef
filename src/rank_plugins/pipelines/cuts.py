"""Cuts: how many documents of a ranking to keep, by its scores or by a budget in tokens; CutReranker applies one."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins._extras import require
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation._choice import choice
from rank_plugins.fusion.arguments import number
from rank_plugins.pipelines.wrapper import Wrapper
from rank_plugins.rerankers.parts import Part
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request

CHARACTERS = 4  # of English text to a token, roughly, in the vocabularies of language models
SLACK = 1e-12  # sums of shares are off by less


@dataclasses.dataclass(frozen=True)
class LargestGap:
    """Keep what stands above the largest gap between neighbouring scores; all of it where all scores are equal.

    Documents with nothing to score (-inf) are never kept.

    Attributes:
        least: keep so many at least, if there are.
        most: keep so many at most; None for no limit.

    Raises:
        InputError: least below 1, or most below least.
        InputTypeError: not whole numbers.

    """

    least: int = 1
    most: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "least", whole_number(self.least, "least", 1))
        if self.most is not None:
            object.__setattr__(self, "most", whole_number(self.most, "most", self.least))

    def __call__(self, ranking: Ranking, texts: Sequence[str] | None = None) -> int:  # noqa: ARG002 - as all cuts
        """Return how many to keep."""
        scores = ranking.scores[ranking.scores > -np.inf]
        most = min(len(scores), self.most or len(scores))
        with np.errstate(over="ignore", invalid="ignore"):
            gaps = (scores[:-1] - scores[1:])[self.least - 1 : most]
        gaps[np.isnan(gaps)] = 0.0  # infinity less infinity
        return self.least + int(np.argmax(gaps)) if gaps.max(initial=0.0) > 0.0 else most


@dataclasses.dataclass(frozen=True)
class Mass:
    """Keep the first documents that together hold a share of the probability: of softmax(scores / temperature).

    Attributes:
        share: how much of it, above 0, at most 1.
        temperature: of the softmax; None where the scores are probabilities of relevance (of a CalibratedReranker):
            then it is a share of their sum, the number of relevant documents to be expected.

    Raises:
        InputError: a share beyond (0, 1], a temperature that is not positive; negative scores as probabilities.
        InputTypeError: not numbers.

    """

    share: float = 0.9
    temperature: float | None = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", number(self.share, "share"))
        if not 0 < self.share <= 1:
            raise InputError(f"share: expected more than 0 and at most 1, got {self.share!r}")
        if self.temperature is not None:
            object.__setattr__(self, "temperature", number(self.temperature, "temperature"))
            if self.temperature <= 0:
                raise InputError(f"temperature: expected more than 0, got {self.temperature!r}")

    def __call__(self, ranking: Ranking, texts: Sequence[str] | None = None) -> int:  # noqa: ARG002 - as all cuts
        """Return how many to keep."""
        scores = ranking.scores[ranking.scores > -np.inf]
        if not len(scores):
            return 0
        if self.temperature is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # beyond a float is as good as infinite
                behind = np.where(scores == scores[0], 0.0, scores - scores[0])
                mass = np.exp(behind / self.temperature)
        elif scores[-1] < 0:
            raise InputError(
                f"Mass: expected probabilities, because temperature=None, got {scores[-1]:g}; calibrate the scores, or"
                " give a temperature"
            )
        else:
            mass = scores
        held = np.cumsum(mass)
        if held[-1] == 0:
            return 0
        return int(np.searchsorted(held, (self.share - SLACK) * held[-1])) + 1


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Keep the first documents that fit into a budget of tokens together; the first that does not fit ends it.

    Attributes:
        budget: tokens of the context.
        count: tokens of a text: a function, or the path of a tokenizer.json (needs tokenizers); None estimates one
            token for every four characters, about right for English text.

    Raises:
        InputError: a budget below 1; documents that are embeddings.
        InputTypeError: another type.

    """

    budget: int
    count: Callable[[str], int] | str | None = None
    reads_scores: ClassVar[bool] = False
    """Whether it looks at scores, as rules do unless they say otherwise."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", whole_number(self.budget, "budget", 1))
        if not (self.count is None or isinstance(self.count, str) or callable(self.count)):
            raise InputTypeError(f"count: expected a function or a path, got {type(self.count).__name__}")

    def __call__(self, ranking: Ranking, texts: Sequence[str] | None = None) -> int:
        """Return how many to keep."""
        if texts is None:
            raise InputError("Tokens: expected the documents' texts, whose tokens are counted, got none")
        left = self.budget
        for kept, i in enumerate(ranking.indices.tolist()):
            left -= self._counter(texts[i])
            if left < 0:
                return kept
        return len(ranking)

    @functools.cached_property
    def _counter(self) -> Callable[[str], int]:
        if self.count is None:
            return lambda text: math.ceil(len(text) / CHARACTERS)
        return _tokenizer(self.count) if isinstance(self.count, str) else self.count


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Keep what scores at least `at`; documents with nothing to score (-inf) are never kept.

    Raises:
        InputError: NaN or infinite.
        InputTypeError: not a number.

    """

    at: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", number(self.at, "at"))

    def __call__(self, ranking: Ranking, texts: Sequence[str] | None = None) -> int:  # noqa: ARG002 - as all cuts
        """Return how many to keep."""
        return int((ranking.scores >= self.at).sum())


Cut: TypeAlias = "Callable[[Ranking, Sequence[str] | None], int]"
"""How many documents of a ranking to keep, from the front; one of the above or any function like them."""

CUTS: dict[str, Callable[..., Cut]] = {
    "largest-gap": LargestGap,
    "mass": Mass,
    "tokens": Tokens,
    "threshold": Threshold,
}


class CutReranker(Wrapper):
    """Ranks as another reranker does, and returns only the documents that a rule keeps: a prefix, perhaps an empty one.

    The rule sees all documents, whatever `top_k` says. `details` of a ranking has "cut": the "rule", how many it
    "kept" and "of" how many; "timings" in seconds; and "parts", the details of the reranker's own ranking.
    """

    def __init__(self, reranker: Part, cut: Cut | Mapping[str, Any]) -> None:
        """Choose the reranker and the rule; no model is loaded before documents are ranked.

        Args:
            reranker: a name, a dict of a "name" and options, or a Reranker.
            cut: a rule, such as LargestGap(most=10), or a dict that JSON can hold: {"cut": "largest-gap", "most": 10}.

        Raises:
            InputError: an unknown rule or reranker, or a value that the rule refuses.
            InputTypeError: another type, or an unknown option.

        """
        super().__init__(reranker)
        self.rule = rule_of(cut)
        """How many documents to keep."""

    def _rank(self, requests: Sequence[Request], top_k: int | None) -> list[Ranking]:
        rankings, details = self._inner(requests)
        result = []
        for request, ranking, known in zip(requests, rankings, details, strict=True):
            texts = None if isinstance(request.documents, TokenEmbeddings) else request.documents
            kept = cut(ranking, self.rule, texts)
            known["cut"] = kept.details["cut"]
            result.append(Ranking(kept.indices[:top_k], kept.scores[:top_k], known))
        return result


def cut(ranking: Ranking, rule: Cut | Mapping[str, Any], texts: Sequence[str] | None = None) -> Ranking:
    """Return the documents of a ranking that a rule keeps, with details["cut"] added.

    Args:
        ranking: any.
        rule: as for CutReranker.
        texts: the documents that were ranked, as they were given; for rules that read them.

    Raises:
        InputError: a rule that keeps fewer than none, or that needs texts.
        InputTypeError: no rule, or one that returns no whole number.

    """
    rule = rule_of(rule)
    kept = min(whole_number(rule(ranking, texts), "cut", 0), len(ranking))
    told = {"rule": _told(rule), "kept": kept, "of": len(ranking)}
    return Ranking(ranking.indices[:kept], ranking.scores[:kept], {**ranking.details, "cut": told})


def rule_of(given: Cut | Mapping[str, Any]) -> Cut:
    """Return the rule that a dict stands for, or the rule itself.

    Raises:
        InputError: an unknown name, or a value that the rule refuses.
        InputTypeError: another type, or an unknown option.

    """
    if isinstance(given, Mapping):
        kind = CUTS[choice(given.get("cut", ""), CUTS, "cut")]
        try:
            return kind(**{name: value for name, value in given.items() if name != "cut"})
        except InputTypeError:
            raise
        except TypeError as error:
            raise InputTypeError(f"cut {given['cut']!r}: {error}") from None
    if not callable(given) or isinstance(given, type):
        raise InputTypeError(f'cut: expected a rule such as LargestGap(), or a dict with "cut", got {given!r:.60}')
    return given


def _told(rule: Cut) -> dict[str, Any]:
    """Return a rule as `details` tell it: for ours the dict that makes it again, where JSON can hold it."""
    for name, kind in CUTS.items():
        if type(rule) is kind:
            fields = {field.name: getattr(rule, field.name) for field in dataclasses.fields(rule)}  # type: ignore[arg-type]
            return {"cut": name} | {key: _named(value) if callable(value) else value for key, value in fields.items()}
    return {"cut": _named(rule)}


def _named(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _tokenizer(path: str) -> Callable[[str], int]:
    """Return what counts the tokens of a text, special ones left out."""
    try:
        loaded = require("tokenizers").Tokenizer.from_file(path)
    except Exception as error:
        if isinstance(error, ImportError):
            raise
        raise InputError(f"count: expected the path of a tokenizer.json, got {path!r} ({error})") from error
    loaded.no_truncation()
    loaded.no_padding()
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)
