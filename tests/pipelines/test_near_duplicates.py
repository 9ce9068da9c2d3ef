"""NearDuplicateReranker: the contract, the rule as a double loop, edited copies, documents that follow behind."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, rerankers
from rank_plugins.pipelines.near_duplicates import NearDuplicateReranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract


class TestContract(RerankerContract):
    """The contract where duplicates are left out."""

    pointwise = alike = complete = False

    @pytest.fixture
    def reranker(self):
        """Return MaxSim without documents that share most of their words."""
        return rerankers.load("rank-near-duplicates", encoder=HashEncoder(64))


class TestContractOfMaxSim(TestContract):
    """The contract where token embeddings are compared."""

    @pytest.fixture
    def reranker(self):
        """Return MaxSim without documents that say the same."""
        return rerankers.load("rank-near-duplicates", encoder=HashEncoder(64), similarity="maxsim")


class TestContractOfSingleVectors(TestContract):
    """The contract where one vector per document is compared, and duplicates follow behind."""

    complete = True

    @pytest.fixture
    def reranker(self):
        """Return MaxSim with what says the same behind."""
        inside = MaxSimReranker(HashEncoder(64))
        return rerankers.load("rank-near-duplicates", reranker=inside, similarity="single", drop=False)


@st.composite
def problems(draw):
    """Draw scores and a symmetric matrix, with ties."""
    n = draw(st.integers(1, 10))
    scores = draw(st.lists(st.integers(-3, 3).map(float) | st.just(-np.inf), min_size=n, max_size=n))
    matrix = np.eye(n)
    for i, j in itertools.combinations(range(n), 2):
        matrix[i, j] = matrix[j, i] = draw(st.integers(0, 4)) / 4
    return scores, matrix


def ranked(scores, matrix, top_k=None, **options):
    reranker = NearDuplicateReranker(similarity=matrix, threshold=0.75, **options)
    return reranker.rerank("q", [f"text {i}" for i in range(len(scores))], scores=scores, top_k=top_k)


def by_rule(scores, matrix):
    """Return the documents that stay, in order, and of each other one that of which it is a duplicate."""
    stay, duplicates = [], {}
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        near = [j for j in stay if matrix[i, j] >= 0.75]
        if scores[i] == -np.inf:
            continue
        if near:
            duplicates[i] = near[0]
        else:
            stay.append(i)
    return stay, duplicates


@settings(deadline=None)
@given(problems(), st.integers(1, 10))
def test_it_is_the_rule(problem, top_k):
    scores, matrix = problem
    stay, duplicates = by_rule(scores, matrix)
    nothing = [i for i, score in enumerate(scores) if score == -np.inf]
    ranking = ranked(scores, matrix)
    assert list(ranking) == [(i, scores[i]) for i in stay + nothing]
    assert ranking.details["duplicates"] == duplicates
    assert list(ranked(scores, matrix, top_k)) == list(ranking)[:top_k]
    assert ranked(scores, matrix, top_k).details["duplicates"].items() <= duplicates.items()


@settings(deadline=None)
@given(problems(), st.randoms(), st.booleans())
def test_permuting_the_documents_permutes_the_ranking(problem, random, drop):
    """Where scores are distinct, nothing else decides."""
    scores, matrix = problem
    scores = [score + i / 64 for i, score in enumerate(scores)]
    order = random.sample(range(len(scores)), len(scores))
    turned = ranked([scores[i] for i in order], matrix[np.ix_(order, order)], drop=drop)
    expected = [pair for pair in ranked(scores, matrix, drop=drop) if pair[1] > -np.inf]
    assert [(order[i], score) for i, score in turned if score > -np.inf] == expected


@settings(deadline=None)
@given(problems(), st.integers(1, 10))
def test_duplicates_may_follow_behind(problem, top_k):
    """In their order, by scores that fall as theirs did, below those that stay and above what has no score."""
    scores, matrix = problem
    stay, duplicates = by_rule(scores, matrix)
    nothing = [i for i, score in enumerate(scores) if score == -np.inf]
    ranking = ranked(scores, matrix, drop=False)
    assert ranking.indices.tolist() == [*stay, *duplicates, *nothing]
    assert ranking.scores[: len(stay)].tolist() == [scores[i] for i in stay]
    moved = {scores[i] - score for i, score in ranking if i in duplicates}
    assert len(moved) <= 1
    assert list(ranked(scores, matrix, top_k, drop=False)) == list(ranking)[:top_k]


def test_scores_move_only_where_they_must():
    matrix = np.eye(4)
    matrix[0, 1] = matrix[1, 0] = 1
    assert ranked([4, 3, 2, 1], matrix, drop=False).scores.tolist() == [4, 2, 1, 0]
    assert ranked([4, 1, 3, 2], matrix, drop=False).scores.tolist() == [4, 3, 2, 1]


TEXT = (
    "Aspirin taken at bedtime lowers blood pressure in adults with mild hypertension, while a dose on awakening has no"
    " such effect; the trial followed two hundred volunteers for three months."
)
EDITED = TEXT.replace("two hundred volunteers", "two hundred (200) volunteers").replace("lowers", "LOWERS")
OTHER = "A dose of aspirin on awakening was compared with one at bedtime in pregnant women at high risk of gestosis."


@pytest.mark.parametrize(("similarity", "threshold"), [("shingles", None), ("maxsim", None), ("single", 0.9)])
def test_an_edited_copy_is_found_and_another_text_on_the_subject_is_not(similarity, threshold):
    """The better ranked of the two stays, whichever comes first in the list."""
    reranker = NearDuplicateReranker(encoder=HashEncoder(64), similarity=similarity, threshold=threshold)
    for scores, kept, duplicates in (([3, 2, 1], [0, 1], {2: 0}), ([1, 2, 3], [2, 1], {0: 2})):
        ranking = reranker.rerank(QUERY, [TEXT, OTHER, EDITED], scores=scores)
        assert ranking.indices.tolist() == kept
        assert ranking.details["duplicates"] == duplicates


def test_shingles_need_no_model():
    """With the caller's scores nothing is loaded; empty documents are nobody's duplicates."""
    reranker = NearDuplicateReranker(MaxSimReranker("no-such/model", engine="onnxruntime"))
    with pytest.raises(InputError, match="no-such"):
        reranker.rerank("q", ["a"])
    ranking = reranker.rerank("q", ["a b c", "", "A, b; c!", " "], scores=[1, 5, 2, 5])
    assert list(ranking) == [(2, 2.0), (1, -np.inf), (3, -np.inf)]
    assert ranking.details["duplicates"] == {0: 2}
    assert ranking.details["relevance"] == [2.0, -np.inf, -np.inf]


def test_scores_are_those_of_the_reranker_inside():
    encoder = HashEncoder(64)
    plain = dict(MaxSimReranker(encoder).rerank(QUERY, DOCUMENTS))
    ranking = NearDuplicateReranker(encoder=encoder).rerank(QUERY, DOCUMENTS)
    assert list(ranking) == [(i, plain[i]) for i in (2, 0, 5, 1, 3)]
    assert ranking.details["duplicates"] == {4: 1}
    assert "maxsim" in ranking.details["parts"]["rank-maxsim"]["timings"]


def test_many_documents_with_shingles(rng):
    """A thousand texts, a tenth of them copies of others with a word changed."""
    words = [f"w{i}" for i in range(3000)]
    texts = [" ".join(rng.choice(words, 60)) for _ in range(900)]
    copied = rng.choice(900, 100, replace=False)
    copies = [texts[i].split() for i in copied.tolist()]
    for copy in copies:
        copy[30] = "changed"
    texts += [" ".join(copy) for copy in copies]
    ranking = NearDuplicateReranker().rerank("q", texts, scores=np.linspace(1, 0, 1000).tolist())
    assert ranking.details["duplicates"] == dict(zip(range(900, 1000), copied.tolist(), strict=True))


def test_wrong_thresholds():
    with pytest.raises(InputError, match="above 0, got 0"):
        NearDuplicateReranker(threshold=0)
    with pytest.raises(InputTypeError, match="threshold"):
        NearDuplicateReranker(threshold="high")
    with pytest.raises(InputError, match="with similarities of your own, got None"):
        NearDuplicateReranker(similarity=np.eye(2))
