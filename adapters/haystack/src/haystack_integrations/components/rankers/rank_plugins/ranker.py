"""RankPluginsRanker: a reranker of rank_plugins as a Haystack component. It converts; it ranks nothing."""

from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError

from haystack_integrations.common.rank_plugins import distinct
from rank_plugins.errors import InputTypeError
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.hosting import count, first_stage, listed, off_loop, pairs, reranker_of, threshold

OLD_SCORE = "retrieval_score"
"""Where a Document's metadata keeps the score that it came with."""


@component
class RankPluginsRanker:
    """Ranks Documents by their relevance to a query: late interaction, a cross-encoder, or several fused.

    Documents come back as copies, best first: id, content and metadata stay, the score is the reranker's, and the
    score that a Document came with is `meta["retrieval_score"]`. A Document without content has nothing to score: it
    stands last, with -1e9. Methods may be called from several threads.

    ```python
    from haystack import Document
    from haystack_integrations.components.rankers.rank_plugins import RankPluginsRanker

    ranker = RankPluginsRanker(top_k=1)
    documents = [Document(content="The Alps run through eight countries."), Document(content="Caffeine delays sleep.")]
    print(ranker.run(query="Does coffee keep people awake?", documents=documents)["documents"][0].content)
    ```
    """

    def __init__(
        self,
        *,
        model: str | Reranker = "rank-maxsim",
        model_kwargs: dict[str, Any] | None = None,
        top_k: int | None = 10,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        """Choose the reranker; its model is loaded by `warm_up`, or when Documents are first ranked.

        Args:
            model: a name that `rank_plugins.rerankers.names()` lists, or a Reranker, which stays the caller's to close
                and cannot be serialized.
            model_kwargs: options of `rank_plugins.rerankers.load`; none beside a Reranker.
            top_k: how many Documents to return at most; None returns all.
            score_threshold: return only Documents whose score is at least this; on the reranker's own scale.
            meta_fields_to_embed: fields of the metadata that are ranked with the content, in front of it.
            embedding_separator: what stands between them.

        Raises:
            InputError: an unknown name, top_k < 1, a value that cannot be used.
            InputTypeError: another type, an unknown option, or options beside a Reranker.

        """
        self.top_k = count(top_k, "top_k")
        self.score_threshold = threshold(score_threshold)
        self.meta_fields_to_embed = _fields(meta_fields_to_embed)
        if not isinstance(embedding_separator, str):
            raise InputTypeError(f"embedding_separator: expected a str, got {type(embedding_separator).__name__}")
        self.embedding_separator = embedding_separator
        self._reranker = reranker_of(model, model_kwargs)
        self.model = model
        self.model_kwargs = None if model_kwargs is None else dict(model_kwargs)
        self._warm = False

    def warm_up(self) -> None:
        """Load the model, if it is not loaded yet."""
        if not self._warm:
            self._reranker.warm_up()
            self._warm = True

    async def warm_up_async(self) -> None:
        """Load the model on another thread, so that the event loop goes on."""
        if not self._warm:
            await off_loop(self.warm_up)

    def close(self) -> None:
        """Let go of the model, unless a Reranker was passed; ranking again loads it again."""
        self._warm = False
        if self._reranker is not self.model:
            self._reranker.close()

    async def close_async(self) -> None:
        """Let go of the model, as `close`, without blocking the event loop."""
        await off_loop(self.close)

    def to_dict(self) -> dict[str, Any]:
        """Serialize this component to a dictionary.

        Raises:
            SerializationError: the model is a Reranker, and not a name.

        """
        if not isinstance(self.model, str):
            raise SerializationError(
                f"RankPluginsRanker: expected model to be a name, got a {type(self.model).__name__}, which cannot be"
                " serialized; pass its name as model, and its options as model_kwargs"
            )
        return default_to_dict(
            self,
            model=self.model,
            model_kwargs=self.model_kwargs,
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RankPluginsRanker":
        """Make the component that `to_dict` described."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None, score_threshold: float | None = None
    ) -> dict[str, list[Document]]:
        """Rank Documents.

        Of Documents with the same id the one with the best score is ranked.

        Args:
            query: text.
            documents: Documents; if all have a score, a reranker that takes the first stage's scores gets them.
            top_k: instead of the component's own.
            score_threshold: instead of the component's own.

        Raises:
            InputError: top_k < 1, a threshold that is NaN, an empty or whitespace query.
            InputTypeError: another type.

        """
        limit, least, found = self._checked(documents, top_k, score_threshold)
        return _best(found, self._reranker.rerank(query, **self._request(found), top_k=limit), least)

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None, score_threshold: float | None = None
    ) -> dict[str, list[Document]]:
        """Rank Documents as `run` does, on another thread, so that the event loop goes on."""
        limit, least, found = self._checked(documents, top_k, score_threshold)
        return _best(found, await self._reranker.rerank_async(query, **self._request(found), top_k=limit), least)

    def _checked(
        self, documents: object, top_k: int | None, score_threshold: float | None
    ) -> tuple[int | None, float | None, list[Document]]:
        """Return what holds for this call: top_k, the threshold, and the Documents, each id once."""
        limit = self.top_k if top_k is None else count(top_k, "top_k")
        least = self.score_threshold if score_threshold is None else threshold(score_threshold)
        return limit, least, distinct(listed(documents, Document, "documents"))

    def _request(self, documents: list[Document]) -> dict[str, Any]:
        """Return what a reranker takes: texts, ids and the scores that the Documents came with."""
        return {
            "documents": [self._text(document) for document in documents],
            "ids": [document.id for document in documents],
            "scores": first_stage(document.score for document in documents),
        }

    def _text(self, document: Document) -> str:
        fields = [document.meta.get(name) for name in self.meta_fields_to_embed]
        found = [str(field) for field in fields if field is not None]
        return self.embedding_separator.join([*found, document.content or ""])


def _best(documents: list[Document], ranking: Ranking, least: float | None) -> dict[str, list[Document]]:
    """Return copies of the ranked Documents, with their new scores."""
    return {"documents": [_copy(documents[index], score) for index, score in pairs(ranking, least)]}


def _copy(document: Document, score: float) -> Document:
    old = {} if document.score is None else {OLD_SCORE: document.score}
    return replace(document, score=score, meta={**document.meta, **old})


def _fields(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise InputTypeError(f"meta_fields_to_embed: expected a list of names, got {value!r}")
    return list(value)
