"""The engine of FlagEmbedding, against the library itself."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest

pytest.importorskip("FlagEmbedding", reason="needs the extra flagembedding")

import FlagEmbedding
import torch
import transformers
from pair_checks import LONG, PAIRS, TEXTS, check_batches, check_first, check_long_query, check_scores, check_windows

from rank_plugins import cross_encoders
from rank_plugins.cross_encoders.flag_embedding import FlagEmbeddingCrossEncoder
from rank_plugins.errors import InputError, InputTypeError, RankPluginsError
from rank_plugins.rerankers import load
from rank_plugins.testing import QUERY, RerankerContract, save_tiny_causal

ENGINE = {"engine": "flagembedding"}
OLD = int(transformers.__version__.split(".")[0]) < 5


class TestContract(RerankerContract):
    @pytest.fixture
    def reranker(self, bert):
        return load("rank-cross-encoder", model=bert, **ENGINE)


SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[CLS]", "eos_token": "[SEP]"}
SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip


def save(model, tokenizer, folder):
    """Write a model whose weights are all at random, and its tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Return a tokenizer with the tokens that language models have."""
    words = f"{save_tiny_causal(tmp_path_factory.mktemp('words'))}/tokenizer.json"
    made = transformers.PreTrainedTokenizerFast(tokenizer_file=words, **SPECIAL)
    made.add_tokens(["Yes"])
    return made


@pytest.fixture(scope="module")
def gemma(tokenizer, tmp_path_factory):
    config = transformers.GemmaConfig(vocab_size=len(tokenizer), num_hidden_layers=2, head_dim=16, **SMALL)
    return save(transformers.GemmaForCausalLM(config), tokenizer, tmp_path_factory.mktemp("gemma"))


def one_by_one(reranker, **options):
    return lambda pairs: [reranker.compute_score([pair], **options)[0] for pair in pairs]


class TestEncoder:
    """FlagReranker."""

    @pytest.fixture(scope="class")
    @classmethod
    def reranker(cls, bert):
        return FlagEmbedding.FlagReranker(bert, devices="cpu", max_length=64)

    def counted(self, reranker):
        return lambda query, text: len(reranker.tokenizer(query, text, verbose=False)["input_ids"])

    def test_scores_are_the_librarys(self, bert, reranker):
        check_scores(bert, one_by_one(reranker), **ENGINE)
        check_scores(bert, one_by_one(reranker, normalize=True), activation="sigmoid", kind="encoder", **ENGINE)
        check_scores(reranker, one_by_one(reranker))

    def test_normalize_of_a_live_reranker_is_its_default(self, bert):
        reranker = FlagEmbedding.FlagReranker(bert, devices="cpu", max_length=64, normalize=True)
        check_scores(reranker, one_by_one(reranker))
        check_scores(reranker, one_by_one(reranker, normalize=False), activation="none")
        plain = FlagEmbedding.FlagReranker(bert, devices="cpu", max_length=64)
        assert cross_encoders.load(reranker).fingerprint != cross_encoders.load(plain).fingerprint

    def test_padding_changes_nothing(self, bert):
        check_batches(bert, **ENGINE)

    def test_long_documents_are_read_in_windows(self, bert, reranker):
        check_windows(bert, one_by_one(reranker), self.counted(reranker), **ENGINE)

    def test_the_start_alone_is_what_the_library_reads(self, bert, reranker):
        check_first(bert, one_by_one(reranker), **ENGINE)

    def test_long_queries_are_cut(self, bert, reranker):
        check_long_query(bert, self.counted(reranker), **ENGINE)

    def test_a_query_that_the_library_cuts_is_told(self, bert, reranker):
        """It cuts queries at three quarters of max_length even where the pair has room."""
        query = "blood pressure " * 26
        assert self.counted(reranker)(query, "mice") < 64
        with pytest.warns(UserWarning, match="cut"):
            ranking = load("rank-cross-encoder", model=bert, **ENGINE).rerank(query, ["mice"])
        assert ranking.details["truncated"] == [0]
        assert dict(ranking)[0] == pytest.approx(reranker.compute_score([(query, "mice")])[0], abs=1e-5)

    def test_instructions_are_the_librarys(self, bert):
        options = {"query_instruction_for_rerank": "what is about ", "passage_instruction_for_rerank": "documents of "}
        reranker = FlagEmbedding.FlagReranker(bert, devices="cpu", max_length=64, **options)
        check_scores(reranker, one_by_one(reranker))
        loaded = cross_encoders.load(reranker)
        windows = [piece.content for piece in loaded.pieces([(QUERY, LONG)], first_only=False)[0]]
        texts = [(f"what is about {query}", f"documents of {text}") for query, text in windows]
        assert all(self.counted(reranker)(*text) <= 64 for text in texts)
        assert loaded.fingerprint != cross_encoders.load(bert, **ENGINE).fingerprint

    def test_what_cannot_rank_is_refused(self, bert, bert_encoder, three_labels, tmp_path):
        with pytest.raises(InputError, match=r"expected one number for a pair, got 3"):
            cross_encoders.load(three_labels, **ENGINE)
        with pytest.raises(
            InputError, match=r"expected a model ForSequenceClassification for FlagReranker, got BertModel"
        ):
            cross_encoders.load(bert_encoder, **ENGINE)
        with pytest.raises(InputError, match="got no architecture"):
            cross_encoders.load(tmp_path, **ENGINE)
        with pytest.raises(InputError, match="expected a model ForCausalLM for FlagLLMReranker"):
            cross_encoders.load(bert, kind="llm", **ENGINE)
        with pytest.raises(InputError, match="kind: expected one of auto, encoder, llm, layerwise, lightweight"):
            cross_encoders.load(bert, kind="decoder", **ENGINE)
        with pytest.raises(InputError, match="cutoff_layers: not for a reranker of kind 'encoder'"):
            cross_encoders.load(bert, cutoff_layer=3, **ENGINE)

    def test_pickled_weights_are_not_read(self, bert, tmp_path):
        folder = tmp_path / "pickled"
        shutil.copytree(bert, folder)
        weights = pytest.importorskip("safetensors.torch").load_file(folder / "model.safetensors")
        torch.save(weights, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        with pytest.raises(InputError, match="expected weights as safetensors"):
            cross_encoders.load(folder, **ENGINE)


class TestLanguageModel:
    """FlagLLMReranker: the logit of "Yes" behind query, passage and a question."""

    @pytest.fixture(scope="class")
    @classmethod
    def reranker(cls, gemma):
        return FlagEmbedding.FlagLLMReranker(gemma, devices="cpu", max_length=64)

    def test_scores_are_the_librarys(self, gemma, reranker):
        check_scores(gemma, one_by_one(reranker), **ENGINE)
        check_scores(reranker, one_by_one(reranker))

    def test_padding_changes_nothing(self, gemma):
        check_batches(gemma, kind="llm", **ENGINE)

    def test_long_documents_are_read_in_windows(self, gemma, reranker):
        """Of what the library adds, the prompt is not in its max_length."""
        loaded = cross_encoders.load(gemma, max_length=64, **ENGINE)

        def count(query, text):
            return loaded._length(query, text)

        check_windows(gemma, one_by_one(reranker), count, max_length=64, **ENGINE)
        windows = [piece.content for piece in loaded.pieces([(QUERY, LONG)], first_only=False)[0]]
        uncut = one_by_one(reranker, max_length=500)(windows)
        assert one_by_one(reranker)(windows) == pytest.approx(uncut, abs=1e-5)  # the library cut none of them

    def test_the_start_alone_is_what_the_library_reads(self, gemma, reranker):
        check_first(gemma, one_by_one(reranker), max_length=64, **ENGINE)

    def test_its_numbers_for_all_words_bound_a_batch(self, gemma, monkeypatch):
        from rank_plugins.cross_encoders import flag_embedding

        monkeypatch.setattr(flag_embedding, "LOGITS", 1 << 15)
        live = FlagEmbedding.FlagLLMReranker(gemma, devices="cpu", max_length=64)
        assert cross_encoders.load(live).batch_tokens == (1 << 15) // live.model.config.vocab_size

    def test_nothing_is_drawn(self, gemma, capfd):
        loaded = cross_encoders.load(gemma, **ENGINE)
        capfd.readouterr()
        loaded.run(PAIRS)
        assert capfd.readouterr() == ("", "")


class TestOneRun:
    """The library runs the first batch twice, and takes every failure for a lack of memory."""

    @pytest.fixture
    def reranker(self, bert):
        return FlagEmbedding.FlagReranker(bert, devices="cpu", max_length=64, use_fp16=True)

    def calls(self, reranker, monkeypatch, fail=lambda rows: None):
        seen = []
        forward = reranker.model.forward

        def noted(*args, **inputs):
            seen.append(len(inputs["input_ids"]))
            fail(seen[-1])
            return forward(*args, **inputs)

        monkeypatch.setattr(reranker.model, "forward", noted)
        return seen

    def test_a_batch_runs_once(self, reranker, monkeypatch):
        loaded = cross_encoders.load(reranker)
        expected = reranker.compute_score(PAIRS)
        seen = self.calls(reranker, monkeypatch)
        assert loaded.run(PAIRS).tolist() == pytest.approx(expected, abs=1e-6)
        assert seen == [len(PAIRS)]
        reranker.compute_score(PAIRS)
        assert seen == [len(PAIRS)] * 3

    def test_a_lack_of_memory_makes_batches_smaller(self, reranker, monkeypatch):
        loaded = cross_encoders.load(reranker)
        expected = reranker.compute_score(PAIRS)

        def fail(rows):
            if rows > 2:
                raise torch.cuda.OutOfMemoryError("too much")

        seen = self.calls(reranker, monkeypatch, fail)
        assert loaded.run(PAIRS).tolist() == pytest.approx(expected, abs=1e-6)
        assert max(seen[-2:]) <= 2

    def test_no_memory_for_one_pair_is_told(self, reranker, monkeypatch):
        loaded = cross_encoders.load(reranker)

        def fail(rows):
            raise torch.cuda.OutOfMemoryError("too much")

        self.calls(reranker, monkeypatch, fail)
        with pytest.raises(RankPluginsError, match="no memory for one pair .too much"):
            loaded.run(PAIRS)

    def test_another_failure_is_told_at_once(self, reranker, monkeypatch):
        loaded = cross_encoders.load(reranker)

        def fail(rows):
            raise RuntimeError("sizes do not match")

        seen = self.calls(reranker, monkeypatch, fail)
        with pytest.raises(RankPluginsError, match=r"the model fails on a batch \(sizes do not match\)"):
            loaded.run(PAIRS)
        assert len(seen) == 1

    def test_the_live_reranker_stays_as_it_is(self, reranker):
        network = reranker.model
        cross_encoders.load(reranker).run(PAIRS)
        assert reranker.use_fp16 is True
        assert reranker.model is network
        assert "compute_score_single_gpu" not in vars(reranker)


def test_live_rerankers_and_options(bert):
    live = FlagEmbedding.FlagReranker(bert, devices="cpu", max_length=64)
    assert cross_encoders.explain(live).engine == "flagembedding"
    for options in ({"max_length": 32}, {"device": "cpu"}, {"use_fp16": True}, {"compress_ratio": 2}, {"kind": "llm"}):
        with pytest.raises(InputTypeError, match="cannot change a BaseReranker that is already made"):
            cross_encoders.load(live, **options)
    with pytest.raises(InputTypeError, match="expected a folder, a name or a reranker of FlagEmbedding, got object"):
        FlagEmbeddingCrossEncoder(object())


def test_fingerprints_say_what_decides_scores(bert, gemma):
    fingerprint = cross_encoders.load(bert, **ENGINE).fingerprint
    assert cross_encoders.load(bert, kind="encoder", device="cpu", **ENGINE).fingerprint == fingerprint
    others = [cross_encoders.load(bert, max_length=32, **ENGINE), cross_encoders.load(gemma, **ENGINE)]
    assert len({fingerprint, *(one.fingerprint for one in others)}) == 3


@pytest.fixture(scope="module")
def layered(tokenizer, tmp_path_factory):
    """Return the folders of models of FlagEmbedding's own code, of four layers; it runs with transformers 4."""
    models = "FlagEmbedding.inference.reranker.decoder_only.models"
    minicpm = pytest.importorskip(f"{models}.modeling_minicpm_reranker")
    gemma = pytest.importorskip(f"{models}.gemma_model")
    layers = {"vocab_size": len(tokenizer), "num_hidden_layers": 4, "start_layer": 2, **SMALL}
    config = minicpm.LayerWiseMiniCPMConfig(head_multi=True, head_type="simple", **layers)
    one = save(minicpm.LayerWiseMiniCPMForCausalLM(config), tokenizer, tmp_path_factory.mktemp("layerwise"))
    config = gemma.CostWiseGemmaConfig(head_dim=16, layer_sep=1, layer_wise=True, **layers)
    other = save(gemma.CostWiseGemmaForCausalLM(config), tokenizer, tmp_path_factory.mktemp("lightweight"))
    return {"layerwise": one, "lightweight": other}


LAYERS = {
    "layerwise": ("LayerWiseFlagLLMReranker", {"cutoff_layer": 3}, {"cutoff_layers": [3]}),
    "lightweight": (
        "LightWeightFlagLLMReranker",
        {"cutoff_layer": 3, "compress_layers": [1], "compress_ratio": 2},
        {"cutoff_layers": [3], "compress_layers": [1], "compress_ratio": 2},
    ),
}


@pytest.mark.skipif(not OLD, reason="FlagEmbedding's own models are written for transformers 4 ")
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_the_librarys(layered, kind):
    name, ours, theirs = LAYERS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # half precision, which a CPU does not get
        reranker = getattr(FlagEmbedding, name)(layered[kind], devices="cpu", **theirs)
        last = getattr(FlagEmbedding, name)(layered[kind], devices="cpu")
        assert cross_encoders.explain(layered[kind]).engine == "flagembedding"
        check_scores(layered[kind], one_by_one(reranker), **ours)
        check_scores(layered[kind], one_by_one(last))
        check_scores(reranker, one_by_one(reranker))
        check_batches(layered[kind], **ours)
        two = getattr(FlagEmbedding, name)(layered[kind], devices="cpu", cutoff_layers=[2, 4])
        fingerprints = {cross_encoders.load(one).fingerprint for one in (reranker, last)}
    assert len(fingerprints) == 2
    with pytest.raises(InputError, match=r"expected one of cutoff_layers.*got \[2, 4\]"):
        cross_encoders.load(two)


@pytest.mark.skipif(OLD, reason="they load with transformers 4")
@pytest.mark.parametrize(
    ("kind", "model_type", "architecture"),
    [
        ("layerwise", "minicpm", "LayerWiseMiniCPMForCausalLM"),
        ("lightweight", "cost_wise_gemma", "CostWiseGemmaForCausalLM"),
    ],
)
def test_what_a_newer_transformers_cannot_load_is_told(bert, tmp_path, kind, model_type, architecture):
    folder = tmp_path / "model"
    shutil.copytree(bert, folder)
    config = {"model_type": model_type, "architectures": [architecture], "num_hidden_layers": 2, **SMALL}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert cross_encoders.explain(folder).engine == "flagembedding"
    message = f"cannot load .* as {LAYERS[kind][0]}.*for transformers 4 "
    with warnings.catch_warnings(), pytest.raises(InputError, match=message):
        warnings.simplefilter("ignore")
        cross_encoders.load(folder)


def test_texts_that_occur_in_several_pairs(gemma):
    reranker = FlagEmbedding.FlagLLMReranker(gemma, devices="cpu")
    rankings = load("rank-cross-encoder", model=gemma, **ENGINE).rerank_batch([QUERY, "sleep"], [TEXTS, TEXTS[::-1]])
    for query, texts, ranking in zip((QUERY, "sleep"), (TEXTS, TEXTS[::-1]), rankings, strict=True):
        expected = one_by_one(reranker)([(query, text) for text in texts])
        assert [dict(ranking)[i] for i in range(len(texts))] == pytest.approx(expected, abs=1e-5)
