"""Every metric by name: the function that computes it, its parameters, and what `@` stands for."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rank_plugins.evaluation.metrics import counts, gain, models, ranked
from rank_plugins.evaluation.metrics.accumulate import Floats

Check = Callable[[Any], Any]


@dataclass(frozen=True)
class Definition:
    """One metric.

    `parameters` maps each name in parentheses to the function that checks and converts its value (ValueError or
    TypeError with the reason if it does not fit); `at` is the parameter that `@` sets; `required` must be given.
    `binary` metrics read the relevance level, so they take `rel`; the others do not look at it.
    """

    name: str
    compute: Callable[..., Floats]
    parameters: Mapping[str, Check] = field(default_factory=dict)
    at: str | None = None
    required: tuple[str, ...] = ()
    binary: bool = True
    aggregate: str = "mean"
    averages_ties: bool = False


def whole(value: Any) -> int:
    """Take a cut-off or a count: a whole number of at least 1."""
    number = operator.index(value)
    if isinstance(value, bool) or number < 1:
        raise ValueError("a whole number of at least 1")
    return number


def number(value: Any) -> float:
    """Take any finite number."""
    if isinstance(value, (bool, str)) or not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def positive(value: Any) -> float:
    """Take a finite number above 0."""
    if number(value) <= 0:
        raise ValueError("a number above 0")
    return float(value)


def fraction(value: Any) -> float:
    """Take a number from 0 to 1."""
    if not 0 <= number(value) <= 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def probability(value: Any) -> float:
    """Take a number between 0 and 1, both excluded."""
    if not 0 < number(value) < 1:
        raise ValueError("a number between 0 and 1")
    return float(value)


def flag(value: Any) -> bool:
    """Take True or False."""
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def one_of(*choices: str) -> Check:
    """Return a check that takes one of these words."""

    def check(value: Any) -> Any:
        if value not in choices:
            raise ValueError(" or ".join(map(repr, choices)))
        return value

    return check


def version(value: Any) -> int:
    """Take the version of trec_eval to agree with: 9 or 10, "9", "trec_eval9"."""
    text = str(value).removeprefix("trec_eval")
    if text not in ("9", "10"):
        raise ValueError("9 or 10")
    return int(text)


def gain_pairs(value: Any) -> tuple[tuple[float, float], ...]:
    """Take a dict that maps a grade to its gain."""
    if not isinstance(value, Mapping):
        raise ValueError("a dict such as {1: 2, 2: 5}")
    return tuple(sorted((number(grade), number(worth)) for grade, worth in value.items()))


# The three parameters that make a Gain; `rel` takes the gain from lower grades, as ranx's "-l2" does.
GAIN: dict[str, Check] = {"dcg": one_of("log2", "exp-log2"), "gains": gain_pairs, "rel": number}

_DEFINITIONS = (
    Definition("P", counts.precision, at="cutoff", averages_ties=True),
    Definition("R", counts.recall, at="cutoff", averages_ties=True),
    Definition("RelP", counts.relative_precision, at="cutoff", averages_ties=True),
    Definition("Success", counts.success, at="cutoff", averages_ties=True),
    Definition("Hits", counts.hit_count, at="cutoff", averages_ties=True),
    Definition("F", counts.f_measure, {"beta": positive}, at="cutoff", averages_ties=True),
    Definition("AP", ranked.average_precision, {"norm": one_of("R", "min")}, at="cutoff", averages_ties=True),
    Definition("RR", ranked.reciprocal_rank, at="cutoff", averages_ties=True),
    Definition("Rprec", ranked.r_precision, averages_ties=True),
    Definition(
        "Rprec_mult",
        ranked.r_precision_multiple,
        {"multiple": positive},
        at="multiple",
        required=("multiple",),
        averages_ties=True,
    ),
    Definition(
        "IPrec",
        ranked.interpolated_precision,
        {"recall": fraction, "compat": version},
        at="recall",
        required=("recall",),
    ),
    Definition("11pt_avg", ranked.eleven_point_average, {"compat": version}),
    Definition("Bpref", ranked.bpref),
    Definition("infAP", ranked.inferred_average_precision),
    Definition("binG", ranked.binary_g),
    Definition("nDCG", gain.ndcg, GAIN, at="cutoff", binary=False, averages_ties=True),
    Definition("DCG", gain.dcg, GAIN, at="cutoff", binary=False, averages_ties=True),
    Definition("IDCG", gain.ideal_dcg, GAIN, at="cutoff", binary=False, averages_ties=True),
    Definition("nDCG_rel", gain.ndcg_at_relevant, GAIN, binary=False),
    Definition("RnDCG", gain.ndcg_at_levels, GAIN, binary=False),
    Definition("G", gain.normalized_gain, GAIN, binary=False),
    Definition(
        "RBP", models.rank_biased_precision, {"p": probability, "max_grade": positive}, "cutoff", averages_ties=True
    ),
    Definition(
        "RBP_residual", models.rank_biased_residual, {"p": probability}, "cutoff", binary=False, averages_ties=True
    ),
    Definition(
        "ERR",
        models.expected_reciprocal_rank,
        {"max_grade": positive},
        at="cutoff",
        required=("max_grade",),
        binary=False,
    ),
    Definition("Compat", models.compatibility, {"p": probability, "normalize": flag}, binary=False),
    Definition("Accuracy", counts.accuracy, at="cutoff"),
    Definition("Judged", counts.judged, at="cutoff", binary=False, averages_ties=True),
    Definition("Unjudged", counts.unjudged, at="cutoff", binary=False, averages_ties=True),
    Definition("SetP", counts.set_precision, {"relative": flag}, averages_ties=True),
    Definition("SetR", counts.recall, averages_ties=True),
    Definition("SetF", counts.set_f, {"beta": positive}, averages_ties=True),
    Definition("SetAP", counts.set_average_precision, averages_ties=True),
    Definition(
        "utility",
        counts.utility,
        {"a": number, "b": number, "c": number, "d": number, "docs": whole},
        averages_ties=True,
    ),
    Definition("NumQ", counts.query_count, binary=False, aggregate="sum", averages_ties=True),
    Definition("NumRet", counts.retrieved_count, binary=False, aggregate="sum", averages_ties=True),
    Definition("NumRel", counts.relevant_count, aggregate="sum", averages_ties=True),
    Definition("NumRelRet", counts.hit_count, aggregate="sum", averages_ties=True),
    Definition("NumNonrelJudgedRet", counts.judged_nonrelevant_count, aggregate="sum", averages_ties=True),
)
DEFINITIONS: dict[str, Definition] = {definition.name: definition for definition in _DEFINITIONS}


def prepare(definition: Definition, parameters: Mapping[str, Any]) -> Callable[[Any], Floats]:
    """Return the metric as a function of the table alone, with these checked parameters bound."""
    bound = dict(parameters)
    if definition.parameters is GAIN:
        bound["gain"] = gain.Gain(**{name: bound.pop(name) for name in GAIN if name in bound})
    compute = definition.compute
    return lambda table: compute(table, **bound)
