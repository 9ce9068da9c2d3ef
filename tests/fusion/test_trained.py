"""Trained methods: what they learn by hand, JSON, and what they refuse. See test_ranx.py for their formulas."""

from __future__ import annotations

import math

import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion import Trained, fuse, train

QRELS = {"q1": {"a": 1, "b": 0, "c": 2}, "q2": {"x": 1}, "q3": {"n": 0}}
RUNS = [
    {"q1": {"a": 3.0, "b": 2.0, "c": 1.0}, "q2": {"y": 2.0, "x": 1.0}, "unjudged": {"z": 1.0}},
    {"q1": {"c": 0.9, "d": 0.1}, "q3": {"n": 1.0}},
]


def test_mapfuse_learns_the_mean_average_precision():
    """Over all judged queries: those without relevant documents, and those that a run lacks, count 0."""
    trained = train(QRELS, RUNS, "mapfuse")
    assert trained.tables == ((pytest.approx(((1 + 2 / 3) / 2 + 0.5 + 0) / 3),), (pytest.approx(0.5 / 3),))
    first, second = trained.tables[0][0], trained.tables[1][0]
    assert dict(fuse([["a", "b"], ["b"]], trained)) == pytest.approx({"a": first, "b": first / 2 + second})


def test_posfuse_learns_the_share_of_hits_at_each_rank():
    """Among the lists that reach the rank; beyond what was seen it is 0."""
    trained = train(QRELS, RUNS, "posfuse")
    assert trained.tables == ((0.5, 0.5, 1.0), (0.5, 0.0))
    assert dict(fuse([["a", "b", "c", "d"], []], trained)) == {"a": 0.5, "b": 0.5, "c": 1.0, "d": 0.0}


def test_bayesfuse_gives_missing_documents_low_odds():
    """A list that does not have a document speaks against it."""
    trained = train(QRELS, RUNS, "bayesfuse")
    fused = dict(fuse([["a", "b"], ["a"]], trained))
    assert fused["a"] - fused["b"] == pytest.approx(trained.tables[1][0] - math.log(0.001 / 0.999))


def test_relevance_level():
    """From grade 2 on, only c is relevant."""
    assert train(QRELS, RUNS, "posfuse", relevance_level=2).tables == ((0.0, 0.0, 1.0), (0.5, 0.0))


def test_weights_go_on_top():
    """A trained method takes weights as others do."""
    trained = train(QRELS, RUNS, "posfuse")
    assert fuse([["a"], ["a"]], trained, weights=[1, 3]) == [("a", 2.0)]


@pytest.mark.parametrize("method", ["bayesfuse", "mapfuse", "posfuse", "probfuse", "segfuse", "slidefuse"])
def test_saved_and_loaded(method, tmp_path):
    """A trained method survives JSON to the bit, and explains itself."""
    trained = train(QRELS, RUNS, method)
    trained.save(tmp_path / "trained.json")
    loaded = Trained.load(tmp_path / "trained.json")
    assert loaded == trained
    lists = [[("a", 0.5), ("b", 0.25), ("c", 0.125)], [("c", 7.0), ("e", 6.0)]]
    assert fuse(lists, loaded) == fuse(lists, trained)
    for one in fuse(lists, trained, explain=True):
        assert sum(part.contribution for part in one.parts) == pytest.approx(one.score)


def test_no_rank_is_beyond_what_was_learnt():
    """Lists deeper than any in training, BayesFuse's 1,000 and SegFuse's 5,115 ranks included, are fused."""
    deep = [f"d{i:04d}" for i in range(6000)]
    for method in ("bayesfuse", "posfuse", "probfuse", "slidefuse", "mapfuse"):
        assert len(fuse([deep, deep], train(QRELS, RUNS, method))) == 6000
    scored = [(document, -float(i)) for i, document in enumerate(deep)]
    assert len(fuse([scored, scored], train(QRELS, RUNS, "segfuse"))) == 6000


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (("mapfusee",), {}, InputError, "did you mean 'mapfuse'"),
        (("mapfuse",), {"window": 2}, InputTypeError, "it takes none"),
        (("slidefuse",), {"segments": 2}, InputTypeError, "it takes window"),
        (("probfuse",), {"segments": 0}, InputError, "at least 1"),
    ],
)
def test_wrong_training_is_refused(arguments, options, error, text):
    """Names and parameters are checked."""
    with pytest.raises(error, match=text):
        train(QRELS, RUNS, *arguments, **options)


def test_wrong_use_is_refused():
    """Another number of lists, a list that has nothing to learn from, and files of something else."""
    trained = train(QRELS, RUNS, "mapfuse")
    with pytest.raises(InputError, match="the 2 lists it was trained on, got 1"):
        fuse([["a"]], trained)
    with pytest.raises(InputError, match=r"runs\[1\]: expected documents"):
        train(QRELS, [RUNS[0], {"other": {"a": 1.0}}], "mapfuse")
    with pytest.raises(InputError, match="own rule"):
        fuse([["a"], ["b"]], train(QRELS, RUNS, "bayesfuse"), missing="zero")
    empty = {"method": "mapfuse", "tables": [[]], "parameter": 0}
    short = {"method": "probfuse", "tables": [[1.0]], "parameter": 3}
    for wrong in ({}, {"method": "rrf", "tables": [[1.0]], "parameter": 0}, empty, short):
        with pytest.raises(InputError, match="Trained: expected"):
            Trained.from_dict(wrong)
