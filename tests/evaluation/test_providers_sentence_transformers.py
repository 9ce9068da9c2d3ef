"""The evaluator for sentence-transformers: tiny models from a configuration, its own evaluator, its trainer."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from rank_plugins.errors import InputError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.abstention import false_evidence_rate

pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from sentence_transformers import CrossEncoder, SentenceTransformer  # noqa: E402 - after importorskip

from rank_plugins.evaluation.providers.sentence_transformers import RankingEvaluator  # noqa: E402

WORDS = ["sun", "rain", "snow", "wind", "cloud", "storm", "river", "stone", "tree", "leaf", "bird", "fish"]
QUERIES = {f"q{i}": f"{WORDS[i]} {WORDS[-i - 1]}" for i in range(6)}
CORPUS = {
    f"d{i}": {"title": WORDS[i % 12], "text": f"{WORDS[(5 * i + 1) % 12]} {WORDS[(7 * i) % 11]}"} for i in range(18)
}
QRELS = {query: {f"d{3 * i}": 1, f"d{(3 * i + 1) % 18}": 1} for i, query in enumerate(QUERIES)}
CANDIDATES = {query: [f"d{(i + k) % 18}" for k in range(0, 18, 2)] for i, query in enumerate(QUERIES)}
TEXTS = {name: f"{row['title']} {row['text']}" for name, row in CORPUS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a BERT with one layer of width 16 and random weights."""
    path = tmp_path_factory.mktemp("model")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    transformers.BertTokenizerFast(vocab=vocabulary).save_pretrained(path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), max_position_embeddings=32, num_labels=1, initializer_range=0.5, **sizes
    )
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.fixture
def cross_encoder(folder):
    return CrossEncoder(str(folder), device="cpu")


def test_a_cross_encoder_reranks_the_candidates(cross_encoder):
    evaluator = RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES, "ndcg@10 rr@10 r@5")
    scores = {
        query: dict(zip(row, cross_encoder.predict([(QUERIES[query], TEXTS[d]) for d in row]).tolist(), strict=True))
        for query, row in CANDIDATES.items()
    }
    found = evaluator.score(cross_encoder)
    for query, row in scores.items():
        assert found[query] == pytest.approx(row, abs=1e-6)
    assert evaluator(cross_encoder) == evaluate(QRELS, found, "ndcg@10 rr@10 r@5").mean
    assert evaluator.primary_metric == "ndcg@10"


def test_equals_the_hosts_evaluator_where_both_define_the_same(cross_encoder):
    """Sklearn's nDCG and AP and the host's MRR, on candidates that hold every relevant document."""
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    candidates = {query: list(CORPUS) for query in QUERIES}
    samples = [
        {"query": QUERIES[q], "positive": [TEXTS[d] for d in QRELS[q]], "documents": [TEXTS[d] for d in row]}
        for q, row in candidates.items()
    ]
    assert len(set(TEXTS.values())) == len(TEXTS)  # the host knows documents by their text
    theirs = CrossEncoderRerankingEvaluator(samples, at_k=10, write_csv=False)(cross_encoder)
    ours = RankingEvaluator(QUERIES, CORPUS, QRELS, candidates, "ndcg@10 mrr@10 map", name="")(cross_encoder)
    assert ours == pytest.approx({name: theirs[name] for name in ("ndcg@10", "mrr@10", "map")}, abs=1e-9)


def test_pitfall_relevant_documents_are_not_added(cross_encoder):
    """The host's evaluator adds them by default, and so counts what the first stage never found."""
    without = {query: [d for d in row if d not in QRELS[query]] for query, row in CANDIDATES.items()}
    values = RankingEvaluator(QUERIES, CORPUS, QRELS, without, "ndcg@10 r@10")(cross_encoder)
    assert values == {"ndcg@10": 0.0, "r@10": 0.0}


def test_a_sentence_transformer_searches_the_corpus(folder):
    model = SentenceTransformer(str(folder), device="cpu")
    evaluator = RankingEvaluator(QUERIES, CORPUS, QRELS, metrics="ndcg@10")
    queries = model.encode_query([*QUERIES.values()], convert_to_tensor=True)
    documents = model.encode_document([*TEXTS.values()], convert_to_tensor=True)
    wanted = model.similarity(queries, documents).cpu().numpy()
    found = evaluator.score(model)
    assert [list(row) for row in found.values()] == [list(CORPUS)] * len(QUERIES)
    assert np.array([list(row.values()) for row in found.values()]) == pytest.approx(wanted, abs=1e-6)
    assert evaluator(model)["ndcg@10"] == evaluate(QRELS, found, "ndcg@10")["ndcg@10"]
    fewer = RankingEvaluator(QUERIES, CORPUS, QRELS, {"q1": ["d2", "d5"], "q2": []}, "ndcg@10").score(model)
    assert {query: set(row) for query, row in fewer.items() if row} == {"q1": {"d2", "d5"}}
    assert fewer["q1"]["d5"] == pytest.approx(float(wanted[1, 5]), abs=1e-6)


def test_false_evidence_of_declared_queries(cross_encoder):
    empty = ["q4", "q5"]
    qrels = {query: row for query, row in QRELS.items() if query not in empty} | {"q4": {"d0": 0}}
    evaluator = RankingEvaluator(QUERIES, CORPUS, qrels, CANDIDATES, "ndcg@10", no_evidence=empty, threshold=0.5)
    run = evaluator.score(cross_encoder)
    rate = false_evidence_rate(run, empty, 0.5)
    evidence = {query: row for query, row in qrels.items() if query not in empty}
    assert evaluator(cross_encoder) == {
        "ndcg@10": evaluate(evidence, run, "ndcg@10")["ndcg@10"],
        "false_evidence": rate.rate,
        "false_evidence_upper": rate.upper,
    }
    high = RankingEvaluator(QUERIES, CORPUS, qrels, CANDIDATES, no_evidence=empty, threshold=1.1)(cross_encoder)
    assert high["false_evidence"] == 0.0


def test_names_and_the_file(cross_encoder, tmp_path):
    evaluator = RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES, "rr@10 p@1", name="dev")
    values = evaluator(cross_encoder, str(tmp_path / "eval"), 1, 20)
    evaluator(cross_encoder, str(tmp_path / "eval"), 2, -1)
    assert list(values) == ["dev_rr@10", "dev_p@1"]
    assert evaluator.primary_metric == "dev_rr@10"
    with (tmp_path / "eval" / "RankingEvaluator_dev_results.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["epoch", "steps", "rr@10", "p@1"]
    assert [row[:2] for row in rows[1:]] == [["1", "20"], ["2", "-1"]]
    assert float(rows[1][2]) == values["dev_rr@10"]
    RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES, write_csv=False)(cross_encoder, str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_is_refused(cross_encoder, folder):
    with pytest.raises(InputError, match="threshold: expected"):
        RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES, no_evidence=["q9"])
    declared = {"no_evidence": ["q1"], "threshold": 0.5}
    with pytest.raises(InputError, match="expected queries without a relevant document, got 'q1'"):
        RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES, **declared)
    with pytest.raises(InputError, match="whose text is known, got 'q9'"):
        RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES, no_evidence=["q9"], threshold=0.5)
    for candidates in (None, CANDIDATES):
        with pytest.raises(InputError, match="every judged query"):
            RankingEvaluator({"q1": "sun"}, CORPUS, QRELS, candidates)
    with pytest.raises(InputError, match="corpus: expected the text of every candidate"):
        RankingEvaluator(QUERIES, {"d0": "sun"}, QRELS, CANDIDATES)
    several = CrossEncoder(str(folder), num_labels=3, device="cpu", model_kwargs={"ignore_mismatched_sizes": True})
    with pytest.raises(InputError, match="one score for each pair"):
        RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES)(several)


def test_in_the_trainer(cross_encoder, tmp_path):
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("accelerate")
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments

    pairs = {"query": [*QUERIES.values()] * 2, "document": [*TEXTS.values()][:12], "label": [1.0, 0.0] * 6}
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=4, eval_strategy="steps", eval_steps=2,
        save_strategy="steps", save_steps=2, load_best_model_at_end=True, metric_for_best_model="eval_dev_ndcg@10",
        report_to=[], disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    trainer = CrossEncoderTrainer(
        model=cross_encoder,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(pairs),
        evaluator=RankingEvaluator(QUERIES, CORPUS, QRELS, CANDIDATES, name="dev"),
    )
    trainer.train()
    logged = [row["eval_dev_ndcg@10"] for row in trainer.state.log_history if "eval_dev_ndcg@10" in row]
    assert len(logged) == 2
    assert trainer.state.best_metric == max(logged)
    assert (tmp_path / "eval" / "RankingEvaluator_dev_results.csv").exists()
