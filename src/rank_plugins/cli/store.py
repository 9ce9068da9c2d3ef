"""rank-plugins store: what is in a store, whether it is whole, and its unused space back."""

from __future__ import annotations

import argparse
from typing import Any

from rank_plugins._progress import on_terminal
from rank_plugins.cli._output import print_facts
from rank_plugins.store import EmbeddingStore


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("store", help="look into a store, check it, shrink it")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, run, help_ in (
        ("stats", stats, "documents, tokens, bytes, codec, encoder"),
        ("verify", verify, "read everything and print what is damaged; exit status 1 if anything is"),
        ("compact", compact, "give back the space of deleted and replaced documents"),
    ):
        action = actions.add_parser(name, help=help_, description=help_)
        action.add_argument("folder", metavar="FOLDER", help="the folder of the store")
        action.add_argument("--json", action="store_true", help="machine-readable output")
        action.set_defaults(run=run)


def stats(options: argparse.Namespace) -> int:
    """Print what is in the store."""
    with EmbeddingStore.open(options.folder) as store:
        print_facts(store.stats(), as_json=options.json)
    return 0


def verify(options: argparse.Namespace) -> int:
    """Print what is wrong with the store; return 1 if anything is."""
    with EmbeddingStore.open(options.folder) as store:
        problems = store.verify(show_progress=on_terminal())
        documents = len(store)
    if options.json:
        print_facts({"documents": documents, "problems": problems}, as_json=True)
    else:
        print("\n".join(problems) or f"{documents} documents, all of them whole")
    return 1 if problems else 0


def compact(options: argparse.Namespace) -> int:
    """Give back unused space and print how much."""
    with EmbeddingStore.open(options.folder):
        pass  # a store to write to would be made where there is none
    with EmbeddingStore.open(options.folder, "a") as store:
        print_facts({"bytes freed": store.compact()}, as_json=options.json)
    return 0
