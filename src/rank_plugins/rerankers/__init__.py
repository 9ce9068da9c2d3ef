"""Rerankers: a query and documents to a Ranking."""

from __future__ import annotations

from typing import Any, cast

from rank_plugins._registry import Registry
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Reranker

__all__ = ["Ranking", "Reranker", "load", "names"]

_REGISTRY = Registry(
    "rank_plugins.rerankers",
    {
        "rank-maxsim": "rank_plugins.rerankers.maxsim:MaxSimReranker",
        "rank-fusion": "rank_plugins.rerankers.fusion:FusionReranker",
        "rank-cross-encoder": "rank_plugins.rerankers.cross_encoder:CrossEncoderReranker",
        "rank-cascade": "rank_plugins.pipelines.cascade:Cascade",
        "rank-calibrated": "rank_plugins.pipelines.calibrated:CalibratedReranker",
        "rank-cut": "rank_plugins.pipelines.cuts:CutReranker",
        "rank-normalised": "rank_plugins.pipelines.normalised:NormalisedReranker",
        "rank-cached": "rank_plugins.pipelines.cached:CachedReranker",
        "rank-mmr": "rank_plugins.pipelines.mmr:MMRReranker",
        "rank-dpp": "rank_plugins.pipelines.dpp:DPPReranker",
        "rank-near-duplicates": "rank_plugins.pipelines.near_duplicates:NearDuplicateReranker",
        "rank-quotas": "rank_plugins.pipelines.quotas:QuotaReranker",
    },
)


def load(name: str, **options: Any) -> Reranker:
    """Return the reranker of that name, one of ours or one that another distribution adds.

    No model is loaded before the first documents are ranked.

    Raises:
        InputError: the name is unknown.
        InputTypeError: an option is unknown.

    """
    return cast(Reranker, _REGISTRY.create(name, options))


def names() -> list[str]:
    """Return the names that `load` knows."""
    return _REGISTRY.names()
