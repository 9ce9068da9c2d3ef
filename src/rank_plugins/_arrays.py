"""Where arrays become pointers, and nowhere else: the calls into the C core.

Everything here expects checked input (see embeddings.py and _maxsim.py): C trusts what it is given.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import RankPluginsError

try:
    from rank_plugins._native import ffi, lib
except ModuleNotFoundError as error:  # built without a C compiler
    if error.name not in ("rank_plugins._native", "_cffi_backend"):
        raise
    ffi = lib = None

NATIVE_LEVELS = ("scalar", "avx2", "avx512", "amx", "neon")  # in the order of rp_level_t


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


def level_that_answers(level: str) -> str:
    """Return the level whose float32 kernel runs when `level` is asked for, as the C core tells it."""
    if level == "numpy":
        return level
    return NATIVE_LEVELS[_checked(lib.rp_maxsim_level(NATIVE_LEVELS.index(level), lib.RP_F32), level)]


def addresses(
    segments: Sequence[NDArray[np.float32]], segment: NDArray[np.int64], starts: NDArray[np.int64], dim: int
) -> NDArray[np.uintp]:
    """Return where each document's first element lies; the arrays must outlive every use of it."""
    bases = np.fromiter((array.__array_interface__["data"][0] for array in segments), np.uintp, len(segments))
    return bases[segment] + starts.astype(np.uintp) * np.uintp(dim * 4)


class PackedQuery:
    """A query [Q, K] in the layout of one level's kernels; made once per call, read by every thread."""

    def __init__(self, level: str, query: NDArray[np.float32]) -> None:
        """Pack `query`, C-contiguous float32 [Q, K], for the native level of that name."""
        self._level = NATIVE_LEVELS.index(level)
        self._shape = query.shape
        size = lib.rp_maxsim_packed_size(self._level, lib.RP_F32, *query.shape)
        self._packed = np.empty(size, np.uint8)
        pointers = ffi.from_buffer(query), ffi.from_buffer(self._packed)
        _checked(lib.rp_maxsim_pack(self._level, lib.RP_F32, pointers[0], *query.shape, pointers[1]), level)

    def maxsim(self, documents: NDArray[np.uintp], tokens: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Write the score of each document to `scores`; the GIL is released meanwhile."""
        result = lib.rp_maxsim(
            self._level,
            lib.RP_F32,
            ffi.from_buffer(self._packed),
            *self._shape,
            ffi.from_buffer("uintptr_t[]", documents),
            ffi.from_buffer("int64_t[]", tokens),
            len(scores),
            ffi.from_buffer("float[]", scores, require_writable=True),
        )
        _checked(result, NATIVE_LEVELS[self._level])


def _checked(result: int, level: str) -> Any:
    if result < 0:
        raise RankPluginsError(f"the C core refused the call at level {level} (code {result}); please report this")
    return result
