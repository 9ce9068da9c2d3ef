"""Metrics that ir_measures computes for us: diversity (by pyndeval) and C/W/L models of the reader (by cwl-eval).

They are asked of `evaluate` by their names in ir_measures, such as "alpha_nDCG(alpha=0.5)@10" or "INST(max_rel=3)".
Documents go there in our order, with the scores n, n - 1, ..., 1, so equal scores stand as they do for all metrics.
Subtopics are those of the Qrels; for every other metric a document has the highest grade that any subtopic gives it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import importable, require
from rank_plugins.errors import InputError, MissingExtraError
from rank_plugins.evaluation.providers.lists import ordered
from rank_plugins.evaluation.ranks import JudgedRanks
from rank_plugins.runs import Qrels

PYNDEVAL = ("pyndeval", "pyndeval", "ir-measures[pyndeval]")
CWL = ("cwl_eval", "cwl", "ir-measures[cwl-eval]")
READERS = ("BPM", "INST", "INSQ", "SDCG", "NERR8", "NERR9", "NERR10", "NERR11")
UNCUT = ("NRBP", "nNRBP", "AP_IA")
DEEPEST = 20  # of pyndeval
ORDERS = ("id_desc", "id_asc", "input")


class Source(NamedTuple):
    """What a table of judged ranks was made of."""

    qrels: Any
    run: Any
    settings: Mapping[str, Any]


class Delegated:
    """A metric of ir_measures as a function of the table, which has to carry its source: see `keep`."""

    def __init__(self, name: str, measure: str, parameters: Mapping[str, Any]) -> None:
        """Check a measure and its parameters; "@" is the cut-off.

        Raises:
            MissingExtraError: ir_measures, or the package that computes this measure, is not installed.
            InputError: a parameter is missing, unknown, or has a value out of range.

        """
        host: Any = require("ir_measures")
        self.name = name
        given = {"cutoff" if key == "@" else key: value for key, value in parameters.items()}
        kind = host.measures.registry[measure]
        provider, module, distribution = CWL if kind.NAME in READERS else PYNDEVAL
        if not importable(module):
            raise MissingExtraError(
                f'{name}: {module} is needed here and is not installed; pip install "{distribution}"'
            )
        self.diversity = module == "pyndeval"
        self.condensed = bool(given.pop("judged_only", False)) if self.diversity else False
        self.level = given.pop("rel", None) if self.diversity else None
        for key, value in given.items():
            if type(value) is int and getattr(kind.SUPPORTED_PARAMS.get(key), "dtype", None) is float:
                given[key] = float(value)
        self._measure = _checked(name, kind, given, self.diversity)
        self._provider = host.providers.registry[provider]
        self._host = host

    def __call__(self, table: JudgedRanks) -> NDArray[np.float64]:
        """Return the value of each query [Nq].

        Raises:
            InputError: judgments without subtopics, a policy for ties that gives no order, or a table without source.

        """
        source: Source | None = table.cache.get("source")
        if source is None:
            raise InputError(f"{self.name}: expected a metric that judged ranks give, got one that needs whole lists")
        ties = source.settings["ties"]
        if ties not in ORDERS:
            raise InputError(f"{self.name}: expected ties of {', '.join(ORDERS)}, got {ties!r}; it needs one order")
        names = {_text(query): i for i, query in enumerate(table.query_ids)}
        rows = self._judgments(source.qrels, table)
        level = table.level if self.level is None else self.level
        qrels = [
            self._host.Qrel(query, document, int(grade >= level) if self.diversity else grade, topic)
            for query, document, grade, topic in rows
        ]
        run = list(self._ranked(source, table, {row[:2] for row in rows if row[2] >= 0}))
        values = np.full(len(names), float(self._measure.DEFAULT))
        for found in self._provider.iter_calc([self._measure], qrels, run):
            values[names[found.query_id]] = found.value
        return values

    def _judgments(self, qrels: Any, table: JudgedRanks) -> list[tuple[str, str, float, str]]:
        """Return (query, document, grade, subtopic) as text."""
        found = _rows(qrels.flat() if isinstance(qrels, Qrels) and not self.diversity else qrels, set(table.query_ids))
        rows = [(_text(query), _text(document), grade, topic) for query, document, grade, topic in found]
        if self.diversity and len({(query, topic) for query, _, _, topic in rows}) == len({row[0] for row in rows}):
            raise InputError(
                f"{self.name}: expected judgments with subtopics, got at most one for each query; pass"
                " Qrels(..., subtopics=...), or a table or file that has them"
            )
        return rows

    def _ranked(self, source: Source, table: JudgedRanks, judged: set[tuple[str, str]]) -> Iterator[Any]:
        condensed = self.condensed or source.settings["judged_only"]
        for query, scores in ordered(source.run, table.query_ids, **source.settings).items():
            name = _text(query)
            documents = [_text(document) for document in scores]
            if condensed:
                documents = [document for document in documents if (name, document) in judged]
            for rank, document in enumerate(documents):
                yield self._host.ScoredDoc(name, document, float(len(documents) - rank))


def keep(table: JudgedRanks, qrels: Any, run: Any, settings: Mapping[str, Any]) -> None:
    """Have the table carry what it was made of, Qrels or Run or dicts, for metrics that need whole lists."""
    table.cache["source"] = Source(qrels, run, settings)


def _rows(qrels: Any, wanted: Any) -> Iterator[tuple[Any, Any, float, str]]:
    """Return (query, document, grade, subtopic) of the wanted queries; without subtopics it is "0"."""
    if not isinstance(qrels, Qrels):
        for query, row in qrels.items():
            if query in wanted:
                yield from ((query, document, grade, "0") for document, grade in row.items())
        return
    documents, grades, ends = qrels.documents.tolist(), qrels.grades.tolist(), qrels.offsets.tolist()
    topics = None if qrels.subtopics is None else qrels.subtopics.tolist()
    for i, query in enumerate(qrels.queries):
        if query in wanted:
            for k in range(ends[i], ends[i + 1]):
                yield query, documents[k], grades[k], "0" if topics is None else _text(topics[k])


def _checked(name: str, kind: Any, given: dict[str, Any], diversity: bool) -> Any:
    """Return the measure with these parameters."""
    known = list(kind.SUPPORTED_PARAMS)
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"{name}: {kind.NAME} takes {', '.join(known)}, got {key!r}{hint}")
    for key, spec in kind.SUPPORTED_PARAMS.items():
        if spec.required and key not in given:
            raise InputError(f"{name}: {kind.NAME} needs {key}, got none; it is {spec.desc}")
    cut = given.get("cutoff")
    if diversity and kind.NAME not in UNCUT and not (type(cut) is int and 1 <= cut <= DEEPEST):
        raise InputError(f"{name}: expected a cut-off from 1 to {DEEPEST}, got {cut}; write for example {kind.NAME}@10")
    measure = kind(**given)
    try:
        measure.validate_params()
    except AssertionError as error:
        raise InputError(f"{name}: {error}; {kind.NAME} takes {', '.join(known)}") from None
    return measure


def _text(name: Any) -> str:
    """Return an id as text: the packages that compute know no other."""
    return name.hex() if isinstance(name, bytes) else str(name)
