"""A torch module as an ONNX graph of standard operators."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rank_plugins._extras import require
from rank_plugins.errors import InputError

OPSET = 20  # the first with GELU as one operator, the last that torch traces to
OUTSIDE = "weights"  # onnxruntime puts larger tensors there, which makes models of any size pass


def to_onnx(module: Any, example: Mapping[str, Any], outputs: Mapping[str, Sequence[str]]) -> Any:
    """Trace a module and return its graph, constants folded.

    Args:
        module: its forward takes the values of `example` in their order and returns a tensor or a tuple of them.
        example: input name -> int64 tensor [batch, sequence]; both axes stay dynamic. Take at least two texts.
        outputs: output name -> its dynamic axes by name, in order, as in {"logits": ["batch"]} or
            {"last_hidden_state": ["batch", "sequence"]}; further axes are fixed.

    Returns:
        onnx.ModelProto, weights inside.

    Raises:
        InputError: the model cannot be traced.
        MissingExtraError: onnx, onnxruntime or torch is not installed.

    """
    torch, onnx = require("torch"), require("onnx")
    axes = {name: dict(enumerate(("batch", "sequence"))) for name in example}
    axes |= {name: dict(enumerate(dynamic)) for name, dynamic in outputs.items()}
    module = module.eval()  # the exporter restores the wrapper's mode, which must not be that of training
    with tempfile.TemporaryDirectory() as folder:
        traced, folded = Path(folder, "traced.onnx"), Path(folder, "folded.onnx")
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # the tracer warns of every shape that Python reads
                torch.onnx.export(
                    module,
                    tuple(example.values()),
                    str(traced),
                    dynamo=False,
                    opset_version=OPSET,
                    input_names=list(example),
                    output_names=list(outputs),
                    dynamic_axes=axes,
                )
        except Exception as error:  # torch and the model's code raise whatever they like
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"export: {type(module).__name__} cannot be traced ({reason})") from error
        _fold(traced, folded)
        model = onnx.load(str(folded))
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.producer_name = "rank-plugins"
    return model


def _fold(traced: Path, folded: Path) -> None:
    """Let onnxruntime fold constants and leave out what does nothing; it adds no operators of its own here."""
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    options.log_severity_level = 3
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", OUTSIDE)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    try:
        runtime.InferenceSession(str(traced), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise InputError(f"export: onnxruntime cannot load the traced graph ({error})") from error
