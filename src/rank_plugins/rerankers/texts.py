"""Texts: the documents of a call as texts, each once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.rerankers.reranker import Request
from rank_plugins.store.ids import text_hash


class Texts:
    """The texts of a call, each once, with what the requests say of them."""

    def __init__(self, requests: Sequence[Request]) -> None:
        groups = [request.documents if isinstance(request.documents, list) else [] for request in requests]
        self.unique = list(dict.fromkeys(text for group in groups for text in group))
        place_of = {text: place for place, text in enumerate(self.unique)}
        self.places = [np.array([place_of[text] for text in group], np.int64) for group in groups]
        self._owners: list[dict[str, None]] = [{} for _ in self.unique]
        for request, places in zip(requests, self.places, strict=True):
            for name, place in zip(request.ids or (), places.tolist(), strict=False):
                self._owners[place][name] = None

    @property
    def names(self) -> list[str] | None:
        """One id for each text, or None where ids were not given."""
        return [next(iter(group)) for group in self._owners] if all(self._owners) else None

    def owned(
        self, places: NDArray[np.int64], embeddings: TokenEmbeddings
    ) -> tuple[list[str], list[str], TokenEmbeddings]:
        """Return (ids, texts, embeddings) of the texts at these places, once for every id that the requests give them.

        Without ids, one is made from the text.
        """
        owners = [
            list(self._owners[place]) or [f"text-{text_hash(self.unique[place]).hex()}"] for place in places.tolist()
        ]
        index = np.repeat(np.arange(len(owners)), [len(group) for group in owners])
        ids = [name for group in owners for name in group]
        return ids, [self.unique[place] for place in places[index].tolist()], embeddings[index]
