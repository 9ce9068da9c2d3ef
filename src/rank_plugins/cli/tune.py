"""rank-plugins tune: the best way to fuse runs, by judged queries, and how much of its lead is luck."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rank_plugins.cli._evaluation import FILES, add_files, noted, print_json, read_ids, read_qrels, read_runs

if TYPE_CHECKING:
    from rank_plugins.fusion import Tuning

DESCRIPTION = """
Search for the method, parameters and weights of a fusion with the best metric. What was best looks better than it is:
the choice is repeated without each fold of the queries and measured on that fold.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("tune", help="the best way to fuse runs", description=DESCRIPTION, epilog=FILES)
    add_files(parser)
    parser.add_argument(
        "--methods",
        default="rrf sum dbsf",
        metavar="NAMES",
        help='methods to try, separated by spaces ("rrf sum dbsf")',
    )
    parser.add_argument("--norms", metavar="NAMES", help="norms to try with methods that take one (each method's own)")
    parser.add_argument("--metric", default="ndcg@10", metavar="NAME", help="what to maximise (ndcg@10)")
    parser.add_argument(
        "--trials", type=int, metavar="N", help="draw N configurations at random; without it all of a grid are tried"
    )
    parser.add_argument("--step", type=float, default=0.1, help="of the weights in the grid (0.1)")
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="of the cross-validation (5)")
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of the random search (0)")
    parser.add_argument("--relevance-level", type=float, default=1, metavar="L", help="relevant from this grade on (1)")
    parser.add_argument(
        "--subject-to", metavar="RULE", help='a constraint, "false_evidence<=0.05"; needs --no-evidence'
    )
    parser.add_argument(
        "--no-evidence", metavar="FILE", help="ids, one on each line, of queries that have no relevant document at all"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output, all trials")
    parser.set_defaults(run=run)


@noted
def run(options: argparse.Namespace) -> int:
    """Tune and print."""
    from rank_plugins.fusion import tune

    runs = read_runs(options.runs)
    found = tune(
        read_qrels(options.qrels),
        list(runs.values()),
        options.methods,
        metric=options.metric,
        norms=options.norms,
        search="grid" if options.trials is None else "random",
        step=options.step,
        trials=1000 if options.trials is None else options.trials,
        folds=options.folds,
        seed=options.seed,
        subject_to=options.subject_to,
        no_evidence=read_ids(options.no_evidence) if options.no_evidence else (),
        relevance_level=options.relevance_level,
    )
    if options.json:
        print_json(found.to_dict())
    else:
        print(found)
        print(f"weights in the order of {', '.join(runs)}; to fuse so:")
        print(f"  {_command(found, options.runs)}")
    return 0


def _command(found: Tuning, paths: Sequence[str]) -> str:
    """Return the command that fuses with the best configuration."""
    best = found.best
    words = ["rank-plugins", "fuse", *paths, "--method", best.method]
    if best.weights:
        words += ["--weights", ",".join(repr(weight) for weight in best.weights)]
    if isinstance(best.norm, str):
        words += ["--norm", best.norm]
    for name, value in best.parameters.items():
        words += ["-k", repr(value)] if name == "k" else ["--parameter", f"{name}={value}"]
    return shlex.join(words)
