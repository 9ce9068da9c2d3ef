"""Presets: the fusion of search engines and frameworks, as each computes it. In float64; some of them use float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rank_plugins.errors import InputError
from rank_plugins.fusion.lists import Floats, Lists
from rank_plugins.fusion.methods import METHODS, RRF, Method
from rank_plugins.fusion.norms import NORMS, Norm, constant_lists, minmax

JAVA_SMALLEST = 1.4e-45
"""Float.MIN_VALUE, the smallest positive float32, where Elastic and OpenSearch start to look for a maximum."""


@dataclass(frozen=True, eq=False)
class Preset:
    """A method with the settings of somebody else; documents whose lists all have weight 0 are kept, as all do."""

    method: Method
    norm: Norm | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[Floats | None, int], Floats | None] = lambda weights, _: weights
    missing: str | None = None


def _shares(weights: Floats | None, count: int) -> Floats:
    """Weights that add up to 1."""
    given = np.ones(count) if weights is None else weights
    return np.asarray(given / given.sum())


def _equal_shares(weights: Floats | None, count: int) -> Floats:
    """1 / m each where none are given; given ones stay as they are."""
    return np.full(count, 1 / count) if weights is None else weights


def _refused(weights: Floats | None, count: int) -> Floats:
    if weights is not None:
        raise InputError('weights: this system ignores weights here; leave them out, or use a method such as "rrf"')
    return np.ones(count)


def _elastic(lists: Lists) -> Floats:
    """Min-max whose maximum is at least 1.4e-45; the smallest score itself where the span is below 1e-6."""
    low = lists.last(lists.score)
    high = np.maximum(lists.first(lists.score), JAVA_SMALLEST)
    flat = lists.each(np.abs(high - low) < 1e-6)
    spans = np.where(flat, 1.0, lists.each(high - low))
    return np.where(flat, lists.each(low), (lists.score - lists.each(low)) / spans)


def _opensearch(lists: Lists) -> Floats:
    """Min-max whose maximum is at least 1.4e-45; 0 becomes 0.001, and a list of equal (positive) scores all 1."""
    low = lists.last(lists.score)
    high = np.maximum(lists.first(lists.score), JAVA_SMALLEST)
    spans = lists.each(high - low)
    scaled = (lists.score - lists.each(low)) / np.where(spans == 0, 1.0, spans)
    return np.where(spans == 0, 1.0, np.where(scaled == 0, 0.001, scaled))


def _llamaindex(values: Callable[[Lists], Floats]) -> Callable[[Lists], Floats]:
    """1 for the documents of a list of equal scores that are positive, else 0."""
    return lambda lists: np.where(constant_lists(lists), (lists.score > 0).astype(np.float64), values(lists))


def _haystack(lists: Lists) -> Floats:
    """DBSF with the population's deviation; a list of equal scores keeps them (since version 3)."""
    return np.where(constant_lists(lists), lists.score, NORMS["dbsf"].values(lists, ddof=0))


ELASTIC = Norm("elastic-minmax", _elastic)
OPENSEARCH = Norm("opensearch-minmax", _opensearch)
HAYSTACK = Norm("haystack-dbsf", _haystack)
LLAMAINDEX = Norm("llamaindex-minmax", _llamaindex(minmax))
LLAMAINDEX_DBSF = Norm("llamaindex-dbsf", _llamaindex(lambda lists: NORMS["dbsf"].values(lists, ddof=0)))

PRESETS: dict[str, Preset] = {
    # Qdrant: weights stretch ranks; sd of the sample. lib/segment/src/common/{reciprocal_rank,score}_fusion.rs
    "qdrant-rrf": Preset(RRF["qdrant"]),
    "qdrant-dbsf": Preset(METHODS["dbsf"]),
    # Weaviate: ranks from 0; a list of equal scores gives its weight. usecases/traverser/hybrid/hybrid_fusion.go
    "weaviate-ranked": Preset(RRF["zero_based"]),
    "weaviate-relative": Preset(METHODS["sum"]),
    # Elasticsearch: the rrf and linear retrievers. x-pack/plugin/rank-rrf
    "elastic-rrf": Preset(RRF["paper"]),
    "elastic-linear": Preset(METHODS["sum"], ELASTIC),
    # OpenSearch: score-ranker and normalization processors of neural-search
    "opensearch-rrf": Preset(RRF["paper"]),
    "opensearch-arithmetic": Preset(METHODS["sum"], OPENSEARCH, weights=_shares),
    "opensearch-geometric": Preset(METHODS["gmean"], OPENSEARCH),
    "opensearch-harmonic": Preset(METHODS["hmean"], OPENSEARCH),
    # Haystack: the join modes of DocumentJoiner
    "haystack-rrf": Preset(RRF["haystack"]),
    "haystack-merge": Preset(METHODS["sum"], NORMS["none"], weights=_shares, missing="zero"),
    "haystack-dbsf": Preset(METHODS["max"], HAYSTACK, weights=_refused),
    # LlamaIndex: the modes of QueryFusionRetriever, for one query
    "llamaindex-rrf": Preset(RRF["zero_based"], weights=_refused),
    "llamaindex-relative": Preset(METHODS["sum"], LLAMAINDEX, weights=_shares),
    "llamaindex-dbsf": Preset(METHODS["sum"], LLAMAINDEX_DBSF, weights=_shares),
    "llamaindex-simple": Preset(METHODS["max"], NORMS["none"], weights=_refused),
    # LangChain: EnsembleRetriever. Milvus: RRFRanker. MongoDB: $rankFusion
    "langchain-rrf": Preset(RRF["paper"], weights=_equal_shares),
    "milvus-rrf": Preset(RRF["paper"], weights=_refused),
    "mongodb-rrf": Preset(RRF["paper"]),
}
