"""Whether probabilities of relevance mean what they say: calibration errors, Brier score, log loss, reliability.

Pairs are (p, y): the probability that a document was given, and 1 where it is relevant, else 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError
from rank_plugins.evaluation._scored import with_scores
from rank_plugins.evaluation.binning import Binned, alone, binned, pairs
from rank_plugins.evaluation.distributions import check_level
from rank_plugins.evaluation.resampling import check_drawing
from rank_plugins.runs import Qrels, Run
from rank_plugins.runs.convert import as_qrels

Floats = NDArray[np.float64]
SMALLEST = 1e-15  # the log loss of a probability of 0 or 1 is that of this far from it


@dataclass(frozen=True)
class Bin:
    """Documents of similar probability."""

    count: int
    confidence: float
    """Mean probability given."""
    accuracy: float
    """Share that is relevant."""
    low: float
    """Where the Wilson interval of the share begins."""
    high: float
    """Where it ends."""


@dataclass(frozen=True)
class Brier:
    """The mean squared error of probabilities: score = reliability - resolution + uncertainty + within."""

    score: float
    reliability: float
    """Mean squared gap of the bins: how far from calibrated."""
    resolution: float
    """How far the bins' shares lie from the share of all: what the scores tell apart."""
    uncertainty: float
    """Share of all times one minus it: what nobody can help."""
    within: float
    """What the bins hide: the spread of probabilities inside bins, less what of it was of use."""


@dataclass(frozen=True)
class NullBand:
    """What perfectly calibrated probabilities would show, by chance: y drawn with chance p, many times."""

    low: float
    """The interval of the calibration error begins."""
    mean: float
    """It is never 0: binned errors are positive even for a perfect model (Roelofs et al. 2022)."""
    high: float
    """It ends."""
    bins: list[tuple[float, float]]
    """The interval of the share of relevant documents in each bin."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """The documents of a run with labels, list after list: scores[offsets[i]:offsets[i + 1]] are those of query i."""

    scores: Floats
    labels: Floats
    offsets: NDArray[np.int64]
    queries: list[Any]


def ece(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, binning: str = "mass") -> float:
    """Return the expected calibration error sum_b n_b / n |mean(y) - mean(p)| over bins b (Guo et al. 2017).

    Args:
        probabilities: p [n], 0 ... 1.
        labels: y [n], 0 or 1.
        bins: M.
        binning: "mass", equally many pairs in each bin, equal probabilities together; "width"; or "sweep", the most
            bins with rising shares, whatever `bins` says.

    Raises:
        InputError: no pairs, other lengths, or values out of range.
        InputTypeError: not numbers.

    """
    found = binned(*pairs(probabilities, labels), bins, binning)
    return float((found.count * found.gap).sum() / found.count.sum())


def mce(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, binning: str = "mass") -> float:
    """Return the maximum calibration error, the largest |mean(y) - mean(p)| of a bin; arguments as in `ece`."""
    return float(binned(*pairs(probabilities, labels), bins, binning).gap.max())


def ece_debiased(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, binning: str = "mass") -> float:
    """Return the L2 calibration error without the part that chance adds (Kumar, Liang and Ma 2019).

    sqrt(max(0, sum_b n_b / n ((mean(y) - mean(p))^2 - mean(y) (1 - mean(y)) / (n_b - 1)))); arguments as in `ece`.
    """
    found = binned(*pairs(probabilities, labels), bins, binning)
    chance = found.accuracy * (1.0 - found.accuracy) / np.maximum(found.count - 1.0, 1.0)
    return math.sqrt(max(0.0, float((found.count * (found.gap**2 - chance)).sum() / found.count.sum())))


def brier(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, binning: str = "mass") -> Brier:
    """Return the Brier score mean((p - y)^2) and its parts (Murphy 1973; `within` as in Stephenson et al. 2008).

    The parts depend on the bins, the score does not; arguments as in `ece`.
    """
    p, y = pairs(probabilities, labels)
    found = binned(p, y, bins, binning)
    weight, share = found.count / len(p), float(y.mean())
    inside_p, inside_y = p - found.confidence[found.group], y - found.accuracy[found.group]
    return Brier(
        score=float(((p - y) ** 2).mean()),
        reliability=float((weight * found.gap**2).sum()),
        resolution=float((weight * (found.accuracy - share) ** 2).sum()),
        uncertainty=share * (1.0 - share),
        within=float((inside_p * inside_p - 2.0 * inside_p * inside_y).mean()),
    )


def log_loss(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean of -ln p where y = 1 and -ln(1 - p) where y = 0, p clipped to 1e-15 ... 1 - 1e-15.

    Raises:
        InputError: no pairs, other lengths, or values out of range.
        InputTypeError: not numbers.

    """
    p, y = pairs(probabilities, labels)
    given = np.where(y == 1, p, 1.0 - p)
    return float(-np.log(np.clip(given, SMALLEST, 1.0 - SMALLEST)).mean())


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, binning: str = "mass", level: float = 0.95
) -> list[Bin]:
    """Return the bins of a reliability diagram, by rising probability; arguments as in `ece`.

    The interval of each share is Wilson's (1927) at `level`.
    """
    check_level(level)
    found = binned(*pairs(probabilities, labels), bins, binning)
    low, high = _wilson(found, level)
    columns = (found.count.astype(np.int64), found.confidence, found.accuracy, low, high)
    return [Bin(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def null_band(
    probabilities: ArrayLike,
    *,
    bins: int = 15,
    binning: str = "mass",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> NullBand:
    """Return the range of `ece`, and of each bin's share, if the probabilities p [n] were right: y drawn with chance p.

    An error inside the band is no evidence against calibration (Broecker and Smith 2007).

    Raises:
        InputError: no probabilities, or values out of range; binning="sweep", whose bins depend on the labels.
        InputTypeError: not numbers.

    """
    check_level(level)
    resamples, seed = check_drawing(resamples, seed)
    p = alone(probabilities)
    found = _fixed(p, bins, binning)
    shares = np.empty((resamples, len(found.count)))
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    for row in shares:
        row[:] = np.bincount(found.group, weights=generator.random(len(p)) < p, minlength=len(row))
    shares /= found.count
    errors = (np.abs(shares - found.confidence) * found.count).sum(axis=1) / len(p)
    tails = [0.5 - level / 2, 0.5 + level / 2]
    low, high = np.quantile(errors, tails).tolist()
    ends = np.quantile(shares, tails, axis=0).T.tolist()
    return NullBand(low, float(errors.mean()), high, [(start, end) for start, end in ends])


def labelled(
    qrels: Any, run: Any, *, at_k: int | None = None, relevance_level: float = 1, judged_only: bool = False
) -> Labelled:
    """Return the scores and labels of a run's documents over the judged queries.

    Documents that nobody judged count as not relevant. Each list stands by score, highest first, equal scores by id
    descending, as `evaluate` ranks it.

    Args:
        qrels: judgments, as `evaluate` takes them.
        run: scores, as `evaluate` takes it.
        at_k: take the top k of each list only.
        relevance_level: a document is relevant from this grade on.
        judged_only: leave out documents that nobody judged.

    Raises:
        InputError: k below 1, or lists of bare ids.
        InputTypeError: a run or judgments that are none.

    """
    k = None if at_k is None else whole_number(at_k, "at_k", 1)
    found, judged = with_scores(run), as_qrels(qrels)
    lists = found.to_dict() if isinstance(found, Run) else found
    grades = judged.to_dict() if isinstance(judged, Qrels) else judged
    queries = [query for query in grades if query in lists]
    scores: list[float] = []
    labels: list[bool] = []
    ends = [0]
    for query in queries:
        row = grades[query]
        best = sorted(((score, document) for document, score in lists[query].items()), reverse=True)[:k]
        kept = [(score, row.get(document, -1)) for score, document in best if not judged_only or document in row]
        scores += [score for score, _ in kept]
        labels += [grade >= relevance_level for _, grade in kept]
        ends.append(len(scores))
    return Labelled(np.array(scores, np.float64), np.array(labels, np.float64), np.array(ends, np.int64), queries)


def _fixed(p: Floats, bins: int, binning: str) -> Binned:
    """Return the bins of probabilities alone."""
    if binning == "sweep":
        raise InputError('binning: expected "mass" or "width", got "sweep", whose bins depend on the labels')
    return binned(p, np.zeros(len(p)), bins, binning)


def _wilson(found: Binned, level: float) -> tuple[Floats, Floats]:
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + level / 2)
    n, share = found.count, found.accuracy
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.where(share == 0.0, 0.0, middle - half), np.where(share == 1.0, 1.0, middle + half)
