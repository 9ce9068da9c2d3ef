"""Rerankers made of rerankers: cascades, calibration, cuts, diversity, and the cache of scores."""

from __future__ import annotations

from rank_plugins.pipelines.cached import CachedReranker
from rank_plugins.pipelines.calibrated import CalibratedReranker
from rank_plugins.pipelines.cascade import Cascade
from rank_plugins.pipelines.cuts import CutReranker, LargestGap, Mass, Threshold, Tokens, cut
from rank_plugins.pipelines.dpp import DPPReranker
from rank_plugins.pipelines.gate_choice import Choice, choose_gate
from rank_plugins.pipelines.gates import Entropy, Gate, QueryWords, TopGap, TopScore
from rank_plugins.pipelines.mmr import MMRReranker
from rank_plugins.pipelines.near_duplicates import NearDuplicateReranker
from rank_plugins.pipelines.normalised import NormalisedReranker
from rank_plugins.pipelines.quotas import QuotaReranker
from rank_plugins.pipelines.score_cache import ScoreCache
from rank_plugins.pipelines.stages import Stage, stage
from rank_plugins.pipelines.work import StageWork, Work, work

__all__ = [
    "CachedReranker",
    "CalibratedReranker",
    "Cascade",
    "Choice",
    "CutReranker",
    "DPPReranker",
    "Entropy",
    "Gate",
    "LargestGap",
    "MMRReranker",
    "Mass",
    "NearDuplicateReranker",
    "NormalisedReranker",
    "QueryWords",
    "QuotaReranker",
    "ScoreCache",
    "Stage",
    "StageWork",
    "Threshold",
    "Tokens",
    "TopGap",
    "TopScore",
    "Work",
    "choose_gate",
    "cut",
    "stage",
    "work",
]
