"""Smaller graphs: 8-bit integer arithmetic with one activation scale per token, or float16 weights.

onnxruntime's own `quantize_dynamic` scales a whole batch by its largest activation, so that a text's numbers depend
on its neighbours, and one outlier takes the precision of all. Here each row (token) has its own scale.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rank_plugins.errors import InputError
from rank_plugins.export.rewrite import Rewrite

QUANTIZE = (None, "int8", "fp16")
SMALLEST = 16  # rows and columns; heads that give one number are cheap, and their rounding is not averaged out
LARGEST_HALF = 65504


class Graphs(NamedTuple):
    """The graph files of a folder."""

    files: dict[str, Any]
    """File name -> onnx.ModelProto; tensors of one name have one content in all of them."""
    engines: dict[str, str]
    """Engine -> file name, for the key "graphs" of the settings; empty for model.onnx alone."""


def quantized(model: Any, quantize: str | None) -> Graphs:
    """Return what to write of a float32 graph.

    None: {"model.onnx": model}. "fp16": the same, weights in float16. "int8": {"int8.onnx": for onnxruntime,
    "float.onnx": for OpenVINO} over the same 8-bit weights.

    Raises:
        InputError: another value.

    """
    if quantize is None:
        return Graphs({"model.onnx": model}, {})
    if quantize == "fp16":
        return Graphs({"model.onnx": fp16(model)}, {})
    if quantize != "int8":
        raise InputError(f"quantize: expected None, int8 or fp16, got {quantize!r}")
    files = {"int8.onnx": int8(model), "float.onnx": int8(model, integers=False)}
    return Graphs(files, {"onnxruntime": "int8.onnx", "openvino": "float.onnx"})


def int8(model: Any, *, integers: bool = True) -> Any:
    """Return the graph with its matrices and embedding tables in 8 bits.

    A product by a constant matrix [K, N] is computed in 8-bit integers (an operator of onnxruntime), with one scale
    per row of the activations and one per column of the matrix. So no row changes another's result. An embedding
    table has one scale per row.

    Args:
        model: a float32 graph.
        integers: False keeps float32 arithmetic over the same 8-bit weights, in standard operators only.

    """
    graph = Rewrite(model)
    products = _IntegerProducts(graph) if integers else _FloatProducts(graph)
    for node in graph.nodes:
        if node.op_type in ("MatMul", "Gemm") and (matrix := _matrix(graph, node)) is not None:
            rounded, scales = rounded_by(matrix, axis=0)
            name = node.input[1] + (".transposed" if graph.attribute(node, "transB") else "")
            weight = graph.constant(f"{name}.int8", rounded, np.int8)
            scale = graph.constant(f"{name}.scale", scales[0])
            bias = node.input[2] if len(node.input) > 2 else ""
            products.add(_Product(node.input[0], weight, scale, matrix.shape, bias, node.output[0]))
        elif node.op_type == "Gather" and (table := _table(graph, node)) is not None:
            rounded, scales = rounded_by(table, axis=1)
            rows = graph.constant(f"{node.input[0]}.rows.int8", rounded, np.int8)
            scale = graph.constant(f"{node.input[0]}.rows.scale", scales)
            values = graph.op("Cast", graph.op("Gather", rows, node.input[1]), to=1)
            graph.op("Mul", values, graph.op("Gather", scale, node.input[1]), output=node.output[0])
        else:
            graph.keep(node)
    return graph.model()


def fp16(model: Any) -> Any:
    """Return the graph with its matrices and tables in float16, cast to float32 where they are used.

    The file is half as large and the arithmetic stays in float32: onnxruntime casts once, when it loads the graph.
    """
    graph = Rewrite(model)
    for node in graph.nodes:
        if node.op_type == "Gather" and _is_half(graph, node.input[0]):
            rows = graph.op("Gather", _half(graph, node.input[0]), *node.input[1:], **graph.attributes(node))
            graph.op("Cast", rows, to=1, output=node.output[0])
            continue
        cast = {name: graph.once("Cast", _half(graph, name), to=1) for name in node.input if _is_half(graph, name)}
        graph.keep(node, cast)
    return graph.model()


def rounded_by(matrix: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round to int8 with one scale per slice along `axis`: matrix ~ values * scales, values from -127 to 127."""
    scales = (np.abs(matrix).max(axis=axis, keepdims=True) / 127).astype(np.float32)
    scales[scales == 0] = 1
    return np.rint(matrix / scales).astype(np.int8), scales


class _Product(NamedTuple):
    """x @ (weight * scale) + bias, by the names of the values."""

    x: str
    weight: str
    scale: str
    shape: tuple[int, ...]
    """Of the weight: [K, N]."""
    bias: str
    """"" where there is none."""
    output: str


class _FloatProducts:
    """Products in float32 over 8-bit weights."""

    def __init__(self, graph: Rewrite) -> None:
        self.graph = graph

    def add(self, p: _Product) -> None:
        """Add the nodes of a product."""
        g = self.graph
        matrix = g.once("DequantizeLinear", p.weight, p.scale, axis=1)
        product = g.op("MatMul", p.x, matrix, output=None if p.bias else p.output)
        if p.bias:
            g.op("Add", product, p.bias, output=p.output)


class _IntegerProducts:
    """Products in 8-bit integers; activations are quantised around 128, once for all products of one tensor."""

    def __init__(self, graph: Rewrite) -> None:
        self.graph = graph

    def add(self, p: _Product) -> None:
        """Add the nodes of a product."""
        g, width = self.graph, p.shape[1]
        values, column = self._rows(p.x, p.shape[0])
        one, middle = g.constant("one", 1), g.constant("uint8.128", 128, np.uint8)
        product = g.op("MatMulIntegerToFloat", values, p.weight, one, p.scale, middle, domain="com.microsoft")
        flat = g.rank(p.x) == 2
        product = g.op("Mul", product, column, output=p.output if flat and not p.bias else None)
        if p.bias:  # of a Gemm, which has two axes
            g.op("Add", product, p.bias, output=p.output)
        elif not flat:
            leading = g.once("Shape", g.same_rows(p.x), start=0, end=-1)
            target = g.once("Concat", leading, g.constant(f"width.{width}", [width], np.int64), axis=0)
            g.op("Reshape", product, target, output=p.output)
            g.declare_width(p.output, p.x, width)  # lets onnxruntime fuse the bias with what follows

    def _rows(self, x: str, width: int) -> tuple[str, str]:
        """Return uint8 rows [T, K] of a tensor and their scales [T, 1]."""
        g = self.graph
        second = g.constant("axis.1", [1], np.int64)
        rows = x if g.rank(x) == 2 else g.once("Reshape", x, g.constant(f"rows.{width}", [-1, width], np.int64))
        peaks = g.once("ReduceMax", g.once("Abs", rows), second, keepdims=0)
        scales = g.once("Mul", peaks, g.constant("1/127", 1 / 127))
        count = g.once("Shape", g.same_rows(x), start=0, end=-1)
        if g.rank(x) != 2:
            count = g.once("ReduceProd", count, keepdims=1)
        middles = g.once("Expand", g.constant("uint8.128", 128, np.uint8), count)
        return g.once("QuantizeLinear", rows, scales, middles, axis=0), g.once("Unsqueeze", scales, second)


def _matrix(graph: Rewrite, node: Any) -> NDArray[np.float32] | None:
    """Return the constant matrix [K, N] of a product to quantise, None for another product."""
    matrix = graph.weight(node.input[1])
    if matrix is None or matrix.ndim != 2 or min(matrix.shape) < SMALLEST:
        return None
    if node.op_type == "Gemm":
        settings = graph.attributes(node)
        if settings.get("transA") or settings.get("alpha", 1) != 1 or settings.get("beta", 1) != 1:
            return None
        return matrix.T if settings.get("transB") else matrix
    return matrix


def _table(graph: Rewrite, node: Any) -> NDArray[np.float32] | None:
    """Return the embedding table that a Gather reads rows of, None for another Gather."""
    table = graph.weight(node.input[0])
    if table is None or table.ndim != 2 or min(table.shape) < SMALLEST or graph.attribute(node, "axis"):
        return None
    return table


def _is_half(graph: Rewrite, name: str) -> bool:
    weight = graph.weight(name)
    return weight is not None and weight.ndim >= 2 and bool(np.abs(weight).max(initial=0) <= LARGEST_HALF)


def _half(graph: Rewrite, name: str) -> str:
    return graph.constant(f"{name}.half", graph.weight(name), np.float16)
