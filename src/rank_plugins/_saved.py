"""Saved: results that are written to a file as JSON and read back exactly."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rank_plugins.errors import InputError, InputTypeError

Made = TypeVar("Made", bound="Saved")


class Saved(abc.ABC):
    """What has `to_dict` and `from_dict` can be saved and loaded."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python objects, for JSON; `from_dict` reads it."""

    @classmethod
    @abc.abstractmethod
    def from_dict(cls: type[Made], saved: Mapping[str, Any]) -> Made:
        """Return what `to_dict` gave.

        Raises:
            InputError: something is missing or does not fit.

        """

    def save(self, path: str | Path) -> None:
        """Write it to a file as JSON; every number is read back exactly.

        Raises:
            InputTypeError: something that JSON cannot hold, such as ids that are bytes; nothing was written.

        """
        import json

        text = json.dumps(self.to_dict(), indent=1, default=_plain)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls: type[Made], path: str | Path) -> Made:
        """Read what `save` wrote.

        Raises:
            InputError: the file is not one of those.

        """
        import json

        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: expected JSON written by {cls.__name__}.save, got {error}") from None
        return cls.from_dict(saved)


def _plain(value: Any) -> Any:
    """Return a number of NumPy as Python's."""
    if isinstance(value, np.generic) and not isinstance(value, np.bytes_):
        return value.item()
    raise InputTypeError(f"save: expected what JSON can hold, got {type(value).__name__} {value!r}; decode bytes first")
