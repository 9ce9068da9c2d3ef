"""LangChain: two retrievers fused, the best 20 reranked, and the context for a language model, offline, on the CPU."""

import json
import math
import re
from collections import Counter
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rank_plugins import RankPluginsFusionRetriever, RankPluginsRerank

DATA = Path(__file__).parent / "data"


def read(name: str) -> list[dict]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(re.findall(r"\w+", text.lower()))


def rare_words(query: str) -> list[Document]:
    """Return the documents that share the rarest words with the query: a first stage that needs no library."""
    asked = {word: math.log(len(documents) / spread[word]) for word in words(query) if word in spread}
    scores = {name: sum(asked[word] for word in asked.keys() & found) for name, found in words_of.items()}
    return [documents[name] for name in sorted(scores, key=lambda name: -scores[name])[:100]]


rows = read("documents.jsonl")
documents = {
    row["id"]: Document(page_content=row["text"], id=row["id"], metadata={"source": "SciFact"}) for row in rows
}
words_of = {name: words(document.page_content) for name, document in documents.items()}
spread = Counter(word for found in words_of.values() for word in found)
claims = {row["text"]: row for row in read("queries.jsonl")}

bm25 = RunnableLambda(lambda claim: [documents[name] for name in claims[claim]["candidates"]])  # searched before
hybrid = RankPluginsFusionRetriever(retrievers=[bm25, RunnableLambda(rare_words)], weights=[2, 1], k=20)
rerank = RankPluginsRerank(top_n=3)

for claim in list(claims)[8:11]:
    relevant = claims[claim]["relevant"]
    found = hybrid.invoke(claim)
    place = next((i for i, document in enumerate(found, start=1) if document.id in relevant), "no")
    print(f"\n{claim}\n  {len(found)} documents found, the first relevant one at rank {place}; after reranking:")
    for document in rerank.compress_documents(found, claim):
        score, ranks = document.metadata["relevance_score"], document.metadata["ranks"]
        mark = "*" if document.id in relevant else " "
        print(f"  {mark} {score:5.2f}  bm25, words: {ranks!s:<12} {document.page_content[:70]}")
