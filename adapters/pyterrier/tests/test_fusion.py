"""RankPluginsFusion: several transformers' results made into one."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pyterrier", reason="the host package pyterrier is not installed")

import pandas as pd
import pyterrier as pt
from hypothesis import given, settings
from hypothesis import strategies as st

import rank_plugins
from pyterrier_rank_plugins import RankPluginsFusion, RankPluginsReranker
from rank_plugins.errors import InputError, InputTypeError

from .conftest import results

SPARSE = {"q1": ["d1", "d2", "d3"], "q2": ["d5"]}
DENSE = {"q1": ["d3", "d4", "d1"]}


@pytest.fixture
def bm25() -> Any:
    return pt.Transformer.from_df(results(SPARSE))


@pytest.fixture
def dense() -> Any:
    return pt.Transformer.from_df(results(DENSE))


def table(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return {qid: {docno: score}}, best first."""
    found: dict[str, dict[str, float]] = {}
    for row in frame.to_dict("records"):
        found.setdefault(row["qid"], {})[row["docno"]] = row["score"]
    return found


def rrf(lists: list[dict[str, list[str]]], weights: list[float], k: int) -> dict[str, dict[str, float]]:
    """Return weighted reciprocal rank fusion, computed here by its formula."""
    found: dict[str, dict[str, float]] = {}
    for one, weight in zip(lists, weights, strict=True):
        for qid, docnos in one.items():
            for rank, docno in enumerate(docnos, 1):
                scores = found.setdefault(qid, {})
                scores[docno] = scores.get(docno, 0.0) + weight / (k + rank)
    return found


@pytest.mark.parametrize(("weights", "k"), [(None, 60), ([2, 0.5], 10)])
def test_rrf(bm25: Any, dense: Any, topics: pd.DataFrame, weights: Any, k: int) -> None:
    """Weights and k are honoured; rows stand best first; a query that one has is fused from that one."""
    found = RankPluginsFusion([bm25, dense], method="rrf", weights=weights, k=k)(topics)
    expected = rrf([SPARSE, DENSE], weights or [1, 1], k)
    assert table(found) == {qid: pytest.approx(scores) for qid, scores in expected.items()}
    for _, group in found.groupby("qid"):
        assert group["rank"].tolist() == list(range(len(group)))
        assert group["score"].is_monotonic_decreasing


def test_source_ranks_stay_with_their_rows_where_the_host_sorts(
    bm25: Any, dense: Any, topics: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusion = RankPluginsFusion([bm25, dense])
    expected = {(row["qid"], row["docno"]): row["source_ranks"] for row in fusion(topics[::-1]).to_dict("records")}
    monkeypatch.setattr(pt.model, "STRICT_SORT", True)
    found = fusion(topics[::-1]).to_dict("records")
    assert {(row["qid"], row["docno"]): row["source_ranks"] for row in found} == expected


DOCNOS = st.lists(st.sampled_from(["d1", "d2", "d3", "d4", "d5"]), unique=True, min_size=1)


@settings(max_examples=40, deadline=None)
@given(
    found=st.lists(st.dictionaries(st.sampled_from(["q1", "q2"]), DOCNOS, min_size=1), min_size=1, max_size=3),
    weights=st.lists(st.floats(0.5, 2), min_size=3, max_size=3),
)
def test_any_lists(found: Any, weights: Any) -> None:
    """The formula holds for any results, in whatever order the frames have them, and the ranks are theirs."""
    frames = [results(one).sort_values("docno") for one in found]
    topics = pd.DataFrame({"qid": ["q1", "q2"], "query": ["red apples", "green tea"]})
    fusion = RankPluginsFusion([pt.Transformer.from_df(one) for one in frames], weights=weights[: len(found)])
    result = fusion(topics)
    assert table(result) == {q: pytest.approx(s) for q, s in rrf(found, weights[: len(found)], 60).items()}
    for row in result.to_dict("records"):
        places = [one.get(row["qid"], []) for one in found]
        expected = [docnos.index(row["docno"]) if row["docno"] in docnos else None for docnos in places]
        assert row["source_ranks"] == expected


def test_scores(bm25: Any, dense: Any, topics: pd.DataFrame) -> None:
    """Methods that read scores give what rank_plugins.fuse gives for the frames themselves."""
    found = RankPluginsFusion([bm25, dense], "sum", norm="zmuv", missing="zero", weights=[1, 3])(topics)
    runs = [table(results(SPARSE)), table(results(DENSE))]
    fused = rank_plugins.fuse(runs, "sum", norm="zmuv", missing="zero", weights=[1, 3])
    assert table(found) == {qid: pytest.approx(scores) for qid, scores in fused.items()}


def test_results_without_scores(topics: pd.DataFrame) -> None:
    """Ranks do where there are no scores, the rows' order where there are no ranks; a sum of scores says it cannot."""
    by_rank = pt.Transformer.from_df(results(SPARSE).drop(columns="score").iloc[::-1])
    by_place = pt.Transformer.from_df(results(SPARSE).drop(columns=["score", "rank"]))
    expected = rrf([SPARSE, SPARSE], [1, 1], 60)
    by_neither = pt.Transformer.from_df(results(SPARSE).drop(columns="score").assign(rank=[0, None, 1, None]))
    for one in (by_place, by_neither):
        assert table(RankPluginsFusion([by_rank, one])(topics)) == {q: pytest.approx(s) for q, s in expected.items()}
    with pytest.raises(InputError, match="score"):
        RankPluginsFusion([by_rank, by_place], "sum")(topics)


def test_rows_of_the_first_that_has_them(topics: pd.DataFrame) -> None:
    """Columns that all have stay, with the row they came from; what only some have does not."""
    first = results(SPARSE).assign(url="first", lang="en")
    second = results(DENSE).assign(url="second", docid=7)
    found = RankPluginsFusion([pt.Transformer.from_df(first), pt.Transformer.from_df(second)])(topics)
    assert set(found.columns) == {"qid", "query", "docno", "text", "url", "score", "rank", "source_ranks"}
    assert dict(zip(found["docno"], found["url"], strict=True)) == {
        "d1": "first", "d2": "first", "d3": "first", "d5": "first", "d4": "second",
    }  # fmt: skip


def test_types_of_columns_stay(topics: pd.DataFrame) -> None:
    """A transformer that finds nothing, in a frame without types, leaves the others' types as they are."""
    frame = results(SPARSE).assign(docid=range(4))
    nothing = pt.apply.generic(lambda _: pd.DataFrame(columns=frame.columns))
    found = RankPluginsFusion([pt.Transformer.from_df(frame), nothing])(topics)
    assert found["docid"].dtype == "int64"
    assert len(found) == 4


def test_duplicates_count_once(topics: pd.DataFrame) -> None:
    """A docno twice in one result counts where it stands best."""
    twice = pd.concat([results({"q1": ["d1", "d2"]}), results({"q1": ["d2", "d2", "d3"]})])  # scores 10 9 10 9 8
    twice = twice.assign(place=["first", "low", "best", "lower", "last"])
    found = RankPluginsFusion([pt.apply.generic(lambda _: twice), pt.apply.generic(lambda _: twice.iloc[:1])])(topics)
    assert found[["docno", "place", "source_ranks"]].values.tolist() == [
        ["d1", "first", [0, 0]], ["d2", "best", [1, None]], ["d3", "last", [2, None]],
    ]  # fmt: skip


def test_the_query_stays(bm25: Any, topics: pd.DataFrame) -> None:
    """A transformer that rewrites the query does so for itself alone: a later reranker reads the user's."""
    rewritten = pt.apply.generic(lambda _: results(DENSE).assign(query="red apples wine"))
    found = RankPluginsFusion([rewritten, bm25])(topics.assign(query_0="typed"))
    assert dict(zip(found["qid"], found["query"], strict=True)) == {"q1": "red apples", "q2": "green tea"}
    assert set(found["query_0"]) == {"typed"}


def test_a_transformer_that_writes_to_its_input(bm25: Any, topics: pd.DataFrame) -> None:
    """Neither the caller nor the next transformer sees it."""

    def write(frame: pd.DataFrame) -> pd.DataFrame:
        frame["query"] = "spoiled"
        return results(DENSE)

    before = topics.copy()
    found = RankPluginsFusion([pt.apply.generic(write), pt.apply.generic(lambda frame: bm25(frame))])(topics)
    pd.testing.assert_frame_equal(topics, before)
    assert "spoiled" not in set(found["query"])


def test_empty_results(bm25: Any, dense: Any, topics: pd.DataFrame) -> None:
    """No topics, no rows; one empty result leaves the other."""
    fusion = RankPluginsFusion([bm25, dense])
    found = fusion(topics.iloc[:0])
    assert len(found) == 0
    assert set(found.columns) == {"qid", "query", "docno", "text", "score", "rank", "source_ranks"}
    assert (found["score"].dtype, found["rank"].dtype) == ("float64", "int64")
    only = fusion(topics.iloc[1:])
    assert only[["docno", "source_ranks"]].values.tolist() == [["d5", [0, None]]]


def test_inspected(model: Any, dense: Any) -> None:
    """The host sees the transformers inside, what goes in and what comes out, and can make another."""
    fusion = RankPluginsFusion([RankPluginsReranker(model), RankPluginsReranker(model)], weights=[1, 2], k=7)
    assert set(pt.inspect.transformer_inputs(fusion)[0]) == {"qid", "query", "docno", "text"}
    outputs = pt.inspect.transformer_outputs(fusion, ["qid", "query", "docno", "text", "url"])
    assert set(outputs) == {"qid", "query", "docno", "text", "url", "score", "rank", "source_ranks"}
    assert pt.inspect.subtransformers(fusion) == {"transformers": fusion.transformers}
    other = pt.inspect.transformer_apply_attributes(fusion, weights=[3, 4])
    assert (other.weights, other.parameters) == ([3, 4], {"k": 7})
    assert "RankPluginsReranker" in repr(fusion)


def test_in_a_pipeline(bm25: Any, dense: Any, topics: pd.DataFrame, model: Any) -> None:
    """Fused, cut, reranked and measured by the host."""
    fused = RankPluginsFusion([bm25, dense]) % 3
    pipeline = fused >> RankPluginsReranker(model)
    qrels = pd.DataFrame({"qid": ["q1", "q2"], "docno": ["d1", "d5"], "label": [1, 1]})
    found = pt.Experiment([fused, pipeline], topics, qrels, ["recip_rank"], perquery=False)
    assert found["recip_rank"].tolist()[1] == 1
    assert len(pipeline(topics)) == 4
    assert pipeline.search("red apples", qid="q1")["docno"].tolist()[0] == "d1"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"transformers": "bm25"}, InputTypeError, "transformers: expected a list"),
        ({"transformers": [1]}, InputTypeError, r"transformers\[0\]: expected a pyterrier Transformer, got int"),
        ({"transformers": []}, InputError, "at least one"),
        ({"method": "rrrf"}, InputError, "rrf"),
        ({"weights": [1, 2, 3]}, InputError, "weights"),
        ({"k": -1}, InputError, "k"),
        ({"kk": 1}, InputTypeError, "kk"),
        ({"norm": "minmax"}, InputError, "norm"),
    ],
)
def test_bad_options(bm25: Any, dense: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    """What cannot be fused is refused when the pipeline is written."""
    with pytest.raises(error, match=message):
        RankPluginsFusion(**{"transformers": [bm25, dense], **options})


def test_results_of_other_queries(topics: pd.DataFrame) -> None:
    """What a transformer returns for a query that was not asked keeps its own query."""
    found = RankPluginsFusion([pt.apply.generic(lambda _: results(SPARSE))])(topics.assign(query="asked").iloc[:1])
    assert dict(zip(found["qid"], found["query"], strict=True)) == {"q1": "asked", "q2": "green tea"}
    with pytest.raises(pt.validate.InputValidationError, match="qid"):
        RankPluginsFusion([pt.apply.generic(lambda _: results(SPARSE))])(topics.drop(columns="qid"))


def test_bad_results(bm25: Any, topics: pd.DataFrame) -> None:
    """A result without documents is refused by the host's own check; a docno that is no str by ours."""
    with pytest.raises(pt.validate.InputValidationError, match="docno"):
        RankPluginsFusion([bm25, pt.Transformer.identity()])(topics)
    numbers = pt.Transformer.from_df(results(SPARSE).assign(docno=range(4)))
    with pytest.raises(InputTypeError, match="key that is a str, got int"):
        RankPluginsFusion([numbers])(topics)
