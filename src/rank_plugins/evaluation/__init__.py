"""Evaluation of runs by relevance judgments: metrics, intervals and tests, abstention, calibration, reports."""

from __future__ import annotations

from rank_plugins.evaluation._compare import compare
from rank_plugins.evaluation._evaluate import Evaluation, evaluate
from rank_plugins.evaluation.abstention import FalseEvidence, coverage, false_evidence_rate
from rank_plugins.evaluation.calibrators import Calibrator, calibrate
from rank_plugins.evaluation.comparison import Comparison, Difference
from rank_plugins.evaluation.names import Metric
from rank_plugins.evaluation.ranks import JudgedRanks
from rank_plugins.evaluation.risk import nauc, risk_coverage
from rank_plugins.evaluation.thresholds import Selection, select_threshold

__all__ = [
    "Calibrator",
    "Comparison",
    "Difference",
    "Evaluation",
    "FalseEvidence",
    "JudgedRanks",
    "Metric",
    "Selection",
    "calibrate",
    "compare",
    "coverage",
    "evaluate",
    "false_evidence_rate",
    "nauc",
    "risk_coverage",
    "select_threshold",
]
