"""Cascades: the contract, the order and the scores of documents that stages saw or did not see, and gates."""

from __future__ import annotations

import asyncio
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import rerankers
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.pipelines import Cascade, QueryWords, TopGap, stage, work
from rank_plugins.pipelines.cuts import LargestGap, Mass, Threshold, Tokens
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import QUERY, HashEncoder, RerankerContract, save_tiny_cross_encoder

INF = math.inf


class Fixed(Reranker):
    """Gives the scores it was made with, by text, 0 to others; None leaves a text out. Remembers what it was given."""

    def __init__(self, scores=None, details=None):
        self.scores, self.details = scores or {}, details
        self.seen, self.closed, self.warm = [], 0, 0

    def _rank(self, requests, top_k):
        self.seen.append(
            [(r.query, r.documents, r.ids, None if r.scores is None else r.scores.tolist()) for r in requests]
        )
        rankings = []
        for request in requests:
            known = [(i, self.scores.get(d, 0.0)) for i, d in enumerate(request.documents)]
            known = sorted(((i, s) for i, s in known if s is not None), key=lambda pair: -pair[1])[:top_k]
            rankings.append(Ranking([i for i, _ in known], [s for _, s in known], self.details))
        return rankings

    def warm_up(self):
        self.warm += 1

    def close(self):
        self.closed += 1


class TestContract(RerankerContract):
    """The contract, with the last stage over fewer documents than there are."""

    pointwise = False

    @pytest.fixture
    def reranker(self):
        """Return a small MaxSim over all and a larger one over three."""
        stages = [stage(MaxSimReranker(HashEncoder(32)), keep=3), MaxSimReranker(HashEncoder(64))]
        return rerankers.load("rank-cascade", stages=stages)


class TestContractWithBudget(TestContract):
    """The contract where stages run on a thread of their own."""

    @pytest.fixture
    def reranker(self):
        """Return the same with more time than it needs."""
        stages = [stage(MaxSimReranker(HashEncoder(32)), keep=3), MaxSimReranker(HashEncoder(64))]
        return rerankers.load("rank-cascade", stages=stages, budget=60)


class TestContractWithGate(TestContract):
    """The contract where the second stage is skipped for some queries."""

    @pytest.fixture
    def reranker(self):
        """Return one whose gate looks at the gap."""
        second = stage(MaxSimReranker(HashEncoder(64)), when=TopGap(0.5))
        return rerankers.load("rank-cascade", stages=[stage(MaxSimReranker(HashEncoder(32)), keep=4), second])


def test_documents_that_a_stage_did_not_see_follow_in_their_order():
    """The best of them stands 1 below the lowest that it saw; -inf is last whatever stage it is from."""
    first = Fixed({"a": 9.0, "b": 8.0, "c": 7.5, "d": 7.0, "e": -INF, "f": 1.0})
    second = Fixed({"a": 0.2, "b": -INF, "c": 0.7})
    ranking = Cascade([stage(first, keep=3, name="one"), stage(second, name="two")]).rerank("q", list("fedcba"))
    assert [("fedcba"[i], score) for i, score in ranking] == [
        ("c", 0.7), ("a", 0.2), ("d", pytest.approx(-0.8)), ("f", pytest.approx(-6.8)), ("e", -INF), ("b", -INF)
    ]  # fmt: skip
    assert ranking.details["raw"] == [0.7, 0.2, 7.0, 1.0, -INF, -INF]
    assert ranking.details["stage"] == ["two", "two", "one", "one", "one", "two"]
    assert ranking.details["complete"]


def test_each_group_has_one_constant():
    """Of three stages, each shifts those that it did not see below the lowest before them."""
    scores = {name: float(i) for i, name in enumerate("abcdef")}
    stages = [stage(Fixed(scores), keep=4), stage(Fixed(scores), keep=2), Fixed({"e": 7.0, "f": 6.0})]
    assert [score for _, score in Cascade(stages).rerank("q", list("abcdef"))] == [7, 6, 5, 4, 3, 2]
    assert Cascade(stages).rerank("q", list("abcdef")).details["stage"] == [
        "Fixed 3", "Fixed 3", "Fixed 2", "Fixed 2", "Fixed", "Fixed"
    ]  # fmt: skip


def test_a_stage_gets_its_candidates_with_ids_and_the_scores_before():
    """The first in the caller's order, later ones in the order so far; equal scores keep it."""
    first, second = Fixed({"a": 1.0, "b": 3.0, "c": 2.0}), Fixed()
    cascade = Cascade([stage(first, keep=2), second])
    ranking = cascade.rerank("q", ["a", "b", "c"], ids=["A", "B", "C"], scores=[0.1, 0.2, 0.3])
    assert first.seen == [[("q", ["a", "b", "c"], ["A", "B", "C"], [0.1, 0.2, 0.3])]]
    assert second.seen == [[("q", ["b", "c"], ["B", "C"], [3.0, 2.0])]]
    assert list(ranking) == [(1, 0.0), (2, 0.0), (0, -1.0)]


def test_embeddings_go_through():
    """Documents may be vectors."""
    values = np.eye(4, dtype=np.float32)
    documents = TokenEmbeddings(values, [0, 1, 2, 3, 4])
    query = np.array([[1, 2, 3, 4]], np.float32)
    cascade = Cascade([stage(MaxSimReranker(HashEncoder(4)), keep=2), stage(MaxSimReranker(HashEncoder(4)))])
    assert list(cascade.rerank(query, documents)) == [(3, 4.0), (2, 3.0), (1, 2.0), (0, 1.0)]


def test_documents_with_nothing_to_score_go_no_further():
    """They are not seen again, though there would be room; a stage without candidates does not run."""
    last = Fixed({"": 5.0})
    cascade = Cascade([Fixed({"": -INF}), last])
    assert list(cascade.rerank("q", ["", "a"])) == [(1, 0.0), (0, -INF)]
    assert last.seen == [[("q", ["a"], None, [0.0])]]
    ranking = cascade.rerank("q", [""])
    assert list(ranking) == [(0, -INF)]
    assert len(last.seen) == 1
    assert [(one["ran"], one["because"]) for one in ranking.details["stages"]] == [(True, None), (False, "nothing")]


def test_what_a_stage_leaves_out_is_left_out():
    """Such as near-duplicates; those that it did not see stay."""
    cascade = Cascade([stage(Fixed({"a": 3.0, "b": 2.0, "c": 1.0}), keep=2), Fixed({"b": None})])
    assert list(cascade.rerank("q", ["a", "b", "c"])) == [(0, 0.0), (2, -1.0)]


def test_the_last_keep_is_how_many_come_back():
    """Also where fewer went into the last stage; top_k may ask for less."""
    cascade = Cascade([stage(Fixed(), keep=2), stage(Fixed({"b": 1.0}), keep=3)])
    assert [i for i, _ in cascade.rerank("q", list("abcd"))] == [1, 0, 2]
    assert [i for i, _ in cascade.rerank("q", list("abcd"), top_k=1)] == [1]
    assert [i for i, _ in cascade.rerank("q", list("abcd"), top_k=9)] == [1, 0, 2]


def test_keep_may_be_a_rule():
    """It sees the stage's ranking and the caller's documents; what it does not keep goes no further."""
    asked, last = [], Fixed({"a": 7.0})

    def two(ranking, documents):
        asked.append((list(ranking), documents))
        return 1

    scores = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert list(Cascade([stage(Fixed(scores), keep=two), last]).rerank("q", list("cba"))) == [
        (2, 7.0),
        (1, 6.0),
        (0, 5.0),
    ]
    assert asked == [([(2, 3.0), (1, 2.0), (0, 1.0)], ["c", "b", "a"])]
    rule = {"cut": "threshold", "at": 1.5}
    assert [i for i, _ in Cascade([stage(Fixed(scores), keep=rule)]).rerank("q", list("cba"))] == [2, 1]
    empty = Cascade([Fixed({"": -INF}), stage(Fixed(), keep=lambda ranking, documents: 1 // len(ranking))])
    assert len(empty.rerank("q", [""])) == 0  # a rule is not asked about nothing
    assert len(Cascade([stage(Fixed(scores), keep=Threshold(9))]).rerank("q", list("cba"))) == 0
    with pytest.raises(InputTypeError, match="what keep returned"):
        Cascade([stage(Fixed(), keep=lambda ranking, documents: 1.5)]).rerank("q", ["a"])


def test_documents_that_the_rule_did_not_see_do_not_take_its_places():
    """Where it would keep documents with -inf, which go no further, nothing else comes back in their place."""
    stages = [
        stage(Fixed({"a": 9.0, "": 8.0}), keep=2),
        stage(Fixed({"a": 1.0, "": -INF}), keep={"cut": "tokens", "budget": 1}),
    ]
    assert list(Cascade(stages).rerank("q", ["a", "", "long " * 99])) == [(0, 1.0)]


@pytest.mark.parametrize("rule", [Threshold(0.5), LargestGap(), Mass(temperature=None), lambda ranking, documents: 0])
def test_a_rule_is_not_asked_where_there_are_no_scores(rule):
    """All documents come back, as they came; with scores it sees them."""
    cascade = Cascade([stage(Fixed(), keep=rule, when=QueryWords(9))])
    assert [i for i, _ in cascade.rerank("q", list("abc"))] == [0, 1, 2]
    assert len(cascade.rerank("q", list("abc"), scores=[0.9, 0.1, 0.05])) in (0, 1, 2)


def test_a_budget_in_tokens_needs_no_scores():
    """It holds whether the stage runs or not."""
    cascade = Cascade([stage(Fixed(), keep=Tokens(2), when=QueryWords(9))])
    assert [i for i, _ in cascade.rerank("q", ["abcd", "efgh", "i"])] == [0, 1]


@pytest.mark.parametrize("returned", [None, math.nan, 1, "yes", np.array([True, False])])
def test_a_gate_says_yes_or_no(returned):
    """What a function returns by mistake would run or skip the stage for ever."""
    with pytest.raises(InputTypeError, match="expected True or False"):
        Cascade([stage(Fixed(), when=lambda query, ranking: returned)]).rerank("q", ["a"])
    assert Cascade([stage(Fixed(), when=lambda query, ranking: np.bool_(True))]).rerank("q", ["a"])


def test_a_skipped_stage_leaves_the_ranking_and_later_ones_run():
    """A later stage gets the first `keep` of those that the skipped one would have got."""
    first, second, third = Fixed({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}), Fixed(), Fixed({"a": 1.0, "b": 2.0})
    seen = []

    def never(query, ranking):
        seen.append((query, list(ranking)))
        return False

    cascade = Cascade([stage(first, keep=3), stage(second, keep=2, when=never, name="no"), third])
    ranking = cascade.rerank("q", list("abcd"))
    assert second.seen == []
    assert seen == [("q", [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)])]
    assert third.seen == [[("q", ["a", "b"], None, [4.0, 3.0])]]
    assert list(ranking) == [(1, 2.0), (0, 1.0), (2, 0.0), (3, -1.0)]
    records = ranking.details["stages"]
    assert [(r["name"], r["ran"], r["because"], r["candidates"], r["documents"]) for r in records] == [
        ("Fixed", True, None, 4, 4), ("no", False, "gate", 3, 0), ("Fixed 2", True, None, 2, 2)
    ]  # fmt: skip
    assert ranking.details["complete"]
    assert list(ranking.details["parts"]) == ["Fixed", "Fixed 2"]


def test_a_gate_before_the_first_stage_sees_the_callers_scores():
    """Without any, a gate that reads them cannot decide; skipped, the order is that of the scores."""
    dear = Fixed({"a": 1.0})
    cascade = Cascade([stage(dear, when=TopGap(0.5))])
    ranking = cascade.rerank("q", list("abc"), scores=[1.0, 5.0, 2.0])
    assert list(ranking) == [(1, 5.0), (2, 2.0), (0, 1.0)]
    assert ranking.details["stage"] == ["first_stage"] * 3
    assert ranking.details["raw"] == [5.0, 2.0, 1.0]
    assert [i for i, _ in cascade.rerank("q", list("abc"), scores=[1.0, 5.0, 4.9])] == [0, 1, 2]
    with pytest.raises(InputError, match="pass scores=, or give a later stage this gate"):
        cascade.rerank("q", list("abc"))


def test_without_scores_the_first_order_is_the_callers():
    """Its documents have no raw score."""
    ranking = Cascade([stage(Fixed(), keep=2, when=QueryWords(3)), Fixed({"b": 4.0})]).rerank("q", list("abcd"))
    assert list(ranking) == [(1, 4.0), (0, 0.0), (2, -1.0), (3, -2.0)]
    assert ranking.details["raw"] == [4.0, 0.0, None, None]
    assert ranking.details["stage"] == ["Fixed 2", "Fixed 2", "first_stage", "first_stage"]


def test_minus_infinity_in_the_first_stage_is_a_document_like_others():
    """A reranker may still find it; one that no stage sees stands last."""
    cascade = Cascade([stage(Fixed({"a": 2.0}), keep=1)])
    assert list(cascade.rerank("q", ["a"], scores=[-INF])) == [(0, 2.0)]
    ranking = Cascade([stage(Fixed(), keep=2, when=QueryWords(9)), Fixed()]).rerank(
        "q", list("abc"), scores=[-INF, 1.0, 2.0]
    )
    assert list(ranking) == [(1, 0.0), (2, 0.0), (0, -INF)]


def test_a_batch_runs_each_stage_once_over_the_queries_that_need_it():
    """What a query gets does not depend on the others."""
    first, second, third = Fixed({"b": 1.0}), Fixed({"a": 2.0}), Fixed({"a": 3.0})
    stages = [
        stage(first, when=QueryWords(1)),
        stage(second, when=lambda query, ranking: "x" not in query),
        stage(third, keep=2),
    ]
    cascade = Cascade(stages)
    queries, documents = ["p q", "r", "s x", "none"], [["a", "b"], ["b", "c", "a"], ["a"], []]
    together = cascade.rerank_batch(queries, documents, top_k=2)
    assert [[query for query, *_ in call] for call in first.seen] == [["p q", "s x"]]
    assert [[query for query, *_ in call] for call in second.seen] == [["p q"], ["r"]]  # with scores, and without
    assert len(third.seen) == 1
    assert [query for query, *_ in third.seen[0]] == ["p q", "r", "s x"]
    alone = [cascade.rerank(q, d, top_k=2) for q, d in zip(queries, documents, strict=True)]
    assert [list(ranking) for ranking in together] == [list(ranking) for ranking in alone]
    assert [r.details["raw"] for r in together[:3]] == [r.details["raw"] for r in alone[:3]]


def test_details_can_be_json_and_name_every_stage():
    """Seconds of the stages of all queries add up to the timings of the call."""
    cascade = Cascade([stage(MaxSimReranker(HashEncoder()), keep=2), MaxSimReranker(HashEncoder(32))])
    rankings = cascade.rerank_batch([QUERY, "blood"], [["aspirin", "tea", "wind"], ["blood", "tea"]])
    json.dumps([ranking.details for ranking in rankings])
    names = ["MaxSimReranker", "MaxSimReranker 2"]
    assert list(rankings[0].details["timings"]) == names
    assert "maxsim" in rankings[0].details["parts"]["MaxSimReranker 2"]["timings"]
    for i, name in enumerate(names):
        total = sum(ranking.details["stages"][i]["seconds"] for ranking in rankings)
        assert total == pytest.approx(rankings[0].details["timings"][name])
        assert total > 0


def test_what_is_incomplete_inside_is_incomplete():
    """A stage that was cut short itself, such as a cascade with a budget of its own."""
    ranking = Cascade([Fixed(details={"complete": False, "stopped": "deadline"}), Fixed()]).rerank("q", ["a"])
    assert (ranking.details["complete"], ranking.details["stopped"]) == (False, "deadline")


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: {"name": "rank-cut", "reranker": inner, "cut": {"cut": "tokens", "budget": 99}},
        lambda inner: {"name": "rank-normalised", "reranker": inner},
        lambda inner: {"name": "rank-fusion", "rerankers": [Fixed(), inner]},
    ],
)
def test_what_is_incomplete_inside_a_wrapper_is_incomplete(around):
    """However deep it stands."""
    inner = Cascade([Fixed(details={"complete": False, "stopped": "deadline"})])
    ranking = Cascade([stage(around(around(inner))), Fixed()]).rerank("q", ["a"])
    assert (ranking.details["complete"], ranking.details["stopped"]) == (False, "deadline")


def test_work_adds_up():
    """Over many rankings: who ran, who skipped, and what it spared."""
    cascade = Cascade([stage(Fixed(), keep=2, name="cheap"), stage(Fixed(), when=QueryWords(1), name="dear")])
    rankings = cascade.rerank_batch(["a b", "c", "d", "e"], [["x", "y", "z"], ["x", "y", "z"], ["x"], []])
    done = work(rankings)
    assert (done.queries, done.incomplete) == (3, 0)
    cheap, dear = done.stages
    assert (cheap.name, cheap.queries, cheap.skipped_queries, cheap.documents, cheap.skipped) == ("cheap", 3, 0, 7, 0.0)
    assert (dear.queries, dear.skipped_queries, dear.documents, dear.skipped_documents) == (1, 2, 2, 3)
    assert dear.skipped == 0.6
    assert cheap.seconds == pytest.approx(rankings[0].details["timings"]["cheap"])
    assert [line.split()[0] for line in str(done).splitlines()] == ["stage", "cheap", "dear", "3"]
    assert "60.0%" in str(done)
    assert work([]).stages == ()
    with pytest.raises(InputError, match="of a Cascade"):
        work([Ranking([0], [1.0])])
    with pytest.raises(InputError, match="other stages"):
        work([*rankings, Cascade([Fixed()]).rerank("q", ["a"])])


def test_json_alone_makes_one(tmp_path):
    """Names, dicts, gates and rules of one come from JSON."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("sentence_transformers")
    model = save_tiny_cross_encoder(tmp_path / "model")
    options = {
        "budget": 60,
        "stages": [
            {"reranker": "rank-maxsim", "keep": 3},
            {
                "reranker": {"name": "rank-cross-encoder", "model": str(model)},
                "keep": {"cut": "tokens", "budget": 1000},
                "when": {"any": [{"gate": "top-gap", "below": 1e6}, {"gate": "query-words", "above": 3}]},
                "name": "dear",
            },
        ],
    }
    with rerankers.load("rank-cascade", **json.loads(json.dumps(options))) as cascade:
        documents = ["Paris is in France.", "aspirin and blood pressure", "wind", "blood"]
        ranking = cascade.rerank(QUERY, documents)
        assert ranking.details["stage"] == ["dear"] * 3
        by_hand = rerankers.load("rank-cross-encoder", model=str(model))
        expected = dict(by_hand.rerank(QUERY, documents))
        assert dict(ranking) == {i: pytest.approx(expected[i], abs=1e-4) for i, _ in ranking}


def test_who_made_a_stage_closes_it():
    """Rerankers that the caller made stay open; all are warmed up."""
    mine = Fixed()
    with Cascade([mine, {"reranker": mine, "name": "again"}, {"reranker": {"name": "rank-maxsim"}}]) as cascade:
        made = cascade._rerankers[2]
        assert isinstance(made, MaxSimReranker)
        closed = []
        made.close, made.warm_up = lambda: closed.append(1), lambda: closed.append(0)
        cascade.warm_up()
    assert closed == [0, 1]
    assert (mine.closed, mine.warm) == (0, 2)
    assert cascade.fingerprint is None


def test_stages_have_names_of_their_own():
    """Numbered where they are alike, past numbers that are taken."""
    cascade = Cascade([stage(Fixed(), name=name) for name in ("a", "a 2", "a", "a")])
    assert [one.name for one in cascade.stages] == ["a", "a 2", "a 3", "a 4"]


def test_repr_says_what_runs():
    cascade = Cascade([stage("rank-maxsim", keep=20), stage(Fixed(), when=TopGap(0.1), name="dear")], budget=0.5)
    expected = "Cascade([stage('rank-maxsim', keep=20), stage('dear', when=TopGap(below=0.1))], budget=0.5)"
    assert repr(cascade) == expected


@pytest.mark.parametrize(
    ("stages", "options", "error", "message"),
    [
        ([], {}, InputError, "stages: expected at least one"),
        ("rank-maxsim", {}, InputTypeError, "stages: expected a list"),
        ([7], {}, InputTypeError, "got int"),
        (["rank-maxsin"], {}, InputError, "did you mean 'rank-maxsim'"),
        ([{"reranker": "rank-maxsim", "keep": 0}], {}, InputError, "keep: expected at least 1"),
        ([{"reranker": "rank-maxsim", "keep": "5"}], {}, InputTypeError, "keep"),
        ([{"reranker": "rank-maxsim", "keep": {"cut": "mas"}}], {}, InputError, "mass"),
        ([{"reranker": "rank-maxsim", "top": 5}], {}, InputTypeError, r"stages\[0\].*its options are: reranker, keep"),
        ([{"reranker": "rank-maxsim", "when": 5}], {}, InputTypeError, "when"),
        ([{"reranker": {"model": "x"}}], {}, InputError, '"name", got model'),
        ([{"score": "mean"}], {}, InputError, '"name", got score'),
        ([{"reranker": "rank-maxsim", "name": ""}], {}, InputError, "name"),
        ([{"reranker": "rank-maxsim", "name": "first_stage"}], {}, InputError, "first_stage"),
        ([{"reranker": "rank-maxsim", "name": 3}], {}, InputTypeError, "name: expected a str"),
        ([{"name": "rank-cut", "reranker": "rank-maxsim"}], {}, InputError, "for that reranker as a stage write"),
        (["rank-maxsim"], {"budget": 0}, InputError, "budget"),
        (["rank-maxsim"], {"budget": INF}, InputError, "budget"),
        (["rank-maxsim"], {"budget": "1"}, InputTypeError, "budget"),
    ],
)
def test_what_is_no_cascade_is_refused(stages, options, error, message):
    with pytest.raises(error, match=message):
        Cascade(stages, **options)


def by_hand(count, first, tables, keeps, runs):
    """Return the order of documents 0 ... count - 1, and who scored them last, by loops."""
    order = sorted(range(count), key=lambda d: -first[d])
    scored, gone, candidates = dict.fromkeys(range(count), -1), [], list(order)
    for number, (table, keep, runs_here) in enumerate(zip(tables, keeps, runs, strict=True)):
        if runs_here and candidates:
            best = sorted((d for d in candidates if table[d] > -INF), key=lambda d: -table[d])
            gone += [d for d in candidates if table[d] == -INF]
            order = best + [d for d in order if d not in candidates]
            scored |= dict.fromkeys(candidates, number)
            candidates = best
        candidates = candidates[:keep]
    alive = [d for d in order if scored[d] >= 0 or first[d] > -INF]
    return alive, sorted(set(range(count)) - set(alive)), scored


NUMBERS = st.one_of(
    st.integers(-5, 5).map(float),
    st.floats(-1e-9, 1e-9),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def cascades(draw):
    count = draw(st.integers(1, 12))
    columns = st.lists(NUMBERS, min_size=count, max_size=count, unique=True)
    first = [draw(st.sampled_from([s, s, s, -INF])) for s in draw(columns)]
    tables = [
        [draw(st.sampled_from([s, s, s, s, -INF])) for s in draw(columns)] for _ in range(draw(st.integers(1, 4)))
    ]
    keeps = [draw(st.integers(1, 12)) for _ in tables[:-1]] + [None]
    return count, first, tables, keeps, [draw(st.booleans()) for _ in tables]


@given(cascades(), st.randoms(use_true_random=False))
def test_a_cascade_is_its_stages_run_by_hand(made, random):
    """Order, stages, raw scores and shifts; and permuting the input permutes the result."""
    count, first, tables, keeps, runs = made
    names = [str(d) for d in range(count)]
    cascade = Cascade(
        [
            stage(
                Fixed(dict(zip(names, table, strict=True))), keep=keep, when=lambda q, r, here=here: here, name=f"s{i}"
            )
            for i, (table, keep, here) in enumerate(zip(tables, keeps, runs, strict=True))
        ]
    )
    ranking = cascade.rerank("q", names, scores=first)
    alive, gone, scored = by_hand(count, first, tables, keeps, runs)
    tied = len(set(first)) < count  # -inf twice: their order is the input's
    assert ranking.indices.tolist() == alive + gone
    scores = ranking.scores.tolist()
    assert all(a >= b for a, b in itertools.pairwise(scores))
    assert all(score == -INF for score in scores[len(alive) :])
    assert all(math.isfinite(score) for score in scores[: len(alive)])
    raw = [first[d] if scored[d] < 0 else tables[scored[d]][d] for d in alive + gone]
    assert ranking.details["raw"] == raw
    assert ranking.details["stage"] == [f"s{scored[d]}" if scored[d] >= 0 else "first_stage" for d in alive + gone]
    for i, d in enumerate(alive):
        same = scored[d] == scored[alive[0]]
        assert scores[i] == raw[i] or not same
        if i and not same and max(map(abs, [*raw[: len(alive)], *scores[: len(alive)]])) < 1e300:
            assert scores[i] < scores[i - 1]
        if i and scored[d] != scored[alive[i - 1]] and abs(scores[i - 1]) < 1e9:
            assert scores[i] == pytest.approx(scores[i - 1] - 1)
    if not tied:
        turned = random.sample(range(count), count)
        other = cascade.rerank("q", [names[d] for d in turned], scores=[first[d] for d in turned])
        assert [(turned[i], score) for i, score in other][: len(alive)] == list(ranking)[: len(alive)]


@given(st.lists(NUMBERS, min_size=2, max_size=10, unique=True), st.floats(allow_nan=False, allow_infinity=False))
def test_order_survives_a_shift(first, lowest):
    """One document that is seen, at any height: the others stay apart below it, unless floats end there."""
    documents = [str(i) for i in range(len(first))]
    cascade = Cascade([stage(Fixed(), keep=1, when=QueryWords(5)), Fixed(dict.fromkeys(documents, lowest))])
    scores = cascade.rerank("q", documents, scores=first).scores
    room = scores[-1] > np.finfo(np.float64).min
    assert not room or (np.diff(scores) < 0).all()


def test_tiny_differences_survive_a_shift():
    """Probabilities that the shift alone would make one."""
    cascade = Cascade([stage(Fixed(), keep=1, when=QueryWords(5)), Fixed({"a": 5.0})])
    scores = cascade.rerank("q", list("abcd"), scores=[1.0, 1e-20, 1e-25, 1e-25]).scores.tolist()
    assert scores == [5.0, 4.0, scores[2], scores[2]]
    assert 4.0 - 1e-14 < scores[2] < 4.0


def test_infinite_scores_are_moved_like_others():
    """A first stage may say +inf; what is not seen becomes finite all the same."""
    cascade = Cascade([stage(Fixed(), keep=1, when=QueryWords(5)), Fixed({"b": 0.5})])
    ranking = cascade.rerank("q", list("abcd"), scores=[INF, INF, 3.0, 1.0])
    assert list(ranking) == [(0, 0.0), (1, -1.0), (2, -2.0), (3, -4.0)]
    assert Cascade([Fixed({"a": INF, "b": INF}), Fixed({"a": INF})]).rerank("q", ["a", "b"]).scores.tolist() == [
        INF,
        0.0,
    ]


def test_an_answer_by_coroutine():
    """The same on a thread of this package."""
    cascade = Cascade([stage(MaxSimReranker(HashEncoder()), keep=2), MaxSimReranker(HashEncoder(32))], budget=60)
    documents = ["aspirin", "blood pressure", "tea", "wind"]
    assert list(asyncio.run(cascade.rerank_async(QUERY, documents))) == list(cascade.rerank(QUERY, documents))
