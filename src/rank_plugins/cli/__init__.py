"""The command rank-plugins; one file per subcommand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rank_plugins.cli import info


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="rank-plugins", description="A pluggable reranking backend.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (info,):
        command.add(commands)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status
