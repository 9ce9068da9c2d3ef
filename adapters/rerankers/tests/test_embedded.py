"""`Reranker("rank-maxsim")` with the encoder inside rank_plugins, and the example of the README."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'rank-plugins[onnx]'")

from rank_plugins.errors import RankPluginsError
from rank_plugins_rerankers import MaxSimRanker, Reranker

QUERY = "Does coffee keep people awake?"
DOCUMENTS = ["Caffeine delays sleep by blocking adenosine.", "The Alps run through eight countries.", " "]


@pytest.fixture(scope="module")
def embedded() -> MaxSimRanker:
    made = Reranker("rank-maxsim", verbose=0)
    assert isinstance(made, MaxSimRanker)
    return made


def test_it_ranks_text(embedded: MaxSimRanker) -> None:
    """The relevant text is first, the unrelated second, the empty one last with -1e9."""
    results = embedded.rank(QUERY, DOCUMENTS)
    assert [result.doc_id for result in results] == [0, 1, 2]
    assert results[0].score > results[1].score > results[2].score == -1e9
    assert embedded.score(QUERY, DOCUMENTS[0]) == pytest.approx(results[0].score, abs=1e-3)


def test_rank_async_is_the_same(embedded: MaxSimRanker) -> None:
    """The asynchronous call gives the same order."""
    results = asyncio.run(embedded.rank_async(QUERY, DOCUMENTS))
    assert [result.doc_id for result in results] == [0, 1, 2]


def test_options_reach_the_encoder() -> None:
    """Options of the encoder go through, and a mean of cosines stays within -1 and 1."""
    made = Reranker("rank-maxsim", verbose=0, score="mean", threads=1, long_documents="first")
    assert made is not None
    assert -1 <= made.score(QUERY, DOCUMENTS[1]) < made.score(QUERY, DOCUMENTS[0]) <= 1.001


def test_an_unknown_option() -> None:
    """An option that neither reranker nor encoder has is an error, never None."""
    with pytest.raises(RankPluginsError, match="banana"):
        Reranker("rank-maxsim", verbose=0, banana=1)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """With the embedded encoder too, verbose=0 is silent on both streams."""
    Reranker("rank-maxsim", verbose=0, lang="en").rank(QUERY, DOCUMENTS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\U0001f34e" * 300, "\u05ea\u05e4\u05d5\u05d7", "a", "x" * 5000])
def test_bad_input(embedded: MaxSimRanker, text: str) -> None:
    """Unusual text is ranked with the others, and comes back as it was."""
    results = embedded.rank(QUERY, [text, *DOCUMENTS, text])
    assert sorted(result.doc_id for result in results) == [0, 1, 2, 3, 4]
    assert [result.text for result in results if result.doc_id in (0, 4)] == [text, text]
    assert embedded.rank(f"coffee {text}", DOCUMENTS).results_count() == 3


def test_a_store_saves_encoding(tmp_path: Path) -> None:
    """`store=` and `update=` reach the reranker; the second time no document is encoded, and scores stay."""
    ranker = Reranker("rank-maxsim", verbose=0, store=str(tmp_path / "store"), update=True)
    ids = ["a", "b", "c"]
    first = ranker.rank(QUERY, DOCUMENTS, doc_ids=ids)
    assert ranker.reranker.store.changed(ids, DOCUMENTS) == [False] * 3
    ranker.reranker.encoder.encode_documents = None  # a call would fail
    again = ranker.rank(QUERY, DOCUMENTS, doc_ids=ids)
    assert [(r.doc_id, r.score) for r in again] == [(r.doc_id, r.score) for r in first]
    ranker.reranker.close()
