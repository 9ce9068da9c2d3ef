"""MonoT5 and RankT5, against transformers called for each pair."""

# ruff: noqa: S106 - the tokens are words

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("transformers", reason="needs transformers")

import torch
import transformers
from pair_checks import LONG, TEXTS, check_batches, check_first, check_long_query, check_scores, check_windows

from rank_plugins import cross_encoders
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import load
from rank_plugins.testing import QUERY, RerankerContract, save_tiny_causal, save_tiny_seq2seq


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_seq2seq(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="module")
def random_folder(folder, tmp_path_factory):
    """Return the folder of a T5 whose weights are all at random: every token of a prompt changes its answer."""
    place = tmp_path_factory.mktemp("random") / "t5"
    shutil.copytree(folder, place)
    config = transformers.T5Config.from_pretrained(folder, d_model=32, d_kv=16, num_heads=2, num_layers=2, d_ff=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.T5ForConditionalGeneration(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(place)
    return str(place)


class TestContract(RerankerContract):
    @pytest.fixture
    def reranker(self, folder):
        return load("rank-cross-encoder", model=folder)


class Plain:
    """The first answer of a model, one pair at a time, by generate()."""

    def __init__(self, folder):
        self.model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def ids(self, query, text, template="Query: {} Document: {} Relevant:"):
        return self.tokenizer(template.format(query, text), return_tensors="pt", verbose=False).input_ids

    def logits(self, pair, words, template="Query: {} Document: {} Relevant:"):
        options = {"max_new_tokens": 1, "output_logits": True, "return_dict_in_generate": True}
        answer = self.model.generate(self.ids(*pair, template), do_sample=False, **options).logits[0][0]
        return answer[self.tokenizer.convert_tokens_to_ids(words)]

    def probability(self, pairs):
        return [float(self.logits(pair, ["false", "true"]).softmax(0)[1]) for pair in pairs]

    def difference(self, pairs):
        return [float(self.logits(pair, ["true"])[0] - self.logits(pair, ["false"])[0]) for pair in pairs]

    def length(self, query, text):
        return self.ids(query, text).shape[1]


@pytest.fixture(scope="module")
def plain(random_folder):
    return Plain(random_folder)


def test_scores_are_monot5s(random_folder, plain):
    check_scores(random_folder, plain.probability)
    check_scores(random_folder, plain.difference, activation="none")


def test_scores_are_rankt5s(random_folder, plain):
    def predict(pairs):
        return [float(plain.logits(pair, ["<extra_id_10>"], "Query: {} Document: {}")[0]) for pair in pairs]

    check_scores(random_folder, predict, token="<extra_id_10>")


def test_another_prompt_and_other_tokens(random_folder, plain):
    def predict(pairs):
        found = [plain.logits(pair, ["drug", "wind"], "{1}? {0}: {{drug}}") for pair in pairs]
        return [float(first - second) for first, second in found]

    options = {"template": "{document}? {query}: {drug}", "true_token": "drug", "false_token": "wind"}
    predicted = [plain.logits(("aspirin", "blood"), ["drug", "wind"], "{1}? {0}: {{drug}}")]
    loaded = cross_encoders.load(random_folder, **options)
    assert loaded.run([("aspirin", "blood")])[0] == pytest.approx(float(predicted[0][0] - predicted[0][1]), abs=1e-5)
    check_scores(random_folder, predict, activation="none", **options)


def test_padding_changes_nothing(random_folder):
    check_batches(random_folder)


def test_long_documents_are_read_in_windows(random_folder, plain):
    check_windows(random_folder, plain.difference, plain.length)


def test_the_start_alone_is_the_first_window(random_folder, plain):
    """The prompt's end stays: it is the text that is cut."""
    first = cross_encoders.load(random_folder).pieces([(QUERY, LONG)], first_only=True)[0][0].content[1]
    assert LONG.startswith(first)
    assert plain.length(QUERY, first) <= 64 < plain.length(QUERY, LONG[: len(first) + 40])
    check_first(random_folder, plain.difference, first)


def test_long_queries_are_cut(random_folder, plain):
    check_long_query(random_folder, plain.length)


def test_texts_are_no_templates(random_folder, plain):
    """Braces in a query or a document stay what they are."""
    pair = ("{document} of {0}", "{query} {instruction} {}")
    assert cross_encoders.load(random_folder).run([pair])[0] == pytest.approx(plain.difference([pair])[0], abs=1e-5)


def test_fingerprints_say_what_decides_scores(folder, random_folder):
    fingerprint = cross_encoders.load(folder).fingerprint
    assert cross_encoders.load(folder, device="cpu").fingerprint == fingerprint
    others = [
        cross_encoders.load(random_folder),
        cross_encoders.load(folder, max_length=32),
        cross_encoders.load(folder, template="{query} {document}"),
        cross_encoders.load(folder, true_token="wind"),
        cross_encoders.load(folder, token="true"),
    ]
    assert len({fingerprint, *(one.fingerprint for one in others)}) == 6


def test_wrong_options_are_refused(folder):
    for template in ("", "Query: {query}", "{document}", "{query} {document} {query}", "nothing"):
        with pytest.raises(InputError, match="template: expected {query} and {document}, each once"):
            cross_encoders.load(folder, template=template)
    with pytest.raises(InputError, match="got both"):
        cross_encoders.load(folder, token="true", true_token="true")
    with pytest.raises(InputError, match=r"one token of the model's vocabulary, got 'unheardof', which is 'u', '##n'"):
        cross_encoders.load(folder, true_token="unheardof")
    with pytest.raises(InputError, match="expected an answer that is one token"):
        cross_encoders.load(folder, true_token="\u4e2d")
    with pytest.raises(InputTypeError, match="true: expected a str, got int"):
        cross_encoders.load(folder, true_token=7)
    with pytest.raises(InputTypeError, match="its options are: model, max_length, device, template"):
        cross_encoders.load(folder, kind="llm")
    with pytest.raises(InputError, match="max_length: expected room"):
        cross_encoders.load(folder, max_length=10)


def test_what_cannot_answer_is_refused(folder, bert, tmp_path):
    with pytest.raises(InputError, match="could not be loaded with AutoModelForSeq2SeqLM"):
        cross_encoders.load(save_tiny_causal(tmp_path / "causal"), engine="seq2seq")
    transformers.T5EncoderModel.from_pretrained(folder).save_pretrained(tmp_path / "encoder")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "encoder")
    with pytest.raises(InputError, match=r"found none for decoder\.block.*which would be random numbers"):
        cross_encoders.load(tmp_path / "encoder", engine="seq2seq")
    shutil.copytree(folder, tmp_path / "pickled")
    path = tmp_path / "pickled" / "model.safetensors"
    torch.save(pytest.importorskip("safetensors.torch").load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    with pytest.raises(InputError, match="could not be loaded"):
        cross_encoders.load(tmp_path / "pickled")


def test_vocabularies_of_sentencepiece_are_understood():
    """There a word of its own begins with a mark; token_id takes what the tokenizer makes of the word."""
    tokenizers = pytest.importorskip("tokenizers")
    from rank_plugins.cross_encoders._prompts import token_id

    pieces = [("<unk>", 0.0), ("\u2581true", -1.0), ("\u2581false", -1.0), ("true", -3.0), ("<extra_id_10>", -9.0)]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")
    assert token_id(tokenizer, "true") == 1
    assert token_id(tokenizer, "\u2581false") == 2
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_id_10>"]})
    assert token_id(tokenizer, "<extra_id_10>") == 4


def test_a_real_ranking(folder):
    ranking = load("rank-cross-encoder", model=folder).rerank(QUERY, TEXTS)
    assert {i for i, _ in list(ranking)[:2]} == {0, 2}
    assert all(0 < score < 1 for score in ranking.scores)
