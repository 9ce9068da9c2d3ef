"""Projection: token vectors in fewer dimensions, those in which the tokens of a corpus are long.

Shapes: K dimensions of the encoder, Q query tokens, D document tokens, T tokens in all.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rank_plugins._checks import float_array, whole_number
from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.errors import InputError, InputTypeError, StoreError

# How far rounding to float32 may leave the columns from being orthonormal.
ORTHONORMAL = 1e-4


class Projection:
    """Principal components of token vectors, without centring: dot products change as little as a matrix can do.

    A token x becomes xM, scaled back to the length of x. Nothing is subtracted, since MaxSim is made of dot products
    and they would change with the mean.
    """

    __slots__ = ("matrix",)

    def __init__(self, matrix: ArrayLike) -> None:
        """Project with `matrix`, float [K, dim], whose columns are orthonormal; see `fit`.

        Raises:
            InputError: a wrong shape, values that are not finite, columns that are not orthonormal.
            InputTypeError: not an array of floats.

        """
        array = float_array(matrix, "matrix", "[K, dim]")
        if not 1 <= array.shape[1] <= array.shape[0]:
            raise InputError(f"matrix: expected [K, dim] with 1 <= dim <= K, got shape {array.shape}")
        wide = array.astype(np.float64)
        error = float(np.abs(wide.T @ wide - np.eye(array.shape[1])).max())
        if error > ORTHONORMAL:
            raise InputError(f"matrix: expected orthonormal columns, got dot products that are off by {error:g}")
        self.matrix: NDArray[np.float32] = array.copy()
        self.matrix.flags.writeable = False

    def __repr__(self) -> str:
        return f"Projection({self.matrix.shape[0]} to {self.matrix.shape[1]} dimensions)"

    @classmethod
    def fit(cls, sample: TokenEmbeddings, dim: int) -> Projection:
        """Return the projection on the `dim` leading eigenvectors of the sum of x xᵀ over the sample's tokens.

        In float64. Each eigenvector points where its largest component is positive, so equal samples give equal
        projections.

        Args:
            sample: float32, some tens of thousands of tokens of the corpus.
            dim: the dimensions to keep.

        Raises:
            InputError: more dimensions than the vectors have, less than 1, or more than the sample has tokens.
            InputTypeError: not float32 TokenEmbeddings.

        """
        check_float32(sample, "sample")
        dim = whole_number(dim, "dim", 1)
        if dim > sample.dim:
            raise InputError(f"dim: expected at most {sample.dim} (the dimensions of the sample), got {dim}")
        count = int(sample.tokens.sum())
        if count < dim:
            raise InputError(f"sample: expected at least {dim} tokens to find {dim} dimensions, got {count}; add more")
        moment = np.zeros((sample.dim, sample.dim))
        for vectors in sample:
            wide = vectors.astype(np.float64)
            moment += wide.T @ wide
        leading = np.linalg.eigh(moment)[1][:, ::-1][:, :dim]
        largest = leading[np.abs(leading).argmax(axis=0), np.arange(dim)]
        return cls(leading * np.sign(largest))

    def apply(self, embeddings: TokenEmbeddings) -> TokenEmbeddings:
        """Return float32 documents with their tokens projected, each token as long as it was; zeros stay zeros.

        Documents are projected one by one, so a document's result does not depend on the others.

        Raises:
            InputError: another dimension than the projection's.
            InputTypeError: not float32 TokenEmbeddings.

        """
        check_float32(embeddings, "embeddings")
        if len(embeddings):
            self._check_dim(embeddings.dim, "embeddings")
        offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(embeddings.tokens)))
        values = np.empty((int(offsets[-1]), self.matrix.shape[1]), np.float32)
        for i, vectors in enumerate(embeddings):
            self._project(vectors, values[offsets[i] : offsets[i + 1]])
        return TokenEmbeddings(values, offsets)

    def apply_query(self, query: ArrayLike) -> NDArray[np.float32]:
        """Return a query, float [Q, K], projected as documents are: float32 [Q, dim].

        Raises:
            InputError: another dimension than the projection's, or values that are not finite.
            InputTypeError: not an array of floats.

        """
        vectors = float_array(query, "query", "[Q, K]")
        self._check_dim(vectors.shape[1], "query")
        projected = np.empty((len(vectors), self.matrix.shape[1]), np.float32)
        self._project(vectors, projected)
        return projected

    def to_bytes(self) -> bytes:
        """Return the projection as a .npy file of its matrix."""
        file = io.BytesIO()
        np.save(file, self.matrix, allow_pickle=False)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Projection:
        """Return the projection that `to_bytes` wrote.

        Raises:
            StoreError: the bytes are damaged.

        """
        file = io.BytesIO(data)
        try:
            matrix = np.lib.format.read_array(file, allow_pickle=False)
            if file.read():
                raise InputError("matrix: expected the end of the file behind it, got more bytes")
            return cls(matrix)
        except Exception as error:  # NumPy parses a header that may be anything, and says so with any error
            raise StoreError(f"projection: the file is damaged ({error}); make the store again") from error

    def _project(self, vectors: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        """Write [D, K] vectors times the matrix to `result` [D, dim], each scaled to the length of its source."""
        np.matmul(vectors, self.matrix, out=result)
        short = lengths(result)
        factors = np.divide(lengths(vectors), short, out=np.zeros_like(short), where=short > 0)
        np.multiply(result, factors[:, None], out=result, casting="same_kind")

    def _check_dim(self, dim: int, what: str) -> None:
        if dim != self.matrix.shape[0]:
            raise InputError(f"{what}: expected {self.matrix.shape[0]} dimensions as the projection has, got {dim}")


def lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the length of each vector of float32 [D, K], computed in float64."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)


def check_float32(embeddings: TokenEmbeddings, what: str) -> None:
    """Refuse what is not float32 TokenEmbeddings of arrays."""
    if not isinstance(embeddings, TokenEmbeddings):
        raise InputTypeError(f"{what}: expected TokenEmbeddings, got {type(embeddings).__name__}")
    if embeddings._rows.tensors or embeddings.dtype != "float32":
        kind = "tensors" if embeddings._rows.tensors else "arrays"
        raise InputTypeError(
            f"{what}: expected arrays of float32, got {kind} of {embeddings.dtype};"
            " convert tensors with .numpy() and other types with quantize.dequantize"
        )
