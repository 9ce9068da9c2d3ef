"""ir_measures computes with rank_plugins: one order of equal scores for all measures, no Perl, no other packages.

    from rank_plugins.evaluation.providers import ir_measures as ours
    ours.register()
    ir_measures.calc_aggregate([nDCG @ 10, RR @ 10], qrels, run)  # computed here
    ours.unregister()

What ir_measures takes is taken (dicts, data frames, named tuples), and whatever `evaluate` takes. Where its own
providers differ from each other, this one does as `evaluate`: scores are compared in float64, equal ones stand by
document id, descending; a document twice in a list and NaN are errors; a grade below 0 is no judgment; a judged query
that the run lacks has an empty list, and NumRel still counts its documents. Names keep their meaning: IPrec is
trec_eval 9's, as in pytrec_eval, and ERR is on the scale from 0 to 4, as in gdeval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from rank_plugins._extras import require
from rank_plugins.errors import InputError
from rank_plugins.evaluation._evaluate import Evaluation, evaluate
from rank_plugins.evaluation.names import Metric, parse
from rank_plugins.runs import Qrels
from rank_plugins.runs.convert import as_qrels, as_run

host: Any = require("ir_measures")

NAME = "rank_plugins"
ERR_SCALE = 4
_ANY = host.providers.base.Any
_PARAMETERS = {
    "P": ("cutoff", "rel", "judged_only"),
    "R": ("cutoff", "rel", "judged_only"),
    "Success": ("cutoff", "rel", "judged_only"),
    "AP": ("cutoff", "rel", "judged_only"),
    "RR": ("cutoff", "rel", "judged_only"),
    "nDCG": ("cutoff", "dcg", "gains", "judged_only"),
    "ERR": ("cutoff",),
    "RBP": ("cutoff", "p", "rel"),
    "Rprec": ("rel", "judged_only"),
    "Bpref": ("rel",),
    "infAP": ("rel",),
    "IPrec": ("recall", "rel", "judged_only"),
    "Compat": ("p", "normalize"),
    "Judged": ("cutoff",),
    "SetP": ("rel", "relative", "judged_only"),
    "SetR": ("rel",),
    "SetF": ("rel", "beta", "judged_only"),
    "SetAP": ("rel", "judged_only"),
    "NumQ": (),
    "NumRet": ("rel",),
    "NumRel": ("rel",),
}


class Provider(host.providers.Provider):  # type: ignore[misc]  # typed only where the host is installed
    """rank_plugins as a provider of ir_measures. It does without RBP of graded relevance, which has no scale there."""

    NAME = NAME
    SUPPORTED_MEASURES = [  # noqa: RUF012 - the host's declaration
        type(host.measures.registry[name])(**{key: _ANY(required=(name, key) == ("RBP", "rel")) for key in keys})
        for name, keys in _PARAMETERS.items()
    ]

    def _evaluator(self, measures: Iterable[Any], qrels: Any) -> Evaluator:
        measures = list(measures)
        for measure in measures:
            if not self.supports(measure):
                raise InputError(f"{measure}: expected a measure of {', '.join(_PARAMETERS)} (RBP with rel)")
        return Evaluator(measures, qrels)


class Evaluator(host.providers.Evaluator):  # type: ignore[misc]  # as above
    """Measures over one set of judgments, for any number of runs."""

    def __init__(self, measures: list[Any], qrels: Any) -> None:
        """Hold judgments; an iterable is read once."""
        self._qrels = as_qrels(qrels)
        super().__init__(measures, _judged(self._qrels))
        self._metrics = [_metric(measure) for measure in self.measures]

    def _iter_calc(self, run: Any) -> Iterator[Any]:
        found = self._evaluation(run)
        if found is None:
            return
        for measure, row in zip(self.measures, found.values.tolist(), strict=True):
            for query, value in zip(found.query_ids, row, strict=True):
                yield host.Metric(query_id=query, measure=measure, value=value)

    def calc_aggregate(self, run: Any) -> dict[Any, float]:
        """Return the mean, or the sum of counts, of each measure over the judged queries."""
        found = self._evaluation(run)
        if found is None:
            return super().calc_aggregate(run)  # type: ignore[no-any-return]
        return dict(zip(self.measures, found.mean.values(), strict=True))

    def _evaluation(self, run: Any) -> Evaluation | None:
        """Return the evaluation of a run; None where nothing is judged or asked."""
        if not self.qrel_qids or not self._metrics:
            return None
        return evaluate(self._qrels, as_run(run), self._metrics, compat="trec_eval9")


def register() -> Provider:
    """Put the provider before those of ir_measures, so that its functions use it for every measure that it has.

    What it does not have goes to the others as before; so do measures that were defined at run time. It is also
    `ir_measures.providers.registry["rank_plugins"]`. Calling it again changes nothing; `unregister` takes it back.
    """
    unregister()
    provider: Provider = host.providers.register(Provider())
    chain = host.DefaultPipeline.providers
    chain.insert(chain.index(host.runtime) + 1 if host.runtime in chain else 0, provider)
    return provider


def unregister() -> None:
    """Take the provider out of ir_measures."""
    host.providers.registry.pop(NAME, None)
    chain = host.DefaultPipeline.providers
    chain[:] = [provider for provider in chain if getattr(provider, "NAME", None) != NAME]


def _metric(measure: Any) -> Metric:
    """Return our metric of that name; where a name says nothing of the scale, ir_measures' own scale."""
    if measure.NAME != "ERR":
        return parse(measure, compat="trec_eval9")[0]
    cutoff = f"@{measure.params['cutoff']}" if "cutoff" in measure.params else ""
    return replace(parse(f"ERR(max_grade={ERR_SCALE}){cutoff}")[0], name=str(measure))


def _judged(qrels: Any) -> set[Any]:
    """Return the queries that have judgments."""
    if not isinstance(qrels, Qrels):
        return {query for query, grades in qrels.items() if grades}
    return {qrels.queries[i] for i in np.flatnonzero(np.diff(qrels.offsets)).tolist()}
