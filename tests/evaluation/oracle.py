"""What the tests of evaluation are held against: random judgments and runs, and metrics written as plain loops.

The loops walk one ranked list and look nothing up in the code under test.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]
# Fixed, or what RANK_PLUGINS_SEED says: a number, or "random" for another one in every session.
_WANTED = os.environ.get("RANK_PLUGINS_SEED", "20240607")
SEED = random.SystemRandom().getrandbits(32) if _WANTED == "random" else int(_WANTED)
LETTERS = ["d", "D", "é", "ß", "中", "Ω", "😀", "z9"]


def generator(seed: int | None = None) -> random.Random:
    """Return random numbers from this seed, or from SEED."""
    return random.Random(SEED if seed is None else seed)


def cases(count: int, chance: random.Random, grades: Iterable[int]) -> tuple[Qrels, Run]:
    """Return judgments and lists of `count` queries, with ties, tiny negative scores and ids beyond ASCII.

    Every query has a judgment of 0 or more: with none, pytrec_eval can loop for ever.
    """
    qrels: Qrels = {}
    run: Run = {}
    scale = list(grades)
    for number in range(count):
        query = f"q{number}"
        length = chance.choice([1, 2, 3, 5, 10, 20, 50, chance.randint(1, 150)])
        pool = [f"{chance.choice(LETTERS)}{i}" for i in chance.sample(range(1000), length + 30)]
        judged = chance.sample(pool, chance.randint(1, min(60, len(pool))))
        qrels[query] = {document: chance.choice(scale) for document in judged}
        if max(qrels[query].values()) < 0:
            qrels[query][judged[0]] = 0
        levels = chance.choice([2, 5, 10**9])
        run[query] = {
            document: chance.choice([1.0, 1e-7, 1e-30]) * (chance.randint(-levels, levels)) / levels
            for document in chance.sample(pool, length)
        }
    return qrels, run


def order(scores: dict[str, float]) -> list[str]:
    """Return documents by falling score, equal scores by falling id."""
    return sorted(sorted(scores, reverse=True), key=lambda document: -scores[document])


def orders(scores: dict[str, float]) -> Iterator[list[str]]:
    """Return every order of the documents in which no score rises."""
    falling = sorted(scores, key=lambda document: -scores[document])
    groups = [list(group) for _, group in itertools.groupby(falling, key=lambda document: scores[document])]
    for choice in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [document for group in choice for document in group]


Grades = dict[str, int]
Measure = Callable[[list[str], Grades, int], float]


def hits(ranking: list[str], grades: Grades, level: int, k: int | None = None) -> int:
    return sum(grades.get(document, -1) >= level for document in ranking[:k])


def relevant(grades: Grades, level: int) -> int:
    return sum(grade >= level for grade in grades.values())


def precision(k: int | None = None) -> Measure:
    return lambda ranking, grades, level: divide(hits(ranking, grades, level, k), k or len(ranking))


def recall(k: int | None = None) -> Measure:
    return lambda ranking, grades, level: divide(hits(ranking, grades, level, k), relevant(grades, level))


def relative_precision(k: int | None = None) -> Measure:
    return lambda ranking, grades, level: divide(
        hits(ranking, grades, level, k), min(k or len(ranking), relevant(grades, level))
    )


def success(k: int | None = None) -> Measure:
    return lambda ranking, grades, level: float(hits(ranking, grades, level, k) > 0)


def f_measure(k: int | None = None, beta: float = 1.0) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        p, r = precision(k)(ranking, grades, level), recall(k)(ranking, grades, level)
        return divide((1 + beta**2) * p * r, beta**2 * p + r)

    return measure


def average_precision(k: int | None = None, norm: str = "R") -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        value, found = 0.0, 0
        for rank, document in enumerate(ranking[:k], 1):
            if grades.get(document, -1) >= level:
                found += 1
                value += found / rank
        R = relevant(grades, level)
        return divide(value, min(R, k) if norm == "min" and k else R)

    return measure


def reciprocal_rank(k: int | None = None) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        for rank, document in enumerate(ranking[:k], 1):
            if grades.get(document, -1) >= level:
                return 1 / rank
        return 0.0

    return measure


def r_precision(ranking: list[str], grades: Grades, level: int) -> float:
    R = relevant(grades, level)
    return divide(hits(ranking, grades, level, R), R)


def dcg(k: int | None = None, gain: Callable[[float], float] = lambda grade: grade) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        worth = [max(gain(grades[document]), 0.0) if document in grades else 0.0 for document in ranking[:k]]
        return sum(value / math.log2(rank + 1) for rank, value in enumerate(worth, 1))

    return measure


def ideal_dcg(k: int | None = None, gain: Callable[[float], float] = lambda grade: grade) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        best = sorted(grades, key=lambda document: -gain(grades[document]))
        return dcg(k, gain)(best, grades, level)

    return measure


def ndcg(k: int | None = None, gain: Callable[[float], float] = lambda grade: grade) -> Measure:
    return lambda ranking, grades, level: divide(
        dcg(k, gain)(ranking, grades, level), ideal_dcg(k, gain)(ranking, grades, level)
    )


def exponential(grade: float) -> float:
    return 2.0**grade - 1


def rbp(k: int | None = None, p: float = 0.8, max_grade: float | None = None) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        value = 0.0
        for rank, document in enumerate(ranking[:k], 1):
            grade = grades.get(document, -1)
            gain = float(grade >= level) if max_grade is None else max(grade, 0) / max_grade
            value += (1 - p) * gain * p ** (rank - 1)
        return value

    return measure


def rbp_residual(k: int | None = None, p: float = 0.8) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        shown = ranking[:k]
        unknown = [rank for rank, document in enumerate(shown, 1) if grades.get(document, -1) < 0]
        return p ** len(shown) + (1 - p) * sum(p ** (rank - 1) for rank in unknown)

    return measure


def err(max_grade: float, k: int | None = None) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        value, reach = 0.0, 1.0
        for rank, document in enumerate(ranking[:k], 1):
            stop = (2 ** max(grades.get(document, 0), 0) - 1) / 2**max_grade
            value += reach * stop / rank
            reach *= 1 - stop
        return value

    return measure


def judged(k: int | None = None) -> Measure:
    return lambda ranking, grades, level: divide(
        sum(grades.get(document, -1) >= 0 for document in ranking[:k]), len(ranking[:k])
    )


def unjudged(k: int | None = None) -> Measure:
    return lambda ranking, grades, level: divide(
        sum(grades.get(document, -1) < 0 for document in ranking[:k]), k or len(ranking)
    )


def accuracy(k: int | None = None) -> Measure:
    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        good = [grades.get(document, -1) >= level for document in ranking[:k]]
        pairs = [(above, below) for above, below in itertools.combinations(good, 2) if above != below]
        if not any(good):
            return 0.0
        return sum(above for above, _ in pairs) / len(pairs) if pairs else 1.0

    return measure


def compatibility(p: float = 0.95, normalize: bool = True) -> Measure:
    def overlap(one: list[str], other: list[str], depth: int) -> float:
        weights = [p**i for i in range(depth)]
        shared = [len(set(one[: i + 1]) & set(other[: i + 1])) / (i + 1) for i in range(depth)]
        return divide(sum(w * s for w, s in zip(weights, shared, strict=True)), sum(weights))

    def measure(ranking: list[str], grades: Grades, level: int) -> float:
        place = {document: rank for rank, document in enumerate(ranking)}
        ideal = [document for document, grade in grades.items() if grade > 0]
        ideal.sort(key=lambda document: (-grades[document], place.get(document, len(place))))
        depth = max(len(ranking), len(ideal))
        best = overlap(ideal, ideal, depth) if normalize else 1.0
        return divide(overlap(ranking, ideal, depth), best)

    return measure


def mean_over_orders(measure: Measure, scores: dict[str, float], grades: Grades, level: int) -> float:
    """Return a measure averaged over every order that the scores allow."""
    values = [measure(ranking, grades, level) for ranking in orders(scores)]
    return math.fsum(values) / len(values)


def divide(above: float, below: float) -> float:
    return above / below if below else 0.0


MEASURES: dict[str, Measure] = {
    "P@5": precision(5), "P": precision(), "R@5": recall(5), "R": recall(), "RelP@4": relative_precision(4),
    "Success@3": success(3), "Success": success(), "Hits@4": lambda r, g, level: hits(r, g, level, 4),
    "F@5": f_measure(5), "F(beta=2)@4": f_measure(4, 2.0), "F": f_measure(),
    "AP": average_precision(), "AP@4": average_precision(4), "AP(norm='min')@4": average_precision(4, "min"),
    "RR": reciprocal_rank(), "RR@3": reciprocal_rank(3), "Rprec": r_precision,
    "DCG@4": dcg(4), "IDCG@4": ideal_dcg(4), "nDCG": ndcg(), "nDCG@4": ndcg(4),
    "nDCG(dcg='exp-log2')@4": ndcg(4, exponential),
    "nDCG(gains={1:5,2:1})@4": ndcg(4, lambda g: {1: 5, 2: 1}.get(g, g)),
    "nDCG(rel=2)": ndcg(None, lambda g: g if g >= 2 else 0),
    "RBP": rbp(), "RBP(p=0.5)@4": rbp(4, 0.5), "RBP(max_grade=3)": rbp(None, 0.8, 3),
    "RBP_residual": rbp_residual(), "RBP_residual(p=0.5)@4": rbp_residual(4, 0.5),
    "Judged@4": judged(4), "Unjudged@4": unjudged(4), "Unjudged": unjudged(),
}  # fmt: skip
"""Those that are defined where ties are averaged."""
RANKED_ONLY: dict[str, Measure] = {
    "ERR(max_grade=3)@4": err(3, 4), "ERR(max_grade=3)": err(3), "Accuracy": accuracy(), "Accuracy@5": accuracy(5),
    "Compat": compatibility(), "Compat(p=0.8,normalize=False)": compatibility(0.8, normalize=False),
}  # fmt: skip
"""Those that need one order."""


def values(measure: Measure, qrels: Any, run: Any, level: int = 1) -> dict[str, float]:
    """Return a measure of each query, of the lists in trec_eval's order."""
    return {query: measure(order(run.get(query, {})), grades, level) for query, grades in qrels.items()}
