"""Frames as PyTerrier's transformers pass them on, and a reranker that needs no model."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pyterrier", reason="the host package pyterrier is not installed")

import pandas as pd
import pyterrier as pt

from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder

TEXTS = {"d1": "red apples", "d2": "green tea", "d3": "a red fox eats pears", "d4": "", "d5": "pears and green apples"}
QUERIES = {"q1": "red apples", "q2": "green tea"}


def results(found: dict[str, list[str]], **columns: list[Any]) -> pd.DataFrame:
    """Return a result frame with text: docnos by qid, best first."""
    rows = [
        {"qid": qid, "query": QUERIES[qid], "docno": docno, "text": TEXTS[docno], "score": 10.0 - rank, "rank": rank}
        for qid, docnos in found.items()
        for rank, docno in enumerate(docnos)
    ]
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def candidates() -> pd.DataFrame:
    return results({"q1": ["d2", "d4", "d1", "d3"], "q2": ["d5", "d2"]})


@pytest.fixture
def topics() -> pd.DataFrame:
    return pd.DataFrame({"qid": list(QUERIES), "query": list(QUERIES.values())})


@pytest.fixture
def model() -> MaxSimReranker:
    return MaxSimReranker(HashEncoder(16))


@pytest.fixture(autouse=True)
def no_java() -> Any:
    """No test may start Java."""
    yield
    assert not pt.java.started()
