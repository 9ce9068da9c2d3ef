"""A LanceDB in a folder of the test's own, whose vectors an encoder without a model made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the host package lancedb is not installed")

import lancedb
import pyarrow as pa
from lancedb.index import FTS

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder

DIM = 16
TEXTS = [
    "red apples and green pears",
    "green tea",
    None,
    "the red fox runs",
    "",
    "a fox eats red apples",
    "pears",
    "wind and weather",
]
QUERY = "red apples"


class CountingEncoder(HashEncoder):
    """Remembers what it encoded."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__(dim)
        self.queries: list[str] = []
        self.documents: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        self.queries += texts
        return super().encode_queries(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> TokenEmbeddings:
        self.documents += texts
        return super().encode_documents(texts, show_progress=show_progress)


def rows() -> pa.Table:
    """Return TEXTS with a vector per text, and the token vectors of the same words."""
    tokens = HashEncoder(DIM).encode_documents([text or "" for text in TEXTS])
    columns = {
        "id": pa.array(range(len(TEXTS))),
        "text": pa.array(TEXTS, pa.string()),
        "vector": pa.array([(one.sum(0)).tolist() for one in tokens], pa.list_(pa.float32(), DIM)),
        "tokens": pa.array(
            [None if text is None else one.tolist() for text, one in zip(TEXTS, tokens, strict=True)],
            pa.list_(pa.list_(pa.float32(), DIM)),
        ),
    }
    return pa.table(columns)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def model(encoder: CountingEncoder) -> MaxSimReranker:
    """Return a reranker of ours over that encoder."""
    return MaxSimReranker(encoder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a database that has the table "documents"."""

    async def create() -> None:
        database = await lancedb.connect_async(tmp_path / "documents")
        table = await database.create_table("documents", rows())
        await table.create_index("text", config=FTS(with_position=True))

    asyncio.run(create())
    return tmp_path / "documents"


@pytest.fixture
def table(folder: Path) -> Any:
    return lancedb.connect(folder).open_table("documents")


@pytest.fixture
def query_vector() -> list[float]:
    return HashEncoder(DIM).encode_queries([QUERY])[0].sum(0).tolist()


@pytest.fixture
def expected() -> dict[int, float]:
    """Return the score of each row for QUERY, computed here by the definition."""
    encoder = HashEncoder(DIM)
    query = encoder.encode_queries([QUERY])[0]
    documents = encoder.encode_documents([text or "" for text in TEXTS])
    return {i: float((query @ one.T).max(1).sum()) if len(one) else -1e9 for i, one in enumerate(documents)}
