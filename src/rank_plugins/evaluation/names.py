"""Names of metrics, as people write them, to metrics.

The grammar is that of ir_measures: a name, parameters in parentheses, a cut-off behind @; several names are
separated by spaces or commas, and upper or lower case does not matter:

    nDCG@10   P(rel=2)@5   AP(norm='min')@100   RBP(p=0.9)   IPrec@0.2   nDCG(dcg='exp-log2')@10   ERR(max_grade=3)@20

Names of trec_eval (map, ndcg_cut_10, ndcg_cut.5,10, P_5, gm_map, 11pt_avg, official), of ranx (map@100-l2, mrr@10,
hit_rate@5, ndcg_burges@10, rbp.80) and of BEIR (ndcg_at_10) mean the same. `P` and `R` without a cut-off are set
precision and set recall. Every metric takes `judged_only=True`; those of binary relevance take `rel`, the lowest
relevant grade, and those with gains `gains`, `dcg` and `rel`, below which a grade gains nothing. RBP is
binary unless `max_grade` is given. `gm_` before a name takes the geometric mean over the queries.

Metrics of diversity (alpha_nDCG@10, ERR_IA@10, StRecall@10, AP_IA, NRBP ...) and of readers with costs (BPM, INST,
INSQ, SDCG, NERR8 to NERR11) have ir_measures' names and parameters, and are computed there where it is installed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation.metrics.aliases import ALIASES, DELEGATED, NICKNAMES, translate
from rank_plugins.evaluation.metrics.catalogue import DEFINITIONS, Definition, flag, number, prepare, version, whole
from rank_plugins.evaluation.ranks import JudgedRanks

_CALL = re.compile(r"(?P<base>[^@()]+?)(?:\((?P<arguments>.*)\))?(?:@(?P<at>[^@()]*?))?(?P<level>-l\d+)?", re.DOTALL)
_MORE_NUMBERS = re.compile(r"[-+]?[\d.]+(=[-+]?[\d.]+)?")
_ENDS_IN_NUMBER = re.compile(r"^[A-Za-z]\w*[._][-+]?[\d.][^@()]*$")


@dataclass(frozen=True)
class Metric:
    """One metric: a function of the table of judged ranks, and how it is named and averaged."""

    name: str
    """As the caller wrote it."""
    compute: Callable[[JudgedRanks], NDArray[np.float64]]
    """Gives float64[Nq]."""
    level: float | None = None
    """The relevance level of its own (`rel=` in the name), else None."""
    aggregate: str = "mean"
    """Over the queries: "mean", "sum", or "gm", the geometric mean of max(value, 1e-5)."""
    averages_ties: bool = False
    """Whether it is defined where equal scores are averaged over their orders."""


def parse(metrics: Any, *, compat: int | str = 10) -> list[Metric]:
    """Return the metrics that names, Metric objects, metric objects of ir_measures or callables stand for.

    A callable takes a JudgedRanks and returns float64[Nq]; it is named by its __name__. `compat` is the version of
    trec_eval (9 or 10) whose interpolated precision IPrec and 11pt_avg follow where they do not say so themselves.
    The same name twice gives one metric.

    Raises:
        InputError: an unknown name, an unknown parameter, a value out of range, or no metric at all.
        InputTypeError: something that is none of these.

    """
    try:
        rules = {"compat": version(compat)}
    except ValueError as error:
        raise InputError(f"compat: expected {error}, got {compat!r}") from None
    found: dict[str, Metric] = {}
    for metric in _each(metrics, rules):
        known = found.setdefault(metric.name, metric)
        if known.compute is not metric.compute and not isinstance(metric.compute, _Parsed):
            raise InputError(
                f"metrics: expected different names, got two callables named {metric.name!r};"
                " wrap one as Metric(name, callable)"
            )
    if not found:
        raise InputError('metrics: expected at least one, got none; write for example "ndcg@10 ap rr@10"')
    return list(found.values())


def _each(metrics: Any, rules: Mapping[str, Any]) -> Iterator[Metric]:
    if isinstance(metrics, Metric):
        yield metrics
    elif isinstance(metrics, str):
        for word in split(metrics):
            yield from _word(word, rules)
    elif isinstance(getattr(metrics, "NAME", None), str) and isinstance(getattr(metrics, "params", None), dict):
        yield _metric(str(metrics), metrics.NAME, dict(metrics.params), rules)
    elif callable(metrics):
        yield Metric(getattr(metrics, "__name__", type(metrics).__name__), metrics)
    elif isinstance(metrics, Iterable) and not isinstance(metrics, (bytes, Mapping)):
        for metric in metrics:
            yield from _each(metric, rules)
    else:
        raise InputTypeError(
            f"metrics: expected a str, a Metric, a metric of ir_measures, a callable, or a list of these,"
            f" got {type(metrics).__name__} {metrics!r}"
        )


def split(text: str, separators: str = ", \t\r\n") -> list[str]:
    """Return the parts of a text between separators that stand outside brackets and quotes.

    Where the comma separates, a number right behind it belongs to a name that ends in one: "ndcg_cut.5,10".
    """
    parts: list[str] = []
    depth, quote, begin = 0, "", 0
    before = ""  # what separated the part that begins here from the last one
    for place, sign in enumerate(text + separators[0]):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        if place == len(text) or (sign in separators and depth <= 0 and not quote):
            if part := text[begin:place]:
                if before == "," and _MORE_NUMBERS.fullmatch(part) and parts and _ENDS_IN_NUMBER.match(parts[-1]):
                    parts[-1] += "," + part
                else:
                    parts.append(part)
                before = ""
            before += sign
            begin = place + 1
    return parts


def _word(word: str, rules: Mapping[str, Any]) -> Iterator[Metric]:
    translated = translate(word) or [(word, word)]
    for name, text in translated:
        if text.lower().startswith("gm_"):
            for metric in _word(text[3:], rules):
                if metric.aggregate != "mean":
                    raise InputError(f"{word}: expected a metric that is averaged behind gm_, got {text[3:]!r}")
                yield replace(metric, name=name, aggregate="gm")
            continue
        match = _CALL.fullmatch(text)
        if match is None:
            raise InputError(f"metrics: expected name(parameter=value)@cutoff, got {word!r}")
        if match["level"] and (again := translate(match["base"])):  # rbp.80-l2
            match = _CALL.fullmatch(again[0][1] + match["level"])
        if match is None:  # pragma: no cover - a translation always parses
            raise InputError(f"metrics: expected name(parameter=value)@cutoff, got {word!r}")
        parameters = _arguments(match["arguments"] or "", word)
        if match["at"] is not None:
            parameters["@"] = _literal(match["at"])
        if match["level"]:
            parameters["rel"] = int(match["level"][2:])
        yield _metric(name, match["base"], parameters, rules)


def _metric(name: str, base: str, given: dict[str, Any], rules: Mapping[str, Any]) -> Metric:
    """Return the metric `base` with the parameters given; "@" is whatever the metric's @ stands for."""
    if (delegated := DELEGATED.get(_key(base))) is not None:
        from rank_plugins.evaluation.providers.delegation import Delegated

        return Metric(name, _Parsed(Delegated(name, delegated, given), False))
    canonical, fixed = _look_up(base, name)
    if canonical == "NumRet" and "rel" in given:  # ir_measures counts relevant documents so
        canonical = "NumRelRet"
    definition = DEFINITIONS[canonical]
    if "@" in given:
        at = given.pop("@")
        if definition.at is None:
            raise InputError(f"{name}: {canonical} takes no cut-off, got @{at}; write {canonical}")
        if definition.at in given:
            raise InputError(f"{name}: expected {definition.at} once, got it in parentheses and behind @")
        given[definition.at] = at
    checks = _checks(definition)
    parameters = {key: value for key, value in rules.items() if key in checks} | fixed
    for key, value in given.items():
        parameters[key] = _checked(name, canonical, checks, key, value)
    for key in definition.required:
        if key not in parameters:
            example = "@0.5" if key == definition.at else "(max_grade=3)"
            raise InputError(f"{name}: {canonical} needs {key}, got none; write for example {canonical}{example}")
    condensed = parameters.pop("judged_only", False)
    level = parameters.pop("rel", None) if definition.binary else None
    if level is not None and "max_grade" in parameters:
        raise InputError(f"{name}: expected rel (binary gain) or max_grade (graded gain), got both; leave one out")
    compute = _Parsed(prepare(definition, parameters), condensed)
    return Metric(name, compute, level, definition.aggregate, definition.averages_ties)


class _Parsed:
    """A metric's function as its name describes it, on the judged documents only where asked."""

    def __init__(self, compute: Callable[[JudgedRanks], NDArray[np.float64]], condensed: bool) -> None:
        self.compute = compute
        self.condensed = condensed

    def __call__(self, table: JudgedRanks) -> NDArray[np.float64]:
        return self.compute(table.only_judged() if self.condensed else table)


def _key(base: str) -> str:
    return base.strip().lower().replace("-", "_")


def _look_up(base: str, name: str) -> tuple[str, dict[str, Any]]:
    key = _key(base)
    if key in ALIASES:
        return ALIASES[key]
    if key in ("hole", "relstring", "runid"):
        raise InputError(f"{name}: {key} is no number that judged ranks give; leave it out, or take Unjudged@10")
    close = difflib.get_close_matches(key, [*ALIASES, *NICKNAMES], n=3, cutoff=0.5)
    similar = list(dict.fromkeys(ALIASES[word][0] if word in ALIASES else word for word in close))
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"expected one of {', '.join(DEFINITIONS)}"
    raise InputError(f"metrics: unknown metric {base!r} in {name!r}; {hint}")


def _checks(definition: Definition) -> dict[str, Callable[[Any], Any]]:
    """Return every parameter of a metric with its check."""
    checks = dict(definition.parameters)
    if definition.at == "cutoff":
        checks["cutoff"] = whole
    if definition.binary:
        checks["rel"] = number
    checks["judged_only"] = flag
    return checks


def _checked(name: str, canonical: str, checks: Mapping[str, Callable[[Any], Any]], key: str, value: Any) -> Any:
    if key not in checks:
        close = difflib.get_close_matches(key, list(checks), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"{name}: {canonical} takes {', '.join(checks)}, got {key!r}{hint}")
    try:
        return checks[key](value)
    except (ValueError, TypeError) as error:
        wanted = error if isinstance(error, ValueError) else "a whole number of at least 1"
        raise InputError(f"{name}: {key}: expected {wanted}, got {value!r}") from None


def _arguments(text: str, word: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for part in split(text, ","):
        key, equals, value = part.partition("=")
        if not equals or key.strip() in parameters:
            raise InputError(f"{word}: expected parameters as name=value, each once, got {part.strip()!r}")
        parameters[key.strip()] = _literal(value.strip())
    return parameters


def _literal(text: str) -> Any:
    """Return a Python literal; what is none is taken as a word, as in dcg=exp-log2."""
    import ast

    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text
