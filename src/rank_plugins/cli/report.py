"""rank-plugins report: one page with everything about some runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rank_plugins.cli._evaluation import (
    FILES,
    add_files,
    add_metrics,
    add_rules,
    add_test,
    baseline,
    noted,
    print_json,
    read_ids,
    read_qrels,
    read_runs,
    rules,
)
from rank_plugins.errors import InputError

DESCRIPTION = """
Write one HTML page about runs: means with confidence intervals, differences by query, precision and recall, abstention
and reliability. It needs no other file and no network.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("report", help="an HTML page about runs", description=DESCRIPTION, epilog=FILES)
    add_files(parser)
    add_metrics(parser)
    parser.add_argument("--output", required=True, metavar="FILE", help="the page to write")
    parser.add_argument("--title", help="of the page")
    parser.add_argument(
        "--no-evidence", metavar="FILE", help="ids, one on each line, of queries that have no relevant document at all"
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="scores are probabilities of relevance: show how reliable they are"
    )
    add_test(parser)
    add_rules(parser)
    parser.add_argument("--json", action="store_true", help="print where the page is, and its size, as JSON")
    parser.set_defaults(run=run)


@noted
def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from rank_plugins.evaluation.reports import report

    runs = read_runs(options.runs)
    page = report(
        read_qrels(options.qrels),
        runs,
        options.metrics,
        title=options.title,
        no_evidence=read_ids(options.no_evidence) if options.no_evidence else None,
        probabilities=options.probabilities,
        test=options.test,
        correction=options.correction,
        baseline=baseline(options, runs),
        alpha=options.alpha,
        seed=options.seed,
        **rules(options),
    )
    output = Path(options.output)
    try:
        written = output.write_bytes(page.encode())
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from None
    if options.json:
        print_json({"output": str(output), "bytes": written, "runs": list(runs)})
    else:
        print(f"rank-plugins: {output}, {written:,} bytes", file=sys.stderr)
    return 0
