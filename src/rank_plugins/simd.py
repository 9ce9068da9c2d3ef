"""Which instruction-set level computes: what this machine supports, what is active, and how to force one."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator

from rank_plugins._arrays import NATIVE_LEVELS, native_levels
from rank_plugins.errors import InputError, InputTypeError

LEVELS = ("numpy", *NATIVE_LEVELS)
VARIABLE = "RANK_PLUGINS_SIMD"

_forced: list[str] = []


def supported() -> tuple[str, ...]:
    """Return the levels that this machine and this build can run, in ascending order."""
    return ("numpy", *native_levels())


def active() -> str:
    """Return the level in use: that of `limit`, else that of RANK_PLUGINS_SIMD, else the best supported.

    Raises:
        InputError: RANK_PLUGINS_SIMD names a level that is unknown or not supported here.

    """
    if _forced:
        return _forced[-1]
    variable = os.environ.get(VARIABLE, "").strip()
    if variable:
        return _checked(variable, f"environment variable {VARIABLE}")
    best = supported()[-1]
    if best == "numpy":
        _warn_slow()
    return best


def reason() -> str:
    """Return in a few words why `active()` is what it is."""
    if _forced:
        return "forced by simd.limit"
    if os.environ.get(VARIABLE, "").strip():
        return f"forced by {VARIABLE}"
    return "best supported" if native_levels() else "no native core was built"


@contextlib.contextmanager
def limit(level: str) -> Iterator[None]:
    """Force a level for the whole process while the context lasts; contexts may be nested.

    Raises:
        InputError: unknown, or not supported on this machine; the message lists the choices.
        InputTypeError: not a str.

    """
    _forced.append(_checked(level, "simd.limit"))
    try:
        yield
    finally:
        _forced.pop()


def _checked(level: str, where: str) -> str:
    if not isinstance(level, str):
        raise InputTypeError(f"{where}: expected a level's name, got {type(level).__name__}")
    if level not in LEVELS:
        raise InputError(f"{where}: expected one of {', '.join(LEVELS)}, got {level!r}")
    if level not in supported():
        raise InputError(f"{where}: {level!r} is not supported here; choose one of {', '.join(supported())}")
    return level


@functools.cache
def _warn_slow() -> None:
    """Say once how to get the fast path."""
    warnings.warn(
        "rank_plugins was installed without its native core and computes with NumPy; for the fast path install"
        " a wheel, or a C compiler and then: pip install --force-reinstall --no-binary rank-plugins rank-plugins",
        RuntimeWarning,
        stacklevel=4,
    )
