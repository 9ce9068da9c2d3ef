"""The beta and Student t distributions, as far as tests and bounds need them, in pure Python."""

from __future__ import annotations

import math
from collections.abc import Callable

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError

TINY = 1e-300
STEPS = 100_000


def incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), where y = 1 - x.

    Both x and y are given because the smaller of them carries the accuracy. Continued fraction of DiDonato and Morris
    (ACM TOMS 1992, equation 9), summed with the modified Lentz method.
    """
    if x <= 0.0:
        return 0.0
    if y <= 0.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(b, a, y, x)
    log_x = math.log(x) if x < 0.5 else math.log1p(-y)
    log_y = math.log(y) if y < 0.5 else math.log1p(-x)
    return math.exp(a * log_x + b * log_y - _log_beta(a, b)) / _fraction(a, b, x, y)


def t_two_sided(t: float, df: float) -> float:
    """Return P(|T| >= |t|) of Student's t distribution with `df` degrees of freedom."""
    if math.isinf(t):
        return 0.0
    square = t * t
    return incomplete_beta(df / 2.0, 0.5, df / (df + square), square / (df + square))


def t_quantile(level: float, df: float) -> float:
    """Return the t with P(|T| <= t) = level, 0 < level < 1: half the width of a two-sided interval."""
    high = 1.0
    while 1.0 - t_two_sided(high, df) < level:
        high *= 2.0
    return _root(lambda t: t_two_sided(t, df) <= 1.0 - level, 0.0, high)


def clopper_pearson_upper(count: int, n: int, level: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a share of which `count` of `n` were seen.

    The p with P(Binomial(n, p) <= count) = 1 - level: no larger share is compatible with so few. 0 of n gives
    1 - (1 - level)^(1/n), about 3/n at 95 % (Clopper and Pearson, Biometrika 1934).

    Raises:
        InputError: n below 1, a count outside 0 ... n, or a level outside 0 ... 1.
        InputTypeError: counts that are no whole numbers.

    """
    n = whole_number(n, "n", 1)
    count = whole_number(count, "count", 0)
    if count > n:
        raise InputError(f"count: expected at most n = {n}, got {count}")
    check_level(level)
    if count == n:
        return 1.0
    if count == 0:
        return -math.expm1(math.log1p(-level) / n)
    return _root(lambda p: incomplete_beta(count + 1, n - count, p, 1.0 - p) >= level, 0.0, 1.0)


def check_level(level: float, what: str = "level") -> None:
    """Refuse a confidence level that is not between 0 and 1.

    Raises:
        InputError: the level is 0 or less, 1 or more, or NaN.

    """
    if not 0.0 < level < 1.0:
        raise InputError(f"{what}: expected a number between 0 and 1, such as 0.95, got {level!r}")


def _root(passed: Callable[[float], bool], low: float, high: float) -> float:
    """Return where `passed` turns from false to true, by halving until no number lies between."""
    while low < (middle := 0.5 * (low + high)) < high:
        if passed(middle):
            high = middle
        else:
            low = middle
    return high


def _log_beta(a: float, b: float) -> float:
    """Return ln B(a, b) without the cancellation of ln Gamma(b) - ln Gamma(a + b) for a large b."""
    a, b = min(a, b), max(a, b)
    if b < 10.0:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    ratio = _stirling(b) - _stirling(a + b) - (b - 0.5) * math.log1p(a / b) - a * math.log(a + b) + a
    return math.lgamma(a) + ratio


def _stirling(x: float) -> float:
    """Return what Stirling's formula leaves of ln Gamma(x), for x >= 10."""
    z = 1.0 / (x * x)
    return (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z * (1 / 1188 - z * 691 / 360360))))) / x


def _fraction(a: float, b: float, x: float, y: float) -> float:
    """Return b_0 + a_1 / (b_1 + a_2 / (b_2 + ...)); y enters by itself because a y - b x cancels where x is near 1."""
    value = _away_from_zero(a * (a * y - b * x + 1.0) / (a + 1.0))
    c, d = value, 0.0
    for m in range(1, STEPS):
        below = a + 2 * m - 1.0
        numerator = (a + m - 1.0) * (a + b + m - 1.0) * m * (b - m) * x * x / (below * below)
        term = m + m * (b - m) * x / below + (a + m) * (a * y - b * x + 1.0 + m * (1.0 + y)) / (below + 2.0)
        d = 1.0 / _away_from_zero(term + numerator * d)
        c = _away_from_zero(term + numerator / c)
        value *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
