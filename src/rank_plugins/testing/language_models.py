"""Small language models whose answer is the share of words that query and document have in common; see `models`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rank_plugins._extras import require
from rank_plugins.testing.models import _vocabulary

WIDTH = 96
SEQ2SEQ_WINDOW, CAUSAL_WINDOW = 64, 128
CAUSAL_TEMPLATE = "query {query} document {document} answer"
"""The prompt of `save_tiny_causal`; its answers are "yes" and "no"."""


def save_tiny_seq2seq(folder: str | os.PathLike[str]) -> str:
    """Write a T5 of one layer that answers "true" the surer, the more of its prompt's words occur twice.

    Its weights are set by hand: each token of the encoder looks for itself elsewhere, and for want of it at the end
    marker; the decoder takes the mean of what was found. Made for MonoT5's prompt, with a window of 64 tokens. Needs
    torch and transformers.

    Args:
        folder: where to write config.json, the weights and the tokenizer; it is made.

    Returns:
        The folder, for `load("rank-cross-encoder", model=folder)`.

    """
    torch, transformers = require("torch"), require("transformers")
    words = _words("query", "document", "relevant", "true", "false", "<extra_id_10>", "</s>")
    config = transformers.T5Config(
        vocab_size=len(words), d_model=WIDTH, d_kv=WIDTH, d_ff=8, num_heads=1, num_layers=1, num_decoder_layers=1,
        decoder_start_token_id=words["[PAD]"], pad_token_id=words["[PAD]"], eos_token_id=words["</s>"],
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    usual, found = WIDTH - 2, WIDTH - 1  # dimensions: 1 in every word but the end marker; 1 there, then what was found
    with torch.no_grad():
        _clear(model)
        embeddings = model.shared.weight
        embeddings[:, :usual] = _codes(len(words), usual)
        embeddings[:, usual] = 1
        for marker in ("</s>", "[PAD]"):
            embeddings[words[marker]] = 0
        embeddings[words["</s>"], found] = 1
        embeddings[words["[PAD]"], usual] = 1
        for word, sign in (("true", 1.0), ("false", -1.0), ("<extra_id_10>", 1.0)):  # answers have the words' vectors
            embeddings[words[word]] = 0
            embeddings[words[word], found] = sign
            embeddings[words[word], usual] = -1.1 * sign
        look = model.encoder.block[0].layer[0].SelfAttention
        look.q.weight[:usual, :usual] = torch.eye(usual)
        look.k.weight[:usual, :usual] = torch.eye(usual)
        look.q.weight[usual, usual] = 1
        look.k.weight[usual, found] = 6  # times the length of the end marker's vector: between a match and none
        look.v.weight[found, usual] = 1
        look.o.weight[found, found] = 3
        look.relative_attention_bias.weight[0] = -500  # not at itself
        gather = model.decoder.block[0].layer[1].EncDecAttention
        gather.v.weight[found, found] = 1
        gather.o.weight[found, found] = 1
    return _save(model, words, SEQ2SEQ_WINDOW, folder, end="</s>")


def save_tiny_causal(folder: str | os.PathLike[str]) -> str:
    """Write a Llama of three layers that answers "yes" the surer, the more of the document's words the query has.

    Its weights are set by hand: in the first layer tokens learn that they stand behind "document", in the second these
    look for themselves in the query, in the third the last token takes the mean of what was found. Made for the prompt
    `CAUSAL_TEMPLATE`, with a window of 128 tokens. Needs torch and transformers.

    Args:
        folder: where to write config.json, the weights and the tokenizer; it is made.

    Returns:
        The folder, for `load("rank-cross-encoder", model=folder, template=CAUSAL_TEMPLATE)`.

    """
    torch, transformers = require("torch"), require("transformers")
    words = _words("query", "document", "answer", "yes", "no")
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=3, num_attention_heads=1,
        num_key_value_heads=1, head_dim=WIDTH, max_position_embeddings=CAUSAL_WINDOW, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e12}, pad_token_id=words["[PAD]"], bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    # Of the others position turns the vectors; with so large a base these stay nearly as they are.
    still = [*range(16, 48), *range(64, 96)]
    usual, begin, border, side, found, *content = still
    with torch.no_grad():
        _clear(model)
        embeddings = model.model.embed_tokens.weight
        embeddings[:, content] = _codes(len(words), len(content))
        embeddings[:, usual] = 1
        for word, mark in (("query", begin), ("document", border)):
            embeddings[words[word], content] = 0
            embeddings[words[word], mark] = 8
        divide, look, gather = (layer.self_attn for layer in model.model.layers)
        divide.q_proj.weight[usual, usual] = 20
        divide.k_proj.weight[usual, begin] = 2
        divide.k_proj.weight[usual, border] = 4
        divide.v_proj.weight[side, border] = 1
        divide.o_proj.weight[side, side] = 0.2
        for number in content:
            look.q_proj.weight[number, number] = 4
            look.k_proj.weight[number, number] = 1
        look.q_proj.weight[usual, usual] = 20
        look.k_proj.weight[usual, side] = -20  # only in the query
        look.k_proj.weight[usual, begin] = 1.3  # for want of a match
        look.v_proj.weight[found, usual] = 1
        look.v_proj.weight[found, begin] = -0.125
        look.o_proj.weight[found, found] = 3
        gather.q_proj.weight[usual, usual] = 20
        gather.k_proj.weight[usual, side] = 10
        gather.v_proj.weight[found, found] = 1
        gather.o_proj.weight[found, found] = 4
        for word, sign in (("yes", 1.0), ("no", -1.0)):
            model.lm_head.weight[words[word], found] = 20 * sign
            model.lm_head.weight[words[word], usual] = -2 * sign
    return _save(model, words, CAUSAL_WINDOW, folder)


def _words(*more: str) -> dict[str, int]:
    words = _vocabulary()
    for word in more:
        words.setdefault(word, len(words))
    return words


def _codes(count: int, width: int) -> Any:
    """Return a vector of 1 and -1 for each word, nearly orthogonal to the others."""
    torch = require("torch")
    return torch.randint(0, 2, (count, width), generator=torch.Generator().manual_seed(0)) * 2.0 - 1


def _clear(model: Any) -> None:
    """Set all weights to 0, and those that scale to 1."""
    for name, parameter in model.named_parameters():
        parameter.fill_(1 if "norm" in name else 0)


def _save(
    model: Any, words: dict[str, int], window: int, folder: str | os.PathLike[str], end: str | None = None
) -> str:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(path)
    tokenizers, transformers = require("tokenizers"), require("transformers")
    tokenizer = tokenizers.BertWordPieceTokenizer(words)
    single, known = ("$A", []) if end is None else (f"$A {end}", [(end, words[end])])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single=single, special_tokens=known)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]"} | ({} if end is None else {"eos_token": end})
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer,
        model_max_length=window,
        model_input_names=["input_ids", "attention_mask"],
        **special,
    ).save_pretrained(path)
    return str(path)
