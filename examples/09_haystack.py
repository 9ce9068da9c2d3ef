"""A Haystack pipeline over SciFact: two first stages, fused, reranked, the prompt, and how good each step is."""

import json
import os
from pathlib import Path

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when haystack is imported

from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from haystack_integrations.components.evaluators.rank_plugins import RankPluginsEvaluator
from haystack_integrations.components.joiners.rank_plugins import RankPluginsJoiner
from haystack_integrations.components.rankers.rank_plugins import RankPluginsRanker

DATA = Path(__file__).parent / "data"
TEMPLATE = """Answer from these abstracts only:
{% for document in documents[:3] %}[{{ document.id }}] {{ document.content | truncate(90) }}
{% endfor %}Claim: {{ query }}"""


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


documents = [Document(id=row["id"], content=row["text"]) for row in read("documents.jsonl")]
words = InMemoryDocumentStore()
letters = InMemoryDocumentStore(bm25_tokenization_regex=r"(?=(\w{5}))")  # every five letters in a row
words.write_documents(documents)
letters.write_documents(documents)

pipeline = Pipeline()
pipeline.add_component("words", InMemoryBM25Retriever(words, top_k=20))
pipeline.add_component("letters", InMemoryBM25Retriever(letters, top_k=20))
pipeline.add_component("joiner", RankPluginsJoiner(sources=["words", "letters"], weights=[2, 1], top_k=20))
pipeline.add_component("ranker", RankPluginsRanker())
pipeline.add_component("prompt", PromptBuilder(TEMPLATE, required_variables="*"))
pipeline.connect("words.documents", "joiner.words")
pipeline.connect("letters.documents", "joiner.letters")
pipeline.connect("joiner.documents", "ranker.documents")
pipeline.connect("ranker.documents", "prompt.documents")

claims = read("queries.jsonl")[:5]
found: dict[str, list[list[Document]]] = {"words": [], "letters": [], "joiner": [], "ranker": []}
for claim in claims:
    data = {name: {"query": claim["text"]} for name in ("words", "letters", "ranker", "prompt")}
    outputs = pipeline.run(data, include_outputs_from=set(found))
    for step, lists in found.items():
        lists.append(outputs[step]["documents"])
print(outputs["prompt"]["prompt"])

expected = [[Document(id=name, score=grade) for name, grade in claim["relevant"].items()] for claim in claims]
evaluator = RankPluginsEvaluator("ndcg@10", document_comparison_field="id")
for step, lists in found.items():
    score = evaluator.run(ground_truth_documents=expected, retrieved_documents=lists)["score"]
    print(f"{step:<7} nDCG@10 {score:.3f}")
