"""evaluate: the rules around the metrics, and the result."""

import json
import math

import numpy as np
import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import Evaluation, evaluate
from rank_plugins.runs import Qrels, Run

QRELS = {"q1": {"a": 1, "b": 0, "c": 2}, "q2": {"a": 1}, "q3": {"x": 0}, "q4": {"y": 1}}
RUN = {"q1": {"b": 3.0, "a": 2.0, "u": 1.0}, "q2": {"z": 9.0, "a": 8.0}, "q3": {"x": 1.0}, "q9": {"a": 1.0}}


def test_the_result_by_name_and_by_query():
    result = evaluate(QRELS, RUN, "rr P@2")
    assert result["rr"] == (0.5 + 0.5 + 0 + 0) / 4
    assert result.per_query["rr"] == {"q1": 0.5, "q2": 0.5, "q3": 0.0, "q4": 0.0}
    assert result.per_query["P@2"]["q1"] == 0.5
    assert (result.n, result.no_relevant, result.absent, result.ignored) == (4, ["q3"], ["q4"], ["q9"])
    assert list(result) == ["rr", "P@2"]
    with pytest.raises(KeyError, match="rr, P@2"):
        result["ndcg"]


def test_queries_that_the_run_lacks():
    assert evaluate(QRELS, RUN, "rr", missing="skip")["rr"] == 1 / 3
    with pytest.raises(InputError, match="'q4'"):
        evaluate(QRELS, RUN, "rr", missing="error")


def test_queries_without_relevant_documents():
    assert evaluate(QRELS, RUN, "rr", no_relevant="skip")["rr"] == 1 / 3
    assert evaluate(QRELS, RUN, "rr", no_relevant="reward_empty")["rr"] == 1 / 4
    silent = {query: documents for query, documents in RUN.items() if query != "q3"}
    assert evaluate(QRELS, silent, "rr", no_relevant="reward_empty")["rr"] == (0.5 + 0.5 + 1 + 0) / 4


def test_queries_without_judgments_are_left_out_and_said():
    with pytest.warns(UserWarning, match="'q0'"):
        assert evaluate({"q0": {}, **QRELS}, RUN, "rr").n == 4


def test_counts_are_sums_and_geometric_means_are_those():
    result = evaluate(QRELS, RUN, "num_rel num_ret gm_map map")
    assert (result["num_rel"], result["num_ret"]) == (4, 6)
    values = [max(value, 1e-5) for value in result.per_query["map"].values()]
    assert result["gm_map"] == pytest.approx(math.prod(values) ** 0.25, rel=1e-12)
    low, high = result.ci()["gm_map"]
    assert low <= result["gm_map"] <= high
    assert all(map(math.isnan, result.ci()["num_rel"]))


def test_columns_give_what_dicts_give():
    names = "ndcg@10 ap rr@10 r@100 bpref judged@10"
    dicts = evaluate(QRELS, RUN, names)
    for columns in (
        (Qrels.from_dict(QRELS), Run.from_dict(RUN)),
        (Qrels.from_dict(QRELS), RUN),
        (QRELS, Run.from_dict(RUN)),
    ):
        assert (evaluate(*columns, names).values == dicts.values).all()


def test_a_callable_is_a_metric():
    def first_rank(table):
        """Return the rank of the first judged document, or 0."""
        has = np.diff(table.first) > 0
        ranks = np.zeros(len(table.n))
        ranks[has] = table.rank[table.first[:-1][has]]
        return ranks

    assert evaluate(QRELS, RUN, ["rr", first_rank]).per_query["first_rank"] == {"q1": 1, "q2": 2, "q3": 1, "q4": 0}
    with pytest.raises(InputError, match="expected 4 values"):
        evaluate(QRELS, RUN, lambda table: np.zeros(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ties": "random"}, "ties"),
        ({"missing": "drop"}, "missing"),
        ({"no_relevant": "one"}, "no_relevant"),
        ({"relevance_level": math.nan}, "relevance_level"),
        ({"metrics": "ndgc@10"}, "did you mean nDCG"),
        ({"qrels": {}}, "at least one query"),
        ({"qrels": {"q": {"a": math.nan}}}, "NaN"),
        ({"run": {"q1": {"a": math.nan}}}, "NaN"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error(change, message):
    with pytest.raises(InputError, match=message):
        evaluate(**{"qrels": QRELS, "run": RUN, "metrics": "rr"} | change)
    with pytest.raises(InputTypeError):
        evaluate(QRELS, 7)


def test_it_is_saved_and_loaded(tmp_path):
    result = evaluate(QRELS, Run.from_dict(RUN, name="mine"), "rr ap num_rel", no_relevant="skip")
    result.save(tmp_path / "result.json")
    json.loads((tmp_path / "result.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    loaded = Evaluation.load(tmp_path / "result.json")
    assert np.array_equal(loaded.values, result.values, equal_nan=True)
    assert (loaded.mean, loaded.name, loaded.no_relevant) == (result.mean, "mine", result.no_relevant)
    assert (loaded.settings, str(loaded)) == (result.settings, str(result))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="to_dict"):
        Evaluation.load(tmp_path / "other.json")


def test_numpy_ids_are_saved_and_bytes_are_refused(tmp_path):
    path = tmp_path / "evaluation.json"
    evaluate({np.int64(7): {"a": 1}}, {np.int64(7): {"a": 1.0}}, relevance_level=np.int64(1)).save(path)
    assert Evaluation.load(path).query_ids == [7]
    with pytest.raises(InputTypeError, match="bytes b'7'"):
        evaluate({b"7": {"a": 1}}, {b"7": {"a": 1.0}}).save(tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


def test_a_metric_that_gives_no_numbers_is_named():
    def odd(table):
        return "x"

    with pytest.raises(InputTypeError, match="odd: expected 1 numbers, one for each query, got str"):
        evaluate({"q": {"a": 1}}, {"q": {"a": 1.0}}, odd)
