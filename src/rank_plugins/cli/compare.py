"""rank-plugins compare: which of several runs is better, by how much, and how sure that is."""

from __future__ import annotations

import argparse
from typing import Any

from rank_plugins.cli._evaluation import (
    FILES,
    add_files,
    add_format,
    add_metrics,
    add_rules,
    add_test,
    baseline,
    noted,
    print_result,
    read_qrels,
    read_runs,
    rules,
)

DESCRIPTION = """
Compare runs query by query: means, differences with confidence intervals and effect sizes, and p-values corrected for
how many differences there are.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser(
        "compare", help="which run is better, and how sure that is", description=DESCRIPTION, epilog=FILES
    )
    add_files(parser)
    add_metrics(parser)
    parser.add_argument("--per-query", action="store_true", help="print every query too")
    add_test(parser)
    add_rules(parser)
    add_format(parser)
    parser.set_defaults(run=run)


@noted
def run(options: argparse.Namespace) -> int:
    """Compare and print."""
    from rank_plugins.evaluation._compare import compare

    runs = read_runs(options.runs)
    result = compare(
        read_qrels(options.qrels),
        runs,
        options.metrics,
        test=options.test,
        correction=options.correction,
        baseline=baseline(options, runs),
        alpha=options.alpha,
        seed=options.seed,
        **rules(options),
    )
    print_result(result, options.format, per_query=options.per_query)
    return 0
