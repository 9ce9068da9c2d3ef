"""Collections in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/<split>.tsv."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path

from rank_plugins.datasets.collection import Collection
from rank_plugins.datasets.texts import read_corpus, read_queries
from rank_plugins.errors import InputError
from rank_plugins.runs.files import read

BEIR = {
    "arguana": "8ad3e3c2a5867cdced806d6503f29b99",
    "climate-fever": "8b66f0a9126c521bae2bde127b4dc99d",
    "cqadupstack": "4e41456d7df8ee7760a7f866133bda78",
    "dbpedia-entity": "c2a39eb420a3164af735795df012ac2c",
    "fever": "5a818580227bfb4b35bb6fa46d9b6c03",
    "fiqa": "17918ed23cd04fb15047f73e6c3bd9d9",
    "hotpotqa": "f412724f78b0d91183a0e86805e16114",
    "msmarco": "444067daf65d982533ea17ebd59501e4",
    "nfcorpus": "a89dba18a62ef92f7d323ec890a0d38d",
    "nq": "d4d3d2e48787a744b6f6e691ff534307",
    "quora": "18fb154900ba42a600f84b839c173167",
    "scidocs": "38121350fc3a4d2f48850f6aff52e4a9",
    "scifact": "5f7d1de60b170fc8027bb7898e2efca1",
    "trec-covid": "ce62140cb23feb9becf6270d0d1fe6d1",
    "webis-touche2020": "46f650ba5a527fc69e0a6521c5a23563",
}
"""The public collections and the MD5 of their archives, as BEIR publishes them."""
URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/"


def load_beir(folder_or_name: str | Path, split: str = "test", *, drop_identical_ids: bool = False) -> Collection:
    """Load a collection as queries, corpus and judgments.

    The queries are those that the split judges. The corpus is {document id: {"title", "text"}}.

    Args:
        folder_or_name: a folder with corpus.jsonl, queries.jsonl and qrels/, or the name of one of BEIR's public
            collections ("scifact"; "cqadupstack/android" for a part of one), which is downloaded once, checked and kept
            in RANK_PLUGINS_CACHE (else XDG_CACHE_HOME/rank-plugins, else ~/.cache/rank-plugins).
        split: the name of the file in qrels/, such as "test", "dev" or "train".
        drop_identical_ids: leave out judgments of a query about the document of its own id. Where queries are
            themselves documents (ArguAna, Quora), leave these out of runs too: `datasets.drop_identical_ids(run)`.

    Raises:
        InputError: no such folder or name, no such split, or files that are damaged.
        StoreError: the download failed.

    """
    folder = _folder(folder_or_name)
    judged = folder / "qrels" / f"{split}.tsv"
    if not judged.is_file():
        splits = sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))
        raise InputError(f"{folder}: expected a split among {', '.join(splits) or '(there is none)'}, got {split!r}")
    qrels = read(judged, "qrels").to_dict()
    queries = read_queries(folder / "queries.jsonl")
    missing = [query for query in qrels if query not in queries]
    if missing:
        raise InputError(
            f"{judged}: expected queries of queries.jsonl, got {len(missing)} others, such as {missing[0]!r}"
        )
    queries = {query: text for query, text in queries.items() if query in qrels}
    corpus = read_corpus(folder / "corpus.jsonl")
    if drop_identical_ids:
        qrels = {query: {name: grade for name, grade in row.items() if name != query} for query, row in qrels.items()}
    else:
        _warn_of_identical_texts(folder, queries, corpus)
    return Collection(queries, corpus, qrels)


def _folder(folder_or_name: str | Path) -> Path:
    folder = Path(folder_or_name)
    if folder.is_dir():
        return folder
    name, _, part = str(folder_or_name).partition("/")
    if name in BEIR and ".." not in part:
        from rank_plugins.datasets.download import fetched

        folder = fetched(name, f"{URL}{name}.zip", BEIR[name])
        parts = sorted(path.parent.name for path in folder.glob("*/corpus.jsonl"))
        if parts and part not in parts:
            raise InputError(f"{name}: expected a part, {name}/ and one of {', '.join(parts)}, got {folder_or_name!r}")
        return folder / part if parts else folder
    close = difflib.get_close_matches(name.lower(), BEIR, 1)
    raise InputError(
        f"load_beir: expected a folder or one of {', '.join(BEIR)}, got {str(folder_or_name)!r}"
        f"{f'; did you mean {close[0]!r}?' if close else ''} (ids of ir_datasets are loaded by load_ir_datasets)"
    )


def _warn_of_identical_texts(folder: Path, queries: dict[str, str], corpus: dict[str, dict[str, str]]) -> None:
    """Warn where queries are documents: they find themselves. Equal ids alone may be chance."""
    same = sum(
        query in corpus and text.strip() in (corpus[query]["text"].strip(), " ".join(corpus[query].values()).strip())
        for query, text in queries.items()
    )
    if same:
        warnings.warn(
            f"{folder}: {same} of {len(queries)} queries are documents of the same id and find themselves; leave these"
            " out with drop_identical_ids=True here and datasets.drop_identical_ids(run)",
            stacklevel=3,
        )
