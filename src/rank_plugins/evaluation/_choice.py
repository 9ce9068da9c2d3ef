"""One of several names, or an error that suggests the right one."""

from __future__ import annotations

from collections.abc import Iterable

from rank_plugins.errors import InputError


def choice(name: str, names: Iterable[str], what: str) -> str:
    """Return `name` if it is one of `names`.

    Raises:
        InputError: it is none; the message lists them and suggests the closest.

    """
    known = list(names)
    if name in known:
        return name
    import difflib

    close = difflib.get_close_matches(str(name).lower(), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"{what}: expected one of {', '.join(known)}, got {name!r}{hint}")
