"""The names of rank_plugins in the tables of AnswerDotAI rerankers.

How `rerankers.Reranker(name)` of 0.10 finds a class: a provider's word inside the name makes it an API;
else a name in DEFAULTS is replaced by the default for its language, after a line that verbose=0 does not
silence; else words inside the name decide; then AVAILABLE_RANKERS[type](name, verbose=..., **options).
"""

from __future__ import annotations

import functools
import threading
import warnings
from typing import Any

from rank_plugins import rerankers as ours
from rank_plugins_rerankers.host import TABLES, factory
from rank_plugins_rerankers.ranker import MaxSimRanker

PATCHED = ("_get_api_provider", "_get_defaults")

_names: set[str] = set()
_lock = threading.Lock()


def register() -> list[str]:
    """Make `rerankers.Reranker` know the names of `rank_plugins.rerankers.names()`; return those it now knows.

    Importing this package does it. Call it again when a distribution with further names was installed
    meanwhile. A name that rerankers had before keeps its meaning, and is not in the list returned.

    Raises:
        HostVersionError: a version of rerankers that this package does not know; nothing was changed.

    """
    with _lock:
        host = factory()
        for name in ours.names():
            entry = {"en": name, "other": name}
            if host.DEFAULTS.get(name) != entry and _taken(host, name):
                continue
            host.DEFAULTS[name] = entry
            host.AVAILABLE_RANKERS[name] = MaxSimRanker
            host.DEPS_MAPPING[name] = "rank-plugins-rerankers"
            _names.add(name)
        _patch(host)
        return sorted(_names)


def unregister() -> None:
    """Leave rerankers as it was before `register`."""
    with _lock:
        host = factory()
        for name in _names:
            for table in TABLES:
                getattr(host, table).pop(name, None)
        _names.clear()
        for name in PATCHED:
            setattr(host, name, _original(getattr(host, name)))


def _taken(host: Any, name: str) -> bool:
    """Whether the name means something to the host, which knows types not installed, and providers in any case."""
    return any(name in getattr(host, table) for table in TABLES) or name.lower() in host.DEFAULTS


def _patch(host: Any) -> None:
    """Replace two private functions of the host; the tables alone cannot say what these two decide.

    `_get_api_provider` would send a name with a provider's word in it ("jina-maxsim") to that API.
    `_get_defaults` would print at verbose=0, and guess the type from words inside the name. The host looks
    both up at each call, so a Reranker imported before this is reached too. For every name but ours the
    host's own functions run, with the same arguments. A second call replaces the first one's functions.
    """
    provider, defaults = (_original(getattr(host, name)) for name in PATCHED)

    @functools.wraps(provider)
    def get_api_provider(model_name: str, model_type: str | None = None) -> Any:
        return None if model_type is None and model_name in _names else provider(model_name, model_type)

    @functools.wraps(defaults)
    def get_defaults(model_name: str, model_type: str | None = None, lang: str = "en", verbose: int = 1) -> Any:
        if model_name not in _names:
            return defaults(model_name, model_type, lang, verbose)
        if verbose and not str(lang).lower().startswith("en"):
            warnings.warn(
                f"lang={lang!r} has no effect on {model_name!r}: the encoder inside rank-plugins reads English;"
                " pass encoder= for another language, and leave lang out",
                stacklevel=3,
            )
        return model_name, model_type or model_name

    for name, function in zip(PATCHED, (get_api_provider, get_defaults), strict=True):
        function.rank_plugins = function  # type: ignore[attr-defined]  # the mark of our own, see _original
        setattr(host, name, function)


def _original(function: Any) -> Any:
    """Return what our replacement stands for. Who wraps it later copies its mark, but is not what the mark names."""
    marked = getattr(function, "rank_plugins", None) is function
    return function.__wrapped__ if marked else function
