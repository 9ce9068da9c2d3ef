"""evaluate_reranker: with rerankers of ours, with rankers of the real `rerankers`, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import order

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.rerankers import evaluate_reranker
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.runs import Run
from rank_plugins.testing import HashEncoder

QUERIES = {"q1": "red apple", "q2": "green pear", "q3": "nothing here"}
CORPUS = {
    "a": "red apple pie",
    "b": {"title": "green", "text": "pear"},
    "c": "a stone",
    "d": {"title": "", "text": "red stone"},
    "e": "",
}
QRELS = {"q1": {"a": 1}, "q2": {"b": 1}, "q3": {"c": 1}}
RUN = {"q1": {"c": 3.0, "d": 2.0, "a": 1.0}, "q2": {"c": 0.5, "b": 0.5}, "q3": {}}


class Words(Reranker):
    """Counts the query's words in a document, -inf where there are none; keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def _rank(self, requests, top_k):
        self.asked += [(r.query, list(r.documents), r.ids, r.scores.tolist()) for r in requests]
        return [Ranking.from_scores([self._score(r.query, text) for text in r.documents], top_k) for r in requests]

    @staticmethod
    def _score(query, text):
        return float(sum(word in query.split() for word in text.split())) if text else -math.inf


def ranked(result):
    return {query: order(row) for query, row in result.run.to_dict().items()}


def test_before_and_after():
    reranker = Words()
    result = evaluate_reranker(reranker, QUERIES, CORPUS, RUN, QRELS, "rr@10 r@1")
    assert result.before.mean == evaluate(QRELS, RUN, "rr@10 r@1").mean
    assert result.after.per_query["rr@10"] == {"q1": 1.0, "q2": 1.0, "q3": 0.0}
    assert result.run.to_dict() == {"q1": {"a": 2.0, "d": 1.0, "c": 0.0}, "q2": {"b": 2.0, "c": 0.0}, "q3": {}}
    # best first, titles before texts, ids and first-stage scores; equal scores by id, as everywhere
    assert reranker.asked == [
        ("red apple", ["a stone", "red stone", "red apple pie"], ["c", "d", "a"], [3.0, 2.0, 1.0]),
        ("green pear", ["a stone", "green pear"], ["c", "b"], [0.5, 0.5]),
    ]


def test_seconds_are_those_of_queries_with_candidates():
    result = evaluate_reranker(Words(), QUERIES, CORPUS, RUN, QRELS)
    assert result.seconds.shape == (2,)
    assert (result.seconds > 0).all()
    assert result.seconds.min() <= result.p50 <= result.p95 <= result.seconds.max()
    assert math.isnan(evaluate_reranker(Words(), QUERIES, CORPUS, {"q3": {}}, QRELS).p95)
    assert f"{result.p95:.4f} (p95); 2 queries" in str(result)
    assert "first stage" in str(result)


def test_batches_give_the_same():
    one, two = Words(), Words()
    single = evaluate_reranker(one, QUERIES, CORPUS, RUN, QRELS)
    batch = evaluate_reranker(two, QUERIES, CORPUS, RUN, QRELS, batch_size=64)
    assert single.run.to_dict() == batch.run.to_dict()
    assert one.asked == two.asked
    assert np.ptp(batch.seconds) == 0


def test_what_lies_beyond_top_k_keeps_its_order_below():
    run = {"q1": {"c": 9.0, "a": 8.0, "d": 7.0, "b": 7.0, "e": -5.0}}
    result = evaluate_reranker(Words(), QUERIES, CORPUS, run, QRELS, top_k=2)
    assert result.run.to_dict() == {"q1": {"a": 2.0, "c": 0.0, "d": -1.0, "b": -1.0, "e": -2.0}}


def test_documents_without_anything_to_score_stand_last():
    run = {"q1": {"e": 9.0, "a": 8.0, "c": 7.0}}
    result = evaluate_reranker(Words(), QUERIES, CORPUS, run, QRELS, top_k=2)
    assert result.run.to_dict() == {"q1": {"a": 2.0, "e": -math.inf, "c": 1.0}}
    assert ranked(result)["q1"] == ["a", "c", "e"]


def test_documents_that_are_not_returned_are_dropped():
    class Best(Words):
        def _rank(self, requests, top_k):
            return super()._rank(requests, 1)

    result = evaluate_reranker(Best(), QUERIES, CORPUS, RUN, QRELS)
    assert ranked(result) == {"q1": ["a"], "q2": ["b"], "q3": []}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, -math.inf]), st.integers(-3, 3)), min_size=1, max_size=12),
    st.integers(1, 13),
)
def test_the_top_is_the_rerankers_and_the_rest_the_first_stages(rows, top_k):
    corpus = {f"d{i}": f"t{i}" for i in range(len(rows))}
    run = {"q": {f"d{i}": float(first) for i, (_, first) in enumerate(rows)}}
    new = {f"t{i}": score for i, (score, _) in enumerate(rows)}

    class Fixed(Reranker):
        def _rank(self, requests, top_k):
            return [Ranking.from_scores([new[text] for text in r.documents], top_k) for r in requests]

    before = order(run["q"])
    top, rest = before[:top_k], before[top_k:]
    scored = {name: new[f"t{name[1:]}"] for name in top}
    kept = [name for name in order(scored) if scored[name] > -math.inf]
    lost = [name for name in order(scored) if scored[name] == -math.inf]
    result = evaluate_reranker(Fixed(), {"q": "x"}, corpus, run, {"q": {"d0": 1}}, "p@1", top_k=top_k)
    assert ranked(result)["q"] == [*kept, *rest, *lost]


def test_maxsim_and_runs_in_columns():
    reranker = MaxSimReranker(HashEncoder())
    given = Run.from_dict(RUN, name="bm25")
    result = evaluate_reranker(reranker, QUERIES, CORPUS, given, QRELS, "rr@10")
    assert result.after["rr@10"] == pytest.approx(2 / 3)
    assert (result.before.name, result.after.name) == ("bm25", "reranked")
    assert given.to_dict() == RUN


def test_ids_that_are_whole_numbers():
    reranker = Words()
    result = evaluate_reranker(
        reranker, {1: "red apple"}, {7: "a stone", 8: "red apple"}, {1: {7: 2.0, 8: 1.0}}, {1: {8: 1}}, "rr"
    )
    assert result.run.to_dict() == {1: {8: 2.0, 7: 0.0}}
    assert reranker.asked[0][2] is None


def test_a_reranker_that_has_no_batches():
    class Single:
        def rerank(self, query, documents, *, ids=None, scores=None):
            return Words().rerank(query, documents, ids=ids, scores=scores)

    result = evaluate_reranker(Single(), QUERIES, CORPUS, RUN, QRELS)
    assert result.run.to_dict() == evaluate_reranker(Words(), QUERIES, CORPUS, RUN, QRELS).run.to_dict()


def test_rankers_of_rerankers():
    pytest.importorskip("rank_plugins_rerankers")
    from rank_plugins_rerankers import MaxSimRanker

    result = evaluate_reranker(MaxSimRanker(MaxSimReranker(HashEncoder()), verbose=0), QUERIES, CORPUS, RUN, QRELS)
    ours = evaluate_reranker(MaxSimReranker(HashEncoder()), QUERIES, CORPUS, RUN, QRELS)
    assert result.run.to_dict() == ours.run.to_dict()


def test_rankers_that_only_order():
    results = pytest.importorskip("rerankers.results")
    from rerankers.documents import Document

    class Reverse:
        def rank(self, query, docs, doc_ids):
            rows = [
                results.Result(Document(text, doc_id=name), rank=rank)
                for rank, (text, name) in enumerate(zip(reversed(docs), reversed(doc_ids), strict=True), 1)
            ]
            return results.RankedResults(rows, query, has_scores=False)

    result = evaluate_reranker(Reverse(), QUERIES, CORPUS, RUN, QRELS, top_k=2)
    assert ranked(result)["q1"] == ["d", "c", "a"]


def test_the_rules_of_evaluate_are_passed_on():
    result = evaluate_reranker(
        Words(), QUERIES, CORPUS, RUN, QRELS | {"q4": {"a": 1}}, "rr", missing="skip", ties="input"
    )
    assert result.before.n == result.after.n == 3
    assert result.before.settings["ties"] == "input"
    with pytest.raises(InputError, match="unknown metric"):
        evaluate_reranker(Words(), QUERIES, CORPUS, RUN, QRELS, "ndgc@10")


def test_documents_that_the_corpus_lacks_are_named():
    run = {"q1": dict.fromkeys(("a", "x1", "x2", "x3", "x4"), 1.0)}
    with pytest.raises(InputError, match="got none for 'x4', 'x3', 'x2' and 1 more"):
        evaluate_reranker(Words(), QUERIES, CORPUS, run, QRELS)
    evaluate_reranker(Words(), QUERIES, CORPUS | {"x4": "text"}, run, QRELS, top_k=1)  # only candidates need a text


def test_judged_queries_without_text_are_named():
    with pytest.raises(InputError, match="every judged query of the run, got none for 'q2'"):
        evaluate_reranker(Words(), {"q1": "red", "q3": "none"}, CORPUS, RUN, QRELS)
    result = evaluate_reranker(Words(), {"q1": "red apple"}, CORPUS, RUN, {"q1": {"a": 1}}, "rr")
    assert result.run.queries == ["q1"]


@pytest.mark.parametrize("answer", [[("a", 1.0), ("z", 0.5)], [("a", 1.0), ("a", 0.5)]], ids=["unknown", "twice"])
def test_documents_that_it_was_not_given_are_refused(answer):
    results = pytest.importorskip("rerankers.results")
    from rerankers.documents import Document

    class Wrong:
        def rank(self, query, docs, doc_ids):
            rows = [results.Result(Document("x", doc_id=name), score=score) for name, score in answer]
            return results.RankedResults(rows, query, has_scores=True)

    with pytest.raises(InputError, match="each once, got .* for query 'q1'"):
        evaluate_reranker(Wrong(), QUERIES, CORPUS, RUN, QRELS)


def test_other_types_are_refused():
    with pytest.raises(InputTypeError, match="reranker: expected a Reranker"):
        evaluate_reranker(object(), QUERIES, CORPUS, RUN, QRELS)
    with pytest.raises(InputTypeError, match="queries: expected"):
        evaluate_reranker(Words(), ["red"], CORPUS, RUN, QRELS)
    with pytest.raises(InputTypeError, match="corpus: expected"):
        evaluate_reranker(Words(), QUERIES, [*CORPUS], RUN, QRELS)
    with pytest.raises(InputTypeError, match="for document 'c', got 7"):
        evaluate_reranker(Words(), QUERIES, CORPUS | {"c": 7}, RUN, QRELS)
    with pytest.raises(InputError, match="top_k"):
        evaluate_reranker(Words(), QUERIES, CORPUS, RUN, QRELS, top_k=0)
