"""Query expansion as operators in front of a graph: short queries are filled up with one token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rank_plugins._extras import require

INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Expansion:
    """How a model fills up queries."""

    length: int
    """Tokens that a shorter query has afterwards, special ones included."""
    token: int
    """What it is filled up with."""
    attend: bool
    """Whether the query's own tokens see those that were added."""


def expand(model: Any, expansion: Expansion) -> None:
    """Put the expansion in front of an ONNX model with the inputs input_ids and attention_mask, in place.

    It gets a third input, `query` int64 [1]: 1 for a batch of queries, 0 for documents, which stay as they are. Padding
    counts as free places up to `length`; what lies behind stays padding.
    """
    onnx = require("onnx")
    graph = model.graph
    onnx.compose.add_prefix_graph(
        graph,
        "expanded.",
        rename_nodes=False,
        rename_edges=False,
        rename_inputs=True,
        rename_outputs=False,
        rename_initializers=False,
        rename_value_infos=False,
        inplace=True,
    )
    nodes = [*_nodes(onnx, expansion), *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    integers = onnx.TensorProto.INT64
    graph.input.extend(onnx.helper.make_tensor_value_info(name, integers, ["batch", "sequence"]) for name in INPUTS)
    graph.input.append(onnx.helper.make_tensor_value_info("query", integers, [1]))
    for output in graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = "tokens"


def _nodes(onnx: Any, expansion: Expansion) -> list[Any]:
    """Return the operators that make expanded.input_ids and expanded.attention_mask."""
    nodes: list[Any] = []

    def op(kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"expand.{len(nodes)}"
        nodes.append(onnx.helper.make_node(kind, list(inputs), [name], name=f"expand.{len(nodes)}", **attributes))
        return name

    def constant(*values: int, scalar: bool = False) -> str:
        array = np.array(values[0] if scalar else values, np.int64)
        return op("Constant", value=onnx.numpy_helper.from_array(array))

    width = op("Shape", "input_ids", start=1, end=2)
    floor = op("Mul", "query", constant(expansion.length))
    total = op("Max", width, floor)
    pads = op("Concat", constant(0, 0, 0), op("Sub", total, width), axis=0)
    kept = "expanded.attention_mask" if not expansion.attend else None
    ids, mask = op("Pad", "input_ids", pads), op("Pad", "attention_mask", pads, output=kept)
    zero, one = constant(0, scalar=True), constant(1, scalar=True)
    places = op("Range", zero, op("Squeeze", total, constant(0)), one)
    added = op("And", op("Equal", mask, zero), op("Less", places, floor))
    op("Where", added, constant(expansion.token, scalar=True), ids, output="expanded.input_ids")
    if expansion.attend:
        op("Where", added, one, mask, output="expanded.attention_mask")
    return nodes
