"""RankPluginsJoiner: fusion of rank_plugins as a Haystack component. It converts; it fuses nothing."""

import warnings
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.component.types import Variadic

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.keyed import Fused, fuse_keyed, method_options
from rank_plugins.rerankers.hosting import count, listed, off_loop

RANKS = "ranks"
"""Where a Document's metadata tells its rank in each source, from 1; None where the source does not have it."""
RESERVED = ("documents", "top_k", "self")


@component
class RankPluginsJoiner:
    """Fuses the Documents of several retrievers or rankers into one list, best first.

    Documents are the same if their ids are. Each comes back once, as a copy of the first source's Document: the score
    is the fused one, and `meta["ranks"]` has its rank in each source. A Document that is twice in one list counts
    once. Equal scores are ordered by best single rank, then by source.

    A pipeline hands over `documents` in the order in which their senders finished, which differs from run to run when
    it runs asynchronously. With `sources` the component has an input for each source instead, and weights always
    belong to the source that they were meant for; a source that did not run counts as empty:

    ```python
    joiner = RankPluginsJoiner(sources=["bm25", "dense"], weights=[1, 2])
    pipeline.connect("bm25_retriever.documents", "joiner.bm25")
    pipeline.connect("dense_retriever.documents", "joiner.dense")
    ```
    """

    def __init__(
        self,
        *,
        method: str = "rrf",
        weights: list[float] | None = None,
        top_k: int | None = None,
        sources: list[str] | None = None,
        method_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Choose how Documents are fused.

        Args:
            method: a name of `rank_plugins.fusion.names()`, such as "rrf", "wsum" or "haystack-rrf".
            weights: one per source, 0 or more; 1 each by default.
            top_k: how many Documents to return at most; None returns all.
            sources: names of the inputs; without them the component has one input `documents` for all.
            method_kwargs: other options of `rank_plugins.fuse`, such as {"k": 20} or {"norm": "minmax"}.

        Raises:
            InputError: an unknown method, weights below 0 or of another number than the sources, top_k < 1.
            InputTypeError: another type, or an unknown option of the method.

        """
        if not isinstance(method, str):
            raise InputTypeError(f"method: expected a name, got {type(method).__name__}")
        self.method = method
        self.top_k = count(top_k, "top_k")
        self.method_kwargs = method_options(method_kwargs)
        self.sources = _sources(sources)
        self.weights = _listed(weights, "weights")
        number = len(self.sources or self.weights or [1, 1])
        self._fuse([[] for _ in range(number)], None)  # refuses what does not fit together, before any Document comes
        self._warned = False
        for name in self.sources or ():
            component.set_input_type(self, name, list[Document], [])

    def to_dict(self) -> dict[str, Any]:
        """Serialize this component to a dictionary."""
        return default_to_dict(
            self,
            method=self.method,
            weights=self.weights,
            top_k=self.top_k,
            sources=self.sources,
            method_kwargs=self.method_kwargs,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RankPluginsJoiner":
        """Make the component that `to_dict` described."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self, documents: Variadic[list[Document]] = (), top_k: int | None = None, **sources: list[Document]
    ) -> dict[str, list[Document]]:
        """Fuse lists of Documents.

        Args:
            documents: a list of Documents, best first, from each source; where the component has no `sources`.
            top_k: instead of the component's own.
            sources: the list of each source by its name; where the component has `sources`.

        Raises:
            InputError: another number of lists than of weights, top_k < 1, Documents without a score where the method
                reads scores.
            InputTypeError: another type, or an unknown source.

        """
        limit = self.top_k if top_k is None else count(top_k, "top_k")
        lists = self._named(documents, sources) if self.sources else self._numbered(documents, sources)
        return {"documents": [_copy(lists, one) for one in self._fuse(lists, limit)]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, documents: Variadic[list[Document]] = (), top_k: int | None = None, **sources: list[Document]
    ) -> dict[str, list[Document]]:
        """Fuse lists of Documents as `run` does, on another thread, so that the event loop goes on."""
        self._warn_of_order()
        found: dict[str, list[Document]] = await off_loop(self.run, documents, top_k, **sources)
        return found

    def _fuse(self, lists: list[list[Document]], limit: int | None) -> list[Fused]:
        if not lists:
            return []
        if self.weights is not None and len(self.weights) != len(lists):
            raise InputError(
                f"weights: expected {len(lists)} of them (one per source), got {len(self.weights)}; a branch of the"
                " pipeline that did not run sends nothing: name the inputs with sources=[...]"
            )
        keyed = [[(document.id, document.score) for document in one] for one in lists]
        return fuse_keyed(keyed, self.method, weights=self.weights, top=limit, **self.method_kwargs)

    def _named(self, documents: Any, sources: dict[str, list[Document]]) -> list[list[Document]]:
        names = self.sources or []
        for name in [*(["documents"] if any(documents) else []), *sources]:
            if name not in names:
                raise InputTypeError(f"sources: expected {', '.join(names)}, got {name}")
        return [listed(sources.get(name, ()), Document, name) for name in names]

    def _numbered(self, documents: Any, sources: dict[str, list[Document]]) -> list[list[Document]]:
        if sources:
            raise InputTypeError(f"{', '.join(sources)}: expected documents=[...]; name the inputs with sources=[...]")
        if isinstance(documents, (str, bytes, Document)) or not hasattr(documents, "__iter__"):
            raise InputTypeError(f"documents: expected lists of Documents, got {type(documents).__name__}")
        return [listed(one, Document, f"documents[{i}]") for i, one in enumerate(documents)]

    def _warn_of_order(self) -> None:
        """Tell, once, that an asynchronous pipeline decides to which source a weight belongs."""
        inside = getattr(self, "__haystack_added_to_pipeline__", None) is not None
        if inside and not self.sources and len(set(self.weights or ())) > 1 and not self._warned:
            self._warned = True
            warnings.warn(
                "RankPluginsJoiner: weights belong to inputs in the order in which these arrive, which differs from run"
                " to run in an asynchronous pipeline; name the inputs with sources=[...] (this is said once)",
                UserWarning,
                stacklevel=3,
            )


def _copy(lists: list[list[Document]], one: Fused) -> Document:
    document = lists[one.source][one.position]
    return replace(document, score=one.score, meta={**document.meta, RANKS: one.ranks})


def _listed(value: Any, name: str) -> list[Any] | None:
    if value is not None and not isinstance(value, (list, tuple)):
        raise InputTypeError(f"{name}: expected a list, got {type(value).__name__}")
    return None if value is None else list(value)


def _sources(value: object) -> list[str] | None:
    names = _listed(value, "sources")
    if names is None:
        return None
    for name in names:
        if not isinstance(name, str):
            raise InputTypeError(f"sources: expected names, got {type(name).__name__} {name!r}")
        if name in RESERVED or not name.isidentifier():
            raise InputError(f"sources: expected names that an input can have, got {name!r}; choose another")
    if not names or len(set(names)) < len(names):
        raise InputError(f"sources: expected different names, at least one, got {', '.join(names) or 'none'}")
    return names
