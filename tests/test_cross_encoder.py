"""CrossEncoderReranker over real cross-encoders of sentence-transformers, built from configuration."""

from __future__ import annotations

import gc
import math
import os
import threading
import time
import warnings

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

library = pytest.importorskip("sentence_transformers")

from rank_plugins import _deadline, _shared  # noqa: E402 - after importorskip
from rank_plugins.cross_encoders.cross_encoder import sigmoid  # noqa: E402
from rank_plugins.errors import InputError, InputTypeError  # noqa: E402
from rank_plugins.rerankers import cross_encoder, load  # noqa: E402
from rank_plugins.rerankers.cross_encoder import CrossEncoderReranker  # noqa: E402
from rank_plugins.testing import DOCUMENTS, QUERY, RerankerContract, save_tiny_cross_encoder, save_tiny_encoder  # noqa: E402

LONG = "the blood of mice " * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))


class TestContract(RerankerContract):
    @pytest.fixture
    def reranker(self, folder):
        return load("rank-cross-encoder", model=folder)


@pytest.mark.parametrize("activation", ["default", "none", "sigmoid"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 8192])
def test_scores_are_the_librarys_own_in_the_callers_order(folder, activation, batch_tokens):
    model = library.CrossEncoder(folder)
    function = {"default": None, "none": lambda x: x, "sigmoid": lambda x: 1 / (1 + (-x).exp())}[activation]
    documents = [text for text in DOCUMENTS if text] + [LONG]
    expected = model.predict([(QUERY, text) for text in documents], activation_fn=function, batch_size=1)
    reranker = CrossEncoderReranker(folder, activation=activation, batch_tokens=batch_tokens, long_documents="first")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranking = reranker.rerank(QUERY, documents)
    assert dict(ranking) == {i: pytest.approx(score, abs=1e-5) for i, score in enumerate(expected.tolist())}


def test_batches_hold_at_most_so_many_tokens(folder, monkeypatch):
    model = library.CrossEncoder(folder)
    seen = []
    forward = model[0].forward
    monkeypatch.setattr(
        model[0], "forward", lambda features, **kw: seen.append(features["input_ids"].shape) or forward(features, **kw)
    )
    reranker = CrossEncoderReranker(model, batch_tokens=100, long_documents="first")
    reranker.warm_up()
    seen.clear()
    with pytest.warns(UserWarning, match="cut"):
        reranker.rerank_batch([QUERY, "sleep"], [[*DOCUMENTS, LONG] * 3, [LONG, "coffee"] * 2])
    assert sum(rows for rows, _ in seen) == len(set(DOCUMENTS)) - 1 + 1 + 2  # each pair once, the empty one never
    assert all(rows * width <= 100 for rows, width in seen)
    assert max(rows for rows, _ in seen) > 1


def test_truncation_is_told(folder):
    reranker = load("rank-cross-encoder", model=folder, long_documents="first")
    with pytest.warns(
        UserWarning, match=r"1 of these documents \(or their queries\) are longer than the model's window of 64 tokens"
    ):
        assert reranker.rerank("blood", ["mice", LONG, "", "heart"]).details["truncated"] == [1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert reranker.rerank("blood", [LONG, LONG]).details["truncated"] == [0, 1]
        assert load("rank-cross-encoder", model=folder).rerank("blood", ["mice"]).details["truncated"] == []


def test_a_smaller_window_is_respected(folder):
    short = CrossEncoderReranker(folder, max_length=12, long_documents="first")
    with pytest.warns(UserWarning, match="12 tokens"):
        ranking = short.rerank("blood", ["on the heart of mice in the heart of mice blood", "blood"])
    assert [i for i, _ in ranking] == [1, 0]
    assert ranking.details["truncated"] == [0]


def test_one_model_serves_all_rerankers_and_goes_with_the_last(folder, monkeypatch):
    monkeypatch.setattr(_shared, "_models", type(_shared._models)())
    first, second = (CrossEncoderReranker(name) for name in (folder, folder + "/"))
    for reranker in (first, second):
        reranker.warm_up()
    assert len(_shared._models) == 1
    first.close()
    gc.collect()
    assert len(_shared._models) == 1
    second.close()
    gc.collect()
    assert len(_shared._models) == 0
    assert len(second.rerank("blood", ["mice"])) == 1  # loaded again


def test_another_configuration_is_another_model(folder):
    wide, narrow = CrossEncoderReranker(folder), CrossEncoderReranker(folder, max_length=12)
    assert wide._loaded() is not narrow._loaded()
    assert (wide._loaded().window, narrow._loaded().window) == (64, 12)


def test_a_model_already_made_is_used_as_it_is(folder):
    model = library.CrossEncoder(folder)
    made = CrossEncoderReranker(model)
    assert made._loaded()._model is model
    assert CrossEncoderReranker(model)._loaded() is made._loaded()  # so they share its lock
    with pytest.raises(InputTypeError, match="max_length"):
        CrossEncoderReranker(model, max_length=12).warm_up()


def test_bad_arguments_are_refused_before_anything_loads():
    with pytest.raises(InputError, match="activation: expected one of default, none, sigmoid, got 'softmax'"):
        load("rank-cross-encoder", activation="softmax")
    with pytest.raises(InputError, match="batch_tokens"):
        load("rank-cross-encoder", batch_tokens=0)
    with pytest.raises(InputTypeError, match="model: expected a folder, a name or a cross-encoder of .*, got int"):
        load("rank-cross-encoder", model=7)
    with pytest.raises(InputError, match="long_documents: expected one of max, mean, first, got 'last'"):
        load("rank-cross-encoder", long_documents="last")
    with pytest.raises(InputTypeError, match="no engine takes colour; options of its engines are: .*device"):
        load("rank-cross-encoder", colour="red")


def test_an_encoder_is_refused(tmp_path):
    """The library gives it a head whose weights are drawn at random."""
    reranker = CrossEncoderReranker(save_tiny_encoder(tmp_path))
    with pytest.raises(InputError, match=r"expected a cross-encoder, got .* of BertModel.*score at random"):
        reranker.rerank("blood", ["mice"])


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a cross-encoder, .* got no files"):
        load("rank-cross-encoder", model=str(tmp_path))


def test_pickled_weights_are_not_read(tmp_path):
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    folder = save_tiny_cross_encoder(tmp_path)
    torch.save(safetensors.load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="could not be loaded as a cross-encoder"):
        load("rank-cross-encoder", model=folder).rerank("query", ["text"])
    allowed = load("rank-cross-encoder", model=folder, model_kwargs={"use_safetensors": False})
    assert len(allowed.rerank("query", ["text"])) == 1


def test_vectors_are_refused(folder):
    with pytest.raises(InputTypeError, match="expected query and documents as text"):
        load("rank-cross-encoder", model=folder).rerank(np.ones((2, 4), np.float32), ["text"])


def test_several_numbers_for_a_pair_are_refused(tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = save_tiny_cross_encoder(tmp_path)
    config = transformers.BertConfig.from_pretrained(folder, num_labels=3)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    with pytest.raises(InputError, match="expected one number for a pair, got 3"):
        load("rank-cross-encoder", model=folder).rerank("query", ["text"])


def test_a_deadline_is_asked_between_batches(folder):
    """Work that nobody waits for any more stops at the next batch."""
    reranker = CrossEncoderReranker(folder, batch_tokens=1)
    ran = threading.Event()
    model = reranker._loaded()
    slots = threading.Semaphore(1)

    def slow():
        run = model.run
        model.run = lambda contents: (ran.set(), time.sleep(0.3), run(contents))[2]
        try:
            return reranker.rerank("blood", [f"mice {i}" for i in range(200)])
        finally:
            model.run = run

    with pytest.raises(_deadline.OutOfTime):
        _deadline.finish(slow, 0.2, slots)
    assert ran.is_set()
    assert slots.acquire(timeout=30)  # 200 batches of 0.3 s would take a minute


def test_an_error_leaves_no_thread_behind(folder, monkeypatch):
    monkeypatch.setattr(cross_encoder, "PAIRS_AT_ONCE", 2)
    reranker = CrossEncoderReranker(folder)
    monkeypatch.setattr(reranker._loaded(), "_run", lambda pairs: [float("nan")] * len(pairs))
    with pytest.raises(InputError, match="gave NaN for query 'blood' and document 'mice'") as caught:
        reranker.rerank("blood", ["mice", "heart", "drag", "wind", "sleep"])
    assert caught.value is not None  # its traceback holds all that was local
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rank-plugins-ahead")]


@pytest.mark.parametrize("limit", ["PAIRS_AT_ONCE", "CHARACTERS_AT_ONCE"])
def test_long_lists_are_cut_in_portions(folder, monkeypatch, limit):
    """What is in memory at once is bounded by pairs, and by characters where these are long."""
    documents = [*DOCUMENTS, *(f"{LONG} {i}" for i in range(5)), "mice"]
    whole = CrossEncoderReranker(folder).rerank(QUERY, documents)
    cut = [i for i, text in enumerate(documents) if LONG in text]
    reranker = CrossEncoderReranker(folder)
    model = reranker._loaded()
    portions, pieces = [], model.pieces
    monkeypatch.setattr(model, "pieces", lambda pairs, **options: portions.append(pairs) or pieces(pairs, **options))
    monkeypatch.setattr(cross_encoder, limit, 2 if limit == "PAIRS_AT_ONCE" else 2 * len(LONG))
    ranking = reranker.rerank(QUERY, documents)
    assert dict(ranking) == pytest.approx(dict(whole), abs=1e-6)
    assert ranking.details["windows"] == whole.details["windows"]
    assert len(portions) > 2
    with pytest.warns(UserWarning, match="cut"):
        first = CrossEncoderReranker(folder, long_documents="first").rerank(QUERY, documents)
    assert first.details["truncated"] == cut
    for pairs in portions:
        size = len(pairs) if limit == "PAIRS_AT_ONCE" else sum(len(text) for _, text in pairs)
        assert len(pairs) == 1 or size <= getattr(cross_encoder, limit)


def test_what_may_not_run_together_never_does(folder, monkeypatch):
    """Where a neighbour would change a score, no option brings it in."""
    reranker = CrossEncoderReranker(folder, batch_tokens=8192)
    model = reranker._loaded()
    seen, run = [], model.run
    monkeypatch.setattr(model, "batch_tokens", 1)
    monkeypatch.setattr(model, "run", lambda contents: seen.append(len(contents)) or run(contents))
    reranker.rerank("blood", ["mice", "heart", "drag"])
    assert seen == [1, 1, 1]


def test_the_details_of_a_ranking_are_its_own(folder):
    first, second = CrossEncoderReranker(folder).rerank_batch(["blood", "sleep"], [["mice"], ["heart"]])
    first.details["timings"]["more"] = first.details["tokens"]["more"] = 1
    assert "more" not in second.details["timings"]
    assert "more" not in second.details["tokens"]


def test_very_small_probabilities_keep_their_order():
    numbers = np.array([-30.0, -36.5, -40.0, -700.0, -np.inf, 0.0, 30.0])
    expected = [1 / (1 + math.exp(-value)) if np.isfinite(value) else 0 for value in numbers.tolist()]
    assert sigmoid(numbers) == pytest.approx(expected, rel=1e-12, abs=0)


def test_it_is_a_part_of_a_fusion_by_a_dict(folder):
    fusion = load("rank-fusion", rerankers=["rank-maxsim", {"name": "rank-cross-encoder", "model": folder}])
    ranking = fusion.rerank(QUERY, DOCUMENTS)
    assert {i for i, _ in list(ranking)[:2]} == {0, 2}
    assert set(ranking.details["contributions"]) == {"rank-maxsim", "rank-cross-encoder"}
