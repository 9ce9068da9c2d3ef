"""rank-plugins explain: which token of a document each token of the query matches, and what that brings."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from rank_plugins.errors import InputError
from rank_plugins.rerankers.maxsim import SCORES, MaxSimReranker

STDIN = "-"
DESCRIPTION = """
Take MaxSim scores apart: for every token of the query the document token that it matches best, its place in the text,
and what that brings to the score. Several documents are ranked.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("explain", help="why a document has its MaxSim score", description=DESCRIPTION)
    parser.add_argument("--query", required=True, metavar="TEXT", help="the query")
    parser.add_argument("--document", action="append", default=[], metavar="TEXT", help="a document; may be repeated")
    parser.add_argument(
        "--file", action="append", default=[], metavar="FILE", help='a document as a text file, "-" is standard input'
    )
    parser.add_argument("--encoder", default="minilm", metavar="MODEL", help="a name or a folder (minilm)")
    parser.add_argument("--score", choices=SCORES, default="sum", help="over the query's tokens (sum)")
    parser.add_argument("--html", metavar="FILE", help="write a page with highlighted text and a heat map")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain and print, or write the page."""
    from rank_plugins.explanations import html

    documents = _documents(options)
    with contextlib.closing(MaxSimReranker(options.encoder, score=options.score)) as reranker:
        found = [(name, reranker.explain(options.query, text)) for name, text in documents]
    found.sort(key=lambda pair: -pair[1].score)
    if options.html:
        page = html([one for _, one in found], [name for name, _ in found])
        try:
            written = Path(options.html).write_bytes(page.encode())
        except OSError as error:
            raise InputError(f"{options.html}: cannot be written: {error.strerror}") from None
        print(f"rank-plugins: {options.html}, {written:,} bytes", file=sys.stderr)
    if options.json:
        print(json.dumps([{"name": name, **one.to_dict()} for name, one in found]))
    elif not options.html:
        print("\n\n".join(f"{name}: {one}" if len(found) > 1 else str(one) for name, one in found))
    return 0


def _documents(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the documents and what they are called: a file by its name, files of one name by their paths."""
    from rank_plugins.explanations.glyphs import visible

    if not options.document and not options.file:
        raise InputError("explain: expected a document with --document or --file, got none")
    if options.file.count(STDIN) > 1:
        raise InputError("--file: expected - once, standard input cannot be read again")
    short = ["standard input" if name == STDIN else Path(name).name for name in options.file]
    names = [one if short.count(one) == 1 else path for one, path in zip(short, options.file, strict=True)]
    found = [(f"document {i}", text) for i, text in enumerate(options.document, 1)]
    return found + [(visible(name), _text(path)) for name, path in zip(names, options.file, strict=True)]


def _text(name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"--file {name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"--file {name}: expected text in UTF-8, got other bytes at {error.start}") from None
