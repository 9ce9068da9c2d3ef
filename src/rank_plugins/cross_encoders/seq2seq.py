"""Seq2SeqCrossEncoder: MonoT5, RankT5 and their like."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rank_plugins._extras import require
from rank_plugins.cross_encoders._library import own_length
from rank_plugins.cross_encoders._prompts import Prompt, PromptCrossEncoder, load
from rank_plugins.cross_encoders.cross_encoder import Pair
from rank_plugins.errors import InputError

MONOT5 = "Query: {query} Document: {document} Relevant:"
RANKT5 = "Query: {query} Document: {document}"
MAX_LENGTH = 512


class Seq2SeqCrossEncoder(PromptCrossEncoder):
    """Scores pairs by the first token that an encoder-decoder would answer with.

    As MonoT5 does: the logit of "true" less that of "false", whose sigmoid, the default, is P(true) between the two.
    As RankT5 does, with `token`: that token's logit.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        max_length: int | None = None,
        device: str | None = None,
        template: str | None = None,
        true_token: str | None = None,
        false_token: str | None = None,
        token: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: a folder, or a name on the hub.
            max_length: tokens of a prompt; None takes 512, or the tokenizer's own if it is less.
            device: such as "cpu" or "cuda:1"; None takes the first GPU, or without one the CPU.
            template: the prompt, with {query} and {document}; None is MonoT5's, with `token` RankT5's.
            true_token: of the answer "relevant"; None is "true".
            false_token: of the other; None is "false".
            token: the one whose logit is the score, such as "<extra_id_10>", instead of these two.
            revision: of the model on the hub.
            trust_remote_code: run code that the model's folder holds.
            model_kwargs: passed on to transformers, such as {"dtype": "bfloat16"}.

        Raises:
            InputError: it cannot be found or loaded, a template without {query} and {document}, or tokens that are
                none of the model's.
            InputTypeError: another type.
            MissingExtraError: torch or transformers is not installed.

        """
        if token is not None and (true_token is not None or false_token is not None):
            raise InputError("token: expected either token, or true_token and false_token, got both")
        if token is None:
            answers = ("true" if true_token is None else true_token, "false" if false_token is None else false_token)
            prompt = Prompt(MONOT5 if template is None else template, *answers).checked()
        else:
            prompt = Prompt(RANKT5 if template is None else template, token, None).checked()
        max_length = own_length(max_length)
        network, tokenizer = load(
            "AutoModelForSeq2SeqLM", model, device=device, revision=revision, trust_remote_code=trust_remote_code,
            model_kwargs=model_kwargs,
        )  # fmt: skip
        super().__init__(os.fspath(model), network, tokenizer, prompt, max_length=max_length, usual=MAX_LENGTH)

    def _ids(self, query: str, text: str) -> list[int]:
        ids: list[int] = self._tokenizer("".join(self._prompt.filled(query, text)), verbose=False)["input_ids"]
        return ids

    def _run(self, pairs: list[Pair]) -> Any:
        torch = require("torch")
        ids, mask = self._padded(pairs, left=False)
        start = torch.full((len(pairs), 1), self._model.config.decoder_start_token_id, device=ids.device)
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False).logits
        return self._score(logits[:, 0])
