"""Wrapper: a reranker around one other, which it warms up and, if it made it, closes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rank_plugins.rerankers.parts import Part, part, part_name, ranked
from rank_plugins.rerankers.ranking import Ranking
from rank_plugins.rerankers.reranker import Request, Reranker


class Wrapper(Reranker):
    """What rerankers around one other share. A subclass implements `_rank` with `_inner`."""

    def __init__(self, reranker: Part) -> None:
        """Choose the reranker: a name, a dict of a "name" and options that JSON can hold, or a Reranker.

        Raises:
            InputError: an unknown name, or options that the reranker refuses.
            InputTypeError: another type, or an unknown option.

        """
        self._given = reranker
        self.reranker = part(reranker, "reranker")
        """The one inside."""
        self.name = part_name(reranker)
        """What it is called in `details`."""

    def _inner(
        self, requests: Sequence[Request], top_k: int | None = None
    ) -> tuple[list[Ranking], list[dict[str, Any]]]:
        """Return the inner rankings, and for each the `details` to begin with: "timings" of the call, and "parts"."""
        start = time.perf_counter()
        rankings = ranked(self.reranker, requests, top_k)
        seconds = time.perf_counter() - start
        return rankings, [
            {"timings": {self.name: seconds}, "parts": {self.name: ranking.details}} for ranking in rankings
        ]

    def warm_up(self) -> None:
        """Load the models of the reranker inside."""
        self.reranker.warm_up()

    def close(self) -> None:
        """Close the reranker inside, if it was made here from a name."""
        if self.reranker is not self._given:
            self.reranker.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
