"""sentence-transformers' two functions as it wrote them, and what the tests of ours beside them share."""

from __future__ import annotations

import copy
import functools
import types

import numpy as np
import torch
from sentence_transformers.util import similarity

OWN = {name: copy.copy(getattr(similarity, name).__code__) for name in ("maxsim", "maxsim_pairwise")}
REFERENCE = {
    name: types.FunctionType(code, vars(similarity), name, getattr(similarity, name).__defaults__)
    for name, code in OWN.items()
}


def rows(rng, lengths, K, dtype=torch.float32):
    """Return tensors [length, K]: unit vectors, or small whole numbers."""
    if dtype.is_floating_point:
        parts = [rng.standard_normal((length, K)).astype(np.float32) for length in lengths]
        units = [part / np.linalg.norm(part, axis=1, keepdims=True).clip(1e-9) for part in parts]
        return [torch.from_numpy(unit).to(dtype) for unit in units]
    return [torch.from_numpy(rng.integers(0, 20, (length, K))).to(dtype) for length in lengths]


def agree(found, expected, tolerance=1e-4):
    """Check scores against the library's."""
    assert (found.shape, found.dtype, found.device) == (expected.shape, expected.dtype, expected.device)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=tolerance)


def counted(function, seen):
    """Return `function`, which adds its name to `seen` when it is called."""

    @functools.wraps(function)
    def call(*args, **options):
        seen.append(function.__name__)
        return function(*args, **options)

    return call
