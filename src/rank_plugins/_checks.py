"""Checks of arguments at the package's doors: what comes in is converted once and never changed."""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins.errors import InputError, InputTypeError

# Beyond this the float32 dot product of two vectors could overflow and hide a maximum.
LARGEST = 1e15
CONVERTED = ("float16", "float32", "float64")
FLOAT32 = np.dtype(np.float32)
# The largest magnitude allowed, as bits without the sign: the last finite float16, and LARGEST as bfloat16.
LARGEST_HALF = {"float16": 0x7BFF, "uint16": int(np.float32(LARGEST).view(np.uint32)) >> 16}


def float_array(value: ArrayLike, what: str, shape: str) -> NDArray[np.float32]:
    """Return `value` as a C-contiguous float32 array whose values are finite.

    `shape` names the axes, as in "[Q, K]". A float32 array that is already contiguous is not copied.

    Raises:
        InputTypeError: not an array of float16, float32 or float64.
        InputError: another number of axes, or a value that is NaN, infinite or beyond 1e15.

    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor that needs its gradient
        raise InputTypeError(f"{what}: expected a float array {shape}, got {type(value).__name__} ({error})") from None
    if array.dtype != FLOAT32 and array.dtype.name not in CONVERTED:
        raise InputTypeError(
            f"{what}: expected dtype {', '.join(CONVERTED)}, got {array.dtype.name}; convert it with .astype('float32')"
        )
    _check_axes(array, what, shape)
    if array.dtype == FLOAT32 and array.flags.c_contiguous:
        check_values(array, what, array)
        return array
    with np.errstate(over="ignore"):  # a float64 too large becomes inf, which is refused below
        converted = np.ascontiguousarray(array, dtype=np.float32)
    check_values(converted, what, array)
    return converted


def check_values(array: NDArray[np.float32], what: str, shown: NDArray[Any]) -> None:
    """Refuse values that are NaN, infinite or so large that a dot product could overflow.

    `shown` is the array to quote in the message, before conversion.
    """
    flat = array.reshape(-1)
    # One pass at memory speed settles nearly every array: a finite, small sum of squares has no bad term.
    if np.vdot(flat, flat) < LARGEST:
        return
    bad = np.flatnonzero(~(np.abs(flat) <= LARGEST))
    if bad.size:
        place = tuple(int(axis) for axis in np.unravel_index(bad[0], array.shape))
        value = shown[place]
        raise InputError(
            f"{what}: expected finite values of at most {LARGEST:g}, got {value:g} at {list(place)}"
            f" ({bad.size} such of {flat.size}); remove or repair them"
        )


def half_array(value: NDArray[Any], what: str, shape: str) -> NDArray[Any]:
    """Return an array of 16-bit floats as C-contiguous float16, or for bfloat16 as the uint16 of its bits.

    Raises:
        InputError: another number of axes, or a value that is NaN, infinite or beyond 1e15.

    """
    _check_axes(value, what, shape)
    array = np.ascontiguousarray(value)
    if array.dtype.name == "bfloat16":
        array = array.view(np.uint16)
    bits = array.view(np.uint16).reshape(-1)
    largest = LARGEST_HALF[array.dtype.name]
    if bits.size and int((bits & 0x7FFF).max()) > largest:
        bad = np.flatnonzero((bits & 0x7FFF) > largest)
        place = [int(axis) for axis in np.unravel_index(bad[0], array.shape)]
        raise InputError(
            f"{what}: expected finite values of at most {LARGEST:g}, got NaN, inf or more at {place}"
            f" ({bad.size} such of {bits.size}); remove or repair them"
        )
    return array


def scale_array(value: ArrayLike, what: str, count: int) -> NDArray[np.float32]:
    """Return the scales of `count` int8 tokens as float32.

    Raises:
        InputTypeError: not floats.
        InputError: another number of them, or one that is negative, NaN, infinite or beyond 1e15.

    """
    array = float_array(value, what, "[T]")
    if len(array) != count:
        raise InputError(f"{what}: expected {count} of them (one per token), got {len(array)}")
    if array.size and array.min() < 0:
        raise InputError(f"{what}: expected none below 0, got {array.min():g} at [{int(array.argmin())}]")
    return array


def is_tensor(value: object) -> bool:
    """Return whether `value` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def on_cpu(value: Any) -> Any:
    """Return a tensor as one that NumPy can read; anything else as it is."""
    return value.detach().cpu() if is_tensor(value) else value


def whole_number(value: object, what: str, least: int) -> int:
    """Return `value` as an int of at least `least`.

    Raises:
        InputTypeError: not a whole number (bool is none).
        InputError: less than `least`.

    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputTypeError(f"{what}: expected a whole number, got {type(value).__name__} {value!r}") from None
    if number < least:
        raise InputError(f"{what}: expected at least {least}, got {number}")
    return number


def int_array(value: ArrayLike, what: str) -> NDArray[np.int64]:
    """Return `value` as a one-dimensional int64 array.

    Raises:
        InputTypeError: not whole numbers.
        InputError: not one-dimensional.

    """
    array = np.asarray(value)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{what}: expected whole numbers, got dtype {array.dtype.name}")
    if array.ndim != 1:
        raise InputError(f"{what}: expected 1 axis, got shape {array.shape}")
    return array.astype(np.int64)


def _check_axes(array: NDArray[Any], what: str, shape: str) -> None:
    axes = shape.count(",") + 1
    if array.ndim != axes:
        raise InputError(f"{what}: expected {axes} axes {shape}, got shape {tuple(array.shape)}")
