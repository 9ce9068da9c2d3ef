"""Make examples/data: every 15th SciFact test query with BM25's top 100 abstracts.

    python scripts/make_example_data.py --data FOLDER

FOLDER holds the collection "scifact" in BEIR's layout. Needs bm25s and PyStemmer. The output is the same
in every run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import beir  # noqa: E402 - found by the line above

STEP = 15
README = """# SciFact sample

Every 15th test claim of SciFact ({queries} of 300), with BM25's top 100 abstracts (bm25s, Lucene's formula, k1 0.9,
b 0.4, English stems) in `candidates`, and the judgments in `relevant`. `documents.jsonl` holds the {documents}
abstracts, title and text. Made by `python scripts/make_example_data.py --data FOLDER`.

Source: SciFact (Wadden et al., "Fact or Fiction: Verifying Scientific Claims", EMNLP 2020) in the BEIR edition
(Thakur et al., NeurIPS 2021). Claims and annotations are licensed CC BY 4.0, abstracts (S2ORC) ODC-By 1.0, both by
the Allen Institute for AI. Changes: the selection above and the BM25 candidates.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    collection = beir.load(beir.data_folder(parser.parse_args()) / "scifact")
    chosen = sorted(collection.queries, key=int)[::STEP]
    queries = [
        {
            "id": query,
            "text": collection.queries[query],
            "relevant": collection.qrels[query],
            "candidates": collection.candidates[query],
        }
        for query in chosen
    ]
    used = sorted({document for row in queries for document in row["candidates"]}, key=int)
    documents = [{"id": document, "text": collection.documents[document]} for document in used]
    folder = ROOT / "examples" / "data"
    folder.mkdir(exist_ok=True)
    write_lines(folder / "queries.jsonl", queries)
    write_lines(folder / "documents.jsonl", documents)
    readme = README.format(queries=len(queries), documents=len(documents))
    (folder / "README.md").write_text(readme, encoding="utf-8")
    print(f"{len(queries)} queries, {len(documents)} documents in {folder}")


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object per line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
