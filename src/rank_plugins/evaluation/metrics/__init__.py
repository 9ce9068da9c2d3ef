"""The metrics as functions of a table of judged ranks, each giving one float64 per query."""

from rank_plugins.evaluation.metrics.counts import (
    accuracy,
    f_measure,
    hit_count,
    judged,
    precision,
    recall,
    relative_precision,
    set_average_precision,
    set_f,
    set_precision,
    success,
    unjudged,
    utility,
)
from rank_plugins.evaluation.metrics.gain import Gain, dcg, ideal_dcg, ndcg
from rank_plugins.evaluation.metrics.models import (
    compatibility,
    expected_reciprocal_rank,
    rank_biased_precision,
    rank_biased_residual,
)
from rank_plugins.evaluation.metrics.ranked import average_precision, bpref, r_precision, reciprocal_rank

__all__ = [
    "Gain", "accuracy", "average_precision", "bpref", "compatibility", "dcg", "expected_reciprocal_rank", "f_measure",
    "hit_count", "ideal_dcg", "judged", "ndcg", "precision", "r_precision", "rank_biased_precision",
    "rank_biased_residual", "recall", "reciprocal_rank", "relative_precision", "set_average_precision", "set_f",
    "set_precision", "success", "unjudged", "utility",
]  # fmt: skip
