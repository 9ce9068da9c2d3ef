"""reliability_svg: the reliability diagram of a report as a file of its own."""

from __future__ import annotations

from numpy.typing import ArrayLike

from rank_plugins.evaluation import calibration
from rank_plugins.evaluation.reports import charts
from rank_plugins.evaluation.reports.style import chart_css


def reliability_svg(
    probabilities: ArrayLike, labels: ArrayLike, *, name: str = "scores", bins: int = 15, binning: str = "mass"
) -> str:
    """Return the reliability diagram of probabilities [n] and labels [n] as SVG, light or dark as its reader prefers.

    A point is a bin: the mean probability given, the share that is relevant, and its 95 % interval. The band is what
    chance would show if the probabilities were right.

    Args:
        probabilities: p [n], 0 ... 1.
        labels: y [n], 0 or 1.
        name: what they are, for readers who cannot see it.
        bins: as for `calibration.ece`.
        binning: "mass" or "width".

    Raises:
        InputError: no pairs, other lengths, or values out of range.
        InputTypeError: not numbers.

    """
    shown = calibration.reliability(probabilities, labels, bins=bins, binning=binning)
    band = calibration.null_band(probabilities, bins=bins, binning=binning).bins
    tag, _, content = charts.reliability(name, shown, band).partition(">")
    size = f'width="{2 * charts.WIDTH:g}" height="{2 * charts.SIDE:g}"'
    page = '<rect width="100%" height="100%" class="page"/>'
    return f"{tag} {size}><style>{chart_css()}</style>{page}{content}\n"
