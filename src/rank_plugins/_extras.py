"""Optional packages: imported when needed, and named in errors from this package's own metadata."""

from __future__ import annotations

import importlib
import importlib.util
import re
from types import ModuleType

from rank_plugins.errors import MissingExtraError

DISTRIBUTION = "rank-plugins"


def extras() -> dict[str, list[str]]:
    """Each extra of the installed distribution and the distributions that it adds."""
    from importlib import metadata  # slow to import, and needed for messages alone

    found: dict[str, list[str]] = {}
    for requirement in metadata.requires(DISTRIBUTION) or []:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if extra and name:
            found.setdefault(extra[1], []).append(name[0])
    return found


def importable(module: str) -> bool:
    """Whether `module` could be imported; nothing is imported to find out."""
    return importlib.util.find_spec(module) is not None


def require(module: str) -> ModuleType:
    """Import `module`, which an extra provides.

    Raises:
        MissingExtraError: it is not installed; the message names the extra.

    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        wanted = module.replace("_", "-").lower()
        names = [name for name, adds in extras().items() if wanted in (add.replace("_", "-").lower() for add in adds)]
        target = f'"{DISTRIBUTION}[{names[0]}]"' if names else wanted
        raise MissingExtraError(f"{module} is needed here and is not installed; pip install {target}") from error
