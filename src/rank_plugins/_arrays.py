"""Where arrays become pointers, and nowhere else: the calls into the C core.

Everything here expects checked input (see embeddings.py and _maxsim.py): C trusts what it is given.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import RankPluginsError

try:
    from rank_plugins._native import ffi as ffi
    from rank_plugins._native import lib as lib
except ModuleNotFoundError as error:  # built without a C compiler
    if error.name not in ("rank_plugins._native", "_cffi_backend"):
        raise
    ffi = lib = None

NATIVE_LEVELS = ("scalar", "avx2", "avx512", "amx", "neon")  # in the order of rp_level_t
KERNELS = ("F32", "F16", "BF16", "I8", "B1", "F32_B1", "CODES")  # in the order of rp_dtype_t
ALIGNMENT = 64  # bytes: a cache line, and a whole AVX-512 register


@functools.cache
def native_levels() -> tuple[str, ...]:
    """Return the levels of the C core that this machine can run, ascending; empty without a native core."""
    if lib is None:
        return ()
    bits = lib.rp_levels_supported()
    return tuple(name for i, name in enumerate(NATIVE_LEVELS) if bits >> i & 1)


def cpu_has(feature: str) -> bool:
    """Return whether this CPU is known to have `feature`, as in RP_CPU_<feature> of the C core."""
    return lib is not None and bool(lib.rp_cpu_features() & getattr(lib, f"RP_CPU_{feature}"))


def level_that_answers(level: str, kernel: str) -> str:
    """Return the level whose kernel for `kernel` runs when `level` is asked for, as the C core tells it."""
    if level == "numpy":
        return level
    return NATIVE_LEVELS[
        _checked(lib.rp_maxsim_level(NATIVE_LEVELS.index(level), KERNELS.index(kernel)), level, kernel)
    ]


def address(array: NDArray[Any]) -> int:
    """Return where the array's first element lies."""
    return int(array.__array_interface__["data"][0])


def addresses(
    segments: tuple[NDArray[Any], ...], segment: NDArray[np.int64], starts: NDArray[np.int64], row_bytes: int
) -> NDArray[np.uintp]:
    """Return where each document's first element lies; the arrays must outlive every use of it."""
    if len(segment) < len(segments):  # a few documents of a collection in many pieces: only theirs count
        used, segment = np.unique(segment, return_inverse=True)
        segments = tuple(segments[i] for i in used.tolist())
    bases = np.fromiter(map(address, segments), np.uintp, len(segments))
    return bases[segment] + starts.astype(np.uintp) * np.uintp(row_bytes)


def to_float16(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return float32 values, all below 65520 in magnitude, as float16: NumPy's result, in a third of its time."""
    if lib is None:
        return values.astype(np.float16)
    source = np.ascontiguousarray(values)
    result = np.empty(source.shape, np.float16)
    if source.size:
        lib.rp_to_f16(ffi.from_buffer("float[]", source), source.size, ffi.from_buffer("uint16_t[]", result))
    return result


class PackedQueries:
    """M queries in the layout of one level's kernels; made once per call, read by every thread."""

    def __init__(
        self,
        level: str,
        kernel: str,
        values: NDArray[Any],
        dim: int,
        offsets: NDArray[np.int64],
        scales: NDArray[np.float32] | None,
        starts: int = 0,
    ) -> None:
        """Pack `values`, C-contiguous rows [Q, ...] of the type that `kernel` names; of CODES see rank_plugins.h.

        Query m is tokens offsets[m] to offsets[m + 1]; `scales` float32 [Q] or None. Of CODES `dim` is the number of
        codes, and `starts` that of what may come before them.
        """
        self._kind = NATIVE_LEVELS.index(level), KERNELS.index(kernel)
        self._shape = dim, starts
        self._names = level, kernel
        self._offsets, self._scales = offsets, scales
        tokens = int(offsets[-1])
        size = lib.rp_maxsim_packed_size(*self._kind, tokens, *self._shape)
        room = np.empty(size + ALIGNMENT, np.uint8)
        self._packed = room[-address(room) % ALIGNMENT :]
        _checked(
            lib.rp_maxsim_pack(
                *self._kind, ffi.from_buffer(values), tokens, *self._shape, ffi.from_buffer(self._packed)
            ),
            *self._names,
        )

    def maxsim(
        self,
        documents: NDArray[np.uintp],
        scales: NDArray[np.uintp] | None,
        tokens: NDArray[np.int64],
        scores: NDArray[np.float32],
        part: tuple[int, int],
    ) -> None:
        """Write the scores of documents part[0] ... part[1] - 1 into scores [M, N]; releases the GIL meanwhile."""
        start, stop = part
        result = lib.rp_maxsim(
            *self._kind,
            ffi.from_buffer(self._packed),
            *self._shape,
            ffi.from_buffer("int64_t[]", self._offsets),
            len(self._offsets) - 1,
            ffi.NULL if self._scales is None else ffi.from_buffer("float[]", self._scales),
            ffi.from_buffer("uintptr_t[]", documents) + start,
            ffi.NULL if scales is None else ffi.from_buffer("uintptr_t[]", scales) + start,
            ffi.from_buffer("int64_t[]", tokens) + start,
            stop - start,
            ffi.from_buffer("float[]", scores, require_writable=True) + start,
            scores.shape[1],
        )
        _checked(result, *self._names)


def _checked(result: int, level: str, kernel: str) -> Any:
    if result < 0:
        raise RankPluginsError(
            f"the C core refused the call at level {level} for {kernel} (code {result}); please report this"
        )
    return result
