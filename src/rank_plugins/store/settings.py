"""What a store is made of, as its catalogue keeps it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from rank_plugins._checks import whole_number
from rank_plugins.codebook import Codebook
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.store.catalogue import Catalogue
from rank_plugins.store.codec import CODECS, Codec
from rank_plugins.store.projection import Projection
from rank_plugins.store.reduction import TokenReduction


@dataclasses.dataclass(frozen=True)
class Settings:
    """The codec, and what the first documents decide: the encoder's dimension and fingerprint."""

    codec: Codec
    dim: int | None = None
    fingerprint: str | None = None

    @property
    def decided(self) -> bool:
        """Whether documents, or a sample of them, have settled anything."""
        return any(part is not None for part in (self.dim, self.codec.projection, self.codec.codebook))

    @classmethod
    def read(cls, catalogue: Catalogue) -> Settings | None:
        """Return what the catalogue keeps, or None in a new one.

        Raises:
            StoreError: it is damaged.

        """
        kept = catalogue.meta("settings")
        if kept is None:
            return None
        fields = json.loads(kept)
        projection, codebook = catalogue.meta("projection"), catalogue.meta("codebook")
        codec = Codec(
            fields["codec"],
            fields["projection"],
            TokenReduction.from_dict(fields["reduction"]),
            None if projection is None else Projection.from_bytes(projection),
            None if codebook is None else Codebook.from_bytes(codebook),
        )
        return cls(codec, fields["dim"], fields["fingerprint"])

    def write(self, catalogue: Catalogue) -> None:
        """Keep this in the catalogue, inside a transaction."""
        codec = self.codec
        fields = {
            "codec": codec.name,
            "projection": codec.dims,
            "reduction": codec.reduction.to_dict(),
            "dim": self.dim,
            "fingerprint": self.fingerprint,
        }
        catalogue.set_meta("settings", json.dumps(fields).encode())
        for key, part in (("projection", codec.projection), ("codebook", codec.codebook)):
            if part is not None:
                catalogue.set_meta(key, part.to_bytes())

    def fitted(self, sample: TokenEmbeddings) -> Settings:
        """Return the settings with the codec fitted to a sample, float32."""
        return dataclasses.replace(self, codec=self.codec.fit(sample))

    def made_by(self, dim: int, encoder: Any) -> Settings:
        """Return the settings of a store of this encoder (None: unknown) and dimension."""
        return dataclasses.replace(self, dim=dim, fingerprint=None if encoder is None else encoder.fingerprint)


def wanted_settings(codec: str | None, projection: int | None, reduction: TokenReduction | None) -> dict[str, Any]:
    """Return those fields of a Codec that the caller of `EmbeddingStore.open` asks for.

    Raises:
        InputError, InputTypeError: one of them cannot be.

    """
    if codec is not None and codec not in CODECS:
        raise InputError(f"codec: expected one of {', '.join(CODECS)}, got {codec!r}")
    if reduction is not None and not isinstance(reduction, TokenReduction):
        raise InputTypeError(f"reduction: expected a TokenReduction, got {type(reduction).__name__}")
    dims = None if projection is None else whole_number(projection, "projection", 1)
    given = {"name": codec, "dims": dims, "reduction": reduction}
    return {name: value for name, value in given.items() if value is not None}


def check_wanted(folder: Path, codec: Codec, wanted: dict[str, Any]) -> None:
    """Refuse wishes that a store's codec does not fulfil.

    Raises:
        InputError: one of them.

    """
    for name, value in wanted.items():
        if getattr(codec, name) != value:
            what = {"name": "codec", "dims": "projection"}.get(name, name)
            raise InputError(
                f"{what}: expected {getattr(codec, name)!r}, the setting of {folder}, got {value!r}; leave it out, or"
                " index into another folder"
            )
