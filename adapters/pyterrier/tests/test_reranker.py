"""RankPluginsReranker: frames in, frames out, and the host's own tools over it."""

from __future__ import annotations

import copy
import pickle
from itertools import product
from typing import Any

import pytest

pytest.importorskip("pyterrier", reason="the host package pyterrier is not installed")

import pandas as pd
import pyterrier as pt
from hypothesis import given, settings
from hypothesis import strategies as st

from pyterrier_rank_plugins import RankPluginsReranker
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder

COLUMNS = ["qid", "query", "docno", "text"]
WORDS = ("red", "green", "apples", "tea", "fox")


class Counting(MaxSimReranker):
    """Counts its batches."""

    batches = 0

    def rerank_batch(self, *args: Any, **options: Any) -> Any:
        self.batches += 1
        return super().rerank_batch(*args, **options)


def test_several_queries(candidates: pd.DataFrame) -> None:
    """Each query's rows by score, ranked from 0, computed in one batch; the input stays as it is."""
    before, model = candidates.copy(), Counting(HashEncoder(16))
    found = RankPluginsReranker(model)(candidates)
    order = list(zip(found["qid"], found["docno"], found["rank"], strict=True))
    assert [docno for qid, docno, rank in order if rank == 0] == ["d1", "d2"]
    assert [row for row in order if row[1] == "d4"] == [("q1", "d4", 3)]
    assert [(qid, rank) for qid, _, rank in order] == [(qid, r) for qid, n in (("q1", 4), ("q2", 2)) for r in range(n)]
    assert model.batches == 1
    assert found.index.tolist() == list(range(6))
    pd.testing.assert_frame_equal(candidates, before)


def test_columns_stay(candidates: pd.DataFrame, model: Any) -> None:
    """Other columns go with their rows; score and rank are new."""
    frame = candidates.assign(docid=range(6), title=[f"about {docno}" for docno in candidates["docno"]])
    found = RankPluginsReranker(model)(frame)
    assert set(found.columns) == set(frame.columns)
    assert found["title"].tolist() == [f"about {docno}" for docno in found["docno"]]
    assert {(qid, d): n for qid, d, n in zip(found["qid"], found["docno"], found["docid"], strict=True)} == {
        (qid, d): n for qid, d, n in zip(frame["qid"], frame["docno"], frame["docid"], strict=True)
    }
    assert found["score"].dtype == "float64"
    assert found["rank"].dtype == "int64"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.integers(0, 3), st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_any_frame(rows: list[tuple[str, int, str]], random: Any) -> None:
    """Rows may stand in any order and any number of times: the scores are MaxSim's of query and text, ranks theirs."""
    random.shuffle(rows)
    table = [(qid, f"red {qid}", f"d{n}", text, place) for place, (qid, n, text) in enumerate(rows)]
    frame = pd.DataFrame(table, columns=[*COLUMNS, "place"])
    frame.index = range(100, 100 + len(frame))
    encoder = HashEncoder(16)
    found = RankPluginsReranker(MaxSimReranker(encoder))(frame)
    assert sorted(found["place"]) == list(range(len(rows)))
    for row in found.to_dict("records"):
        query, document = encoder.encode_queries([row["query"]])[0], encoder.encode_documents([row["text"]])[0]
        expected = float((query @ document.T).max(1).sum()) if len(document) else -1e9
        assert row["score"] == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert rows[row["place"]] == (row["qid"], int(row["docno"][1:]), row["text"])
    for _, group in found.groupby("qid"):
        assert group["rank"].tolist() == list(range(len(group)))
        assert group["score"].is_monotonic_decreasing


def test_order_of_queries_and_ties(model: Any) -> None:
    """Queries stand as they first occur, and equal scores as their rows did."""
    rows = [(f"q{2 - i % 2}", "red", f"d{i}", ("red", "wind")[i % 4 // 2]) for i in range(200)]
    found = RankPluginsReranker(model)(pd.DataFrame(rows, columns=COLUMNS))
    expected = [
        (qid, docno)
        for pair in product(("q2", "q1"), ("red", "wind"))
        for qid, _, docno, text in rows
        if (qid, text) == pair
    ]  # fmt: skip
    assert list(zip(found["qid"], found["docno"], strict=True)) == expected


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, ""])
def test_missing_text(candidates: pd.DataFrame, model: Any, missing: object) -> None:
    """What has no text is last, not an error."""
    frame = candidates.astype({"text": object})
    frame.loc[2, "text"] = missing
    found = RankPluginsReranker(model)(frame)
    assert found[found["qid"] == "q1"].iloc[-2:][["docno", "score"]].values.tolist() == [["d4", -1e9], ["d1", -1e9]]


def test_duplicate_documents_stay(candidates: pd.DataFrame, model: Any) -> None:
    """A docno that is there twice for a query is two rows, each with its text's score."""
    frame = pd.concat([candidates, candidates.assign(text="wind")])
    found = RankPluginsReranker(model)(frame)
    assert len(found) == len(frame)
    assert found[(found["qid"] == "q1") & (found["docno"] == "d1")]["score"].nunique() == 2


def test_rewritten_queries(candidates: pd.DataFrame, model: Any) -> None:
    """Rows that have another query under the same qid are scored for theirs, and ranked with the others."""
    found = RankPluginsReranker(model)(candidates.assign(qid="q1", query=["green tea"] * 3 + ["red fox"] * 3))
    best = found.set_index("rank").sort_index()
    assert set(best["docno"].tolist()[:2]) == {"d2", "d3"}
    assert best["score"].tolist()[:2] == pytest.approx([2, 2])


@pytest.mark.parametrize(("names", "expected"), [(list("abcdef"), [list("abcd"), list("ef")]), (range(6), None)])
def test_stores_know_documents_by_docno(candidates: pd.DataFrame, names: Any, expected: Any) -> None:
    """A reranker gets to know the docnos where all are str."""

    class Noting(MaxSimReranker):
        ids: Any = ()

        def rerank_batch(self, *args: Any, **options: Any) -> Any:
            self.ids = options["ids"]
            return super().rerank_batch(*args, **options)

    model = Noting(HashEncoder(16))
    RankPluginsReranker(model)(candidates.assign(docno=names))
    assert model.ids == expected


def test_a_store_and_one_docno_for_two_texts(candidates: pd.DataFrame, tmp_path: Any) -> None:
    """As summaries for each query are: they are kept by their texts."""
    frame = pd.concat([candidates, candidates.assign(text="wind")])
    expected = RankPluginsReranker(MaxSimReranker(HashEncoder(16)))(frame)
    with MaxSimReranker(HashEncoder(16), store=tmp_path / "store", update=True) as model:
        for _ in range(2):
            found = RankPluginsReranker(model)(frame)
            assert sorted(found["score"]) == pytest.approx(sorted(expected["score"]), abs=0.05)  # int8


def test_what_a_grid_search_cannot_set(candidates: pd.DataFrame) -> None:
    """A model that is set afterwards would not be used: it is refused, while the text field may be set."""
    reranker = RankPluginsReranker(MaxSimReranker(HashEncoder(16)))
    for name, value in (("model", "rank-fusion"), ("model_kwargs", {"score": "mean"})):
        with pytest.raises(AttributeError, match=name):
            reranker.set_parameter(name, value)
    reranker.set_parameter("text_field", "body")
    assert len(reranker(candidates.rename(columns={"text": "body"}))) == len(candidates)


def test_pickled_and_copied() -> None:
    """Worker processes get what it was made of."""
    reranker = RankPluginsReranker("rank-maxsim", {"score": "mean"}, text_field="body")
    for twin in (pickle.loads(pickle.dumps(reranker)), copy.deepcopy(reranker)):  # noqa: S301 - our own bytes
        assert (twin.model, twin.model_kwargs, twin.text_field) == ("rank-maxsim", {"score": "mean"}, "body")
        assert twin.reranker is not reranker.reranker


def test_an_index_named_as_a_column(candidates: pd.DataFrame, model: Any) -> None:
    """The index takes no part, whatever it is called."""
    found = RankPluginsReranker(model)(candidates.set_index(["qid", "query"], drop=False))
    pd.testing.assert_frame_equal(found, RankPluginsReranker(model)(candidates))


@pytest.mark.parametrize("extra", [[], ["score", "rank", "docid"]])
def test_empty_frames(model: Any, extra: list[str]) -> None:
    """No rows give no rows, with the columns of a ranking, and their types."""
    found = RankPluginsReranker(model)(pd.DataFrame(columns=[*COLUMNS, *extra]))
    assert len(found) == 0
    assert set(found.columns) == {*COLUMNS, *extra, "score", "rank"}
    assert (found["score"].dtype, found["rank"].dtype) == ("float64", "int64")


def test_inspected(model: Any) -> None:
    """The host finds out what goes in, what comes out and how the transformer was made."""
    reranker = RankPluginsReranker(model, text_field="body")
    assert set(pt.inspect.transformer_inputs(reranker)[0]) == {"qid", "query", "docno", "body"}
    outputs = pt.inspect.transformer_outputs(reranker, ["qid", "query", "docno", "body", "url"])
    assert set(outputs) == {"qid", "query", "docno", "body", "url", "score", "rank"}
    other = pt.inspect.transformer_apply_attributes(reranker, text_field="text")
    assert (other.model, other.text_field) == (model, "text")
    with pytest.raises(pt.validate.InputValidationError, match="body"):
        reranker(pd.DataFrame(columns=COLUMNS))
    assert "text_field='body'" in repr(reranker)


def test_in_a_pipeline(candidates: pd.DataFrame, topics: pd.DataFrame, model: Any) -> None:
    """The operators of pipelines apply: then, and the best k."""
    pipeline = pt.Transformer.from_df(candidates) >> RankPluginsReranker(model) % 1
    found = pipeline(topics)
    assert found[["qid", "docno", "rank"]].values.tolist() == [["q1", "d1", 0], ["q2", "d2", 0]]
    assert pipeline(topics.to_dict("records")) == found.to_dict("records")
    assert len(pipeline(topics.iloc[:0])) == 0


def test_in_an_experiment(candidates: pd.DataFrame, topics: pd.DataFrame, model: Any) -> None:
    """The host measures before and after, with its metrics and ours, batch by batch."""
    from rank_plugins.evaluation.providers.pyterrier import measures

    before = pt.Transformer.from_df(candidates.drop(columns=["text"]))
    texts = pt.apply.text(lambda row: candidates.set_index("docno")["text"].to_dict()[row["docno"]])
    qrels = pd.DataFrame({"qid": ["q1", "q2"], "docno": ["d1", "d2"], "label": [1, 1]})
    table = pt.Experiment(
        [before, before >> texts >> RankPluginsReranker(model)],
        topics, qrels, ["recip_rank", *measures("ndcg@1")], names=["before", "after"], batch_size=1,
    )  # fmt: skip
    assert table["recip_rank"].tolist() == pytest.approx([(1 / 3 + 1 / 2) / 2, 1])
    assert table["ndcg@1"].tolist() == [0, 1]


def test_first_stage_scores_reach_a_fusion(candidates: pd.DataFrame) -> None:
    """rank-fusion may weigh the retriever's scores, and says so where a row has none."""
    options = {"rerankers": ["rank-maxsim"], "first_stage": True, "weights": [0, 1]}
    fused = RankPluginsReranker("rank-fusion", options)
    frame = candidates[candidates["docno"] != "d4"].sort_values("docno")
    assert fused(frame).groupby("qid")["docno"].apply(list).to_dict() == {"q1": ["d2", "d1", "d3"], "q2": ["d5", "d2"]}
    with pytest.raises(InputError, match="first stage's scores"):
        fused(frame.drop(columns="score"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "rank-maxsin"}, InputError, "rank-maxsim"),
        ({"model": 7}, InputTypeError, "model: expected a name"),
        ({"model_kwargs": {"scores": "sum"}}, InputTypeError, "scores"),
        ({"text_field": None}, InputTypeError, "text_field: expected the name"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """Names and options are checked when the pipeline is written."""
    with pytest.raises(error, match=message):
        RankPluginsReranker(**options)


def test_text_that_is_none(candidates: pd.DataFrame, model: Any) -> None:
    """A column of numbers is no text."""
    with pytest.raises(InputTypeError, match=r"documents\[0\]"):
        RankPluginsReranker(model)(candidates.assign(text=1.5))


def test_close() -> None:
    """What the user made stays open; what was made from a name is let go of."""
    for model, expected in ((MaxSimReranker(HashEncoder()), []), ("rank-maxsim", [True])):
        reranker, closed = RankPluginsReranker(model), []
        reranker.reranker.close = lambda closed=closed: closed.append(True)  # type: ignore[method-assign]
        reranker.close()
        assert closed == expected
