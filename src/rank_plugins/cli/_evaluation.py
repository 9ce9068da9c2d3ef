"""What the commands of evaluation share: runs from files, the rules of evaluation as options, printing."""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rank_plugins.errors import InputError

if TYPE_CHECKING:
    from rank_plugins.evaluation.reports.outline import Result
    from rank_plugins.runs import Qrels, Run

METRICS = "ndcg@10 ap rr@10 r@100"
FORMATS = ("text", "markdown", "latex", "html", "json")
FILES = """
Files of judgments and runs are in the formats of TREC, MS MARCO and BEIR, JSON, JSON Lines or Parquet, plain or
compressed (.gz, .zst); "-" is standard input. A run is called what its file is called.
"""
STDIN = "-"
RULES = ("relevance_level", "ties", "missing", "no_relevant", "judged_only")
COMPRESSED = {".gz", ".zst", ".bz2", ".xz"}
SUFFIXES = {".trec", ".run", ".res", ".txt", ".tsv", ".csv", ".json", ".jsonl", ".parquet", ".out"}


def noted(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Let a command print warnings as lines of its own, to standard error."""

    @functools.wraps(run)
    def wrapped(options: argparse.Namespace) -> int:
        with warnings.catch_warnings():  # restores showwarning too
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *_, **__: print("rank-plugins:", message, file=sys.stderr)
            return run(options)

    return wrapped


def add_files(parser: argparse.ArgumentParser, runs: str = "+") -> None:
    """Add judgments and runs to a command's arguments."""
    parser.add_argument("qrels", metavar="QRELS", help="a file of relevance judgments")
    parser.add_argument("runs", metavar="RUN", nargs=runs, help="files of runs")


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses metrics."""
    parser.add_argument(
        "-m", "--metrics", default=METRICS, metavar="NAMES", help=f'metrics, separated by spaces ("{METRICS}")'
    )


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how evaluation treats what is not plain."""
    rules = parser.add_argument_group("rules")
    rules.add_argument("--relevance-level", type=float, default=1, metavar="L", help="relevant from this grade on (1)")
    rules.add_argument(
        "--ties",
        choices=("id_desc", "id_asc", "input", "average", "best", "worst"),
        default="id_desc",
        help="order of documents with equal scores (id_desc)",
    )
    rules.add_argument(
        "--missing",
        choices=("zero", "skip", "error"),
        default="zero",
        help="judged queries that a run lacks (zero)",
    )
    rules.add_argument(
        "--no-relevant",
        choices=("zero", "skip", "reward_empty"),
        default="zero",
        help="queries without relevant documents (zero)",
    )
    rules.add_argument("--judged-only", action="store_true", help="remove documents without judgment first")


def add_test(parser: argparse.ArgumentParser) -> None:
    """Add the options of significance tests."""
    test = parser.add_argument_group("significance")
    test.add_argument("--baseline", metavar="RUN", help="compare all runs with this one only; default: all pairs")
    test.add_argument(
        "--test", choices=("randomization", "t", "bootstrap"), default="randomization", help="(randomization)"
    )
    test.add_argument(
        "--correction", choices=("maxt", "holm", "bh", "bonferroni", "none"), default="maxt", help="(maxt)"
    )
    test.add_argument(
        "--alpha", type=float, default=0.05, metavar="P", help="significant below this corrected p (0.05)"
    )
    test.add_argument("--seed", type=int, default=0, help="of the resamples (0)")


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the output's format."""
    parser.add_argument("--format", choices=FORMATS, default="text", help="(text)")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def rules(options: argparse.Namespace) -> dict[str, Any]:
    """Return the rules as `evaluate` takes them."""
    return {name: getattr(options, name) for name in RULES}


def read_qrels(path: str) -> Qrels:
    """Read judgments.

    Raises:
        InputError: no such file, an unknown format, a line that does not fit, no judgment.

    """
    found: Qrels = _read(path, "qrels")
    return found


def read_runs(paths: Sequence[str]) -> dict[str, Run]:
    """Read runs, named by their files: without folder and suffix where that tells them apart.

    Raises:
        InputError: no such file, one file twice, an unknown format, a line that does not fit, no row.

    """
    if len(set(paths)) < len(paths):
        twice = next(path for i, path in enumerate(paths) if path in paths[:i])
        raise InputError(f"runs: expected different files, got {twice} twice")
    names = [_stem(path) for path in paths]
    if len(set(names)) < len(names):
        names = list(paths)
    return {name: _read(path, "run") for name, path in zip(names, paths, strict=True)}


def read_ids(path: str) -> list[str]:
    """Read ids, one on each line.

    Raises:
        InputError: no such file, or one that cannot be read.

    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected ids, one on each line, got a file that cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def baseline(options: argparse.Namespace, runs: Mapping[str, Run]) -> str | None:
    """Return the name of the baseline, which may have been given as its file."""
    given: str | None = options.baseline
    named: dict[str | None, str] = dict(zip(options.runs, runs, strict=True))
    return given if given in runs else named.get(given, given)


def print_result(result: Result, form: str, *, ci: float | None = None, per_query: bool = False) -> None:
    """Print evaluations or a comparison in one of FORMATS."""
    from rank_plugins.evaluation import reports

    if form == "json":
        print_json([each.to_dict() for each in result] if isinstance(result, Sequence) else result.to_dict())
    elif form == "html":
        print(reports.html(result), end="")
    else:
        show = {"text": reports.text, "markdown": reports.markdown, "latex": reports.latex}[form]
        print(show(result, ci=ci, per_query=per_query))


def print_json(value: Any) -> None:
    """Print a value as JSON that every reader accepts: what is not a finite number is null."""
    print(json.dumps(_strict(value), indent=1, allow_nan=False))


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, (list, tuple)) else value


def _read(path: str, kind: str) -> Any:
    import numpy as np

    from rank_plugins.runs import files, trec

    what = "judgment" if kind == "qrels" else "document"
    if path == STDIN:
        data = np.frombuffer(sys.stdin.buffer.read(), np.uint8)
        found = trec.read_table(data, "standard input", kind, name="run", duplicates="error")
    else:
        found = files.read(path, kind)
    if not len(found):
        raise InputError(f"{path}: expected at least one {what}, got none")
    return found


def _stem(path: str) -> str:
    if path == STDIN:
        return "run"
    name = Path(path)
    for suffixes in (COMPRESSED, SUFFIXES):
        if name.suffix.lower() in suffixes:
            name = name.with_suffix("")
    return name.name or path
