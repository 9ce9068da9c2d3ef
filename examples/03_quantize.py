"""Fewer bytes per token, an exact top 10 from a screen in int8, many queries at once, and an alignment."""

import numpy as np

from rank_plugins import TokenEmbeddings, maxsim, maxsim_alignment, maxsim_batch, maxsim_top_k
from rank_plugins.quantize import quantize

rng = np.random.default_rng(0)


def unit(tokens: int, dim: int = 128) -> np.ndarray:
    """Return random vectors of length 1, [tokens, dim]."""
    vectors = rng.standard_normal((tokens, dim), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


query = unit(8)
near = [np.vstack([query + unit(8) * 0.3 * i, unit(40)]) for i in range(1, 6)]  # five documents like the query
documents = TokenEmbeddings.from_list([unit(D) for D in rng.integers(20, 301, 995)] + near)
scores = maxsim(query, documents)

for dtype in ("float16", "bfloat16", "int8", "binary"):
    stored = quantize(documents, dtype)
    megabytes = stored.contiguous()[0].nbytes / 1e6
    print(
        f"{dtype:<9} {megabytes:5.1f} MB, scores differ by at most {np.abs(maxsim(query, stored) - scores).max():.4f}"
    )

# The screen finds what cannot be in the top 5; only the rest is scored in float32. The result is exact.
indices, best = maxsim_top_k(query, documents, 5, screen=quantize(documents, "int8"))
print("top 5:", dict(zip(indices.tolist(), best.astype(float).round(3).tolist(), strict=True)))
print("same as sorting all scores:", indices.tolist() == np.argsort(-scores, kind="stable")[:5].tolist())

print("32 queries at once:", maxsim_batch([unit(8) for _ in range(32)], documents).shape)

tokens, similarities = maxsim_alignment(query, documents[995])
print(
    "query token -> token of document 995:",
    dict(enumerate(tokens.tolist())),
    similarities.astype(float).round(2).tolist(),
)
