"""What diversity costs and brings: milliseconds, nDCG@10 and the similarity of what is shown, planted duplicates.

    python benchmarks/diversity.py --data FOLDER [--queries 40] [--only speed effect duplicates]

Speed: the ten first of 100 and of 1000 documents whose scores are known, against LangChain's
maximal_marginal_relevance and a double loop in NumPy on the same single vectors (their rankings are compared too).
Effect: candidates are BM25's top 100, relevance is rank-maxsim; "alike" is the mean cosine between the mean token
vectors of the ten documents shown. Duplicates: copies of six of a query's thirty first candidates, edited word by
word, are put among them. Needs bm25s, PyStemmer, pytrec-eval-terrier, langchain-core.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import beir
import numpy as np
from _timing import Contender, machine, print_table, take_turns
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from rank_plugins import TokenEmbeddings, maxsim
from rank_plugins.encoders.onnx import minilm
from rank_plugins.pipelines import DPPReranker, MMRReranker, NearDuplicateReranker, QuotaReranker
from rank_plugins.pipelines.similarity import pooled
from rank_plugins.quantize import quantize
from rank_plugins.rerankers import Reranker

SHOWN = 10
TRADE_OFFS = (0.9, 0.7, 0.5)
THRESHOLDS = {"shingles": (0.3, 0.5, 0.7), "single": (0.9, 0.95, 0.98), "maxsim": (0.8, 0.85, 0.9)}
EDITS = (0.02, 0.05, 0.1, 0.2)  # the share of words that is changed
CANDIDATES, COPIES = 30, 6


def double_loop(scores: np.ndarray, vectors: np.ndarray, trade_off: float, count: int) -> list[int]:
    """Return the first documents by maximal marginal relevance as it is defined, all similarities at hand."""
    similarity, chosen = vectors @ vectors.T, []
    while len(chosen) < count:
        best, largest = -1, -np.inf
        for i in range(len(scores)):
            if i not in chosen:
                closest = max((similarity[i, j] for j in chosen), default=0.0)
                value = trade_off * scores[i] - (1 - trade_off) * max(closest, 0.0)
                if value > largest:
                    best, largest = i, value
        chosen.append(best)
    return chosen


def speed() -> None:
    """Time the ten first of 100 and of 1000 documents."""
    rng = np.random.default_rng(0)
    rows = []
    for count in (100, 1000):
        vectors = rng.standard_normal((count, 384)) + 1.5 * rng.standard_normal((20, 384))[rng.integers(0, 20, count)]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        query = vectors[:3].mean(0)
        scores = vectors @ query / np.linalg.norm(query)
        single = TokenEmbeddings.from_padded(vectors[:, None, :].astype(np.float32))
        tokens = (
            rng.standard_normal((count * 200, 384)).astype(np.float32) + np.repeat(vectors, 200, 0).astype("f4") * 8
        )
        documents = TokenEmbeddings(tokens, np.arange(count + 1) * 200)
        words = [f"w{i}" for i in range(20_000)]
        texts = [" ".join(rng.choice(words, 200)) for _ in range(count)]
        ids = [f"{i % (count // 4)}#{i}" for i in range(count)]
        contenders: dict[str, Callable[[], Any]] = {
            "LangChain": lambda: maximal_marginal_relevance(query, list(vectors), 0.7, SHOWN),  # noqa: B023
            "NumPy double loop": lambda: double_loop(scores, vectors, 0.7, SHOWN),  # noqa: B023
            "rank-mmr, single": _call(MMRReranker(similarity="single", norm="none"), single, scores),
            "rank-dpp, single": _call(DPPReranker(similarity="single", norm="none"), single, scores),
            "rank-mmr, maxsim, 200 tokens": _call(MMRReranker(norm="none"), documents, scores),
            "rank-dpp, maxsim, 200 tokens": _call(DPPReranker(norm="none"), documents, scores),
            "rank-near-duplicates, shingles, all": _call(NearDuplicateReranker(), texts, scores, None),
            "rank-near-duplicates, single, all": _call(
                NearDuplicateReranker(similarity="single"), single, scores, None
            ),
            "rank-quotas": _call(QuotaReranker(), texts, scores, ids=ids),
        }
        ours = contenders["rank-mmr, single"]().indices.tolist()
        assert ours == contenders["NumPy double loop"](), "the double loop ranks otherwise"
        print(f"{count} documents: LangChain's ten are {'the same' if contenders['LangChain']() == ours else 'others'}")
        seconds = take_turns({name: Contender(call) for name, call in contenders.items()}, 5, warm=True)
        rows.append([seconds[name] * 1e3 for name in contenders])
    alike = list(contenders)[:3]  # they do the same
    print_table(
        ["", "ms, 100", "ms, 1000", "LangChain / this, 100", "1000"],
        [
            [name, f"{few:.1f}", f"{many:.1f}"]
            + ([f"{rows[0][0] / few:.1f}", f"{rows[1][0] / many:.1f}"] if name in alike else ["", ""])
            for name, few, many in zip(contenders, *rows, strict=True)
        ],
    )


def _call(
    reranker: Reranker, documents: Any, scores: np.ndarray, top_k: int | None = SHOWN, ids: list[str] | None = None
) -> Callable[[], Any]:
    known = scores.tolist()
    return lambda: reranker.rerank("query", documents, scores=known, ids=ids, top_k=top_k)


class Lists:
    """The candidates of some queries of a collection, their token embeddings, and rank-maxsim's scores of them."""

    def __init__(self, folder: Path, count: int) -> None:
        collection = beir.load(folder)
        kept = list(collection.queries)[:: max(1, len(collection.queries) // count)][:count]
        self.name = folder.name
        self.collection = beir.Collection(
            collection.name,
            {query: collection.queries[query] for query in kept},
            collection.documents,
            {query: collection.qrels[query] for query in kept},
            {query: collection.candidates[query] for query in kept},
        )
        encoder = minilm()
        self.ids = list(dict.fromkeys(itertools.chain(*self.collection.candidates.values())))
        self.embeddings = quantize(encoder.encode_documents([collection.documents[i] for i in self.ids]), "int8")
        queries = encoder.encode_queries(list(self.collection.queries.values()))
        place = {name: i for i, name in enumerate(self.ids)}
        self.places = {query: [place[i] for i in ids] for query, ids in self.collection.candidates.items()}
        self.scores = {
            query: maxsim(vectors, self.embeddings[self.places[query]]).tolist()
            for query, vectors in zip(kept, queries, strict=True)
        }
        self.single = pooled(self.embeddings)

    def measured(self, reranker: Reranker | None) -> tuple[float, float]:
        """Return nDCG@10 and how alike the documents shown are; without a reranker, by relevance alone."""
        shown, alike = {}, []
        for query, ids in self.collection.candidates.items():
            if reranker is None:
                order = np.argsort(-np.array(self.scores[query]), kind="stable")[:SHOWN].tolist()
            else:
                documents = self.embeddings[self.places[query]]
                ranking = reranker.rerank("query", documents, scores=self.scores[query], top_k=SHOWN)
                order = ranking.indices.tolist()
            shown[query] = [ids[i] for i in order]
            vectors = self.single[[self.places[query][i] for i in order]]
            pairs = (vectors @ vectors.T)[np.triu_indices(len(order), 1)]
            alike.append(pairs.mean())
        return beir.ndcg(self.collection, shown), float(np.mean(alike))


def effect(lists: list[Lists]) -> None:
    """Print nDCG@10 and the similarity of the ten documents shown."""
    rerankers: dict[str, Reranker | None] = {"relevance alone": None}
    for kind, similarity in itertools.product((MMRReranker, DPPReranker), ("maxsim", "single")):
        for trade_off in TRADE_OFFS:
            name = f"{kind.__name__}, {similarity}, {trade_off}"
            rerankers[name] = kind(similarity=similarity, trade_off=trade_off)
    rows = []
    for name, reranker in rerankers.items():
        cells = [one.measured(reranker) for one in lists]
        rows.append([name, *(f"{value:.4f}" for pair in cells for value in pair)])
    print_table(["", *(f"{one.name} {what}" for one in lists for what in ("nDCG@10", "alike"))], rows)


def edited(text: str, share: float, words: list[str], rng: random.Random) -> str:
    """Return a copy in which about so many words are deleted, replaced or moved by one."""
    copy = text.split()
    for i in rng.sample(range(len(copy)), round(share * len(copy))):
        change = rng.randrange(3)
        if change == 0:
            copy[i] = ""
        elif change == 1:
            copy[i] = rng.choice(words)
        else:
            j = min(i + 1, len(copy) - 1)
            copy[i], copy[j] = copy[j], copy[i]
    return " ".join(filter(None, copy))


def duplicates(collection: beir.Collection, count: int) -> None:
    """Print how many planted copies are found, and how many of the documents taken for duplicates are copies."""
    rng = random.Random(0)
    words = " ".join(list(collection.documents.values())[:1000]).split()
    encoder = minilm()
    found: dict[tuple[str, float, float], list[int]] = {}
    for share in EDITS:
        for query in list(collection.queries)[:count]:
            texts = [collection.documents[i] for i in collection.candidates[query][:CANDIDATES]]
            copied = rng.sample(range(len(texts)), COPIES)
            copies = [edited(texts[i], share, words, rng) for i in copied]
            embeddings = encoder.encode_documents(texts + copies)
            scores = [float(-i) for i in range(len(texts) + COPIES)]
            for kind, thresholds in THRESHOLDS.items():
                documents: Any = texts + copies if kind == "shingles" else embeddings
                for threshold in thresholds:
                    reranker = NearDuplicateReranker(similarity=kind, threshold=threshold)
                    told = reranker.rerank("query", documents, scores=scores).details["duplicates"]
                    right = sum(told.get(len(texts) + place) == i for place, i in enumerate(copied))
                    counts = found.setdefault((kind, threshold, share), [0, 0, 0])
                    counts[0] += right
                    counts[1] += len(told)
                    counts[2] += COPIES
    rows = [
        [f"{kind}, {threshold}"]
        + [
            f"{found[kind, threshold, share][0] / found[kind, threshold, share][2]:.2f}"
            f" / {found[kind, threshold, share][0] / max(1, found[kind, threshold, share][1]):.2f}"
            for share in EDITS
        ]
        for kind, thresholds in THRESHOLDS.items()
        for threshold in thresholds
    ]
    print_table([f"{collection.name}: recall / precision", *(f"{share:.0%} edited" for share in EDITS)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--only", nargs="+", default=["speed", "effect", "duplicates"])
    options = parser.parse_args()
    print(machine())
    if "speed" in options.only:
        speed()
    if "effect" in options.only:
        effect([Lists(beir.data_folder(options) / name, options.queries) for name in ("scifact", "nfcorpus")])
    if "duplicates" in options.only:
        duplicates(beir.load(beir.data_folder(options) / "scifact"), options.queries // 4)


if __name__ == "__main__":
    main()
