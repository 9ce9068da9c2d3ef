"""Similarity of texts by the runs of words that they share, without a model."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from rank_plugins.pipelines.similarity import Floats, Integers, Similarities

LENGTH = 3  # words of a shingle
# Scripts that set no space between words: there a character counts as a word.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
ASCII_WORD = re.compile(r"\w+", re.ASCII)  # the same where there is nothing else, in a fraction of the time


class Shingles(Similarities):
    """Jaccard similarity of the sets of shingles (Broder 1997): those in both texts, divided by those in either."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Take the texts, N of them; case and punctuation do not count.

        A shingle is a run of three words, or all words of a shorter text.
        """
        self._count = len(texts)
        shingle, holder = _shingles(texts)
        held = np.sort(shingle * max(1, self._count) + holder)
        held = held[np.diff(held, prepend=-1) > 0]  # each once for a text, in the order of the shingles
        shingle, holder = np.divmod(held, max(1, self._count))
        self._sizes = np.bincount(holder, minlength=self._count)
        shared = np.bincount(shingle)[shingle] > 1  # the others find no one
        shingle, self._holders = shingle[shared], holder[shared]
        self._places = np.concatenate([[0], np.cumsum(np.bincount(shingle))])
        self._shingles = shingle[np.argsort(self._holders, kind="stable")]
        self._begins = np.concatenate([[0], np.cumsum(np.bincount(self._holders, minlength=self._count))])

    def row(self, i: int, others: Integers, least: float = -np.inf) -> Floats:  # noqa: ARG002 - nothing is saved by it
        """Return the similarities: who else holds each shingle of document i, counted."""
        mine = self._shingles[self._begins[i] : self._begins[i + 1]]
        counts = self._places[mine + 1] - self._places[mine]
        before = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) + np.repeat(self._places[mine] - before, counts)
        both = np.bincount(self._holders[places], minlength=self._count)[others]
        similarities: Floats = both / (self._sizes[i] + self._sizes[others] - both)
        return similarities


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case; what has no word but content, such as emoji, is cut at spaces."""
    found = ASCII_WORD.findall(text.lower()) if text.isascii() else WORD.findall(text.casefold())
    return found or text.split()


def _shingles(texts: Sequence[str]) -> tuple[Integers, Integers]:
    """Return the number of every shingle and of the text that it stands in, int64 [S] each; equal ones are alike."""
    numbers: defaultdict[str, int] = defaultdict(itertools.count(1).__next__)
    words = [[numbers[word] for word in words_of(text)] for text in texts]
    for group in words:
        group += [0] * (LENGTH - len(group))
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    flat = np.fromiter(itertools.chain.from_iterable(words), np.int64, int(lengths.sum()))
    runs = lengths - (LENGTH - 1)
    holder = np.repeat(np.arange(len(words)), runs)
    begins = np.arange(len(holder)) + (LENGTH - 1) * holder
    shingle = flat[begins]
    for further in range(1, LENGTH):
        _, shingle = np.unique(shingle * (len(numbers) + 1) + flat[begins + further], return_inverse=True)
    return shingle.astype(np.int64, copy=False), holder
