"""Small models built from configuration: nothing is downloaded, and nothing in them is random at test time."""

from __future__ import annotations

import os
import string
from pathlib import Path
from typing import Any

from rank_plugins._extras import require

WORDS = (
    "a about alps and aspirin at awake bedtime blood caffeine capital cells coffee countries delays disease documents"
    " does doses drag drug effects eight france heart high in is keep low lowers measure mice more of on other paris"
    " patients people pressure protein query randomised run sleep something the through to trial tunnels what when"
    " wind wing with"
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
HIDDEN, WINDOW = 96, 64


def save_tiny_cross_encoder(folder: str | os.PathLike[str], words: str = WORDS, window: int = WINDOW) -> str:
    """Write a BERT cross-encoder of two layers whose score is the share of query words that the document has.

    Its weights are set by hand: in the first layer each query token looks for itself in the document, in the second
    the first token gathers what was found. Needs torch and transformers.

    Args:
        folder: where to write config.json, the weights and the tokenizer; it is made.
        words: those that are one token, in lower case, with spaces between them; others are spelled.
        window: tokens of a pair at most.

    Returns:
        The folder, for `load("rank-cross-encoder", model=folder)`.

    """
    torch, transformers = require("torch"), require("transformers")
    config = _config(words, num_labels=1, max_position_embeddings=window)
    model = transformers.BertForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, module in model.named_modules():
            if name.endswith("LayerNorm"):
                module.weight.fill_(1)
        vectors = model.bert.embeddings.word_embeddings.weight
        vectors[:, : HIDDEN - 2] = torch.randn(len(vectors), HIDDEN - 2, generator=torch.Generator().manual_seed(0))
        # The last but one number says which side a token is on, the last one what was found.
        model.bert.embeddings.token_type_embeddings.weight[:, -2] = torch.tensor([-4.0, 4.0])
        find, gather = (layer.attention for layer in model.bert.encoder.layer)
        content = torch.eye(HIDDEN)[: HIDDEN - 2]
        find.self.query.weight[: HIDDEN - 2] = 4 * content
        find.self.query.bias[-2] = 20  # the other side's token comes before its own, which comes before any other
        find.self.key.weight[: HIDDEN - 2] = content
        find.self.key.weight[-2, -2] = 1
        find.self.value.weight[-1, -2] = 1
        find.output.dense.weight[-1, -1] = 4
        gather.self.query.bias[-2] = 20
        gather.self.key.weight[-2, -2] = -1
        gather.self.value.weight[-1, -1] = 1
        gather.output.dense.weight[-1, -1] = 4
        model.bert.pooler.dense.weight[-1, -1] = 0.1
        model.classifier.weight[0, -1] = 4
    return _save(model, config, folder, words)


def save_tiny_encoder(folder: str | os.PathLike[str]) -> str:
    """Write a BERT encoder of two layers and 32 dimensions with fixed random weights; see `save_tiny_cross_encoder`."""
    torch, transformers = require("torch"), require("transformers")
    config = _config(hidden_size=32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertModel(config)
    return _save(model, config, folder)


def _config(words: str = WORDS, **changes: Any) -> Any:
    settings = {
        "vocab_size": len(_vocabulary(words)),
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "intermediate_size": HIDDEN,
        "max_position_embeddings": WINDOW,
    }
    return require("transformers").BertConfig(**(settings | changes))


def _vocabulary(words: str = WORDS) -> dict[str, int]:
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*SPECIAL, *dict.fromkeys(words.split()), *letters, *("##" + letter for letter in letters)]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def _save(model: Any, config: Any, folder: str | os.PathLike[str], words: str = WORDS) -> str:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(path)
    tokenizer = require("transformers").BertTokenizer(
        vocab=_vocabulary(words), model_max_length=config.max_position_embeddings
    )
    tokenizer.save_pretrained(path)
    return str(path)
