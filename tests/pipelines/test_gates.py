"""Gates: what they look at, how they combine, their JSON form, and the choice of a bound."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.pipelines import Entropy, QueryWords, TopGap, TopScore, choose_gate
from rank_plugins.pipelines.gates import gate
from rank_plugins.rerankers import Ranking


def ranking(*scores):
    return Ranking.from_scores(scores)


def test_top_gap():
    """The bound itself does not have the stage run."""
    assert TopGap(0.5).value("q", ranking(1.0, 3.0, 2.5)) == 0.5
    assert not TopGap(0.5)("q", ranking(1.0, 3.0, 2.5))
    assert TopGap(0.6)("q", ranking(1.0, 3.0, 2.5))
    assert TopGap(1)("q", ranking(2.0, 2.0))


@pytest.mark.parametrize("scores", [(), (3.0,), (3.0, -math.inf)])
def test_a_lone_document_is_far_ahead(scores):
    assert TopGap(0).value("q", ranking(*scores)) == math.inf
    assert not TopGap(1e300)("q", ranking(*scores))


def test_top_score():
    assert TopScore(0).value("q", ranking(-1.0, 2.0)) == 2.0
    assert TopScore(2.5)("q", ranking(2.0))
    assert not TopScore(2.0)("q", ranking(2.0))
    assert TopScore(-1e300)("q", ranking(-math.inf))
    assert TopScore(0)("q", ranking())


def test_query_words():
    assert QueryWords(3).value("  what is\tthis ", ranking(1.0)) == 3
    assert QueryWords(2)("what is this", ranking(1.0))
    assert not QueryWords(3)("what is this", ranking(1.0))
    with pytest.raises(InputTypeError, match="QueryWords"):
        QueryWords(3)(np.ones((2, 3), np.float32), ranking(1.0))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.floats(0.1, 10))
def test_entropy_is_that_of_the_softmax(scores, temperature):
    weights = [math.exp((score - max(scores)) / temperature) for score in scores]
    shares = [weight / math.fsum(weights) for weight in weights]
    expected = -math.fsum(share * math.log(share) for share in shares if share > 0)
    value = Entropy(0, temperature).value("q", ranking(*scores, -math.inf))
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert value >= 0


def test_entropy_counts_documents_in_question():
    assert math.exp(Entropy(0).value("q", ranking(5.0, 5.0, 5.0, -900.0))) == pytest.approx(3)
    assert Entropy(0).value("q", ranking(-math.inf)) == 0.0
    assert Entropy(0).value("q", ranking(1e308, -1e308)) == 0.0
    assert Entropy(0.5)("q", ranking(1.0, 1.0))
    assert not Entropy(0.5, temperature=0.1)("q", ranking(2.0, 1.0))


YES, NO = TopScore(math.inf), TopScore(-math.inf)


def test_gates_combine():
    """As in logic; what the answer does not need is not asked."""
    truth = {YES: True, NO: False}
    for (a, x), (b, y) in itertools.product(truth.items(), truth.items()):
        assert (a | b)("q", ranking(1.0)) is (x or y)
        assert (a & b)("q", ranking(1.0)) is (x and y)
        assert (~a)("q", ranking(1.0)) is (not x)
    vectors = np.ones((1, 2), np.float32)
    assert (YES | QueryWords(1))(vectors, ranking(1.0))
    assert not (NO & QueryWords(1))(vectors, ranking(1.0))
    assert (~(YES & NO) & (NO | YES))("q", ranking(1.0))
    assert repr(TopGap(1) | ~QueryWords(2)) == "(TopGap(below=1.0) | ~QueryWords(above=2.0))"
    with pytest.raises(TypeError):
        TopGap(1) | 3


def test_what_reads_scores():
    assert TopGap(1).reads_scores
    assert not QueryWords(1).reads_scores
    assert (QueryWords(1) | TopGap(1)).reads_scores
    assert not (~QueryWords(1)).reads_scores


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"gate": "top-gap", "below": 0.05}, TopGap(0.05)),
        ({"gate": "top-score", "below": -1}, TopScore(-1)),
        ({"gate": "query-words", "above": 8}, QueryWords(8)),
        ({"gate": "entropy", "above": 1.5, "temperature": 2}, Entropy(1.5, 2)),
        (
            {"any": [{"gate": "top-gap", "below": 1}, {"all": [{"gate": "entropy", "above": 1}]}]},
            TopGap(1) | gate({"all": [{"gate": "entropy", "above": 1}]}),
        ),
        ({"not": {"gate": "top-gap", "below": 1}}, ~TopGap(1)),
        ({"all": [{"gate": "top-gap", "below": 1}, {"gate": "top-score", "below": 2}]}, TopGap(1) & TopScore(2)),
    ],
)
def test_json_forms(form, expected):
    assert gate(json.loads(json.dumps(form))) == expected


def test_a_gate_or_a_function_is_taken_as_it_is():
    one, other = TopGap(1), lambda query, ranking: True
    assert gate(one) is one
    assert gate(other) is other


@pytest.mark.parametrize(
    ("form", "error", "message"),
    [
        ({"gate": "top-gab", "below": 1}, InputError, "did you mean 'top-gap'"),
        ({"gate": "top-gap", "above": 1}, InputTypeError, "its options are: below"),
        ({"gate": "top-gap"}, InputTypeError, "its options are: below"),
        ({"gate": "top-gap", "below": "1"}, InputTypeError, "TopGap: below: expected a number, got str"),
        ({"gate": "top-gap", "below": math.nan}, InputError, "nan"),
        ({"gate": "top-gap", "below": True}, InputTypeError, "bool"),
        ({"gate": "entropy", "above": 1, "temperature": 0}, InputError, "temperature: expected more than 0"),
        ({"either": []}, InputError, 'one of "any", "all" and "not", got either'),
        ({}, InputError, "got nothing"),
        ({"any": []}, InputError, "when: any: expected at least one"),
        ({"any": "top-gap"}, InputTypeError, "when: any: expected a list"),
        ({"any": [{"gate": "top-gap", "below": 1}], "all": []}, InputError, "got any, all"),
        ({"not": TopGap(1)}, InputTypeError, "when: not: expected a dict, got TopGap"),
        (7, InputTypeError, "when: expected a gate, a dict or a function, got int"),
    ],
)
def test_what_is_no_gate_is_refused(form, error, message):
    with pytest.raises(error, match=message):
        gate(form)


WITH, WITHOUT = [0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.5, 0.1]


def test_the_bound_that_skips_most():
    """The two with the largest gaps lose nothing, and the third 0.2 / 4."""
    gaps = [4.0, 3.0, 2.0, 1.0]
    choice = choose_gate(TopGap(0), gaps, WITH, WITHOUT)
    assert (choice.gate, choice.skipped, choice.loss) == (TopGap(3.0), 0.5, 0.0)
    choice = choose_gate(TopGap(0), gaps, WITH, WITHOUT, max_loss=0.06)
    assert (choice.gate, choice.skipped, choice.loss) == (TopGap(2.0), 0.75, pytest.approx(0.05))
    assert choose_gate(TopGap(0), gaps, WITH, WITHOUT, max_loss=1).skipped == 1


def test_the_other_side_and_other_settings_of_the_gate():
    choice = choose_gate(Entropy(0, 0.3), [0.1, 0.2, 0.3, 0.4], WITH, WITHOUT)
    assert (choice.gate, choice.skipped) == (Entropy(0.2, 0.3), 0.5)


def test_a_later_gain_may_pay_for_a_loss():
    """The loss counts over all that are skipped, and may be negative."""
    choice = choose_gate(TopGap(0), [3, 2, 1], [0.5, 0.5, 0.5], [0.4, 0.7, 0.5])
    assert (choice.gate, choice.skipped, choice.loss) == (TopGap(1), 1.0, pytest.approx(-0.1 / 3))


def test_equal_signals_are_skipped_together():
    """The first of the two alone would lose nothing."""
    choice = choose_gate(TopGap(0), [3, 2, 2], [1, 1, 1], [1, 1, 0])
    assert (choice.gate, choice.skipped) == (TopGap(3), 1 / 3)


def test_nothing_to_skip_is_a_gate_that_always_runs():
    choice = choose_gate(TopScore(5), [1, 2], [1, 1], [0, 0])
    assert (choice.gate, choice.skipped, choice.loss) == (TopScore(math.inf), 0, 0)
    assert choice.gate("q", ranking(1e300))
    assert choose_gate(QueryWords(5), [1, 2], [1, 1], [0, 0]).gate == QueryWords(-math.inf)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12),
    st.sampled_from([TopGap(0), Entropy(0)]),
    st.integers(0, 8),
)
def test_no_bound_skips_more(rows, kind, eighths):
    """Against every bound tried one by one; the gate does to the training queries what the choice says."""
    signals, better, worse = (np.array(column, float) / 8 for column in zip(*rows, strict=True))

    def skipped(bound):
        return signals >= bound if kind.side == "below" else signals <= bound

    def loss(bound):
        return float((better - worse)[skipped(bound)].sum() / len(rows))

    choice = choose_gate(kind, signals, better, worse, max_loss=eighths / 8)
    assert choice.loss == pytest.approx(loss(choice.gate.bound), abs=1e-12)
    assert choice.loss <= eighths / 8 + 1e-12
    assert choice.skipped == skipped(choice.gate.bound).mean()
    allowed = [bound for bound in signals if loss(bound) <= eighths / 8]
    assert choice.skipped == max((skipped(bound).mean() for bound in allowed), default=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((TopGap(1) | TopGap(2), [1], [1], [1]), InputTypeError, "one with a bound"),
        ((TopGap(1), [1, 2], [1], [1]), InputError, "got 2, 1 and 1"),
        ((TopGap(1), [], [], []), InputError, "got 0, 0 and 0"),
        ((TopGap(1), [math.nan], [1], [1]), InputError, "signals"),
        ((TopGap(1), [1], [[1]], [1]), InputError, "with_stage"),
    ],
)
def test_choices_that_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        choose_gate(*arguments)
    with pytest.raises(InputError, match="max_loss"):
        choose_gate(TopGap(1), [1], [1], [1], max_loss=-0.1)
