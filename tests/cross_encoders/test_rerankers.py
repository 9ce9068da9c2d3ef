"""Rankers of the library rerankers as cross-encoders, against their own `rank`."""

from __future__ import annotations

import pytest

pytest.importorskip("rerankers", reason="needs rerankers")
pytest.importorskip("torch", reason="needs torch")

import torch
from pair_checks import TEXTS, check_scores
from rerankers import Reranker
from rerankers.documents import Document
from rerankers.models.ranker import BaseRanker
from rerankers.results import RankedResults, Result

from rank_plugins import cross_encoders
from rank_plugins.cross_encoders.rerankers import RerankersCrossEncoder
from rank_plugins.errors import InputError, InputTypeError, RankPluginsError
from rank_plugins.rerankers import load
from rank_plugins.testing import ODD_TEXTS, QUERY, RerankerContract, save_tiny_seq2seq


def transformer(folder):
    """Return the library's ranker of a cross-encoder, in float32 on the CPU."""
    return Reranker(folder, model_type="cross-encoder", device="cpu", dtype="float32", verbose=0)


@pytest.fixture(scope="module")
def ranker(bert):
    return transformer(bert)


def scores(ranker):
    return lambda pairs: [float(ranker.rank(query, [text]).results[0].score) for query, text in pairs]


class Counted(BaseRanker):
    """Scores by length; keeps what it is asked."""

    ranking_type = "pointwise"

    def __init__(self):
        self.asked = []

    def score(self, query, doc):
        return float(len(doc))

    def rank(self, query, docs, doc_ids=None):
        self.asked.append((query, list(docs), list(doc_ids)))
        results = [Result(Document(text, doc_id=i), score=len(text)) for text, i in zip(docs, doc_ids, strict=True)]
        return RankedResults(sorted(results, key=lambda one: -one.score), query, has_scores=True)


class TestContract(RerankerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, bert):
        return transformer(bert)

    @pytest.fixture
    def reranker(self, shared):
        return load("rank-cross-encoder", model=shared)


def test_scores_are_the_rankers(ranker):
    check_scores(ranker, scores(ranker))


def test_scores_of_another_kind_of_model(tmp_path):
    """The library prints what it loads, and rounds nothing."""
    folder = save_tiny_seq2seq(tmp_path)
    try:
        ranker = Reranker(folder, model_type="t5", device="cpu", dtype="float32", verbose=0,
                          token_true="true", token_false="false")  # fmt: skip  # noqa: S106 - words
    except Exception as error:  # noqa: BLE001 - what the library does with a newer transformers
        pytest.skip(f"rerankers cannot load a T5 here ({error})")
    check_scores(ranker, scores(ranker))
    assert cross_encoders.load(folder).activated(
        cross_encoders.load(folder).run([(QUERY, text) for text in TEXTS]), "default"
    ).tolist() == pytest.approx(scores(ranker)([(QUERY, text) for text in TEXTS]), abs=1e-5)  # MonoT5's P(true)


def test_each_query_is_asked_once_with_its_own_documents():
    ranker = Counted()
    rankings = load("rank-cross-encoder", model=ranker).rerank_batch(
        ["one", "two"], [["a", "bbb", "cc", ""], ["bbb", "d"]]
    )
    assert [next(iter(ranking)) for ranking in rankings] == [(1, 3.0), (0, 3.0)]
    assert sorted((query, sorted(texts)) for query, texts, _ in ranker.asked) == [
        ("one", ["a", "bbb", "cc"]),
        ("two", ["bbb", "d"]),
    ]


def test_equal_texts_have_ids_of_their_own():
    model = cross_encoders.load(Counted())
    assert model.run([("q", "same"), ("q", "same"), ("p", "same")]).tolist() == [4, 4, 4]


def test_ranks_without_scores_are_refused():
    class Ranks(Counted):
        def rank(self, query, docs, doc_ids=None):
            results = [Result(Document(text, doc_id=i), rank=i + 1) for i, text in enumerate(docs)]
            return RankedResults(results, query, has_scores=False)

    with pytest.raises(InputError, match="got one that gives ranks and no scores .Ranks.*depends on the others"):
        load("rank-cross-encoder", model=Ranks()).rerank(QUERY, TEXTS)

    class Listwise(Counted):
        ranking_type = "listwise"

    with pytest.raises(InputError, match="got a listwise one"):
        cross_encoders.load(Listwise())


def test_a_document_that_is_lost_is_told():
    class Lossy(Counted):
        def rank(self, query, docs, doc_ids=None):
            return super().rank(query, docs[:-1], doc_ids[:-1])

    with pytest.raises(RankPluginsError, match="expected a score for each of 2 documents, got 1"):
        load("rank-cross-encoder", model=Lossy()).rerank(QUERY, ["a", "b"])


def test_only_rankers_are_taken():
    with pytest.raises(
        InputTypeError, match=r"expected a ranker of the library rerankers, got str.*rerankers\.Reranker"
    ):
        cross_encoders.load("a name", engine="rerankers")
    with pytest.raises(InputTypeError, match="its options are: model"):
        cross_encoders.load(Counted(), device="cpu")


def test_fingerprints_say_what_decides_scores(bert, ranker):
    fingerprint = RerankersCrossEncoder(ranker).fingerprint
    assert RerankersCrossEncoder(transformer(bert)).fingerprint == fingerprint
    other = transformer(bert)
    with torch.no_grad():
        other.model.classifier.weight.mul_(2)
    assert RerankersCrossEncoder(other).fingerprint != fingerprint
    first = RerankersCrossEncoder(Counted())
    assert first.fingerprint == first.fingerprint
    assert first.fingerprint != RerankersCrossEncoder(Counted()).fingerprint  # nothing is known of them


def test_what_it_does_with_a_long_document_is_its_own(ranker):
    ranking = load("rank-cross-encoder", model=ranker).rerank(QUERY, [ODD_TEXTS["long text"], "paris"])
    assert dict(ranking)[0] == pytest.approx(scores(ranker)([(QUERY, ODD_TEXTS["long text"])])[0], abs=1e-5)
    assert ranking.details["windows"] == {}
