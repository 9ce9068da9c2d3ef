"""The arguments of a fusion, each checked by itself; names that are not known are answered with similar ones."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rank_plugins._checks import whole_number
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion import methods, norms
from rank_plugins.fusion.lists import Floats
from rank_plugins.fusion.methods import METHODS, REQUIRED, RRF, Method
from rank_plugins.fusion.norms import NORMS, Norm
from rank_plugins.fusion.presets import PRESETS
from rank_plugins.fusion.trained import TRAINED

MISSING = ("zero", "min", "skip")


def names() -> list[str]:
    """Return the names of the methods and presets that `fuse` knows; train gives methods that need training."""
    return [*METHODS, *methods.ALIASES, *PRESETS]


def unknown(what: str, got: object, known: Iterable[str]) -> str:
    """Return the message for a name that is not known, with a suggestion where one is close."""
    import difflib

    listed = list(known)
    wanted = str(got).lower().replace("-", "_").removeprefix("comb").strip("_")
    close = [name for name in listed if name.replace("-", "_") == wanted]
    close = close or difflib.get_close_matches(str(got).lower(), listed, n=2)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{what}: expected one of {', '.join(listed)}, got {got!r}{hint}"


def find_method(name: object, given: dict[str, Any]) -> Method:
    """Return the method of that name; takes rrf's convention out of the parameters `given`."""
    if not isinstance(name, str):
        raise InputTypeError(f"method: expected a name, a Trained or a function, got {type(name).__name__}")
    found = METHODS.get(methods.ALIASES.get(name, name))
    if found is None:
        if name in TRAINED:
            raise InputError(f"method: {name!r} must be trained; pass what train(qrels, runs, {name!r}) returns")
        raise InputError(unknown("method", name, names()))
    if name == "rrf" and "convention" in given:
        convention = given.pop("convention")
        if convention not in RRF:
            raise InputError(unknown("rrf: convention", convention, RRF))
        return RRF[convention]
    return found


def checked_weights(weights: Sequence[float] | None, count: int) -> Floats | None:
    """Return the weights as float64 [count], each finite and not negative, and not all 0; None as None."""
    if weights is None:
        return None
    try:
        values = np.array(weights, np.float64)
    except (TypeError, ValueError):
        raise InputTypeError(f"weights: expected {count} numbers, got {weights!r}") from None
    if values.shape != (count,):
        raise InputError(f"weights: expected {count} numbers (one per list), got {weights!r}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError(f"weights: expected numbers that are not negative, got {weights!r}")
    if not values.any():
        raise InputError(f"weights: expected at least one above 0, got {weights!r}")
    return values


def checked_norms(norm: Any, count: int) -> tuple[Norm, ...]:
    """Return the normaliser of each of `count` lists, the same object where it is the same."""
    if isinstance(norm, (list, tuple)):
        if len(norm) != count:
            raise InputError(f"norm: expected one name or {count} (one per list), got {len(norm)} of them")
        known: dict[Any, Norm] = {}
        return tuple(known.setdefault(_key(one), _norm(one, f"norm[{j}]")) for j, one in enumerate(norm))
    return (_norm(norm, "norm"),) * count


def _key(norm: Any) -> Any:
    return norm if isinstance(norm, str) else id(norm)


def _norm(norm: Any, what: str) -> Norm:
    if isinstance(norm, Norm):
        return norm
    if isinstance(norm, str):
        found = NORMS.get(norms.ALIASES.get(norm, norm))
        if found is None:
            raise InputError(unknown(what, norm, NORMS))
        return found
    if callable(norm):
        return norms.calibrated(norm, what)
    raise InputTypeError(f"{what}: expected a name, a function or a Calibrator, got {type(norm).__name__}")


def checked_missing(missing: str | float | None, method: Method) -> str | float:
    """Return the policy for missing documents; "" is that of the normaliser."""
    if missing is None:
        return "skip" if method.missing is None else method.missing
    if isinstance(missing, str):
        if missing not in MISSING:
            raise InputError(unknown("missing", missing, MISSING) + "; or give a number")
        return missing
    return number(missing, "missing")


def checked_parameters(
    label: str, given: dict[str, Any], method: Method, chosen: tuple[Norm, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the caller's parameters into those of the method, with its defaults, and those of the normalisers."""
    takes = {name for norm in chosen for name in norm.parameters}
    wrong = [name for name in given if name not in method.parameters and name not in takes]
    if wrong:
        known = [*method.parameters, *sorted(takes), *(["convention"] if method.name == "rrf" else [])]
        if not known:
            raise InputTypeError(f"{label}: unknown parameter {wrong[0]!r}; it takes none")
        raise InputTypeError(unknown(f"{label}: unknown parameter {wrong[0]!r}", wrong[0], known))
    own = {name: given.get(name, default) for name, default in method.parameters.items()}
    lacking = [name for name, value in own.items() if value is REQUIRED]
    if lacking:
        raise InputTypeError(f"{label}: needs {lacking[0]}=, which has no default")
    for name, value in own.items():
        CHECKS[name](value, f"{label}: {name}", method)
    others = {name: value for name, value in given.items() if name in takes}
    for name, value in others.items():
        if name == "ddof" and value not in (0, 1):
            raise InputError(f"ddof: expected 0 or 1, got {value!r}")
        if name == "constant":
            number(value, "constant")
    return own, others


def number(value: object, what: str) -> float:
    """Return `value` as a finite float.

    Raises:
        InputTypeError: not a number.
        InputError: NaN or infinite.

    """
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, np.generic)):
        raise InputTypeError(f"{what}: expected a number, got {type(value).__name__} {value!r}")
    result = float(value)
    if not math.isfinite(result):
        raise InputError(f"{what}: expected a finite number, got {value!r}")
    return result


def _k(value: object, what: str, method: Method) -> None:
    least = 1.0 if method is RRF["qdrant"] else 0.0
    k = number(value, what)
    if k < least or (k == 0 and method is not RRF["paper"]):
        raise InputError(f"{what}: expected {'at least 1' if least else 'more than 0'}, got {value!r}")


def _phi(value: object, what: str, _: Method) -> None:
    if not 0 < number(value, what) < 1:
        raise InputError(f"{what}: expected a number between 0 and 1, got {value!r}")


def _sigma(value: object, what: str, _: Method) -> None:
    if number(value, what) < 0:
        raise InputError(f"{what}: expected a number that is not negative, got {value!r}")


def _cap(value: object, what: str, _: Method) -> None:
    whole_number(value, what, 1)


CHECKS: dict[str, Callable[[object, str, Method], Any]] = {
    "k": _k,
    "phi": _phi,
    "sigma": _sigma,
    "gamma": lambda value, what, _: number(value, what),
    "cap": _cap,
}
