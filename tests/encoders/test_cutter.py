"""TextCutter: pieces of long texts fit, lose no word, overlap, and end between words."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("tokenizers", reason="needs the extra onnx")

from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins.encoders._tokenize import TextCutter
from rank_plugins.encoders.onnx import MINILM

CUTTER = TextCutter((MINILM / "tokenizer.json").read_text(encoding="utf-8"))
WORDS = st.sampled_from(
    ["aspirin", "a", "hyperlipoproteinaemia", "x-ray", "10.5", "pressure,", "Größe", "\u6f22\u5b57", "😀"]
)


@settings(max_examples=100, deadline=None)
@given(words=st.lists(WORDS, max_size=60), room=st.integers(12, 30), overlap=st.integers(0, 40))
def test_pieces_fit_and_lose_nothing(words, room, overlap):
    """Every piece has at most `room` tokens, and together the pieces cover the text, whitespace apart, in order."""
    text = " ".join(f"{word}{i}" for i, word in enumerate(words))
    pieces = CUTTER.pieces(text, room, overlap)
    assert max(CUTTER.lengths(pieces), default=0) <= room
    start, covered = 0, 0
    for piece in pieces:
        start = text.index(piece, start)
        assert not text[covered:start].strip()
        covered = max(covered, start + len(piece))
    assert not text[covered:].strip()


def test_pieces_overlap():
    """Each piece repeats the end of the one before, up to a quarter of its room."""
    words = [f"w{i}" for i in range(100)]
    pieces = [piece.split() for piece in CUTTER.pieces(" ".join(words), 40, 8)]
    for before, after in itertools.pairwise(pieces):
        shared = [word for word in after if word in before]
        assert shared == before[-len(shared) :] == after[: len(shared)]
        assert 2 <= len(shared) <= 8
    assert CUTTER.pieces(" ".join(words[:10]), 40, 0) == [" ".join(words[:10])]


def test_a_word_without_room_is_cut_inside():
    """Nothing of it is lost, even without a single space."""
    word = "".join(f"syllable{i}" for i in range(50))
    pieces = CUTTER.pieces(word, 16, 0)
    assert "".join(pieces) == word
    assert max(CUTTER.lengths(pieces)) <= 16


def test_lengths_count_no_special_tokens():
    """Whitespace and what the tokenizer drops count nothing."""
    assert CUTTER.lengths(["blood pressure", "", " \n", "\x00"]).tolist() == [2, 0, 0, 0]
    assert CUTTER.lengths([]).tolist() == []
    assert CUTTER.special_tokens == 2
