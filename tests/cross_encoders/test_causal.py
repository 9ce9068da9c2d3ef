"""Yes or no by the next token: against transformers called for each pair, and against sentence-transformers."""

# ruff: noqa: S105, S106 - the tokens are words

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("tokenizers", reason="needs tokenizers")

import tokenizers
import torch
import transformers
from pair_checks import LONG, check_batches, check_first, check_long_query, check_scores, check_windows

from rank_plugins import cross_encoders
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers import load
from rank_plugins.testing import (
    CAUSAL_TEMPLATE,
    DOCUMENTS,
    QUERY,
    RerankerContract,
    save_tiny_causal,
    save_tiny_seq2seq,
)

TASK = "Find trials."
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
MARKERS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]


def byte_level():
    """Return a tokenizer of bytes like Qwen's: a space belongs to what follows, a line's end to a mark before it."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(WORDS), "isolated")
    spelled = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, spelled])
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([*DOCUMENTS, LONG, "yes no ?\n .\n", "yes", "no"] * 5, trainer)
    made.add_special_tokens(["<|endoftext|>", *MARKERS])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=700
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return folders of random models: every token of a prompt, and where it stands, changes the answer."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = byte_level()
    small = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 1024,
        "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None,
    }  # fmt: skip
    configs = {
        "judge": transformers.Qwen3Config(**small),
        "mxbai-rerank-tiny": transformers.Qwen2Config(**small),
        "positions": transformers.GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=32,
            n_layer=2,
            n_head=2,
            n_positions=256,
            bos_token_id=None,
            eos_token_id=None,
        ),
    }
    for name, config in configs.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(config)
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.4)
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return root


class TestContract(RerankerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory):
        return save_tiny_causal(tmp_path_factory.mktemp("causal"))

    @pytest.fixture
    def reranker(self, folder):
        return load("rank-cross-encoder", model=folder, template=CAUSAL_TEMPLATE)


class Plain:
    """Qwen3-Reranker as its authors call it, one pair at a time."""

    def __init__(self, folder):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def encoded(self, text):
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def ids(self, query, text):
        prefix = (
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct"
            ' provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        )
        suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        task = "Given a web search query, retrieve relevant passages that answer the query"
        body = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {text}"
        return self.encoded(prefix) + self.encoded(body) + self.encoded(suffix)

    def answer(self, pair, words):
        with torch.no_grad():
            logits = self.model(torch.tensor([self.ids(*pair)])).logits[0, -1]
        return logits[[self.encoded(word)[0] for word in words]]

    def length(self, query, text):
        return len(self.ids(query, text))

    def probability(self, pairs):
        return [float(self.answer(pair, ("no", "yes")).softmax(0)[1]) for pair in pairs]

    def difference(self, pairs):
        return [float(torch.sub(*self.answer(pair, ("yes", "no")))) for pair in pairs]


class Mxbai(Plain):
    """mxbai-rerank-v2 as its authors call it: the parts are tokenised one by one, and no sigmoid."""

    instruction = ""

    def ids(self, query, text):
        task = (
            "You are a search relevance expert who evaluates how well documents match search queries. For each"
            " query-document pair, carefully analyze the semantic relationship between them, then provide your binary"
            " relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
        )
        parts = [
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n",
            f"{self.instruction}query: {query}", "\n", f"document: {text}", "\n", task,
            "<|im_end|>\n<|im_start|>assistant\n",
        ]  # fmt: skip
        return [number for part in parts for number in self.encoded(part)]

    def difference(self, pairs):
        return [float(torch.sub(*self.answer(pair, ("1", "0")))) for pair in pairs]


class Positions(Plain):
    """A prompt of one's own, for a model that counts positions: padding must not move them."""

    def ids(self, query, text):
        return self.encoded(f"{text}\nabout {query}?")


@pytest.fixture(scope="module")
def plain(folders):
    return Plain(folders / "judge")


def test_scores_are_qwen3s(folders, plain):
    check_scores(folders / "judge", plain.probability)
    check_scores(folders / "judge", plain.difference, activation="none", template="qwen3")


def test_scores_are_mxbais(folders):
    plain = Mxbai(folders / "mxbai-rerank-tiny")
    check_scores(folders / "mxbai-rerank-tiny", plain.difference)
    plain.instruction = f"instruction: {TASK}\n"
    check_scores(folders / "mxbai-rerank-tiny", plain.difference, instruction=TASK)
    ends = ("which drug?", "aspirin.")  # where "?" and the line's end could become one token
    assert plain.encoded("?\n") != plain.encoded("?") + plain.encoded("\n")
    loaded = cross_encoders.load(folders / "mxbai-rerank-tiny", instruction=TASK)
    assert loaded.run([ends])[0] == pytest.approx(plain.difference([ends])[0], abs=1e-5)


def test_scores_by_a_prompt_of_ones_own(folders):
    plain = Positions(folders / "positions")
    options = {"engine": "causal", "template": "{document}\nabout {query}?"}
    check_scores(folders / "positions", plain.probability, **options)
    check_batches(folders / "positions", **options)
    check_windows(folders / "positions", plain.difference, plain.length, **options)


@pytest.mark.parametrize("name", ["judge", "mxbai-rerank-tiny"])
def test_padding_changes_nothing(folders, name):
    check_batches(folders / name)


def test_long_documents_are_read_in_windows(folders, plain):
    check_windows(folders / "judge", plain.difference, plain.length, max_length=300)


def test_the_start_alone_is_the_first_window(folders, plain):
    """The prompt's end stays: it is the text that is cut."""
    loaded = cross_encoders.load(folders / "judge", max_length=300)
    first = loaded.pieces([(QUERY, LONG)], first_only=True)[0][0].content[1]
    assert LONG.startswith(first)
    assert plain.length(QUERY, first) <= 300 < plain.length(QUERY, LONG[: len(first) + 40])
    check_first(folders / "judge", plain.difference, first, max_length=300)


def test_long_queries_are_cut(folders, plain):
    check_long_query(folders / "judge", plain.length, max_length=300)


def test_scores_are_those_of_sentence_transformers(folders, tmp_path):
    library = pytest.importorskip("sentence_transformers", minversion="6")
    role = "{{{{ messages | selectattr('role', 'equalto', '{0}') | map(attribute='content') | first }}}}"
    template = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct"
        ' provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        f"<Instruct>: {TASK}\n<Query>: {role.format('query')}\n<Document>: {role.format('document')}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n{{ '' }}"
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders / "judge")
    tokenizer.chat_template = template
    transformers.AutoModelForCausalLM.from_pretrained(folders / "judge").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = library.CrossEncoder(str(tmp_path))
    check_scores(folders / "judge", model.predict, instruction=TASK)


def test_only_the_last_numbers_are_computed(folders, monkeypatch):
    loaded = cross_encoders.load(folders / "judge")
    seen = []
    forward = loaded._model.lm_head.forward
    monkeypatch.setattr(
        loaded._model.lm_head, "forward", lambda states: (seen.append(states.shape[1]), forward(states))[1]
    )
    loaded.run([(QUERY, "aspirin"), (QUERY, "blood pressure")])
    assert seen == [1]


def test_a_token_that_begins_every_text_stands_once(folders, tmp_path):
    """Llama's tokenizer puts one before a text; a prompt of several parts has it at its start alone."""
    tokenizer = byte_level()
    tokenizer.bos_token = "<|im_start|>"
    begin = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", begin)]
    )
    transformers.AutoModelForCausalLM.from_pretrained(folders / "judge").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = cross_encoders.load(tmp_path, template="{query}: {document}")
    assert loaded._ids("aspirin", "blood") == tokenizer("aspirin: blood")["input_ids"]
    assert loaded._ids("aspirin", "blood")[0] == begin


def test_the_template_is_found_by_name_and_configuration(folders):
    assert cross_encoders.explain(folders / "judge").engine == "causal"
    assert cross_encoders.load(folders / "judge").default_activation == "sigmoid"
    assert cross_encoders.load(folders / "mxbai-rerank-tiny").default_activation == "none"
    with pytest.raises(InputError, match=r"none is known for .*positions.*, a gpt2 model; give one of qwen3, mxbai"):
        cross_encoders.load(folders / "positions", engine="causal")


def test_nothing_is_drawn(folders, capfd):
    load("rank-cross-encoder", model=folders / "judge", max_length=290).rerank("blood", ["mice"])
    assert capfd.readouterr() == ("", "")


def test_names_of_folders_around_a_model_say_nothing_of_it(folders, tmp_path):
    for name in ("mxbai-rerank-trials/judge", "models--who--judge/snapshots/0a1b"):
        shutil.copytree(folders / "judge", tmp_path / name)
        assert cross_encoders.load(tmp_path / name).default_activation == "sigmoid", name
    shutil.copytree(folders / "judge", tmp_path / "models--who--mxbai-rerank-v2/snapshots/0a1b")
    assert cross_encoders.load(tmp_path / "models--who--mxbai-rerank-v2/snapshots/0a1b").default_activation == "none"


def test_wrong_options_are_refused(folders):
    judge = folders / "judge"
    with pytest.raises(InputError, match="template: expected auto, qwen3, mxbai or a prompt.*got 'qwen2'"):
        cross_encoders.load(judge, template="qwen2")
    with pytest.raises(InputError, match="expected {query} and {document}, each once, got 'Query: {query}'"):
        cross_encoders.load(judge, template="Query: {query}")
    with pytest.raises(InputError, match="instruction: the template has no place for it"):
        cross_encoders.load(judge, template="{query} {document}", instruction=TASK)
    with pytest.raises(InputError, match="expected an answer that is one token"):
        cross_encoders.load(judge, true_token="certainly")
    with pytest.raises(InputTypeError, match="template: expected a str, got int"):
        cross_encoders.load(judge, template=7)
    with pytest.raises(InputError, match="max_length: expected room for a query and a document beside the"):
        cross_encoders.load(judge, max_length=100)
    with pytest.raises(InputTypeError, match="max_length: expected a whole number"):
        cross_encoders.load(judge, max_length="long")


def test_what_cannot_answer_is_refused(folders, tmp_path, bert_encoder):
    with pytest.raises(InputError, match="could not be loaded with AutoModelForCausalLM"):
        cross_encoders.load(save_tiny_seq2seq(tmp_path / "t5"), engine="causal", template="qwen3")
    transformers.AutoModel.from_pretrained(folders / "judge").save_pretrained(tmp_path / "headless")
    byte_level().save_pretrained(tmp_path / "headless")
    with pytest.raises(InputError, match=r"found none for lm_head\.weight, which would be random numbers"):
        cross_encoders.load(tmp_path / "headless", engine="causal")


def test_fingerprints_say_what_decides_scores(folders):
    judge = folders / "judge"
    fingerprint = cross_encoders.load(judge).fingerprint
    assert cross_encoders.load(judge, template="qwen3", device="cpu").fingerprint == fingerprint
    others = [
        cross_encoders.load(judge, instruction=TASK),
        cross_encoders.load(judge, template="{query} {document}"),
        cross_encoders.load(judge, true_token="1"),
        cross_encoders.load(judge, max_length=400),
        cross_encoders.load(folders / "mxbai-rerank-tiny", template="qwen3"),
    ]
    assert len({fingerprint, *(one.fingerprint for one in others)}) == 6
