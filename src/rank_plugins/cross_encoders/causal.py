"""CausalCrossEncoder: language models that answer yes or no, read from the numbers of the next token."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rank_plugins._extras import require
from rank_plugins.cross_encoders._library import own_length
from rank_plugins.cross_encoders._prompts import BREAK, Prompt, PromptCrossEncoder, load
from rank_plugins.cross_encoders.cross_encoder import Pair
from rank_plugins.errors import InputError

MAX_LENGTH = 8192
QWEN3 = Prompt(
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct"
    ' provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "yes",
    "no",
    "Given a web search query, retrieve relevant passages that answer the query",
)
MXBAI = Prompt(
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    f"<|im_start|>user\n{BREAK}{{instruction}}query: {{query}}{BREAK}\n{BREAK}document: {{document}}{BREAK}\n{BREAK}"
    "You are a search relevance expert who evaluates how well documents match search queries. For each query-document"
    " pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0"
    f" for not relevant, 1 for relevant).\nRelevance:{BREAK}<|im_end|>\n<|im_start|>assistant\n",
    "1",
    "0",
)
TEMPLATES = {"qwen3": QWEN3, "mxbai": MXBAI}
NAMES = {"qwen3-reranker": "qwen3", "mxbai-rerank": "mxbai", "prorank": "mxbai"}  # in a model's name


class CausalCrossEncoder(PromptCrossEncoder):
    """Scores pairs by the logit of the answer "relevant" less that of the other, at the end of the prompt.

    Their sigmoid is the probability of the one between the two: the default of "qwen3" and of own templates. "mxbai"
    leaves the difference. Only the last position's numbers are computed, and prompts are padded on the left.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        max_length: int | None = None,
        device: str | None = None,
        template: str = "auto",
        instruction: str | None = None,
        true_token: str | None = None,
        false_token: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: a folder, or a name on the hub.
            max_length: tokens of a prompt; None takes 8192, or the tokenizer's own if it is less.
            device: such as "cpu" or "cuda:1"; None takes the first GPU, or without one the CPU.
            template: "qwen3" (Qwen3-Reranker), "mxbai" (mxbai-rerank-v2), or the whole prompt, with {query},
                {document} and perhaps {instruction}; "auto" goes by the model's name and configuration.
            instruction: what to look for, where the template has a place for it; None takes the template's own.
            true_token: of the answer "relevant"; None takes the template's, or "yes".
            false_token: of the other; None takes the template's, or "no".
            revision: of the model on the hub.
            trust_remote_code: run code that the model's folder holds.
            model_kwargs: passed on to transformers, such as {"dtype": "bfloat16"}.

        Raises:
            InputError: it cannot be found or loaded, a template that is not known or lacks {query} or {document},
                or tokens that are none of the model's.
            InputTypeError: another type.
            MissingExtraError: torch or transformers is not installed.

        """
        max_length = own_length(max_length)
        if template != "auto":
            _prompt(template, instruction, true_token, false_token)  # before anything is loaded
        network, tokenizer = load(
            "AutoModelForCausalLM", model, device=device, revision=revision, trust_remote_code=trust_remote_code,
            model_kwargs=model_kwargs,
        )  # fmt: skip
        if template == "auto":
            template = _template(os.fspath(model), network.config.model_type)
        prompt = _prompt(template, instruction, true_token, false_token)
        start = tokenizer("")["input_ids"][:1]
        self._start: list[int] = start if start == [tokenizer.bos_token_id] else []
        super().__init__(os.fspath(model), network, tokenizer, prompt, max_length=max_length, usual=MAX_LENGTH)
        if template == "mxbai":
            self.default_activation = "none"

    def _ids(self, query: str, text: str) -> list[int]:
        parts = self._prompt.filled(query, text)
        ids = self._tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
        return [*self._start, *itertools.chain(*ids)]

    def _run(self, pairs: list[Pair]) -> Any:
        ids, mask = self._padded(pairs, left=True)
        positions = (mask.cumsum(1) - 1).clamp(min=0)  # models count padding unless they are told
        with require("torch").inference_mode():
            logits = self._model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1
            ).logits
        return self._score(logits[:, -1])


def _prompt(template: str, instruction: str | None, true: str | None, false: str | None) -> Prompt:
    """Return the prompt of a template's name or text.

    Raises:
        InputError: neither a known name, nor a text with {query} and {document}; or no place for an instruction.
        InputTypeError: what is no str.

    """
    if template in TEMPLATES:
        prompt = TEMPLATES[template]
        if template == "mxbai" and instruction:
            instruction = f"instruction: {instruction}\n"
    else:
        prompt = Prompt(template, "yes", "no")
        if isinstance(template, str) and "{" not in template:
            raise InputError(
                f"template: expected auto, {', '.join(TEMPLATES)} or a prompt with {{query}} and {{document}}, got"
                f" {template!r}"
            )
    given = {"instruction": instruction, "true": true, "false": false}
    prompt = prompt._replace(**{name: value for name, value in given.items() if value is not None}).checked()
    if instruction and "{instruction}" not in prompt.template:
        raise InputError("instruction: the template has no place for it; write {instruction} into it")
    return prompt


def _template(name: str, model_type: str) -> str:
    """Return the template of a model, by its name or that of its folder.

    Raises:
        InputError: none is known for it.

    """
    path = Path(name).expanduser().resolve()
    said = (path.parents[1].name if path.parent.name == "snapshots" else path.name).lower()  # of the hub's cache
    for part, template in NAMES.items():
        if part in said:
            return template
    if model_type == "qwen3":
        return "qwen3"
    raise InputError(
        f"template: none is known for {name!r}, a {model_type} model; give one of {', '.join(TEMPLATES)}, or the"
        ' prompt that it was trained with, or engine="flagembedding" for models of that library'
    )
