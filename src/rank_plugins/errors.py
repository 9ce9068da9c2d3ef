"""The exceptions of rank_plugins. Each message says what, expected, got, where, and what to do."""

from __future__ import annotations


class RankPluginsError(Exception):
    """The base of every error that this package raises on purpose."""


class InputError(RankPluginsError, ValueError):
    """An argument has a value that cannot be used."""


class InputTypeError(RankPluginsError, TypeError):
    """An argument has a type, or an array a dtype, that cannot be used."""


class MissingExtraError(RankPluginsError, ImportError):
    """A package is needed that only an extra of this one installs."""


class StoreError(RankPluginsError, OSError):
    """Files of a model or a store are missing, damaged or cannot be written."""
