"""LlamaIndex over SciFact, offline: two simple retrievers fused, reranked to the context of a prompt, and measured."""

import heapq
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index.postprocessor.rank_plugins import RankPluginsRerank
from llama_index.retrievers.rank_plugins import RankPluginsFusionRetriever

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


class Overlap(BaseRetriever):
    """Finds the nodes that share the rarest pieces of text with a query."""

    def __init__(self, nodes: list[TextNode], pieces: Callable[[str], list[str]]) -> None:
        self.nodes, self.pieces = nodes, pieces
        self.sets = [set(pieces(node.text.lower())) for node in nodes]
        self.counts = Counter(piece for one in self.sets for piece in one)
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = set(self.pieces(query_bundle.query_str.lower()))
        rare = {piece: math.log(len(self.nodes) / self.counts[piece]) for piece in query if piece in self.counts}
        scores = [sum(rare[piece] for piece in query & one) / math.sqrt(len(one)) for one in self.sets]
        best = heapq.nlargest(20, zip(scores, range(len(scores)), strict=True))
        return [NodeWithScore(node=self.nodes[i], score=score) for score, i in best]


nodes = [TextNode(text=row["text"], id_=row["id"]) for row in read("documents.jsonl")]
words = Overlap(nodes, re.compile(r"\w+").findall)
letters = Overlap(nodes, lambda text: [text[i : i + 5] for i in range(len(text) - 4)])
fused = RankPluginsFusionRetriever([words, letters], weights=[1, 2], similarity_top_k=20)
rerank = RankPluginsRerank("rank-maxsim", top_n=5)

claims = read("queries.jsonl")[1:6]

print(f"claim: {claims[0]['text']}")
for found in rerank.postprocess_nodes(fused.retrieve(claims[0]["text"]), query_str=claims[0]["text"])[:3]:
    print(f"{found.score:6.3f}  words, letters: {found.metadata['ranks']}  {found.text[:70]}...")
print()

for name, retriever, steps in (("words", words, []), ("fused", fused, []), ("reranked", fused, [rerank])):
    evaluator = RetrieverEvaluator.from_metric_names(["rank-ndcg@5"], retriever=retriever, node_postprocessors=steps)
    values = [evaluator.evaluate(claim["text"], list(claim["relevant"])).metric_vals_dict for claim in claims]
    print(f"{name:<9} nDCG@5 {sum(value['rank-ndcg@5'] for value in values) / len(values):.3f}")
