"""The ranker over an encoder that needs no model, and rerankers as it is without us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

import rank_plugins_rerankers
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.testing import HashEncoder
from rank_plugins_rerankers import MaxSimRanker, registration


class CountingEncoder(HashEncoder):
    """Counts the calls that encode."""

    calls = 0

    def _encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        self.calls += 1
        return super()._encode(texts)


@pytest.fixture
def toy() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def ranker(toy: CountingEncoder) -> MaxSimRanker:
    """Return the ranker under test, as the host's own factory makes it."""
    made = rank_plugins_rerankers.Reranker("rank-maxsim", verbose=0, encoder=toy)
    assert isinstance(made, MaxSimRanker)
    return made


@pytest.fixture
def unregistered() -> Iterator[None]:
    """Rerankers as it is without us; registered again afterwards."""
    registration.unregister()
    yield
    registration.unregister()
    registration.register()
