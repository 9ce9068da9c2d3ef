"""Codec: how a store turns float32 token embeddings into the rows that it keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._rows import CODECS as CODED
from rank_plugins._rows import DTYPES, Rows
from rank_plugins.codebook import Codebook
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError
from rank_plugins.quantize import requantized, stored
from rank_plugins.store.projection import Projection
from rank_plugins.store.reduction import TokenReduction

CODECS = (*DTYPES, *CODED)
SCALED = ("int8", *CODED)  # with a float32 scale per token


@dataclasses.dataclass(frozen=True)
class Codec:
    """Projection, pooling and the type of the rows; what is fitted to the corpus is there from the first documents on.

    The skip-list of `reduction` comes before all of it, because it needs the tokens' text.
    """

    name: str = "int8"
    dims: int | None = None  # of the projection, or None for none
    reduction: TokenReduction = dataclasses.field(default_factory=TokenReduction)
    projection: Projection | None = None
    codebook: Codebook | None = None

    @property
    def fitted(self) -> bool:
        """Whether nothing is left to be fitted."""
        return (self.dims is None or self.projection is not None) and (
            self.name not in CODED or self.codebook is not None
        )

    @property
    def fingerprint(self) -> str | None:
        """What decides a document's rows besides its encoder; None before the codec is fitted."""
        if not self.fitted:
            return None
        fitted = [part.to_bytes() for part in (self.projection, self.codebook) if part is not None]
        settings = json.dumps([self.name, self.dims, self.reduction.to_dict()], sort_keys=True)
        return hashlib.blake2b(b"\0".join([settings.encode(), *fitted]), digest_size=16).hexdigest()

    def fit(self, sample: TokenEmbeddings) -> Codec:
        """Return this codec with its projection and codebook fitted to a sample of the corpus, float32.

        Raises:
            InputError: too few tokens for them, or a projection to no fewer dimensions.

        """
        if self.dims is not None and self.dims >= sample.dim:
            raise InputError(f"projection: expected less than the encoder's {sample.dim} dimensions, got {self.dims}")
        projection = None if self.dims is None else Projection.fit(sample, self.dims)
        reduced = self._reduced(sample, projection)
        codebook = Codebook.fit(reduced, self.name) if self.name in CODED else None
        return dataclasses.replace(self, projection=projection, codebook=codebook)

    def encode(self, embeddings: TokenEmbeddings) -> TokenEmbeddings:
        """Return float32 embeddings as the store keeps them."""
        reduced = self._reduced(embeddings, self.projection)
        return requantized(reduced, self.name, screen=False) if self.codebook is None else self.codebook.encode(reduced)

    def project(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a query, float32 [Q, K], in the dimensions of the rows."""
        return query if self.projection is None else self.projection.apply_query(query)

    def row(self, dim: int) -> tuple[Any, int]:
        """Return NumPy's type of a row's elements and their number, for an encoder of `dim` dimensions."""
        if self.codebook is not None:
            return np.uint8, self.codebook.row_bytes
        width, storage = stored(self.name, self.dims or dim)
        return storage, width

    def rows(self, segments: list[tuple[NDArray[Any], NDArray[np.float32] | None]], dim: int) -> Rows:
        """Return mapped segments as the rows of TokenEmbeddings."""
        scales = tuple(scale for _, scale in segments if scale is not None) if self.name in SCALED else None
        return Rows(tuple(values for values, _ in segments), self.name, self.dims or dim, scales, self.codebook)

    def _reduced(self, embeddings: TokenEmbeddings, projection: Projection | None) -> TokenEmbeddings:
        projected = embeddings if projection is None else projection.apply(embeddings)
        return self.reduction.pool_tokens(projected)
