"""TextCutter: pieces of long texts fit, lose no word, overlap, and end between words."""

from __future__ import annotations

import functools
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


@functools.cache
def other(kind):
    """Return a cutter over a tokenizer of bytes, of text without words, or of composed characters."""
    tokenizers = pytest.importorskip("tokenizers")
    trainers, pre, unknown = tokenizers.trainers, tokenizers.pre_tokenizers, {"unk_token": "<unk>"}
    if kind in ("bytes", "trimmed"):
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
        if kind == "trimmed":  # as RoBERTa: a token of spaces has no character of its own
            made.post_processor = tokenizers.processors.ByteLevel(trim_offsets=True)
        trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=pre.ByteLevel.alphabet())
    elif kind == "no words":
        made = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, **unknown))
        made.normalizer = tokenizers.normalizers.Replace(" ", "\u2581")
        special = ["<unk>", *(f"<0x{i:02X}>" for i in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special)
    else:
        made = tokenizers.Tokenizer(tokenizers.models.Unigram())
        made.normalizer, made.pre_tokenizer = tokenizers.normalizers.NFKC(), pre.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=["<unk>"], **unknown)
    made.train_from_iterator(["blood pressure of 10 people, in short", "caf\xe9 \xe9"] * 20, trainer)
    return TextCutter(made.to_str())


KINDS = ["bytes", "trimmed", "no words", "composed"]
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
CHARACTERS = st.sampled_from([*"ab .\t\u6f22\xdf", "e\u0301", "\U0001f600", "\u3000", "\ufb01", "blood"])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(parts=st.lists(CHARACTERS, min_size=16, max_size=60), room=st.integers(8, 16))
def test_no_character_is_cut_or_lost(kind, parts, room):
    """Also where a character has several tokens, or two characters have one."""
    text = "".join(parts)
    pieces = other(kind).pieces(text, room, 0)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert max(other(kind).lengths(pieces), default=0) <= room
    assert not any(piece.startswith("\u0301") for piece in pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_other_tokenizers_are_cut_at_spaces_too(kind):
    """A word stays whole wherever one fits; so does what several characters show as one."""
    words = ["blood", "pressure"] * 30
    assert {word for piece in other(kind).pieces(" ".join(words), 30, 8) for word in piece.split()} == set(words)
    pieces = other(kind).pieces(FAMILY * 12, 20, 0)
    assert len(pieces) > 1 or kind == "composed"  # to which all of it is one unknown character
    assert all(len(piece) % len(FAMILY) == 0 for piece in pieces)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", [" ", "\n" * 40])
def test_a_text_may_end_in_space(kind, space):
    """Which is no piece of its own."""
    text = "blood pressure of people " * 10
    pieces = other(kind).pieces(text.rstrip() + space, 16, 0)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert max(other(kind).lengths(pieces)) <= 16


def test_lengths_count_no_special_tokens():
    """Whitespace and what the tokenizer drops count nothing."""
    assert CUTTER.lengths(["blood pressure", "", " \n", "\x00"]).tolist() == [2, 0, 0, 0]
    assert CUTTER.lengths([]).tolist() == []
    assert CUTTER.special_tokens == 2
