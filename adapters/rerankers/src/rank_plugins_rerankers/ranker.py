"""MaxSimRanker: a rank_plugins reranker behind the interface of rerankers' rankers. It converts; it ranks nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from rank_plugins import rerankers as ours
from rank_plugins.errors import InputError, InputTypeError, MissingExtraError, RankPluginsError
from rank_plugins.rerankers.hosting import count, names, pairs, reranker_of
from rank_plugins_rerankers.documents import to_documents
from rank_plugins_rerankers.fusion import to_rerankers
from rank_plugins_rerankers.host import BaseRanker, Document, RankedResults, Result


class MaxSimRanker(BaseRanker):  # type: ignore[misc]  # the host has no type information
    """Ranks documents with `rank_plugins`, for rerankers. Methods may be called from several threads."""

    def __init__(
        self, model_name_or_path: str | ours.Reranker = "rank-maxsim", verbose: int = 1, **options: Any
    ) -> None:
        """Choose the reranker; no model is loaded before the first documents are ranked.

        Args:
            model_name_or_path: a name that `rank_plugins.rerankers.names()` lists, or a Reranker of rank_plugins.
            verbose: as the host passes it; this class prints nothing at any level.
            options: passed on to `rank_plugins.rerankers.load`, such as score="mean", threads=1, encoder=...
                "rank-fusion" takes rankers=[...]: names, rerankers of rank_plugins, or any rankers of rerankers.

        Raises:
            InputError: an unknown name, or an option whose value cannot be used.
            InputTypeError: an unknown option, another type, or options beside a Reranker.

        """
        self.verbose = verbose
        self.ranking_type = "pointwise"
        known = ours.names()
        if not isinstance(model_name_or_path, ours.Reranker) and model_name_or_path not in known:
            raise InputError(
                f"model_name: expected one of {', '.join(known)}, got {model_name_or_path!r};"
                " the folder or hub name of a model is passed as encoder=, and to rank-cross-encoder as model="
            )
        if model_name_or_path == "rank-fusion" and "rankers" in options:
            options["rerankers"] = to_rerankers(options.pop("rankers"))
        self._given = isinstance(model_name_or_path, ours.Reranker)
        with _key_errors(f"Reranker({model_name_or_path!r})"):
            self.reranker = reranker_of(model_name_or_path, options)

    def rank(
        self,
        query: str,
        docs: str | Document | Sequence[str | Document],
        doc_ids: Sequence[str] | Sequence[int] | None = None,
        metadata: Sequence[dict[str, Any]] | None = None,
    ) -> RankedResults:
        """Rank documents, best first; ties keep the input order and an empty list gives empty results.

        Args:
            query: text.
            docs: a str, a Document, or a list of either; they are copied, never changed.
            doc_ids: one id per document, in place of the Documents' own; without any, positions are the ids.
                The reranker gets to know ids that are all str (for its store, if it has one).
            metadata: one dict per document, in place of the Documents' own.

        Raises:
            InputError: an empty or whitespace query, doc_ids or metadata of another length, an image.
            InputTypeError: another type.

        """
        documents = to_documents(docs, doc_ids, metadata)
        with _key_errors("rank"):
            return _results(query, documents, self.reranker.rerank(query, **_request(documents)))

    async def rank_async(
        self,
        query: str,
        docs: str | Document | Sequence[str | Document],
        doc_ids: Sequence[str] | Sequence[int] | None = None,
        metadata: Sequence[dict[str, Any]] | None = None,
    ) -> RankedResults:
        """Rank on a thread of rank_plugins' own executor, so that the event loop goes on; see `rank`."""
        documents = to_documents(docs, doc_ids, metadata)
        with _key_errors("rank"):
            ranking = await self.reranker.rerank_async(query, **_request(documents))
        return _results(query, documents, ranking)

    def score(self, query: str, doc: str | Document) -> float:
        """Return the score of one document; see `rank` for errors."""
        if not isinstance(doc, (str, Document)):
            raise InputTypeError(f"doc: expected a str or a rerankers.Document, got {type(doc).__name__}; see rank")
        return float(self.rank(query, doc)[0].score)

    def as_langchain_compressor(self, k: int | None = 10) -> Any:
        """Return a LangChain document compressor that keeps the `k` best documents, None for all.

        Raises:
            MissingExtraError: langchain-core is not installed.
            InputError: k < 1.
            InputTypeError: k is not a whole number.

        """
        try:
            from rank_plugins_rerankers.compressor import RerankerLangChainCompressor
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "langchain_core":
                raise
            raise MissingExtraError(
                'langchain_core is needed here and is not installed; pip install "rank-plugins-rerankers[langchain]"'
            ) from error
        return RerankerLangChainCompressor(model=self, k=count(k, "k"))

    def close(self) -> None:
        """Let go of the model, unless it is a Reranker that was given; ranking again loads it again."""
        if not self._given:
            self.reranker.close()


@contextlib.contextmanager
def _key_errors(what: str) -> Iterator[None]:
    """Turn a KeyError into an error of ours: the host takes one for a missing package, and returns None."""
    try:
        yield
    except KeyError as error:
        raise RankPluginsError(f"{what}: the reranker failed to look up {error}; this is a defect of it") from error


def _request(documents: Sequence[Document]) -> dict[str, Any]:
    """Return what a reranker takes: texts, and ids for stores and caches."""
    texts = [document.text for document in documents]
    return {"documents": texts, "ids": names([document.doc_id for document in documents], texts)}


def _results(query: str, documents: Sequence[Document], ranking: ours.Ranking) -> RankedResults:
    found = [Result(documents[i], score=score, rank=rank) for rank, (i, score) in enumerate(pairs(ranking), start=1)]
    return RankedResults(found, query, has_scores=True)
