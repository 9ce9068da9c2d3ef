"""CalibratedReranker: the contract, order and -inf kept, fit and select beside a second computation, files, diagram."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, rerankers
from rank_plugins.evaluation import calibrate, false_evidence_rate
from rank_plugins.evaluation.calibrators import Isotonic, Platt, Softmax
from rank_plugins.evaluation.reports import reliability_svg
from rank_plugins.pipelines.cached import CachedReranker
from rank_plugins.pipelines.calibrated import CalibratedReranker
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract

INF = math.inf
STEPS = Isotonic((0.0, 1.0, 2.0, 4.0), (0.1, 0.1, 0.5, 0.9))


class Noted(Reranker):
    """Gives the scores that stand before the documents' texts; -inf without one."""

    fingerprint = "noted"

    def __init__(self):
        self.closed = False

    def _rank(self, requests, top_k):
        return [
            Ranking.from_scores([float(d.split()[0]) if d.strip() else -INF for d in r.documents], top_k)
            for r in requests
        ]

    def close(self):
        self.closed = True


class TestContract(RerankerContract):
    """The contract with a calibrator whose probabilities have many ties."""

    @pytest.fixture(params=[Platt(2.0, -8.0), Isotonic((0.0, 5.0, 8.0), (0.0, 0.3, 0.9))], ids=["platt", "isotonic"])
    def reranker(self, request):
        """Return MaxSim with a calibrator."""
        made = MaxSimReranker(HashEncoder(64))
        return rerankers.load("rank-calibrated", reranker=made, calibrator=request.param.to_dict())


class TestContractOfSoftmax(RerankerContract):
    """The contract with probabilities of a whole list."""

    pointwise = False

    @pytest.fixture
    def reranker(self):
        """Return MaxSim with a softmax."""
        return CalibratedReranker(MaxSimReranker(HashEncoder(64)), Softmax(1.5))


def test_scores_become_probabilities_in_the_same_order():
    """Equal probabilities stand as the raw scores did; -inf stays."""
    ranking = CalibratedReranker(Noted(), STEPS).rerank("q", ["0.2 a", "", "3 b", "0.9 c"])
    assert list(ranking) == [(2, 0.7), (3, 0.1), (0, 0.1), (1, -INF)]
    assert ranking.details["raw"] == [3.0, 0.9, 0.2, -INF]
    assert "abstained" not in ranking.details
    assert list(ranking.details["parts"]) == list(ranking.details["timings"]) == ["Noted"]


def test_a_threshold_leaves_out_what_is_below():
    """Equal to it is enough; -inf never is; nothing at all is an abstention."""
    made = CalibratedReranker(Noted(), STEPS, threshold=0.5)
    some, none = made.rerank_batch(["q", "q"], [["1 a", "2 b", "9 c", ""], ["1 a", ""]])
    assert list(some) == [(2, 0.9), (1, 0.5)]
    assert (some.details["raw"], some.details["abstained"]) == ([9.0, 2.0], False)
    assert (list(none), none.details["raw"], none.details["abstained"]) == ([], [], True)
    assert list(CalibratedReranker(Noted(), STEPS, threshold=0).rerank("q", ["", "1 a"])) == [(1, 0.1)]
    assert list(CalibratedReranker(Noted(), STEPS, threshold=-INF).rerank("q", ["", "1 a"])) == [(1, 0.1)]
    assert list(CalibratedReranker(Noted(), STEPS, threshold=INF).rerank("q", ["9 a"])) == []
    assert list(made.rerank("q", ["2 b", "9 c"], top_k=1)) == [(1, 0.9)]
    assert json.dumps([some.details, none.details])


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.booleans()), min_size=4, max_size=40),
    st.sampled_from(["isotonic", "platt", "softmax"]),
)
def test_the_order_is_always_the_inner_one(scores, data, method):
    """Whatever was fitted, as long as it does not fall."""
    if method == "softmax" and not any(label for _, label in data):
        return
    calibrator = calibrate([score for score, _ in data], [float(label) for _, label in data], method)
    if getattr(calibrator, "slope", 0) < 0:
        with pytest.raises(InputError, match="slope"):
            CalibratedReranker(Noted(), calibrator)
        return
    documents = [f"{score!r} text" for score in scores]
    found = CalibratedReranker(Noted(), calibrator).rerank("q", documents)
    assert found.indices.tolist() == Noted().rerank("q", documents).indices.tolist()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_softmax_is_of_the_whole_list():
    """Also where only the first few are wanted."""
    whole = CalibratedReranker(Noted(), Softmax(1.0)).rerank("q", ["1 a", "2 b", ""])
    assert whole.scores[:2].sum() == pytest.approx(1)
    first = CalibratedReranker(Noted(), Softmax(1.0)).rerank("q", ["1 a", "2 b", ""], top_k=1)
    assert list(first) == list(whole)[:1]


def collection(count, seed=0):
    """Return queries with and without evidence, a corpus whose texts are scores, a first stage and judgments.

    A document is relevant with probability sigmoid(score), and never for the queries without evidence, whose scores
    are lower. Beyond the first eight of a list there are documents that would spoil a fit.
    """
    rng = np.random.default_rng(seed)
    queries = {f"{kind}{i}": "text" for kind in ("e", "n") for i in range(count)}
    corpus, run, qrels = {}, {}, {}
    for query in queries:
        scores = np.round(rng.normal(0 if query[0] == "e" else -1.5, 2, 8), 1)
        names = [f"{query}-{i}" for i in range(10)]
        corpus |= dict(zip(names, [*(f"{s} text" for s in scores), "99 text", "99 text"], strict=True))
        run[query] = {name: float(-i) for i, name in enumerate(names)}
        if query[0] == "e":
            relevant = rng.random(8) < 1 / (1 + np.exp(-scores))
            qrels[query] = {name: int(label) for name, label in zip(names, relevant, strict=False)}
    return queries, corpus, run, qrels, [query for query in queries if query[0] == "n"]


def scored(queries, corpus, run):
    """Return what Noted gives the first eight of each list, best first; the second computation."""
    return {
        query: dict(sorted(((d, float(corpus[d].split()[0])) for d in list(run[query])[:8]), key=lambda p: -p[1]))
        for query in queries
    }


@pytest.mark.parametrize("method", ["isotonic", "platt", "temperature", "softmax"])
def test_fit_is_calibrate_on_the_best_of_each_list(method):
    """Of the judged queries alone; softmax on whole lists."""
    queries, corpus, run, qrels, _ = collection(30)
    made = CalibratedReranker.fit(Noted(), queries, corpus, run, qrels, method=method, top_k=3, candidates=8)
    lists = [list(row.items())[: 8 if method == "softmax" else 3] for q, row in scored(qrels, corpus, run).items()]
    pairs = [(score, qrels[q][d]) for q, row in zip(qrels, lists, strict=True) for d, score in row]
    offsets = np.cumsum([0, *map(len, lists)])
    expected = calibrate([s for s, _ in pairs], [y for _, y in pairs], method, offsets=offsets)
    assert made.calibrator.to_dict() == expected.to_dict()
    assert made.calibrator.ece() == pytest.approx(expected.ece())
    assert made.threshold is None


def test_select_bounds_false_evidence_and_tells_the_metric_of_what_is_returned():
    """The bound is kept, the next lower probability would break it, and figures are those of the lists themselves."""
    queries, corpus, run, qrels, empty = collection(80, seed=3)
    made = CalibratedReranker.fit(Noted(), queries, corpus, run, qrels, candidates=8)
    chosen = made.select(queries, corpus, run, qrels, empty, max_false_evidence=0.25, candidates=8)
    found, raw = chosen.selection, scored(queries, corpus, run)
    assert (made.threshold, made.selection) == (None, None)
    assert chosen.threshold == found.threshold
    given = {q: dict(zip(row, made.calibrator(list(row.values())).tolist(), strict=True)) for q, row in raw.items()}
    assert found.false_evidence == false_evidence_rate(given, empty, found.threshold)
    assert 0 < found.false_evidence.rate < found.false_evidence.upper <= 0.25
    lower = max(p for row in given.values() for p in row.values() if p < found.threshold)
    assert false_evidence_rate(given, empty, lower).upper > 0.25

    def ndcg(query, row):
        gains = [qrels[query].get(document, 0) for document in row][:10]
        ideal = sorted(qrels[query].values(), reverse=True)[:10]
        total = sum(g / math.log2(i + 2) for i, g in enumerate(ideal))
        return sum(g / math.log2(i + 2) for i, g in enumerate(gains)) / total if total else 0.0

    kept = {q: [d for d in raw[q] if given[q][d] >= found.threshold] for q in qrels}
    assert found.value == pytest.approx(np.mean([ndcg(q, row) for q, row in kept.items()]))
    assert found.value_without == pytest.approx(np.mean([ndcg(q, raw[q]) for q in qrels]))
    assert found.coverage == np.mean([bool(row) for row in kept.values()])
    answers = chosen.rerank_batch([queries[q] for q in qrels], [[corpus[d] for d in list(run[q])[:8]] for q in qrels])
    assert [len(answer) for answer in answers] == [len(row) for row in kept.values()]


def test_select_says_how_many_queries_it_needs():
    """Ten cannot show one in twenty."""
    queries, corpus, run, qrels, empty = collection(10)
    made = CalibratedReranker(Noted(), Platt(1.0, 0.0))
    with pytest.raises(InputError, match="at least 59"):
        made.select(queries, corpus, run, qrels, empty)


def test_it_is_saved_and_loaded(tmp_path):
    """As JSON, which is also a part of other rerankers; an object inside cannot be."""
    inside = {"name": "rank-maxsim", "score": "mean"}
    made = CalibratedReranker(inside, STEPS, threshold=0.4)
    made.save(tmp_path / "reranker.json")
    again = CalibratedReranker.load(tmp_path / "reranker.json")
    assert again.to_dict() == made.to_dict()
    assert (again.calibrator, again.threshold, again.name) == (STEPS, 0.4, "rank-maxsim")
    saved = json.loads((tmp_path / "reranker.json").read_text())
    assert list(rerankers.load(saved.pop("name"), **saved).rerank(QUERY, DOCUMENTS)) == list(
        made.rerank(QUERY, DOCUMENTS)
    )
    STEPS.save(tmp_path / "calibrator.json")
    assert CalibratedReranker("rank-maxsim", tmp_path / "calibrator.json").calibrator == STEPS
    with pytest.raises(InputTypeError, match="by name"):
        CalibratedReranker(Noted(), STEPS).to_dict()
    with pytest.raises(InputError, match="calibrator"):
        CalibratedReranker.from_dict({"reranker": "rank-maxsim"})
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="got list"):
        CalibratedReranker.load(tmp_path / "list.json")


def test_a_fitted_one_remembers_the_name(tmp_path):
    """So that it can be saved, and closes what it made but not what it was given."""
    queries, corpus, run, qrels, _ = collection(10)
    words = {name: f"{text} aspirin" for name, text in corpus.items()}
    fitted = CalibratedReranker.fit("rank-maxsim", queries, words, run, qrels, method="temperature")
    assert fitted.to_dict()["reranker"] == "rank-maxsim"
    given = Noted()
    CalibratedReranker.fit(given, queries, corpus, run, qrels, method="temperature").close()
    assert not given.closed


def test_a_cache_goes_inside(tmp_path):
    """Equal probabilities do not tell the order, so they cannot be kept in place of scores."""
    documents = ["0.5 a", "0.9 b", "0.1 c"]
    with pytest.raises(InputError, match="cache the rerankers that it is made of"):
        CachedReranker(CalibratedReranker(Noted(), STEPS), tmp_path / "scores.sqlite")
    with CachedReranker(Noted(), tmp_path / "scores.sqlite") as cached:
        for _ in range(2):
            assert list(CalibratedReranker(cached, STEPS).rerank("q", documents)) == [(1, 0.1), (0, 0.1), (2, 0.1)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"calibrator": Platt(-1.0, 0.0)}, InputError),
        ({"calibrator": {"method": "plat"}}, InputError),
        ({"calibrator": {"method": "platt", "slope": "1", "intercept": 0}}, InputTypeError),
        ({"calibrator": {"method": "platt", "slope": math.nan, "intercept": 0}}, InputError),
        ({"calibrator": {"method": "temperature", "temperature": -1}}, InputError),
        ({"calibrator": {"method": "softmax", "temperature": 0}}, InputError),
        ({"calibrator": {"method": "isotonic", "scores": "ab", "probabilities": [0, 1]}}, InputTypeError),
        ({"calibrator": {"method": "isotonic", "scores": [], "probabilities": []}}, InputError),
        ({"calibrator": {"method": "isotonic", "scores": [1, 2], "probabilities": [1]}}, InputError),
        ({"calibrator": {"method": "isotonic", "scores": [2, 1], "probabilities": [0, 1]}}, InputError),
        ({"calibrator": {"method": "isotonic", "scores": [1, 2], "probabilities": [1, 0]}}, InputError),
        ({"calibrator": {"method": "isotonic", "scores": [1, 2], "probabilities": [0, 7]}}, InputError),
        ({"calibrator": 3}, InputTypeError),
        ({"calibrator": STEPS, "threshold": math.nan}, InputError),
        ({"calibrator": STEPS, "threshold": "high"}, InputTypeError),
        ({"calibrator": STEPS, "reranker": "rank-maxsin"}, InputError),
    ],
)
def test_what_is_refused(options, error):
    """Where it is given, before anything is loaded."""
    with pytest.raises(error):
        CalibratedReranker(**{"reranker": "rank-maxsim"} | options)


def test_the_diagram_is_a_file_of_its_own(tmp_path):
    """Well-formed, with its styles inside, a mark and a text for each bin, and nothing from elsewhere."""
    rng = np.random.default_rng(1)
    p = rng.random(600)
    drawn = reliability_svg(p, rng.random(600) < p, name="<MaxSim>", bins=12)
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert root.get("aria-label") == "Reliability of <MaxSim> in 12 bins"
    assert len(root.findall(f"{space}circle")) == 12
    assert all("documents: probability" in one.find(f"{space}title").text for one in root.findall(f"{space}circle"))
    style = root.find(f"{space}style").text
    used = {name for one in root.iter() for name in (one.get("class") or "").split()}
    assert all(f".{name}" in style for name in used)
    assert set(re.findall(r"var\(--(\w+)\)", style)) <= set(re.findall(r"--(\w+):", style))
    assert "prefers-color-scheme:dark" in style
    assert not re.search(r"(?:href|src|url\(|@import)", drawn)
