"""rank-plugins trec-eval: trec_eval's options and its output, line by line."""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rank_plugins.cli._evaluation import noted, read_qrels, read_runs
from rank_plugins.errors import InputError

if TYPE_CHECKING:
    from rank_plugins.evaluation.names import Metric
    from rank_plugins.runs import Qrels, Run

RUN_ID, STRING = "runid", "relstring"
# trec_eval prints its measures in this order, in whatever order they were asked for.
ORDER = (
    *(RUN_ID, "num_q", "num_ret", "num_rel", "num_rel_ret", "map", "gm_map", "Rprec", "bpref", "recip_rank"),
    *("iprec_at_recall", "P", STRING, "recall", "infAP", "gm_bpref", "Rprec_mult", "utility", "11pt_avg", "binG", "G"),
    *("dcg", "ideal_dcg", "ndcg", "ndcg_rel", "Rndcg", "ndcg_cut", "map_cut", "relative_P", "success", "set_P"),
    *("set_relative_P", "set_recall", "set_map", "set_F", "num_nonrel_judged_ret", "unj"),
)
COUNTS = frozenset({"num_q", "num_ret", "num_rel", "num_rel_ret", "num_nonrel_judged_ret"})
SUMMARY_ONLY = frozenset({"num_q", "gm_map", "gm_bpref"})
OTHER = {-1.0: "-", -2.0: "."}  # in a string of grades: not pooled, pooled but not judged

DESCRIPTION = "Evaluate a run as trec_eval does, with its options and its output."
EPILOG = f"""
Measures: {", ".join(ORDER)}; the sets official (default), set and all_trec; with parameters after a point, as
in P.5,10. Interpolated precision is that of trec_eval 10. Preference judgments, z-scores and debugging are not there.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser(
        "trec-eval", help="trec_eval's options and output", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False
    )
    parser.add_argument("qrels", metavar="REL_INFO_FILE", help="judgments")
    parser.add_argument("results", metavar="RESULTS_FILE", help='a run; "-" is standard input')
    parser.add_argument("-q", "--query_eval_wanted", action="store_true", dest="queries", help="print every query too")
    parser.add_argument("-n", "--nosummary", action="store_true", help="print no summary")
    parser.add_argument(
        "-c",
        "--complete_rel_info_wanted",
        action="store_true",
        dest="complete",
        help="judged queries that the run lacks count 0; otherwise they are left out",
    )
    parser.add_argument(
        "-l", "--level_for_rel", type=int, default=1, dest="level", metavar="N", help="relevant from this grade on (1)"
    )
    parser.add_argument(
        "-M", "--Max_retrieved_per_topic", type=int, dest="most", metavar="N", help="take only the first N documents"
    )
    parser.add_argument(
        "-J", "--Judged_docs_only", action="store_true", dest="judged_only", help="remove documents without judgment"
    )
    parser.add_argument(
        "-N", "--Number_docs_in_coll", type=int, dest="docs", metavar="N", help="documents of the collection (utility)"
    )
    parser.add_argument(
        "-m", "--measure", action="append", dest="measures", metavar="NAME", help="a measure or a set, several times"
    )
    parser.add_argument(
        "-R", "--Rel_info_format", choices=("qrels",), default="qrels", help="format of the judgments (qrels)"
    )
    parser.add_argument(
        "-T", "--Results_format", choices=("trec_results",), default="trec_results", help="format of the run"
    )
    parser.set_defaults(run=run)


@noted
def run(options: argparse.Namespace) -> int:
    """Evaluate and print trec_eval's lines."""
    from rank_plugins.evaluation import evaluate

    measures = _measures(options.measures or ["official"], options.docs)
    qrels = read_qrels(options.qrels)
    ((name, found),) = read_runs([options.results]).items()
    first = _first(found, options.most)
    rules: dict[str, Any] = {"relevance_level": options.level, "judged_only": options.judged_only}
    rules["missing"] = "zero" if options.complete else "skip"
    result = evaluate(qrels, first, [m.metric for m in measures if m.metric] or "num_q", **rules)
    if not result.n or len(result.absent) == result.n:
        raise InputError(f"{options.results}: expected queries that {options.qrels} judges, got none")
    if options.queries:
        strings = {m.name: _relstrings(qrels, first, m.name, rules) for m in measures if m.family == STRING}
        for query in sorted(set(result.query_ids) - set(result.absent)):
            for m in measures:
                if m.family == STRING:
                    print(f"{m.name:<22}\t{query}\t'{strings[m.name][query]}'")
                elif m.metric and m.family not in SUMMARY_ONLY:
                    print(_line(m, query, result.per_query[m.metric.name][query]))
    if not options.nosummary:
        for m in measures:
            if m.family == RUN_ID:
                print(f"{m.name:<22}\tall\t{found.name or name}")
            elif m.metric:
                print(_line(m, "all", result.mean[m.metric.name]))
    return 0


class Measure(NamedTuple):
    """A measure, its name with parameters as trec_eval prints it, and the metric that gives its numbers."""

    family: str
    name: str
    metric: Metric | None = None


def _measures(asked: Sequence[str], docs: int | None) -> list[Measure]:
    """Return everything asked for, in trec_eval's order."""
    from rank_plugins.evaluation.metrics.aliases import NICKNAMES, trec_eval_names
    from rank_plugins.evaluation.names import parse

    found: dict[str, Measure] = {}
    words = [part for word in asked for part in (_set(word, NICKNAMES[word]) if word in NICKNAMES else [word])]
    for word in words:
        family, _, parameters = word.partition(".")
        if family not in ORDER:
            parse(word)  # its error suggests a name, where nothing is called so at all
            raise InputError(f"-m: expected a measure of trec_eval, got {word!r}; rank-plugins eval knows it")
        printed = f"{family}_{parameters}" if parameters else family
        if family == STRING and not (parameters or "10").isdecimal():
            raise InputError(f"-m: expected a number of documents as in relstring.10, got {word!r}")
        if family in (RUN_ID, STRING):
            found[printed] = Measure(family, printed)
        elif family == "utility" and docs is not None:
            given = [f"{name}={value}" for name, value in zip("abcd", parameters.split(","), strict=False) if value]
            (metric,) = parse(f"utility({','.join([*given, f'docs={docs}'])})")
            found[printed] = Measure(family, printed, metric)
        else:
            for name in trec_eval_names(word):
                (metric,) = parse(name)
                printed = name.replace(".", "_", 1) if name.startswith(f"{family}.") else name
                found[printed] = Measure(family, printed, metric)
    return sorted(found.values(), key=_place)


def _set(name: str, measures: Sequence[str]) -> list[str]:
    return [RUN_ID, *measures, *([STRING] if name == "all_trec" else [])]


def _place(measure: Measure) -> tuple[int, float]:
    parameter = measure.name.removeprefix(measure.family).lstrip("_")
    try:
        return ORDER.index(measure.family), float(parameter or 0)
    except ValueError:  # several parameters
        return ORDER.index(measure.family), 0.0


def _first(found: Run, most: int | None) -> Any:
    """Return the first documents of each query: highest score, then highest id, as trec_eval ranks them."""
    if most is None:
        return found
    if most < 1:
        raise InputError(f"-M: expected at least 1, got {most}")
    return {
        query: dict(heapq.nlargest(most, documents.items(), key=lambda item: (item[1], item[0])))
        for query, documents in found.to_dict().items()
    }


def _relstrings(qrels: Qrels, found: Any, name: str, rules: dict[str, Any]) -> dict[Any, str]:
    """Return a character for each of the first documents of each query: its grade, ">" above 9, "-" unjudged."""
    from rank_plugins.evaluation.lookup import judged_ranks

    most = int(name.partition("_")[2] or 10)
    ranks = judged_ranks(qrels, found, **rules).ranks
    strings = [["-"] * min(most, length) for length in ranks.n.tolist()]
    for i, rank, grade in zip(ranks.qidx.tolist(), ranks.rank.tolist(), ranks.grade.tolist(), strict=True):
        if rank <= len(strings[i]):
            strings[i][rank - 1] = ">" if grade >= 10 else str(int(grade)) if grade >= 0 else OTHER.get(grade, "<")
    return {query: "".join(string) for query, string in zip(ranks.query_ids, strings, strict=True)}


def _line(measure: Measure, query: str, value: float) -> str:
    return f"{measure.name:<22}\t{query}\t{f'{value:.0f}' if measure.family in COUNTS else f'{value:6.4f}'}"
