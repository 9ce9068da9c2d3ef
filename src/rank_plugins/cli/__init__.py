"""The command rank-plugins; one file per subcommand."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import rank_plugins
from rank_plugins.cli import compare, eval, explain, export, fuse, index, info, report, rerank, store, trec_eval, tune  # noqa: A004 - a command's name
from rank_plugins.errors import RankPluginsError

FAILED, INTERRUPTED = 1, 130  # exit statuses; argparse ends wrong usage with 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="rank-plugins", description="A pluggable reranking backend.")
    parser.add_argument("--version", action="version", version=f"rank-plugins {rank_plugins.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (index, rerank, explain, export, store, eval, compare, fuse, tune, report, trec_eval, info):
        command.add(commands)
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # texts may hold what the terminal's encoding does not
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except RankPluginsError as error:
        return _ended(str(error), FAILED)
    except KeyboardInterrupt as interrupt:
        return _ended(f"interrupted{interrupt}", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status


def _ended(message: str, status: int) -> int:
    print("rank-plugins:", " ".join(message.split()), file=sys.stderr)
    return status
