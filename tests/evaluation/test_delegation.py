"""Diversity and C/W/L metrics asked of `evaluate`: ir_measures computes them, from our order of the documents."""

from __future__ import annotations

import math
import sys

import pytest
from oracle import generator, order

from rank_plugins._extras import importable
from rank_plugins.errors import InputError, MissingExtraError
from rank_plugins.evaluation import evaluate
from rank_plugins.evaluation.names import parse
from rank_plugins.runs import Ids, Qrels, Run

ir_measures = pytest.importorskip("ir_measures")
DIVERSITY = [
    *("alpha_nDCG@10", "alpha_nDCG(alpha=0.2)@5", "alpha_DCG@10", "ERR_IA@10", "nERR_IA@20", "StRecall@5", "P_IA@10"),
    *("AP_IA", "NRBP", "nNRBP(alpha=0.3,beta=0.6)", "alpha_nDCG(rel=2)@10"),
]
READERS = [
    *("BPM(max_rel=3)@10", "BPM(max_rel=3,T=2.0)@10", "SDCG(max_rel=3)@10", "INST(max_rel=3,T=2.0)", "INSQ(max_rel=3)"),
    *("NERR8(max_rel=3)@10", "NERR9(max_rel=3)@10", "NERR10(max_rel=3,p=0.8)", "NERR11(max_rel=3)"),
]
pyndeval = pytest.mark.skipif(not importable("pyndeval"), reason="needs pyndeval")
cwl = pytest.mark.skipif(not importable("cwl"), reason="needs cwl-eval")


@pytest.fixture(scope="module")
def topics():
    """Return judgments (query, document, grade, subtopic) and a run with many ties."""
    chance = generator()
    rows, run = [], {}
    for number in range(25):
        pool = [f"d{i}" for i in range(40)]
        rows += [
            (f"q{number}", document, chance.randint(0, 3), f"t{topic}")
            for topic in range(1, chance.randint(3, 6))
            for document in chance.sample(pool, 12)
        ]
        run[f"q{number}"] = {d: float(chance.randint(0, 8)) for d in chance.sample(pool, chance.randint(1, 30))}
    return rows, run


def subtopic_qrels(rows):
    queries, documents, grades, names = (list(column) for column in zip(*rows, strict=True))
    return Qrels.from_arrays(queries, documents, grades, subtopics=Ids.from_list(names))


def theirs(name, rows, run):
    """Return ir_measures' values, given the ranking that we mean."""
    qrels = [ir_measures.Qrel(*row) for row in rows]
    docs = [
        ir_measures.ScoredDoc(query, document, float(1000 - rank))
        for query, scores in run.items()
        for rank, document in enumerate(order(scores))
    ]
    measure = ir_measures.parse_measure(name)
    return {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], qrels, docs)}


@pyndeval
@pytest.mark.parametrize("name", DIVERSITY)
def test_diversity_is_what_ir_measures_computes(name, topics):
    rows, run = topics
    for given in (run, Run.from_dict(run)):
        found = evaluate(subtopic_qrels(rows), given, name)
        assert found.per_query[name] == pytest.approx(theirs(name, rows, run), abs=1e-12)


@cwl
@pytest.mark.parametrize("name", READERS)
def test_models_of_the_reader_are_what_ir_measures_computes(name, topics):
    run = topics[1]
    qrels = {}
    for query, document, grade, _ in topics[0]:
        qrels.setdefault(query, {})[document] = grade
    rows = [(query, document, grade) for query, row in qrels.items() for document, grade in row.items()]
    assert evaluate(qrels, run, name).per_query[name] == pytest.approx(theirs(name, rows, run), abs=1e-12)


@pyndeval
@pytest.mark.parametrize("seed", range(20))
def test_alpha_ndcg_equals_its_definition(seed):
    """A document gains (1 - alpha)^(times seen above) for each subtopic; the ideal list is greedy, in any order."""
    chance = generator(seed)
    covers = {f"d{i}": {f"t{k}" for k in range(4) if chance.random() < 0.5} for i in range(6)}
    covers["d0"].add("t0")
    covers["d1"].add("t1")
    rows = [("q", d, int(topic in covers[d]), topic) for d in covers for topic in ("t0", "t1", "t2", "t3")]
    ranking = chance.sample([*covers, "x", "y"], 6)

    def gain(document, above):
        return sum(0.5 ** sum(topic in covers.get(d, ()) for d in above) for topic in covers.get(document, ()))

    def dcg(documents):
        return sum(gain(d, documents[:i]) / math.log2(i + 2) for i, d in enumerate(documents[:5]))

    def greedy(chosen):
        if len(chosen) == 5:
            return {dcg(chosen)}
        gains = {d: gain(d, chosen) for d in covers if d not in chosen}
        return set().union(*(greedy([*chosen, d]) for d, value in gains.items() if value == max(gains.values())))

    found = evaluate(subtopic_qrels(rows), {"q": ranking}, "alpha_ndcg@5")["alpha_ndcg@5"]
    assert any(math.isclose(found, dcg(ranking) / best, rel_tol=1e-12) for best in greedy([]))


@cwl
def test_scaled_dcg_equals_its_definition():
    found = evaluate({"q": {"a": 3, "b": 1}}, {"q": {"b": 2.0, "x": 1.5, "a": 1.0}}, "SDCG(max_rel=3)@3")
    weights = [1 / math.log2(rank + 1) for rank in (1, 2, 3)]
    assert found["SDCG(max_rel=3)@3"] == pytest.approx((weights[0] / 3 + weights[2]) / sum(weights))


@pyndeval
def test_equal_scores_stand_as_for_all_metrics():
    qrels = subtopic_qrels([("q", "a", 1, "1"), ("q", "b", 0, "1"), ("q", "b", 0, "2")])
    run = {"q": {"a": 1.0, "b": 1.0 + 1e-9}}
    assert evaluate(qrels, run, "p_ia@1 p@1").mean == {"p_ia@1": 0.0, "p@1": 0.0}
    assert evaluate(qrels, run, "p_ia@1 p@1", score_dtype="float32").mean == {"p_ia@1": 0.0, "p@1": 0.0}
    rounded = evaluate(qrels, run, "p_ia@1 p@1", score_dtype="float32", ties="id_asc")
    assert rounded["p_ia@1"] > 0
    assert rounded["p@1"] == 1.0
    assert evaluate(qrels, {"q": {"a": 1.0, "b": 1.0}}, "p_ia@1", ties="input")["p_ia@1"] > 0
    for ties in ("average", "best"):
        with pytest.raises(InputError, match="one order|no expected value"):
            evaluate(qrels, run, "p_ia@1", ties=ties)


@pyndeval
def test_the_rules_of_evaluate_hold(topics):
    rows, run = topics
    qrels = subtopic_qrels(rows)
    fewer = {query: row for query, row in run.items() if query not in ("q0", "q1")}
    found = evaluate(qrels, fewer, "alpha_ndcg@10 ndcg@10")
    assert found.per_query["alpha_ndcg@10"]["q0"] == 0.0
    assert found.n == 25
    assert evaluate(qrels, fewer, "alpha_ndcg@10", missing="skip").n == 23
    level = evaluate(qrels, run, "alpha_ndcg@10", relevance_level=2)
    assert level.mean["alpha_ndcg@10"] == evaluate(qrels, run, "alpha_ndcg(rel=2)@10")["alpha_ndcg(rel=2)@10"]
    judged = {(query, document) for query, document, _, _ in rows}
    condensed = {q: {d: s for d, s in row.items() if (q, d) in judged} for q, row in run.items()}
    wanted = evaluate(qrels, condensed, "alpha_ndcg@10").per_query["alpha_ndcg@10"]
    assert evaluate(qrels, run, "alpha_ndcg@10", judged_only=True).per_query["alpha_ndcg@10"] == wanted
    assert list(evaluate(qrels, run, "alpha_ndcg(judged_only=True)@10").per_query.values()) == [wanted]


@pyndeval
def test_ids_that_are_whole_numbers_or_bytes(topics):
    rows, run = topics
    wanted = list(evaluate(subtopic_qrels(rows), run, "alpha_ndcg@10", ties="input").values[0])

    def renamed(name):
        number = int(name[1:])
        return {"d": number, "q": 100 + number}[name[0]]

    numbered = [(renamed(q), renamed(d), grade, topic) for q, d, grade, topic in rows]
    listed = {renamed(q): {renamed(d): s for d, s in row.items()} for q, row in run.items()}
    found = evaluate(subtopic_qrels(numbered), listed, "alpha_ndcg@10", ties="input")
    assert list(found.values[0]) == pytest.approx(wanted, abs=1e-12)
    assert found.query_ids == [renamed(q) for q in dict.fromkeys(row[0] for row in rows)]
    coded = [(q.encode(), d.encode(), grade, topic) for q, d, grade, topic in rows]
    bytes_run = {q.encode(): {d.encode(): s for d, s in row.items()} for q, row in run.items()}
    again = evaluate(subtopic_qrels(coded), bytes_run, "alpha_ndcg@10", ties="input")
    assert list(again.values[0]) == pytest.approx(wanted, abs=1e-12)


def test_other_metrics_see_each_document_once_with_its_highest_grade(topics):
    rows, run = topics
    highest: dict[str, dict[str, int]] = {}
    for query, document, grade, _ in rows:
        row = highest.setdefault(query, {})
        row[document] = max(grade, row.get(document, grade))
    metrics = "ndcg@10 r@10 ap num_rel rprec"
    for given in (run, Run.from_dict(run)):
        assert evaluate(subtopic_qrels(rows), given, metrics).mean == evaluate(highest, run, metrics).mean


@pyndeval
def test_judgments_without_subtopics_are_refused():
    with pytest.raises(InputError, match="expected judgments with subtopics"):
        evaluate({"q": {"a": 1}}, {"q": {"a": 1.0}}, "alpha_ndcg@10")


@pyndeval
@pytest.mark.parametrize(
    ("name", "answer"),
    {
        "alpha_nDCG": "cut-off from 1 to 20, got None",
        "alpha_nDCG@50": "cut-off from 1 to 20, got 50",
        "alpha_nDCG(alfa=0.5)@5": "did you mean alpha",
        "alpha_nDCG(alpha='high')@5": "alpha='high'",
    }.items(),
)
def test_parameters_are_checked(name, answer):
    with pytest.raises(InputError) as raised:
        parse(name)
    assert answer in str(raised.value)


@cwl
def test_a_parameter_that_is_missing_is_named():
    with pytest.raises(InputError, match="INST needs max_rel"):
        parse("INST")
    assert [metric.name for metric in parse(["inst(max_rel=3,T=2)", ir_measures.INST(max_rel=3)])] == [
        "inst(max_rel=3,T=2)",
        "INST(max_rel=3)",
    ]


@pyndeval
def test_a_name_twice_is_one_metric_and_objects_are_taken():
    names = [metric.name for metric in parse(["alpha_nDCG@10 alpha_nDCG@10", ir_measures.alpha_nDCG @ 10])]
    assert names == ["alpha_nDCG@10"]


@pyndeval
def test_pitfall_names_are_read_without_ir_measures_parser(monkeypatch):
    """That parser needs classes of `ast` which Python 3.14 no longer has."""

    def fails(measure):
        raise AttributeError("module 'ast' has no attribute 'Num'")

    monkeypatch.setattr(ir_measures, "parse_measure", fails)
    monkeypatch.setattr(ir_measures.util, "parse_measure", fails)
    assert parse("alpha_nDCG(alpha=0.2,judged_only=True)@5")[0].name == "alpha_nDCG(alpha=0.2,judged_only=True)@5"


@pyndeval
def test_where_only_judged_ranks_are_at_hand_it_is_refused():
    from rank_plugins.evaluation.thresholds import select_threshold

    with pytest.raises(InputError, match="whole lists"):
        select_threshold({"q": {"a": 1}}, {"q": {"a": 1.0}, "n": {"a": 0.5}}, ["n"], metric="alpha_ndcg@10")


@pytest.mark.parametrize(
    ("name", "module", "install"),
    [
        ("alpha_ndcg@10", "pyndeval", 'pip install "ir-measures[pyndeval]"'),
        ("INST(max_rel=3)", "cwl", 'pip install "ir-measures[cwl-eval]"'),
        ("alpha_ndcg@10", "ir_measures", "pip install ir-measures"),
    ],
)
def test_what_is_not_installed_is_named(name, module, install, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    with pytest.raises(MissingExtraError) as raised:
        parse(name)
    assert install in str(raised.value)
