"""sentence-transformers (6.2 and later 6) with our MaxSim kernel inside.

    from rank_plugins.compat.sentence_transformers import use_kernel

    use_kernel()

From then on `MultiVectorEncoder.similarity` and `similarity_pairwise`, the evaluators, the losses and every other
caller of `sentence_transformers.util.maxsim` compute here: in the C core on a CPU without gradient, in
rank_plugins.torch on a GPU or where a gradient is needed. The library's two functions stay the objects that they are,
so models, evaluators and modules that already hold them follow too; what they run is exchanged, and undone.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
import types
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rank_plugins._extras import require
from rank_plugins.compat._maxsim import all_pairs, pairwise
from rank_plugins.errors import InputError, InputTypeError, RankPluginsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.autograd import forward_ad
else:
    torch = require("torch")
    forward_ad = torch.autograd.forward_ad

require("sentence_transformers")
library: Any = importlib.import_module("sentence_transformers.util.similarity")

__all__ = ["KernelInUse", "maxsim", "maxsim_pairwise", "use_kernel"]

NAMES = ("maxsim", "maxsim_pairwise")
PARAMETERS = {
    "a": inspect.Parameter.empty,
    "b": inspect.Parameter.empty,
    "a_mask": None,
    "b_mask": None,
    "chunk_elements": None,
    "length_normalize": False,
    "device": None,
}
METHODS = ("similarity", "similarity_pairwise")

_lock = threading.RLock()
_library_own: dict[str, Any] = {}  # the library's functions as it wrote them, from the first use on
_uses = 0  # of the whole process
_models: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # uses of single models


def use_kernel(model: Any = None) -> KernelInUse:
    """Have sentence-transformers compute MaxSim with our kernel.

    Its conventions stay: -1e9 for a document without tokens, zeros for an empty side, rows of zeros in padded input
    as padding, scores on the documents' device. What our kernel does not take (float64, NaN, weights as a mask,
    subclasses of tensors, code under torch.compile, torch.jit.trace, torch.func or forward-mode differentiation; pairs
    on a GPU or with a gradient) the library computes itself.

    Args:
        model: a MultiVectorEncoder, whose `similarity` and `similarity_pairwise` are the only ones to change, and
            with them the evaluators that call these; None changes the library, for the whole process.

    Returns:
        What undoes it: `.undo()`, or the end of a `with` block. Uses may be nested and end in any order: the library
        is itself again after the last one.

    Raises:
        RankPluginsError: the installed sentence-transformers is not as expected. Nothing was changed.
        InputTypeError: model is no MultiVectorEncoder.

    """
    _check_library()
    if model is not None and not isinstance(model, _encoder_class()):
        raise InputTypeError(f"model: expected a MultiVectorEncoder or None, got {type(model).__name__}")
    use = KernelInUse(model)
    use._begin()
    return use


class KernelInUse:
    """One use of our kernel inside sentence-transformers; see `use_kernel`."""

    def __init__(self, model: Any = None) -> None:
        self._model: weakref.ref[Any] | None = None if model is None else weakref.ref(model)
        self._active = False

    def __repr__(self) -> str:
        where = "the whole library" if self._model is None else "one model"
        return f"KernelInUse({where}, {'active' if self._active else 'undone'})"

    def _begin(self) -> None:
        global _uses
        with _lock:
            self._active = True
            model = None if self._model is None else self._model()
            if model is not None:
                _models[model] = _models.get(model, 0) + 1
                for name in METHODS if _models[model] == 1 else ():
                    setattr(model, name, functools.partial(_score, model, name))
            elif self._model is None:
                _uses += 1
                if _uses == 1:
                    _exchange()

    def undo(self) -> None:
        """End this use; a second call does nothing."""
        global _uses
        with _lock:
            if not self._active:
                return
            self._active = False
            if self._model is None:
                _uses -= 1
                if not _uses:
                    _restore()
                return
            model = self._model()
            if model is not None and model in _models:
                _models[model] -= 1
                if not _models[model]:
                    del _models[model]
                    for name in METHODS:
                        delattr(model, name)  # the class's method shows again

    def __enter__(self) -> KernelInUse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def maxsim(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: str | torch.device | None = None,
) -> Tensor:
    """Return what sentence_transformers.util.maxsim does, computed here: its arguments, shapes, conventions, errors.

    For callers that take a function, such as an evaluator's `similarity_fct` or `score_functions`.
    """
    scores: Tensor
    if not _transformed():
        try:
            scores = all_pairs(a, b, a_mask, b_mask, chunk_elements, length_normalize, device, _fill)
        except (InputError, InputTypeError):
            pass  # the library answers, with its own errors
        else:
            return scores
    scores = _own("maxsim")(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)
    return scores


def maxsim_pairwise(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: str | torch.device | None = None,
) -> Tensor:
    """Return what sentence_transformers.util.maxsim_pairwise does; the C core computes where it can."""
    scores: Tensor
    if not _transformed():
        try:
            scores = pairwise(a, b, a_mask, b_mask, length_normalize, device, _fill)
        except (InputError, InputTypeError):
            pass
        else:
            return scores
    scores = _own("maxsim_pairwise")(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)
    return scores


def _score(model: Any, method: str, embeddings1: Any, embeddings2: Any, **options: Any) -> Tensor:
    """Stand for `method` of a model that uses our kernel; a function of the module, so that the model pickles."""
    options.setdefault("length_normalize", model.similarity_fn_name == "meanmaxsim")
    function = maxsim if method == "similarity" else maxsim_pairwise
    return function(embeddings1, embeddings2, **options)


def _transformed() -> bool:
    """Tell whether torch watches the call to make another of it, which only the library's own operations allow."""
    return (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def _fill(scores: Tensor, empty: Tensor) -> Tensor:
    filled: Tensor = library._fill_empty_document_scores(scores, empty)
    return filled


def _own(name: str) -> Any:
    """Return a function as the library wrote it."""
    return _library_own.get(name) or getattr(library, name)


def _encoder_class() -> Any:
    return importlib.import_module("sentence_transformers").MultiVectorEncoder


def _check_library() -> None:
    """Refuse a library whose functions are not those that this module stands for.

    Raises:
        RankPluginsError: something is missing or another; the message says what.

    """
    problem = None
    for name in NAMES:
        function = getattr(library, name, None)
        if not isinstance(function, types.FunctionType) or function.__code__.co_freevars:
            problem = problem or f"a plain function {library.__name__}.{name}, got {function!r}"
        else:
            found = {key: value.default for key, value in inspect.signature(function).parameters.items()}
            if found != PARAMETERS:
                problem = problem or f"{name}({', '.join(PARAMETERS)}), got {name}{inspect.signature(function)}"
    if not callable(getattr(library, "_fill_empty_document_scores", None)):
        problem = problem or f"{library.__name__}._fill_empty_document_scores, got none"
    encoder = getattr(importlib.import_module("sentence_transformers"), "MultiVectorEncoder", None)
    for attribute in (*METHODS, "similarity_fn_name"):
        if not hasattr(encoder, attribute):
            problem = problem or f"MultiVectorEncoder.{attribute}, got none"
    if problem:
        from importlib.metadata import version

        raise RankPluginsError(
            f"sentence-transformers {version('sentence-transformers')}: expected {problem}. Nothing was changed;"
            " install sentence-transformers>=6.2,<7, and undo what else changes these functions"
        )


# The next two bodies run inside the library's functions, with its module's globals: they import what they need.
def _maxsim_there(a, b, a_mask=None, b_mask=None, chunk_elements=None, length_normalize=False, device=None):  # type: ignore[no-untyped-def]
    from rank_plugins.compat import sentence_transformers as ours

    return ours.maxsim(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def _pairwise_there(a, b, a_mask=None, b_mask=None, chunk_elements=None, length_normalize=False, device=None):  # type: ignore[no-untyped-def]
    from rank_plugins.compat import sentence_transformers as ours

    return ours.maxsim_pairwise(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def _exchange() -> None:
    """Have the library's functions run our code; calls that run already finish with theirs."""
    for name, there in zip(NAMES, (_maxsim_there, _pairwise_there), strict=True):
        function = getattr(library, name)
        if name not in _library_own:
            code, defaults = function.__code__, function.__defaults__
            _library_own[name] = types.FunctionType(code, function.__globals__, name, defaults)
        function.__code__ = there.__code__


def _restore() -> None:
    for name in NAMES:
        getattr(library, name).__code__ = _library_own[name].__code__
