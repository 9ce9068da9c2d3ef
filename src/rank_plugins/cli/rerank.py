"""rank-plugins rerank: candidates of a first stage in a better order, from the embeddings of a store."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rank_plugins.cli._candidates import Candidates, read_candidates, read_queries
from rank_plugins.cli._output import finite
from rank_plugins.errors import InputError
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore

NAME = "rank-maxsim"

DESCRIPTION = """
Order candidates by MaxSim between the query and the documents' token embeddings in a store; nothing but the query is
encoded.
"""
EPILOG = """
Candidates are a TREC run (six columns: query id, Q0, document id, rank, score, tag) or a list of ids, one on each line.
--query prints a table; --queries reranks every query of a run and prints a run.
"""


class Result(NamedTuple):
    """A document at its place; `previous` is its rank in the run that it came from."""

    rank: int
    score: float
    id: str
    previous: int | None


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser(
        "rerank", help="order candidates by the embeddings of a store", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument("--store", required=True, metavar="FOLDER", help="the folder of the store")
    parser.add_argument("--candidates", required=True, metavar="FILE", help='"-" is standard input')
    queries = parser.add_mutually_exclusive_group(required=True)
    queries.add_argument("--query", metavar="TEXT", help="the query")
    queries.add_argument(
        "--queries", metavar="FILE", help="queries of the run: *.jsonl (_id, text) or *.tsv (id, text)"
    )
    parser.add_argument("--query-id", metavar="ID", help="rerank only this query of the run")
    parser.add_argument("--top-k", type=int, default=10, metavar="N", help="how many to print of each query (10)")
    parser.add_argument("--encoder", default="minilm", metavar="MODEL", help="the one that made the store (minilm)")
    parser.add_argument(
        "--missing", choices=("error", "skip"), default="error", help="candidates that the store does not have (error)"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rerank and print."""
    candidates = _chosen(read_candidates(options.candidates), options)
    queries: Mapping[Any, str] = dict.fromkeys(candidates, options.query)
    if options.queries:
        queries = read_queries(options.queries)
    unknown = [query for query in candidates if query not in queries]
    if unknown:
        raise InputError(
            f"{options.queries}: expected all queries of {options.candidates}, {len(unknown)} are not there, the first"
            f" {unknown[0]!r}"
        )
    with EmbeddingStore.open(options.store) as store:
        reranker = MaxSimReranker(options.encoder, store=store)
        candidates = _found(candidates, store, skip=options.missing == "skip")
        store.check_encoder(reranker.encoder)
        results = (
            (query, list(_reranked(queries[query], group, reranker, store, options.top_k)))
            for query, group in candidates.items()
        )
        if options.json:
            found = [{"query id": query, "results": [_as_json(row) for row in rows]} for query, rows in results]
            print(json.dumps(found if options.queries else found[0], indent=2))
        elif options.queries:
            _print_run(results)
        else:
            _print_table(next(results)[1])
    return 0


def _chosen(found: dict[str | None, Candidates], options: argparse.Namespace) -> dict[str | None, Candidates]:
    """Return the candidates that are to be reranked, by query."""
    name, query = options.candidates, options.query_id
    if None in found and (query or options.queries):
        raise InputError(
            f"{name}: expected a TREC run, because --query-id and --queries choose from one; got a list of ids"
        )
    if query is not None:
        if query not in found:
            raise InputError(f"--query-id: expected one of the {len(found)} queries of {name}, got {query!r}")
        return {query: found[query]}
    if options.queries is None and len(found) > 1:
        raise InputError(
            f"{name}: expected candidates of one query, got those of {len(found)}; choose one with --query-id, or"
            " rerank all with --queries"
        )
    return found


def _found(
    candidates: dict[str | None, Candidates], store: EmbeddingStore, *, skip: bool
) -> dict[str | None, Candidates]:
    """Return the candidates that are in the store."""
    missing = {document: None for group in candidates.values() for document in group if document not in store}
    if not missing:
        return candidates
    said = f"{len(missing)} candidates are not in {store.path}, the first {next(iter(missing))!r}"
    if not skip:
        raise InputError(f"{said}; index them, or leave them out with --missing skip")
    print(f"rank-plugins: {said}; left out", file=sys.stderr)
    return {
        query: {document: rank for document, rank in group.items() if document not in missing}
        for query, group in candidates.items()
    }


def _reranked(
    query: str, candidates: Candidates, reranker: MaxSimReranker, store: EmbeddingStore, top_k: int
) -> Iterator[Result]:
    ids = list(candidates)
    ranking = reranker.rerank(query, store.get(ids), top_k=top_k)
    for rank, (i, score) in enumerate(ranking, 1):
        yield Result(rank, score, ids[i], candidates[ids[i]])


def _as_json(row: Result) -> dict[str, Any]:
    return {"rank": row.rank, "score": finite(row.score), "id": row.id, "previous rank": row.previous}


def _print_run(results: Iterable[tuple[str | None, list[Result]]]) -> None:
    for query, rows in results:
        for row in rows:
            print(query, "Q0", row.id, row.rank, f"{finite(row.score):.6f}", NAME)


def _print_table(rows: list[Result]) -> None:
    ranked = any(row.previous is not None for row in rows)
    print(f"{'rank':>4}  {'score':>9}  {'was':>4}  id" if ranked else f"{'rank':>4}  {'score':>9}  id")
    for row in rows:
        previous = f"  {row.previous:>4}" if ranked else ""
        print(f"{row.rank:>4}  {row.score:>9.4f}{previous}  {row.id}")
