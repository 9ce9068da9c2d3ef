"""The embedded encoder on real collections: nDCG@10 of MaxSim over BM25's top 100 must stay above its bounds.

The numbers do not depend on the machine's speed. The table that the README shows is made by
benchmarks/effectiveness.py, whose code runs here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("bm25s", reason="needs bm25s for the first stage")
pytest.importorskip("pytrec_eval", reason="needs pytrec-eval-terrier, the oracle")

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import beir
import effectiveness

from rank_plugins.encoders.onnx import minilm

BM25 = {"scifact": 0.676, "nfcorpus": 0.318, "trec-dl19-pool": 0.5058}
LEAST = {"scifact": 0.710, "nfcorpus": 0.345, "trec-dl19-pool": 0.650}


@pytest.mark.parametrize(("name", "qrels", "run"), effectiveness.COLLECTIONS)
def test_ndcg_with_the_embedded_int8_encoder(data, name, qrels, run):
    """BM25 gives its published figure, and MaxSim lifts it over the bound."""
    collection = beir.load(data / name, qrels, run)
    assert beir.ndcg(collection, collection.candidates) == pytest.approx(BM25[name], abs=0.002)
    measured = effectiveness.measure(collection, minilm(engine="onnxruntime"))
    assert measured["ndcg@10"] >= LEAST[name]
