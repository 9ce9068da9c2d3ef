"""rank-plugins index: a corpus into a store."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from rank_plugins import encoders
from rank_plugins._progress import on_terminal, progress
from rank_plugins._rows import CODECS as CODED
from rank_plugins.cli._corpus import Corpus, Document, Remarks
from rank_plugins.cli._output import print_facts
from rank_plugins.encoders import Encoder
from rank_plugins.errors import InputError
from rank_plugins.store import EmbeddingStore, TokenReduction
from rank_plugins.store.codec import CODECS
from rank_plugins.store.reduction import SKIPS

DOCUMENTS_AT_ONCE = 256  # encoded together and committed together: what an interruption loses
BYTES_AT_ONCE = 1 << 21  # of text; long documents are committed sooner, which bounds the memory to about 1 GB
SAMPLE = 1000  # documents to fit a codebook or a projection to

DESCRIPTION = """
Encode the documents of a corpus and add them to a store, which is made if there is none. The same command again goes
on where it was interrupted: a document that is there with the same text is not encoded. A changed one replaces the old.
"""
EPILOG = """
A corpus is JSON Lines (*.jsonl) or CSV with a header (*.csv), either of them also packed (*.gz), or Parquet (*.parquet,
needs the extra parquet). Fields: _id or id, text, and title where there is one. Lines that cannot be used are counted
and listed at the end. Codec, projection, pooling and skip-list are settings of a new store; for one that exists they
can be left out.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser(
        "index", help="encode a corpus and keep it in a store", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument("corpus", metavar="CORPUS", help='the file of documents; "-" is JSON Lines on standard input')
    parser.add_argument("--store", required=True, metavar="FOLDER", help="the folder of the store")
    parser.add_argument("--encoder", default="minilm", metavar="MODEL", help="a name, a folder or a model on the hub")
    parser.add_argument("--codec", choices=CODECS, help="how tokens are kept (int8)")
    parser.add_argument("--projection", type=int, metavar="DIMENSIONS", help="keep so many, by a PCA of the corpus")
    parser.add_argument("--pool", type=int, metavar="N", help="pool about N tokens into one (needs the extra pooling)")
    parser.add_argument("--skip", metavar="KINDS", help=f"leave out tokens, a comma between kinds: {', '.join(SKIPS)}")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (not processes) that encode (one per core)")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Index the corpus and print what came of it."""
    corpus = Corpus(options.corpus)
    reduction = _reduction(options)
    encoder = encoders.prepare(options.encoder, {}, defaults={"threads": options.workers})()
    if options.projection is not None and options.projection >= encoder.dim:
        raise InputError(
            f"--projection: expected less than the encoder's {encoder.dim} dimensions, got {options.projection}"
        )
    skipped, empty = Remarks(corpus.unit), Remarks(corpus.unit)
    documents = corpus.documents(skipped)
    first = next(documents, None)
    if first is None:
        raise InputError(f"{corpus.name}: expected documents with an id and a text, got none; skipped {skipped}")
    settings = {"codec": options.codec, "projection": options.projection, "reduction": reduction}
    with EmbeddingStore.open(options.store, "a", **settings) as store:
        store.check_encoder(encoder)
        try:
            facts = _index(corpus, itertools.chain([first], documents), empty, store, encoder)
        except KeyboardInterrupt:
            store.refresh()
            raise KeyboardInterrupt(
                f"; {len(store)} documents are in {options.store}, and the same command again goes on from there"
            ) from None
    for name, remarks in (("empty", empty), ("skipped", skipped)):
        facts[name] = remarks.as_json() if options.json else str(remarks)
    print_facts(facts, as_json=options.json)
    return 0


def _index(
    corpus: Corpus, documents: Iterable[Document], empty: Remarks, store: EmbeddingStore, encoder: Encoder
) -> dict[str, Any]:
    """Add what is new or changed among the documents; return what was done."""
    before, started, show = len(store), time.perf_counter(), on_terminal()
    read = written = 0
    sample, total = _survey(corpus, store, count=show)
    with progress(total, " documents", show=show) as advance:
        if sample:  # the first documents of a store are what its codec is fitted to
            written = _add(sample, store, encoder)
            advance(written)
        done = {document.id for document in sample}
        for batch in _batches(documents, DOCUMENTS_AT_ONCE):
            written += _add(batch, store, encoder)
            read += len(batch)
            for document in batch:
                if not document.text:
                    empty.add("without a token", document.number)
            advance(sum(document.id not in done for document in batch))
    seconds = time.perf_counter() - started
    size, count = store.stats()["bytes"], len(store)
    return {
        "added": count - before,
        "replaced": written - (count - before),
        "unchanged": read - written,
        "documents": count,
        "seconds": round(seconds, 1),
        "documents per second": round(written / seconds, 1),
        "bytes": size,
        "bytes per document": round(size / count),
    }


def _survey(corpus: Corpus, store: EmbeddingStore, *, count: bool) -> tuple[list[Document], int | None]:
    """Return documents to fit the codec to, random ones, and how many there are; one pass, if there is a use for it.

    The sample is a reservoir: Vitter 1985, "Random Sampling with a Reservoir", algorithm R.
    """
    fits = store.dim is None and (store.codec in CODED or store.stats()["projection"] is not None)
    if corpus.once or not (fits or count):
        return [], None
    rng, total = np.random.default_rng(0), 0
    kept: list[Document] = []
    for document in corpus.documents(Remarks(corpus.unit)):
        total += 1
        if not fits:
            continue
        if len(kept) < SAMPLE:
            kept.append(document)
        elif (place := int(rng.integers(total))) < SAMPLE:
            kept[place] = document
    mixed = (kept[i] for i in rng.permutation(len(kept)))
    return next(_batches(mixed, SAMPLE), []), total


def _add(documents: list[Document], store: EmbeddingStore, encoder: Encoder) -> int:
    """Add those that are not there, or with another text; return how many."""
    ids, texts = [document.id for document in documents], [document.text for document in documents]
    changed = np.flatnonzero(store.changed(ids, texts)).tolist()
    if changed:
        store.add([ids[i] for i in changed], texts=[texts[i] for i in changed], encoder=encoder)
    return len(changed)


def _batches(documents: Iterable[Document], count: int) -> Iterator[list[Document]]:
    """Group documents, at most `count` and about BYTES_AT_ONCE of text in a group."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text.encode(errors="replace"))
        if len(batch) == count or size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _reduction(options: argparse.Namespace) -> TokenReduction | None:
    if options.pool is None and options.skip is None:
        return None
    kinds = tuple(options.skip.split(",")) if options.skip else ()
    return TokenReduction(1 if options.pool is None else options.pool, kinds)
