"""Names that stand for classes: a lazy table of our own, and the entry points of other distributions."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from rank_plugins.errors import InputError, InputTypeError


class Registry:
    """Maps names to factories; a factory's module is imported when its name is first asked for."""

    def __init__(self, group: str, own: Mapping[str, str]) -> None:
        """Take the entry-point group to read and our own names, each with its "module:attribute"."""
        self.group = group
        self.own = dict(own)

    def names(self) -> list[str]:
        """Return every name that `create` knows, ours first."""
        return [*self.own, *sorted(point.name for point in self._points() if point.name not in self.own)]

    def create(self, name: str, options: Mapping[str, Any]) -> Any:
        """Call the factory of `name` with `options`; errors as in `factory` and `check_options`."""
        factory = self.factory(name)
        check_options(factory, name, options)
        return factory(**options)

    def factory(self, name: str) -> Callable[..., Any]:
        """Return what `name` stands for.

        Raises:
            InputError: the name is unknown.
            InputTypeError: the name is not a str.

        """
        if not isinstance(name, str):
            raise InputTypeError(f"{self.group}: expected a name, got {type(name).__name__}")
        if name in self.own:
            module, _, attribute = self.own[name].partition(":")
            factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
            return factory
        for point in self._points():
            if point.name == name:
                loaded: Callable[..., Any] = point.load()
                return loaded
        close = difflib.get_close_matches(name, self.names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"{self.group}: expected one of {', '.join(self.names())}, got {name!r}{hint}")

    def _points(self) -> metadata.EntryPoints:
        return metadata.entry_points(group=self.group)


def check_options(factory: Callable[..., Any], name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that `factory` does not take, before it is called.

    Raises:
        InputTypeError: an option is unknown or missing; the message lists the options.

    """
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        takes = ", ".join(inspect.signature(factory).parameters)
        raise InputTypeError(f"{name}: {error}; its options are: {takes}") from None
