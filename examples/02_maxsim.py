"""MaxSim on arrays alone: ragged documents, a selection of them, a forced instruction set."""

import numpy as np

from rank_plugins import TokenEmbeddings, maxsim, simd

rng = np.random.default_rng(0)


def unit(tokens: int, dim: int = 128) -> np.ndarray:
    """Return random vectors of length 1, [tokens, dim]."""
    vectors = rng.standard_normal((tokens, dim), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


query = unit(32)
documents = [unit(D) for D in rng.integers(20, 301, 1000)]
documents[123][:32] = query  # a document that contains the query's vectors

embeddings = TokenEmbeddings.from_list(documents)
scores = maxsim(query, embeddings)
best = np.argsort(-scores)[:3]
print(embeddings)
print("best:", [(int(i), round(float(scores[i]), 3)) for i in best])

# A selection shares the memory of the whole, so scoring a candidate list copies nothing.
candidates = [7, 123, 999]
print("candidates:", dict(zip(candidates, maxsim(query, embeddings[candidates]).round(3).tolist(), strict=True)))

for level in simd.supported():
    with simd.limit(level):
        difference = np.abs(maxsim(query, embeddings) - scores).max()
    print(f"{level:<7} differs from {simd.active()} by at most {difference:.1e}")
