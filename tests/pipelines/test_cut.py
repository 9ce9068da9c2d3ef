"""Cuts: each rule by hand and by its definition, their JSON form, and CutReranker under the contract."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, rerankers
from rank_plugins.encoders.onnx import MINILM
from rank_plugins.pipelines.cuts import CutReranker, LargestGap, Mass, Threshold, Tokens, cut
from rank_plugins.rerankers import Ranking
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract

INF = math.inf
SCORES = st.lists(st.floats(-50, 50) | st.just(-INF), max_size=20).map(lambda values: sorted(values, reverse=True))


def ranking(*scores):
    return Ranking(np.arange(len(scores)), scores)


class TestContract(RerankerContract):
    """The contract with a rule that keeps everything."""

    pointwise = False

    @pytest.fixture
    def reranker(self):
        """Return MaxSim with a budget that is never reached."""
        cut = {"cut": "tokens", "budget": 10**6}
        return rerankers.load("rank-cut", reranker=MaxSimReranker(HashEncoder(64)), cut=cut)


@pytest.mark.parametrize(
    ("rule", "scores", "kept"),
    [
        (LargestGap(), [9, 8, 3, 2], 2),
        (LargestGap(), [9, 5, 4, 1], 1),
        (LargestGap(least=2), [9, 1, 0.9, 0.5], 3),
        (LargestGap(least=2, most=2), [9, 1, 0.9, 0.5], 2),
        (LargestGap(most=3), [9, 8, 7, 6, 0], 1),
        (LargestGap(), [5, 5, 5], 3),
        (LargestGap(most=2), [5, 5, 5], 2),
        (LargestGap(least=5), [9, 8, 1], 3),
        (LargestGap(), [9, 8, 5, -INF], 2),
        (LargestGap(), [-INF, -INF], 0),
        (LargestGap(), [], 0),
        (LargestGap(), [INF, INF, 3, 1], 2),
        (LargestGap(), [INF, INF], 2),
        (LargestGap(), [1.7e308, -1.7e308, -1.7e308], 1),
        (Mass(0.9), [INF, INF, 3, 1], 2),
        (Mass(0.9), [1.7e308, -1.7e308], 1),
        (Mass(0.9, temperature=5e-324), [3, 3, 1], 2),
        (Mass(0.9), [math.log(8), math.log(1), math.log(1)], 2),
        (Mass(0.8), [math.log(8), math.log(1), math.log(1)], 1),
        (Mass(0.8, temperature=2), [math.log(64), 0, 0], 1),
        (Mass(0.5), [1, 1, 1, 1, -INF], 2),
        (Mass(1), [0, 0, -INF], 2),
        (Mass(0.75, temperature=None), [0.9, 0.6, 0.4, 0.1], 2),
        (Mass(0.76, temperature=None), [0.9, 0.6, 0.4, 0.1], 3),
        (Mass(temperature=None), [0, 0], 0),
        (Mass(), [-INF], 0),
        (Threshold(0.5), [0.9, 0.5, 0.4], 2),
        (Threshold(-1e300), [0.0, -INF], 1),
    ],
)
def test_rules(rule, scores, kept):
    """How many stay."""
    assert len(cut(ranking(*scores), rule)) == kept


@given(SCORES, st.integers(1, 5), st.none() | st.integers(5, 10))
def test_the_gap_is_the_largest(scores, least, most):
    """No other end within the limits has a larger one, and no earlier one an equal one."""
    known = [score for score in scores if score > -INF]
    kept = LargestGap(least, most)(ranking(*scores))
    limit = min(len(known), most or len(known))
    assert min(least, len(known)) <= kept <= limit
    gaps = {end: known[end - 1] - known[end] for end in range(least, min(limit, len(known) - 1) + 1)}
    if any(gaps.values()):
        assert gaps[kept] == max(gaps.values())
        assert all(gaps[end] < gaps[kept] for end in gaps if end < kept)
    else:
        assert kept == limit


@given(SCORES, st.floats(0.01, 1), st.floats(0.1, 10))
def test_the_mass_is_held_and_by_no_fewer(scores, share, temperature):
    """The share of the softmax that is kept is enough, and without the last one it is not."""
    known = np.array([score for score in scores if score > -INF])
    kept = Mass(share, temperature)(ranking(*scores))
    if len(known):
        mass = np.exp((known - known.max()) / temperature)
        mass /= mass.sum()
        assert mass[:kept].sum() >= share - 1e-9
        assert mass[: kept - 1].sum() < share + 1e-9
    else:
        assert kept == 0


@given(st.lists(st.integers(0, 30), max_size=10), st.integers(1, 100))
def test_tokens_fill_the_budget_in_order(lengths, budget):
    """What is kept fits, and one more would not."""
    texts = ["x" * length for length in lengths]
    kept = Tokens(budget, count=len)(ranking(*range(len(texts), 0, -1)), texts)
    assert sum(lengths[:kept]) <= budget
    assert kept == len(texts) or sum(lengths[: kept + 1]) > budget


def test_tokens_are_counted_as_asked():
    """By characters, by a function, or by a tokenizer; in the ranking's order, not the list's."""
    texts = ["four", "one more word", ""]
    shuffled = Ranking([1, 0, 2], [2.0, 1.0, -INF])
    assert Tokens(4)(shuffled, texts) == 1
    assert Tokens(5)(shuffled, texts) == 3
    assert Tokens(4, count=lambda text: len(text.split()))(shuffled, texts) == 3
    pytest.importorskip("tokenizers")
    rule = Tokens(3, count=str(MINILM / "tokenizer.json"))
    assert rule(shuffled, texts) == 1
    assert Tokens(4, count=rule.count)(shuffled, texts) == 3
    assert Tokens(400, count=rule.count)(ranking(2, 1), ["word " * 401, ""]) == 0, "nothing is truncated"
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        Tokens(3, count="nowhere.json")(shuffled, texts)


def test_details_say_what_was_kept():
    """As the dict that makes the rule again; a function by its name."""
    found = cut(Ranking([3, 1], [2.0, 1.0], {"timings": {}}), {"cut": "largest-gap", "most": 1})
    assert list(found) == [(3, 2.0)]
    assert found.details == {
        "timings": {},
        "cut": {"rule": {"cut": "largest-gap", "least": 1, "most": 1}, "kept": 1, "of": 2},
    }
    assert cut(found, found.details["cut"]["rule"]).details["cut"]["of"] == 1

    def first(ranking, texts):
        return 1

    assert cut(found, first).details["cut"]["rule"] == {"cut": "first"}
    assert cut(ranking(1.0), Tokens(5, count=len), ["x"]).details["cut"]["rule"] == {
        "cut": "tokens", "budget": 5, "count": "len",
    }  # fmt: skip


@pytest.mark.parametrize(
    "rule",
    [
        LargestGap(np.int64(1), np.int32(2)),
        Mass(np.float32(0.5), np.float32(2)),
        Tokens(np.int64(5)),
        Threshold(np.float32(0.5)),
    ],
)
def test_numbers_of_numpy_are_told_as_pythons(rule):
    """JSON holds them, and makes the rule again."""
    told = cut(ranking(1, 0.5), rule, ["x", "y"]).details["cut"]["rule"]
    assert cut(ranking(1, 0.5), json.loads(json.dumps(told)), ["x", "y"]).details["cut"]["rule"] == told


def test_the_reranker_returns_a_prefix():
    """The rule sees all documents whatever top_k is, and the texts; embeddings have none."""
    encoder = HashEncoder(64)
    plain = MaxSimReranker(encoder)
    whole = plain.rerank(QUERY, DOCUMENTS)
    made = CutReranker(plain, LargestGap())
    kept = LargestGap()(whole)
    assert 1 < kept < len(DOCUMENTS)
    assert list(made.rerank(QUERY, DOCUMENTS)) == list(whole)[:kept]
    short = made.rerank(QUERY, DOCUMENTS, top_k=1)
    assert list(short) == list(whole)[:1]
    assert short.details["cut"]["kept"] == kept
    assert json.dumps(short.details)
    budget = CutReranker(plain, Tokens(1))
    assert list(budget.rerank(QUERY, DOCUMENTS)) == []
    with pytest.raises(InputError, match="texts"):
        budget.rerank(encoder.encode_queries(["a"])[0], encoder.encode_documents(["a"]))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: LargestGap(0), InputError),
        (lambda: LargestGap(3, 2), InputError),
        (lambda: LargestGap("1"), InputTypeError),
        (lambda: Mass(0), InputError),
        (lambda: Mass(1.5), InputError),
        (lambda: Mass(temperature=0), InputError),
        (lambda: Mass(temperature=None)(ranking(1, -1)), InputError),
        (lambda: Tokens(0), InputError),
        (lambda: Tokens(5, count=3), InputTypeError),
        (lambda: Threshold(math.nan), InputError),
        (lambda: cut(ranking(1), {"cut": "largest gap"}), InputError),
        (lambda: cut(ranking(1), {}), InputError),
        (lambda: cut(ranking(1), {"cut": "mass", "shares": 1}), InputTypeError),
        (lambda: cut(ranking(1), {"cut": "tokens"}), InputTypeError),
        (lambda: cut(ranking(1), "mass"), InputTypeError),
        (lambda: cut(ranking(1), LargestGap), InputTypeError),
        (lambda: cut(ranking(1), lambda ranking, texts: -1), InputError),
        (lambda: cut(ranking(1), lambda ranking, texts: 0.5), InputTypeError),
    ],
)
def test_what_is_refused(wrong, error):
    """At once, where the value is given."""
    with pytest.raises(error):
        wrong()
