"""What is exported, and as what."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rank_plugins.encoders._files import Listing, look
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.export.cross_encoder import export_cross_encoder
from rank_plugins.export.parity import Report
from rank_plugins.export.quantize import QUANTIZE

ENCODER, CROSS_ENCODER = "token-embeddings", "cross-encoder"
TASKS = ("auto", ENCODER, CROSS_ENCODER)
GENERATES = ("ForCausalLM", "ForConditionalGeneration")


def export(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    task: str = "auto",
    quantize: str | None = None,
    sample: Sequence[str] | None = None,
) -> Report:
    """Write a model as a folder that needs no torch to run, if it then gives what the original gives.

    The folder appears only when it is whole and its parity report has passed.

    Args:
        model: a folder or a name on the hub; its weights are safetensors.
        out: the folder to write; new, or empty.
        task: "token-embeddings" for an encoder, "cross-encoder" for a model that scores pairs; "auto" goes by its
            files.
        quantize: None keeps float32; "int8" is a quarter of the size and about twice as fast where the CPU multiplies
            8-bit integers; "fp16" is half the size.
        sample: texts to compare on; None takes 16 built-in ones of different kinds.

    Returns:
        The parity report.

    Raises:
        InputError: an unknown task or quantize, a model of another kind, an `out` that is not empty, or a report
            that does not pass.
        InputTypeError: a model that is neither a folder nor a name.
        MissingExtraError: the extra export is not installed.

    """
    if task not in TASKS:
        raise InputError(f"task: expected one of {', '.join(TASKS)}, got {task!r}")
    if quantize not in QUANTIZE:
        raise InputError(f"quantize: expected None, int8 or fp16, got {quantize!r}")
    if not isinstance(model, (str, os.PathLike)):
        raise InputTypeError(
            f"model: expected a folder or a name on the hub, got {type(model).__name__}; save it first"
        )
    found, because = kind_of(look(model))
    if task not in ("auto", found):
        raise InputError(f"task: expected {found} for {os.fspath(model)!r}, which is {because}, got {task!r}")
    if found == CROSS_ENCODER:
        return export_cross_encoder(model, out, quantize, sample)
    from rank_plugins.export.encoders import export_encoder

    return export_encoder(model, out, quantize, sample)


def kind_of(listing: Listing) -> tuple[str, str]:
    """Return the task that a model is for, and what it is.

    Raises:
        InputError: it is for none.

    """
    architectures = [str(name) for name in listing.json("config.json").get("architectures") or []]
    said = f"a {', '.join(architectures)}" if architectures else "a model without a named architecture"
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return CROSS_ENCODER, said
    if not listing.names & {"config.json", "modules.json"}:
        got = "ONNX already" if any(name.endswith(".onnx") for name in listing.names) else "no model of transformers"
        raise InputError(
            f"model: expected config.json or modules.json and weights as safetensors in {listing.model!r}, which is"
            f" {got}"
        )
    if "modules.json" not in listing.names and any(name.endswith(GENERATES) for name in architectures):
        raise InputError(
            f"model: expected an encoder or a cross-encoder, got {listing.model!r}, {said}, which generates text; it"
            " cannot be exported: run it in rank-cross-encoder as it is"
        )
    return ENCODER, said
