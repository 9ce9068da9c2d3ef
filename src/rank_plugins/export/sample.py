"""The texts on which an exported model is compared with the original, where the caller gives none."""

from __future__ import annotations

from collections.abc import Sequence

from rank_plugins.errors import InputError, InputTypeError

QUERIES = (
    "how do vaccines work",
    "capital of France",
    "Does coffee keep people awake at night?",
    "python read json file line by line",
    "Welche Stadt liegt an der Elbe?",
    "vitamin D deficiency and the risk of fractures in adults over 65",
)
DOCUMENTS = (
    "Paris is the capital and largest city of France.",
    "No.",
    "Vaccines train the immune system to recognise a pathogen without causing the disease. They contain a weakened or"
    " inactive part of an organism, or the blueprint for producing it.",
    "Caffeine blocks adenosine receptors and delays sleep by about 40 minutes when it is taken in the evening.",
    "Dresden liegt an der Elbe, etwa 30 Kilometer von der tschechischen Grenze entfernt.",
    "import json\n\nwith open('rows.jsonl') as file:\n    rows = [json.loads(line) for line in file]",
    "Low serum 25-hydroxyvitamin D (below 50 nmol/l) was associated with a higher risk of hip fracture in adults over"
    " 65 (hazard ratio 1.31, 95 % CI 1.12-1.53), independent of age, sex and body mass index.",
    "The Alps run through eight countries; their highest mountain is Mont Blanc at 4,806 m.",
    "Bread rises because yeast turns sugar into carbon dioxide, which the dough holds back. " * 6,
    "In a wind tunnel the drag of a wing is measured at several angles of attack. Smoke shows where the flow leaves"
    " the surface, and a balance under the model takes the forces. " * 12,
)
MOST_PAIRS = 60


def texts(sample: Sequence[str] | None) -> list[str]:
    """Return the caller's texts, or the built-in ones.

    Raises:
        InputError: fewer than two texts that hold more than whitespace.
        InputTypeError: not a list of texts.

    """
    if sample is None:
        return [*QUERIES, *DOCUMENTS]
    if isinstance(sample, str) or not all(isinstance(text, str) for text in sample):
        raise InputTypeError("sample: expected a list of texts")
    found = [text for text in dict.fromkeys(sample) if text.strip()]
    if len(found) < 2:
        raise InputError(f"sample: expected two texts or more, got {len(found)}")
    return found


def pairs(sample: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return pairs (query, document): the shortest third of the texts are the queries, with the others.

    Raises:
        InputError: fewer than two texts that hold more than whitespace.
        InputTypeError: not a list of texts.

    """
    found = texts(sample)
    queries, documents = list(QUERIES), list(DOCUMENTS)
    if sample is not None:
        by_length = sorted(found, key=len)
        half = max(1, len(found) // 3)
        queries, documents = by_length[:half], by_length[half:]
    every = [(query, text) for text in documents for query in queries]
    step = -(-len(every) // MOST_PAIRS)
    return every[::step]
