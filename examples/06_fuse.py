"""Two simple first stages of SciFact made into one ranking, and the choice of how: fuse and tune."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rank_plugins.evaluation import evaluate
from rank_plugins.fusion import fuse, tune

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


documents = {row["id"]: row["text"].lower() for row in read("documents.jsonl")}
claims = {row["id"]: row for row in read("queries.jsonl")}
qrels = {name: claim["relevant"] for name, claim in claims.items()}


def search(pieces: Callable[[str], list[str]], top: int = 100) -> dict[str, dict[str, float]]:
    """Return the nearest documents of each claim, by the cosine of tf-idf over pieces of text."""
    counts = {name: Counter(pieces(text)) for name, text in documents.items()}
    spread = Counter(piece for count in counts.values() for piece in count)

    def vector(count: Counter) -> dict[str, float]:
        weights = {p: (1 + math.log(n)) * math.log(len(counts) / spread[p]) for p, n in count.items() if p in spread}
        length = math.hypot(*weights.values()) or 1.0
        return {piece: weight / length for piece, weight in weights.items()}

    vectors = {name: vector(count) for name, count in counts.items()}
    run = {}
    for name, claim in claims.items():
        query = vector(Counter(pieces(claim["text"].lower())))
        scores = {d: sum(weight * v.get(p, 0.0) for p, weight in query.items()) for d, v in vectors.items()}
        run[name] = dict(sorted(scores.items(), key=lambda item: -item[1])[:top])
    return run


words = search(lambda text: re.findall(r"\w+", text))
letters = search(lambda text: [text[i : i + 5] for i in range(len(text) - 4)])
for name, run in {
    "words": words,
    "five letters": letters,
    "rrf": fuse([words, letters], "rrf"),
    "sum": fuse([words, letters], "sum", weights=[0.5, 0.5]),
}.items():
    print(
        f"{name:<13}",
        *(f"{metric} {value:.3f}" for metric, value in evaluate(qrels, run, "ndcg@10 r@100").mean.items()),
    )

print("\n" + str(tune(qrels, [words, letters], "rrf sum dbsf")))
