"""FlashRank's interface on our rerankers, against flashrank itself with the same weights."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from rank_plugins import InputError, InputTypeError
from rank_plugins.compat.flashrank import Ranker, RerankRequest
from rank_plugins.rerankers import names
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import AdapterContract, HashEncoder, save_tiny_cross_encoder

QUERY = "caffeine and sleep"
PASSAGES = [
    {"id": 1, "text": "the wind tunnels of the alps", "meta": {"source": "a"}},
    {"meta": {"source": "b"}, "score": 3.5, "text": "caffeine delays sleep", "id": "two"},
    {"text": "sleep"},
    {"id": 4, "text": "caffeine"},
    {"id": 5, "text": "caffeine"},
]


@pytest.fixture
def reranker():
    return MaxSimReranker(HashEncoder())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a cross-encoder's folder that flashrank can read too: with the graph and its special tokens."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    path = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_cross_encoder(path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path, attn_implementation="eager")
    inputs = ["input_ids", "attention_mask", "token_type_ids"]

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *tensors):
            return self.model(**dict(zip(inputs, tensors, strict=True))).logits

    example = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in inputs)
    axes = {name: {0: "batch", 1: "tokens"} for name in inputs} | {"logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch prefers its new exporter, which takes seconds
        torch.onnx.export(
            Logits().eval(), example, str(path / "model.onnx"), dynamo=False, opset_version=17,
            input_names=inputs, output_names=["logits"], dynamic_axes=axes,
        )  # fmt: skip
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    (path / "special_tokens_map.json").write_text(json.dumps(special), encoding="utf-8")
    return path


@pytest.fixture
def flashrank(folder, monkeypatch):
    """Return flashrank, which knows our folder as "tiny"; the handler that it gives the root logger is taken back."""
    library = pytest.importorskip("flashrank", reason="flashrank is not installed")
    monkeypatch.setitem(library.Ranker.__init__.__globals__["model_file_map"], "tiny", "model.onnx")
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    yield library
    root.level, root.handlers[:] = before


class TestAgainstFlashRank:
    def test_results_are_the_same_dicts(self, flashrank, folder):
        """Order, keys, their order and values are flashrank's; the scores but for rounding."""
        request = flashrank.RerankRequest(QUERY, copy.deepcopy(PASSAGES))
        expected = flashrank.Ranker("tiny", cache_dir=str(folder.parent)).rerank(request)
        with Ranker(str(folder)) as ranker:
            found = ranker.rerank(RerankRequest(QUERY, PASSAGES))
        assert [list(one) for one in found] == [list(one) for one in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.pop("score") == pytest.approx(float(theirs.pop("score")), abs=1e-5)
            assert ours == theirs

    def test_its_own_request_will_do(self, flashrank, reranker):
        """A caller who keeps importing flashrank's request may; LangChain's FlashrankRerank is one."""
        found = Ranker(reranker).rerank(flashrank.RerankRequest(QUERY, PASSAGES))
        assert found == Ranker(reranker).rerank(RerankRequest(QUERY, PASSAGES))

    def test_the_arguments_are_in_its_places(self, flashrank, folder):
        """A constructor call written for flashrank needs another name and nothing else."""
        Ranker(str(folder), "/tmp", 64, "WARNING")  # noqa: S108 - flashrank's own default
        Ranker(model_name=str(folder), cache_dir="/tmp", max_length=64, log_level="INFO")  # noqa: S108 - as above


class TestContract(AdapterContract):
    """What every adapter promises, where FlashRank's interface has it."""

    test_top_k_is_a_prefix = None  # FlashRank has no top_k
    test_top_k_below_one_is_refused = None

    def adapt(self, model, model_kwargs):
        return Ranker(model, **(model_kwargs or {}))

    def rank(self, reranker, query, documents, top_k=None):
        return self.placed(reranker.rerank(self.request_of(query, documents)))

    async def rank_async(self, reranker, query, documents, top_k=None):
        return self.placed(await reranker.rerank_async(self.request_of(query, documents)))

    @staticmethod
    def request_of(query, documents):
        return RerankRequest(query, [{"text": text, "place": i} for i, text in enumerate(documents)])

    @staticmethod
    def placed(results):
        return [(result["place"], result["score"]) for result in results]


class TestRanker:
    def test_what_is_no_passage(self, reranker):
        """A passage without text, or with another type in its place, is named; None is an empty one."""
        ranker = Ranker(reranker)
        with pytest.raises(InputError, match=r"passages\[1\]: expected a dict with 'text', got one with 'id'"):
            ranker.rerank(RerankRequest(QUERY, [PASSAGES[0], {"id": 1}]))
        with pytest.raises(InputTypeError, match=r"passages\[0\]\['text'\]: expected a str, got int"):
            ranker.rerank(RerankRequest(QUERY, [{"text": 7}]))
        with pytest.raises(InputTypeError, match=r"passages\[0\]: expected a dict with 'text', got str"):
            ranker.rerank(RerankRequest(QUERY, ["text"]))
        with pytest.raises(InputTypeError, match="query"):
            ranker.rerank(RerankRequest(None, PASSAGES))
        with pytest.raises(InputTypeError, match="request: expected a RerankRequest"):
            ranker.rerank("text")
        assert ranker.rerank(RerankRequest(QUERY, [{"text": None}])) == [{"text": None, "score": -1e9}]

    def test_results_go_through_json(self, reranker):
        results = Ranker(reranker).rerank(RerankRequest(QUERY, PASSAGES))
        assert json.loads(json.dumps(results)) == results
        assert {type(result["score"]) for result in results} == {float}

    def test_the_caller_s_passages_stay(self, reranker):
        """Neither the list nor a dict changes, and what is nested is shared, not copied."""
        passages = copy.deepcopy(PASSAGES)
        results = Ranker(reranker).rerank(RerankRequest(QUERY, passages))
        assert passages == PASSAGES
        best = next(i for i, passage in enumerate(passages) if passage["text"] == "caffeine delays sleep")
        assert results[0]["meta"] is passages[best]["meta"]
        assert results[0] is not passages[best]

    def test_a_request_made_without_anything(self, reranker):
        request = RerankRequest()
        assert (request.query, request.passages) == (None, [])
        assert Ranker(reranker).rerank(request) == []

    def test_ids_and_scores_reach_the_reranker(self):
        """Ids name passages in stores, and scores of a first stage take part where a fusion wants them."""
        seen = SimpleNamespace(ids=[], scores=[])

        class Watching(MaxSimReranker):
            def rerank_batch(self, queries, documents, **options):
                seen.ids.append(options["ids"])
                seen.scores.append(options["scores"])
                return super().rerank_batch(queries, documents, **options)

        ranker = Ranker(Watching(HashEncoder()))
        named = [{"id": i, "text": "sleep", "score": 0.5} for i in range(2)]
        ranker.rerank(RerankRequest(QUERY, named))
        ranker.rerank(RerankRequest(QUERY, PASSAGES))
        assert seen.ids == [[["0", "1"]], None]
        assert seen.scores == [[[0.5, 0.5]], None]

    def test_ids_that_stand_for_two_texts(self, tmp_path):
        """Such as NaN of a data frame, or an array: they are no error, and name nothing."""
        ids = [float("nan"), float("nan"), np.arange(2)]
        passages = [{"id": one, "text": text} for one, text in zip(ids, ("sleep", "caffeine", "alps"), strict=True)]
        with MaxSimReranker(HashEncoder(), store=tmp_path / "store", update=True) as model:
            for _ in range(2):
                results = Ranker(model).rerank(RerankRequest(QUERY, passages))
                assert sorted(result["text"] for result in results) == ["alps", "caffeine", "sleep"]

    def test_logging_is_not_configured(self, reranker):
        root = logging.getLogger()
        before = root.level, list(root.handlers)
        Ranker(reranker, log_level="DEBUG").rerank(RerankRequest(QUERY, PASSAGES))
        assert (root.level, root.handlers) == before

    @pytest.mark.parametrize("name", ["ms-marco-TinyBERT-L-2-v2", "rank_zephyr_7b_v1_full", "rank-maxsin", ""])
    def test_flashrank_s_names_are_answered(self, name):
        """The error lists what there is here, and says how a cross-encoder is given."""
        with pytest.raises(InputError, match="model_name: .*rank-maxsim.*not read here: a cross-encoder's folder"):
            Ranker(name)

    def test_options(self, folder):
        """Options are the reranker's own, checked at once; a Reranker that is made takes none."""
        assert Ranker(score="mean", max_length=128)._reranker._mean
        with pytest.raises(InputTypeError, match="max_len"):
            Ranker("rank-cross-encoder", max_len=3)
        with pytest.raises(InputError, match="max_length: expected at least 1, got 0"):
            Ranker(str(folder), max_length=0)
        with pytest.raises(InputTypeError, match="max_length cannot change a Reranker"):
            Ranker(MaxSimReranker(HashEncoder()), max_length=64)
        with pytest.raises(InputTypeError, match="expected a name or a rank_plugins Reranker, got int"):
            Ranker(7)
        assert "rank-maxsim" in names()

    def test_max_length_cuts_and_says_so(self, folder):
        pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
        long = [{"text": "sleep " * 50}]
        with (
            pytest.warns(UserWarning, match="window of 16 tokens and were cut"),
            Ranker(folder, max_length=16) as ranker,
        ):
            ranker.rerank(RerankRequest(QUERY, long))

    def test_close_leaves_a_reranker_that_was_passed(self, reranker, monkeypatch):
        closed = []
        monkeypatch.setattr(MaxSimReranker, "close", lambda self: closed.append(self))
        with Ranker(reranker):
            pass
        assert not closed
        with Ranker("rank-maxsim"):
            pass
        assert len(closed) == 1

    def test_threads(self, reranker):
        ranker = Ranker(reranker)
        expected = ranker.rerank(RerankRequest(QUERY, PASSAGES))
        with ThreadPoolExecutor(16) as pool:
            for results in pool.map(lambda _: ranker.rerank(RerankRequest(QUERY, PASSAGES)), range(64)):
                assert results == expected

    def test_a_long_list(self, reranker):
        """A thousand passages are no more than a longer list."""
        passages = [{"id": i, "text": f"passage number {i}"} for i in range(1000)]
        results = Ranker(reranker).rerank(RerankRequest("number 700", passages))
        assert results[0]["id"] == 700
        assert len(results) == 1000
