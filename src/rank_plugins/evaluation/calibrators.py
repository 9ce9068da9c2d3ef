"""Calibrators: from scores to probabilities of relevance. Fit them on development data only; saved as JSON.

Scores of -inf mean missing: they are left out of the fit and get probability 0.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import int_array
from rank_plugins._saved import Saved
from rank_plugins.errors import InputError
from rank_plugins.evaluation import calibration, fitting
from rank_plugins.evaluation._choice import choice
from rank_plugins.evaluation.binning import check_labels, numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrator(Saved):
    """Turns scores into probabilities; what `calibrate` returns."""

    method: ClassVar[str]
    seen: tuple[Floats, Floats] | None = field(default=None, repr=False, compare=False, kw_only=True)
    """Probabilities and labels of the data it was fitted on; not saved."""

    def __call__(self, scores: ArrayLike, offsets: ArrayLike | None = None) -> Floats:
        """Return the probabilities [n] of scores [n].

        `offsets` say where each list begins, and at last the end; only softmax needs them, None is one list.

        Raises:
            InputError: NaN or +inf.
            InputTypeError: not numbers.

        """
        values = checked_scores(scores)
        known = np.isfinite(values)
        result = np.zeros(len(values))
        ends = _kept(checked_offsets(offsets, len(values)), known)
        with np.errstate(over="ignore"):  # infinity gives 0 or 1
            result[known] = self._probabilities(values[known], ends)
        return result

    @abstractmethod
    def _probabilities(self, scores: Floats, offsets: NDArray[np.int64], /) -> Floats:
        """Return the probabilities of finite scores."""

    def ece(
        self,
        scores: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        *,
        bins: int = 15,
        binning: str = "mass",
    ) -> float:
        """Return `calibration.ece` of these scores' probabilities; without scores, of the data of the fit: optimistic.

        Raises:
            InputError: no scores, and the calibrator was loaded, not fitted.

        """
        return calibration.ece(*self._pairs(scores, labels, offsets), bins=bins, binning=binning)

    def reliability(
        self,
        scores: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        *,
        bins: int = 15,
        binning: str = "mass",
        level: float = 0.95,
    ) -> list[calibration.Bin]:
        """Return `calibration.reliability` of these scores' probabilities; without scores as in `ece`."""
        return calibration.reliability(*self._pairs(scores, labels, offsets), bins=bins, binning=binning, level=level)

    def to_dict(self) -> dict[str, Any]:
        """Return the method and its parameters as plain Python objects, for JSON; `from_dict` reads it."""
        parameters = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "seen"}
        return {"method": self.method} | {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Calibrator:
        """Return what `to_dict` gave.

        Raises:
            InputError: something is missing or does not fit.

        """
        try:
            kind = METHODS[choice(saved["method"], METHODS, "method")]
            return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in saved.items() if k != "method"})
        except (KeyError, TypeError) as error:
            raise InputError(f"Calibrator: expected what to_dict returned, got {error!r}") from None

    def _pairs(
        self, scores: ArrayLike | None, labels: ArrayLike | None, offsets: ArrayLike | None
    ) -> tuple[ArrayLike, ArrayLike]:
        if (scores is None) != (labels is None):
            raise InputError("scores, labels: expected both or neither")
        if scores is not None and labels is not None:
            return self(scores, offsets), labels
        if self.seen is None:
            raise InputError("scores, labels: expected both, since a calibrator that was loaded has seen no data")
        return self.seen


@dataclass(frozen=True)
class Temperature(Calibrator):
    """p = 1 / (1 + exp(-score / temperature)) (Guo et al. 2017)."""

    method: ClassVar[str] = "temperature"
    temperature: float

    def _probabilities(self, scores: Floats, _: NDArray[np.int64], /) -> Floats:
        return fitting.sigmoid(scores / self.temperature)


@dataclass(frozen=True)
class Platt(Calibrator):
    """p = 1 / (1 + exp(-(slope score + intercept))) (Platt 1999)."""

    method: ClassVar[str] = "platt"
    slope: float
    intercept: float

    def _probabilities(self, scores: Floats, _: NDArray[np.int64], /) -> Floats:
        return fitting.sigmoid(self.slope * scores + self.intercept)


@dataclass(frozen=True)
class Isotonic(Calibrator):
    """The rising step function of least squares, straight between its steps and level beyond them."""

    method: ClassVar[str] = "isotonic"
    scores: tuple[float, ...]
    """Where steps begin and end, rising."""
    probabilities: tuple[float, ...]
    """The probability there, never falling."""

    def _probabilities(self, scores: Floats, _: NDArray[np.int64], /) -> Floats:
        return fitting.interpolate(np.array(self.scores), np.array(self.probabilities), scores)


@dataclass(frozen=True)
class Softmax(Calibrator):
    """p = exp(score / temperature) / sum over the list: the chance to be the list's relevant document."""

    method: ClassVar[str] = "softmax"
    temperature: float

    def _probabilities(self, scores: Floats, offsets: NDArray[np.int64], /) -> Floats:
        return fitting.softmax(scores, offsets, self.temperature)


METHODS: dict[str, type[Calibrator]] = {kind.method: kind for kind in (Temperature, Platt, Isotonic, Softmax)}


def calibrate(
    scores: ArrayLike,
    labels: ArrayLike,
    method: str = "isotonic",
    *,
    weights: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
) -> Calibrator:
    """Fit a calibrator on scores [n] and labels [n] (0 or 1) of development data.

    - "isotonic": pool adjacent violators; never falls, so it keeps the order up to ties. Wants a thousand pairs.
    - "platt": logistic regression on the score, with Platt's targets (N1 + 1) / (N1 + 2) and 1 / (N0 + 2), which
      keep it finite where the scores separate the labels.
    - "temperature": one number, for scores that are logits already. Between 1e-6 and 1e6 times the largest |score|;
      where scores separate the labels, it is the lowest.
    - "softmax": one temperature over lists, that maximises the probability of relevant documents among their list;
      lists without any say nothing. Same limits.

    Args:
        scores: higher is better; -inf is missing.
        labels: 1 relevant, 0 not.
        method: one of the above.
        weights: how often each pair counts [n]; None: once.
        offsets: where each list begins, and at last the end [lists + 1], for "softmax"; None is one list.

    Raises:
        InputError: an unknown method, other lengths, no finite score, NaN, +inf, labels that are neither 0 nor 1,
            or weights that are negative or all 0; for "temperature" and "softmax" also no relevant document.
        InputTypeError: not numbers.

    """
    choice(method, METHODS, "method")
    values, y = checked_scores(scores), numbers(labels, "labels")
    if values.shape != y.shape:
        raise InputError(f"scores, labels: expected two of one length, got {len(values)} and {len(y)}")
    check_labels(y)
    known = np.isfinite(values)
    ends = _kept(checked_offsets(offsets, len(values)), known)
    w = _checked_weights(weights, len(values))[known]
    if not w.sum() > 0:
        raise InputError("scores: expected at least one finite score of positive weight, got none")
    fitted = _fitted(method, values[known], y[known], w, ends)
    return dataclasses.replace(fitted, seen=(fitted(values, offsets), y))


def _fitted(method: str, scores: Floats, y: Floats, w: Floats, offsets: NDArray[np.int64]) -> Calibrator:
    if method == "isotonic":
        places, heights = fitting.pool_adjacent_violators(scores, y, w)
        return Isotonic(tuple(places.tolist()), tuple(heights.tolist()))
    if method == "platt":
        return Platt(*fitting.platt(scores, y, w))
    if not (w * y).sum() > 0:
        raise InputError(f"labels: expected at least one that is 1 for method={method!r}, got none")
    if method == "temperature":
        return Temperature(fitting.temperature(scores, y, w))
    return Softmax(fitting.softmax_temperature(scores, w * y, offsets))


def checked_scores(scores: ArrayLike) -> Floats:
    """Return scores as float64 [n], finite or -inf.

    Raises:
        InputError: NaN or +inf.
        InputTypeError: not numbers.

    """
    values = numbers(scores, "scores")
    wrong = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if wrong.size:
        raise InputError(
            f"scores: expected finite numbers, or -inf for missing, got {values[wrong[0]]} at [{int(wrong[0])}]"
            f" ({wrong.size} such of {values.size}); remove or repair them"
        )
    return values


def checked_offsets(offsets: ArrayLike | None, n: int) -> NDArray[np.int64]:
    """Return where lists begin and end, int64 [lists + 1]; one list where None.

    Raises:
        InputError: they do not rise from 0 to n.
        InputTypeError: not whole numbers.

    """
    ends = np.array([0, n]) if offsets is None else int_array(offsets, "offsets")
    if len(ends) < 1 or ends[0] != 0 or ends[-1] != n or (np.diff(ends) < 0).any():
        raise InputError(f"offsets: expected them to rise from 0 to the number of scores, {n}")
    return ends


def _kept(offsets: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the offsets of the scores that are known."""
    kept: NDArray[np.int64] = np.r_[0, np.cumsum(known)][offsets]
    return kept


def _checked_weights(weights: ArrayLike | None, n: int) -> Floats:
    if weights is None:
        return np.ones(n)
    w = numbers(weights, "weights")
    if len(w) != n:
        raise InputError(f"weights: expected {n}, one for each score, got {len(w)}")
    if not (np.isfinite(w) & (w >= 0)).all():
        raise InputError("weights: expected finite numbers of at least 0")
    return w
