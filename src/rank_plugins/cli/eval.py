"""rank-plugins eval: how good runs are, by relevance judgments."""

from __future__ import annotations

import argparse
from typing import Any

from rank_plugins.cli._evaluation import (
    FILES,
    add_files,
    add_format,
    add_metrics,
    add_rules,
    noted,
    print_result,
    read_qrels,
    read_runs,
    rules,
)

LEVEL = 0.95  # of the intervals

DESCRIPTION = "Evaluate runs: the mean of each metric over the judged queries."
EPILOG = f"""{FILES} Metrics are named as in ir_measures, trec_eval or ranx: ndcg@10, ap, rr@10, r@100, P(rel=2)@5,
map, ndcg_cut_10, official.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("eval", help="metrics of runs", description=DESCRIPTION, epilog=EPILOG)
    add_files(parser)
    add_metrics(parser)
    parser.add_argument("--per-query", action="store_true", help="print every query too")
    parser.add_argument("--ci", action="store_true", help="95%% confidence intervals of the means (BCa bootstrap)")
    add_rules(parser)
    add_format(parser)
    parser.set_defaults(run=run)


@noted
def run(options: argparse.Namespace) -> int:
    """Evaluate and print."""
    from rank_plugins.evaluation import evaluate

    qrels = read_qrels(options.qrels)
    evaluations = []
    for name, found in read_runs(options.runs).items():
        evaluations.append(evaluate(qrels, found, options.metrics, **rules(options)))
        evaluations[-1].name = name
    result = evaluations[0] if len(evaluations) == 1 else evaluations
    print_result(result, options.format, ci=LEVEL if options.ci else None, per_query=options.per_query)
    return 0
