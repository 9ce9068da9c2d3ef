"""Explanation: the token alignment behind a MaxSim score.

Shapes: Q query tokens, D document tokens, K dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins.embeddings import TokenEmbeddings
from rank_plugins.encoders.encoder import Encoder, Role, Token
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.explanations.glyphs import room, visible
from rank_plugins.quantize import dequantize, quantize

QUERY_CONVERTED = ("float16", "bfloat16", "int8")  # documents of these meet a query of the same dtype
WORST = -1e9  # stands for -inf, which JSON does not know
AROUND = 16  # characters shown on either side of a match


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a document has its score: what each query token matches, and what that brings.

    `str()` of it is a table; `to_dict` is for programs, `html` for people.
    """

    query: str
    document: str
    query_tokens: tuple[Token, ...]
    """Of the query's vectors, Q of them, with their places in `query`."""
    document_tokens: tuple[Token, ...]
    """Of the document's vectors, D of them; those of a long document's windows overlap."""
    similarities: NDArray[np.float32]
    """Dot products of the vectors that were scored, [Q, D]."""
    matches: NDArray[np.int64]
    """For each query token the document token most similar to it, the first of equals; -1 where there is none."""
    contributions: NDArray[np.float64]
    """What each query token brings to the score, [Q]; -inf where the document has no token."""
    mean: bool
    """Whether the score is divided by Q."""

    @property
    def score(self) -> float:
        """The sum of the contributions: the document's MaxSim."""
        return float(self.contributions.sum())

    @property
    def order(self) -> list[int]:
        """The query tokens, those first that bring most; ties in the query's order."""
        return [int(i) for i in np.argsort(-self.contributions, kind="stable")]

    def __str__(self) -> str:
        head = (
            f"score {self.score:.4f}: the {'mean' if self.mean else 'sum'} over {len(self.query_tokens)} query tokens"
        )
        if not self.document_tokens:
            return f"{head}; the document has no token"
        rows = [("contribution", "query token", "document token", "where")]
        for i in self.order:
            matched = self.document_tokens[self.matches[i]]
            context = "the model's own" if matched.special else "".join(around(self.document, matched, AROUND))
            value = f"{self.contributions[i]:12.4f}"
            rows.append((value, visible(label(self.query_tokens[i])), visible(label(matched)), visible(context)))
        widths = [max(room(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join([*map(_padded, row[:3], widths), " ".join(row[3].split())]) for row in rows]
        return "\n".join([head, "", *(line.rstrip() for line in lines)])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; -inf becomes -1e9, and a token without a match has None."""
        best = [None if match < 0 else match for match in self.matches.tolist()]
        values = [None if j is None else float(self.similarities[i, j]) for i, j in enumerate(best)]
        rows = zip(self.query_tokens, best, values, self.contributions.tolist(), strict=True)
        return {
            "score": max(self.score, WORST),
            "mode": "mean" if self.mean else "sum",
            "query": {
                "text": self.query,
                "tokens": [
                    {**_plain(token), "match": j, "similarity": value, "contribution": max(brought, WORST)}
                    for token, j, value, brought in rows
                ],
            },
            "document": {"text": self.document, "tokens": [_plain(token) for token in self.document_tokens]},
            "similarities": np.round(self.similarities.astype(np.float64), 6).tolist(),
        }

    def html(self, name: str = "Document") -> str:
        """Return a page that shows it and needs no other file; see `rank_plugins.explanations.html` for several."""
        from rank_plugins.explanations.page import html

        return html([self], [name])


def explained(
    texts: tuple[str, str], encoder: Encoder, query: NDArray[np.float32], documents: TokenEmbeddings, *, mean: bool
) -> Explanation:
    """Return the explanation of a score.

    Args:
        texts: the query and the document.
        encoder: the one that made the vectors.
        query: float [Q, K], as it is scored.
        documents: the document's embeddings, one document of any dtype.
        mean: the score is divided by Q.

    Raises:
        InputError: tokens cannot be told apart: the embeddings are not one for each token.
        InputTypeError: the encoder does not tell its tokens.

    """
    vectors = dequantize(documents)[0]
    query_tokens, document_tokens = _tokens(encoder, texts[0], "query"), _tokens(encoder, texts[1], "document")
    for what, tokens, count in (("query", query_tokens, len(query)), ("document", document_tokens, len(vectors))):
        if len(tokens) != count:
            raise InputError(
                f"explain: expected a vector for each of the {len(tokens)} tokens of the {what}, got {count}; vectors"
                " that are pooled or left out, as a store's reduction does, cannot be explained"
            )
    if documents.dtype in QUERY_CONVERTED:
        query = dequantize(quantize(TokenEmbeddings.from_list([query]), documents.dtype))[0]
    if not len(vectors):
        similarities = np.empty((len(query), 0), np.float32)
        best, values = np.full(len(query), -1, np.int64), np.full(len(query), -np.inf)
    else:
        # float64, so that vectors that are equal stay equal: a product of float32 depends on its place in the array
        similarities = (query.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
        best = similarities.argmax(axis=1).astype(np.int64)
        values = similarities[np.arange(len(best)), best].astype(np.float64)
    brought = values / len(query) if mean else values
    return Explanation(*texts, query_tokens, document_tokens, similarities, best, brought, mean)


def label(token: Token) -> str:
    """Return what a token is called: its text, or where that is only space the vocabulary's spelling."""
    return token.text if token.text.strip() else token.piece


def around(text: str, token: Token, near: int) -> tuple[str, str, str, str, str]:
    """Return a token's surroundings: mark, text before, the token in brackets, text behind, mark."""
    start, stop = max(token.start - near, 0), min(token.stop + near, len(text))
    before, behind = text[start : token.start], text[token.stop : stop]
    return (
        "\N{HORIZONTAL ELLIPSIS}" if start else "",
        before,
        f"[{token.text}]",
        behind,
        "\N{HORIZONTAL ELLIPSIS}" if stop < len(text) else "",
    )


def _tokens(encoder: Encoder, text: str, role: Role) -> tuple[Token, ...]:
    told = getattr(encoder, "tokens", None)
    if told is None:
        raise InputTypeError(
            f"encoder: expected one with tokens(texts, role), which explaining needs, got {type(encoder).__name__}"
        )
    return tuple(told([text], role)[0])


def _plain(token: Token) -> dict[str, Any]:
    return {**token._asdict(), "special": token.special}


def _padded(text: str, width: int) -> str:
    return text + " " * (width - room(text))
