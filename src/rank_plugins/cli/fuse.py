"""rank-plugins fuse: several runs made into one."""

from __future__ import annotations

import argparse
import ast
import sys
from typing import Any

from rank_plugins.cli._evaluation import FILES, noted, print_json, read_runs
from rank_plugins.errors import InputError

DESCRIPTION = "Fuse runs: each query's documents in one order, as a TREC run, or as JSON, or in a file."
EPILOG = f"""{FILES} Methods and norms are those of rank_plugins.fusion: rrf, sum, wsum, mnz, max, borda, condorcet,
dbsf ...; an unknown name is answered with those there are.
"""
OPTIONS = ("runs", "method", "weights", "norm", "missing", "top", "explain")  # arguments of fuse with a meaning here


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("fuse", help="several runs made into one", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("runs", metavar="RUN", nargs="+", help="files of runs")
    parser.add_argument("--method", default="rrf", metavar="NAME", help="how (rrf)")
    parser.add_argument("-k", type=float, metavar="K", help="the constant of rrf (60)")
    parser.add_argument("--weights", type=numbers, metavar="W,W", help="one for each run (1 each)")
    parser.add_argument("--norm", metavar="NAME", help="how scores are made comparable; one for all, or NAME,NAME")
    parser.add_argument(
        "--missing", metavar="RULE", help="what a run says of a document that it lacks: zero, min, skip or a number"
    )
    parser.add_argument(
        "--parameter",
        action="append",
        type=parameter,
        default=[],
        metavar="NAME=VALUE",
        help="another one of the method or norm, such as phi=0.8; several times",
    )
    parser.add_argument("--top", type=int, metavar="N", help="documents of each query to keep (all)")
    parser.add_argument(
        "--output", metavar="FILE", help="write there (.trec, .json, .jsonl, .parquet; also .gz) instead of printing"
    )
    parser.add_argument("--json", action="store_true", help="print {query: {document: score}}")
    parser.set_defaults(run=run)


@noted
def run(options: argparse.Namespace) -> int:
    """Fuse and print."""
    from rank_plugins.fusion import fuse
    from rank_plugins.runs import Run, files, trec_writer

    parameters = dict(options.parameter) | ({} if options.k is None else {"k": options.k})
    norm = options.norm and options.norm.split(",")
    fused = fuse(
        list(read_runs(options.runs).values()),
        options.method,
        weights=options.weights,
        norm=norm[0] if norm and len(norm) == 1 else norm,
        missing=literal(options.missing) if options.missing else None,
        top=options.top,
        **parameters,
    )
    named = Run(fused.queries, fused.offsets, fused.documents, fused.scores, name=options.method)
    if options.output:
        try:
            files.write(named, options.output)
        except OSError as error:
            raise InputError(f"{options.output}: cannot be written: {error.strerror}") from None
        print(f"rank-plugins: {len(named):,} queries in {options.output}", file=sys.stderr)
    elif options.json:
        print_json(named.to_dict())
    else:
        sys.stdout.write(trec_writer.trec_lines(named, "output").decode())
    return 0


def numbers(text: str) -> list[float]:
    """Return numbers that commas separate."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as .3,.7, got {text!r}") from None


def parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of name=value."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE such as phi=0.8, got {text!r}")
    if name in OPTIONS:
        raise argparse.ArgumentTypeError(f"expected a parameter of a method or norm, got {name}, which is none")
    return name, literal(value)


def literal(text: str) -> Any:
    """Return a number, a flag or a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
