"""The documents of a call as token embeddings: from a MaxSimReranker's store or cache, or encoded by its encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rank_plugins import _deadline
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.pipelines.similarity import Integers
from rank_plugins.rerankers.maxsim import TEXTS_AT_ONCE, MaxSimReranker, _Texts
from rank_plugins.store.memory import TokenCache


def each_embedded(reranker: MaxSimReranker, texts: _Texts, use: Callable[[Integers, TokenEmbeddings], None]) -> None:
    """Call `use` with the texts in parts: their places in texts.unique, ascending, and their embeddings.

    Every text comes once. What has to be encoded is kept where the reranker itself would keep it.

    Raises:
        InputError: a store of another encoder, where a text has to be encoded.

    """
    missing = np.arange(len(texts.unique))
    with reranker._at_work():
        source = reranker._embeddings_source()
        if source is not None and len(missing):
            found, embeddings = source.find(texts.unique, texts.names)
            if len(found):
                use(found, embeddings)
            missing = np.setdiff1d(missing, found)
        if source is not None and len(missing):
            source.check_encoder(reranker.encoder)
        for start in range(0, len(missing), TEXTS_AT_ONCE):
            _deadline.check()
            places = missing[start : start + TEXTS_AT_ONCE]
            part = [texts.unique[place] for place in places.tolist()]
            if source is None:
                use(places, reranker.encoder.encode_documents(part))
                continue
            embeddings = source.encode(part, reranker.encoder)
            use(places, embeddings)
            if reranker._update or isinstance(source, TokenCache):
                source.keep([texts.owned(places, embeddings)], reranker.encoder)
