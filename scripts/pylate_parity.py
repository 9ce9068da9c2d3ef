"""Compare SentenceTransformersEncoder with PyLate itself, on checkpoints that PyLate writes.

PyLate pins versions that do not go with current ones, so it lives in an environment of its own, made here (2 GB):

    python scripts/pylate_parity.py --environment FOLDER

There it builds tiny ColBERT models, saves them, and encodes texts, one per call: its `rank.rerank` pads without a
mask, and a document next to a longer one would get another score. Here the folders are loaded by
sentence-transformers; token embeddings and MaxSim scores must agree to 1e-4.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

PINNED = ("torch==2.13.0", "sentence-transformers==5.3.0", "transformers==5.3.0", "ujson==5.12.0", "ninja==1.11.1.4")
NEEDED = ("datasets>=2.20", "accelerate>=0.31", "pandas>=2.2.1")
WITHOUT_DEPENDENCIES = ("pylate==1.6.0", "fastkmeans==0.5.0")  # fast-plaid has no build for this torch, nor is it used
TOLERANCE = 1e-4

QUERIES = ["effects of aspirin", "wind tunnel, drag!", "x"]
DOCUMENTS = [
    "aspirin lowers blood pressure when taken at bedtime.",
    "wind tunnels measure the drag of a wing; drag, lift (and more).",
    "paris",
    "the effects of low doses: a trial of aspirin and of blood pressure, with wings and tunnels.",
]
VARIANTS = {
    "defaults": {},
    "expansion attended": {"attend_to_expansion_tokens": True, "query_length": 24},
    "no expansion, no skip-list": {"do_query_expansion": False, "skiplist_words": []},
    "other markers": {"query_prefix": "[unused0]", "document_prefix": "[unused1]", "document_length": 20},
}


def main() -> int:
    """Make the environment, run PyLate in it, compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, required=True, help="folder of the environment; made if absent")
    folder = parser.parse_args().environment.resolve()
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, PINNED[0]], check=True)
        subprocess.run([*install, *PINNED, *NEEDED], check=True)
        subprocess.run([*install, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
    worst = 0.0
    with tempfile.TemporaryDirectory() as work:
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        subprocess.run([str(python), __file__, "--write", work], check=True, env=environment)
        for number, name in enumerate(VARIANTS):
            tokens, scores = compare(Path(work, str(number)))
            print(f"{name:<28} token embeddings {tokens:.1e}   scores {scores:.1e}")
            worst = max(worst, tokens, scores)
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    return int(not worst <= TOLERANCE)


def compare(folder: Path) -> tuple[float, float]:
    """Return the largest differences of token embeddings and of scores to what PyLate gave."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from rank_plugins.encoders.sentence_transformers import SentenceTransformersEncoder
    from rank_plugins.rerankers.maxsim import MaxSimReranker

    reference = np.load(folder / "embeddings.npz")
    expected = np.array(json.loads((folder / "scores.json").read_text()))
    encoder = SentenceTransformersEncoder(folder / "model", long_documents="first", device="cpu")
    found = [*encoder.encode_queries(QUERIES), *encoder.encode_documents(DOCUMENTS)]
    for i, vectors in enumerate(found):
        if vectors.shape != reference[str(i)].shape:
            sys.exit(f"text {i}: expected {reference[str(i)].shape} from PyLate, got {vectors.shape}")
    tokens = max(float(np.abs(vectors - reference[str(i)]).max()) for i, vectors in enumerate(found))
    reranker = MaxSimReranker(encoder)
    scores = np.empty_like(expected)
    for row, query in zip(scores, QUERIES, strict=True):
        for i, score in reranker.rerank(query, DOCUMENTS):
            row[i] = score
    return tokens, float(np.abs(scores - expected).max())


def write(folder: Path) -> None:
    """Run inside the environment: save a tiny model of each variant, and its embeddings and scores."""
    import torch
    from pylate import models, rank
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(5)
    words = sorted({word.strip(".,;:()!") for text in (*QUERIES, *DOCUMENTS) for word in text.split()})
    special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: i for i, token in enumerate([*special, *".,;:()!?", *words])}
    base = folder / "base"
    BertTokenizer(vocab=vocabulary).save_pretrained(base)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes)).save_pretrained(base)
    for number, options in enumerate(VARIANTS.values()):
        model = models.ColBERT(str(base), embedding_size=16, device="cpu", **options)
        place = folder / str(number)
        model.save_pretrained(str(place / "model"))
        queries = [model.encode([text], is_query=True, show_progress_bar=False)[0] for text in QUERIES]
        documents = [model.encode([text], is_query=False, show_progress_bar=False)[0] for text in DOCUMENTS]
        np.savez(place / "embeddings.npz", **{str(i): np.asarray(v) for i, v in enumerate([*queries, *documents])})
        scores = [[score(rank, query, document) for document in documents] for query in queries]
        (place / "scores.json").write_text(json.dumps(scores))


def score(rank: object, query: np.ndarray, document: np.ndarray) -> float:
    """Return what PyLate's reranker gives one document that has no neighbours."""
    return float(rank.rerank([["d"]], [query], [[document]], device="cpu")[0][0]["score"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]))
    else:
        sys.exit(main())
