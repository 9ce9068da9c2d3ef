"""Real runs give the published figures, and pytrec_eval's values query by query."""

import numpy as np
import pytest

from rank_plugins.evaluation import evaluate
from rank_plugins.runs import read

# nDCG@10 with all official judgments: the Anserini and Pyserini reproduction tables.
DL19 = {"bm25": 0.5058, "splade_pp_ed": 0.7308}
NAMES = {"ndcg@10": "ndcg_cut_10", "ap": "map", "rr": "recip_rank", "r@100": "recall_100", "bpref": "bpref"}


@pytest.mark.parametrize("name", DL19)
def test_dl19(name, data):
    folder = data / "trec-dl19-pool"
    result = evaluate(folder / "qrels" / "test.full.tsv", folder / "runs" / f"{name}.trec", "ndcg@10")
    assert round(result["ndcg@10"], 4) == DL19[name]
    assert result.n == 43


def test_trec_covid(data):
    """The run is saved with four decimals, which makes ties; in the file's order it is what was published."""
    folder = data / "runs-trec-covid"
    files = folder / "qrels.txt", folder / "runs" / "bm25.trec"
    assert round(evaluate(*files, "ndcg@10", ties="input")["ndcg@10"], 4) == 0.5947
    bounds = [evaluate(*files, "ndcg@10", ties=ties)["ndcg@10"] for ties in ("worst", "id_desc", "average", "best")]
    assert bounds == sorted(bounds)
    assert round(bounds[1], 4) == 0.5935  # trec_eval's own, by id


@pytest.mark.parametrize("run", ["trec-dl19-pool/bm25", "trec-dl19-pool/ada2", "runs-trec-covid/splade_pp_ed"])
def test_values_of_pytrec_eval(run, data):
    """pytrec_eval compares scores in single precision, so we do the same here."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    folder, name = run.split("/")
    qrels = read(
        next(p for p in (data / folder / "qrels" / "test.full.tsv", data / folder / "qrels.txt") if p.exists())
    )
    ours = read(data / folder / "runs" / f"{name}.trec")
    result = evaluate(qrels, ours, list(NAMES), score_dtype="float32")
    evaluator = pytrec_eval.RelevanceEvaluator(
        {q: {d: int(g) for d, g in row.items()} for q, row in qrels.to_dict().items()},
        {"ndcg_cut.10", "map", "recip_rank", "recall.100", "bpref"},
    )
    theirs = evaluator.evaluate(ours.to_dict())
    for metric, key in NAMES.items():
        values = np.array([theirs[query][key] for query in result.query_ids])
        assert (result.values[result.metrics.index(metric)] == values).all(), metric
