"""Everything that this package takes from AnswerDotAI rerankers, and the check that it is the rerankers we know."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import rerankers

from rank_plugins.errors import RankPluginsError

SUPPORTED = ">=0.10,<0.11"
TABLES = ("AVAILABLE_RANKERS", "DEFAULTS", "DEPS_MAPPING")
FUNCTIONS = {
    "Reranker": ["model_name", "lang", "model_type", "verbose", "kwargs"],
    "_get_api_provider": ["model_name", "model_type"],
    "_get_defaults": ["model_name", "model_type", "lang", "verbose"],
    "_get_model_type": ["model_name", "explicit_model_type"],
}


class HostVersionError(RankPluginsError, ImportError):
    """The installed rerankers is not one that this package knows how to extend."""


def _refuse(reasons: str) -> HostVersionError:
    return HostVersionError(
        f"rerankers: expected {SUPPORTED}, got {getattr(rerankers, '__version__', 'unknown')} ({reasons}); names of"
        f' rank_plugins were not registered; pip install "rerankers{SUPPORTED}", or use rank_plugins.rerankers.load'
    )


try:
    from rerankers import Document, Reranker
    from rerankers.models.ranker import BaseRanker
    from rerankers.results import RankedResults, Result
except ImportError as error:
    raise _refuse(str(error)) from error

__all__ = ["TABLES", "BaseRanker", "Document", "HostVersionError", "RankedResults", "Reranker", "Result", "factory"]


def factory() -> Any:
    """Return the module of the host's factory, `rerankers.reranker`, whose tables and functions are as expected.

    Raises:
        HostVersionError: another version, or one of them is missing or different.

    """
    module = importlib.import_module("rerankers.reranker")
    wrong = [] if str(getattr(rerankers, "__version__", "unknown")).startswith("0.10.") else ["another version"]
    wrong += [f"no dict {name}" for name in TABLES if not isinstance(getattr(module, name, None), dict)]
    for name, expected in FUNCTIONS.items():
        function = getattr(module, name, None)
        if not callable(function):
            wrong.append(f"no function {name}")
        elif list(inspect.signature(function).parameters) != expected:
            wrong.append(f"{name}{inspect.signature(function)} in place of ({', '.join(expected)})")
    if not wrong and module._get_model_type("rank-maxsim", "rank-maxsim") != "rank-maxsim":
        wrong.append("_get_model_type does not accept new types")
    if wrong:
        raise _refuse("; ".join(wrong))
    return module
