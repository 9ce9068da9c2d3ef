"""AdapterContract: the contract of rerankers through an adapter to another host."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import pytest

from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.rerankers.reranker import Reranker
from rank_plugins.testing.contract import RerankerContract
from rank_plugins.testing.encoder import HashEncoder
from rank_plugins.testing.models import save_tiny_cross_encoder

FUSION = {"rerankers": ["rank-maxsim", {"name": "rank-maxsim", "score": "mean"}], "weights": [2, 1]}


class Model(NamedTuple):
    """What a user gives an adapter."""

    model: str | Reranker
    model_kwargs: dict[str, Any] | None


class AdapterContract(RerankerContract):
    """What an adapter promises with each reranker of this package by its name, and with one already made.

    Inherit, and override `adapt`, `rank` and `rank_async`. The cross-encoder is one of `save_tiny_cross_encoder`,
    which needs torch and sentence-transformers; without them its tests are skipped.
    """

    nothing: ClassVar[float] = -1e9
    test_what_is_no_text_is_refused: Any = None  # hosts have documents of their own

    @pytest.fixture(scope="class")
    @classmethod
    def cross_encoder(cls, tmp_path_factory: pytest.TempPathFactory) -> str:
        """Return the folder of a small cross-encoder."""
        pytest.importorskip("sentence_transformers")
        return save_tiny_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))

    @pytest.fixture(params=["rank-maxsim", "rank-fusion", "rank-cross-encoder", "instance"])
    def model(self, request: pytest.FixtureRequest) -> Model:
        """Return a name with its options, or a reranker."""
        self.pointwise = request.param != "rank-fusion"  # type: ignore[misc]  # of this test alone
        if request.param == "instance":
            return Model(MaxSimReranker(HashEncoder(64)), None)
        if request.param == "rank-cross-encoder":
            return Model(request.param, {"model": request.getfixturevalue("cross_encoder")})
        return Model(request.param, dict(FUSION) if request.param == "rank-fusion" else {})

    @pytest.fixture
    def reranker(self, model: Model) -> Any:
        """Return the adapter under test."""
        return self.adapt(*model)

    def adapt(self, model: str | Reranker, model_kwargs: dict[str, Any] | None) -> Any:
        """Return the adapter over a model; it returns all documents unless a call says otherwise."""
        raise NotImplementedError
