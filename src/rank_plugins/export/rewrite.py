"""An ONNX graph that is written anew node by node: constants, shapes, and nodes that are added only once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rank_plugins._extras import require

SMALL = 1024  # elements; larger constants are no shapes, and shape inference can do without them


class Rewrite:
    """Reads the nodes of a model and collects those of its successor; the model is left as it is."""

    def __init__(self, model: Any) -> None:
        """Take a model with its weights inside."""
        self._onnx = require("onnx")
        self._source = model
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._added: dict[str, Any] = {}
        self._written: list[Any] = []
        self._widths: list[Any] = []
        self._made: dict[Any, str] = {}
        self._axes = self._infer()
        self._alike: dict[tuple[str, ...], str] = {}

    @property
    def nodes(self) -> list[Any]:
        """The nodes to go through, in order."""
        return list(self._source.graph.node)

    def weight(self, name: str) -> NDArray[np.float32] | None:
        """Return a float32 constant of more than one axis, None for any other value."""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_type != self._onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            return None
        array: NDArray[np.float32] = self._onnx.numpy_helper.to_array(tensor)
        return array

    def attributes(self, node: Any) -> dict[str, Any]:
        """Return a node's attributes by name."""
        return {one.name: self._onnx.helper.get_attribute_value(one) for one in node.attribute}

    def attribute(self, node: Any, name: str) -> Any:
        """Return one attribute, None if it is not set."""
        return self.attributes(node).get(name)

    def rank(self, name: str) -> int | None:
        """Return how many axes a value has, None where that is not known."""
        return len(self._axes[name]) if name in self._axes else None

    def same_rows(self, name: str) -> str:
        """Return the first value asked for whose axes before the last are known to be as long as those of this one."""
        leading = self._axes.get(name, [""])[:-1]
        return self._alike.setdefault(tuple(leading), name) if all(leading) else name

    def declare_width(self, name: str, like: str, width: int) -> None:
        """Say how many axes a new value has, and how long the last one is."""
        if like in self._axes:
            shape = [None] * (len(self._axes[like]) - 1) + [width]
            self._widths.append(self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape))

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        """Add a tensor under a name that stands for this content."""
        if name not in self._added:
            array: NDArray[Any] = np.array(value, dtype, order="C")
            self._added[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that one's name."""
        output = output or f"{kind}.{len(self._written)}"
        node = self._onnx.helper.make_node(kind, list(inputs), [output], name=output, domain=domain, **attributes)
        self._written.append(node)
        return output

    def once(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node unless the same one is there."""
        key = (kind, inputs, tuple(sorted(attributes.items())))
        if key not in self._made:
            self._made[key] = self.op(kind, *inputs, **attributes)
        return self._made[key]

    def keep(self, node: Any, renamed: dict[str, str] | None = None) -> None:
        """Add a node of the source, with some of its inputs replaced."""
        copy = self._onnx.NodeProto()
        copy.CopyFrom(node)
        for place, name in enumerate(node.input):
            copy.input[place] = (renamed or {}).get(name, name)
        self._written.append(copy)

    def model(self) -> Any:
        """Return the new model: the source's inputs and outputs, and only the constants that are used."""
        helper, old = self._onnx.helper, self._source.graph
        inner = [name for node in self._written for name in self._inner_inputs(node)]
        used = {*(name for node in self._written for name in node.input), *inner, *(value.name for value in old.output)}
        tensors = [tensor for name, tensor in (self._tensors | self._added).items() if name in used]
        graph = helper.make_graph(self._written, old.name, old.input, old.output, tensors, value_info=self._widths)
        opsets = {opset.domain: opset.version for opset in self._source.opset_import}
        opsets |= {node.domain: 1 for node in self._written if node.domain not in opsets}
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())],
            ir_version=self._source.ir_version,
            producer_name="rank-plugins",
        )

    def _inner_inputs(self, node: Any) -> list[str]:
        """Return what the graphs inside a node (of an If, a Loop) read."""
        graphs = [one.g for one in node.attribute if one.HasField("g")]
        nodes = [inner for graph in graphs for inner in graph.node]
        return [name for inner in nodes for name in (*inner.input, *self._inner_inputs(inner))]

    def _infer(self) -> dict[str, list[str]]:
        """Return the axes of values as names or numbers, "" where unknown; large constants play no part."""
        skeleton = self._onnx.ModelProto()
        graph = self._source.graph
        small = [tensor for tensor in graph.initializer if int(np.prod(tensor.dims)) < SMALL]
        large = [
            self._onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            for tensor in graph.initializer
            if int(np.prod(tensor.dims)) >= SMALL
        ]
        skeleton.ir_version = self._source.ir_version
        skeleton.opset_import.extend(self._source.opset_import)
        skeleton.graph.CopyFrom(
            self._onnx.helper.make_graph(graph.node, "skeleton", [*graph.input, *large], graph.output, small)
        )
        inferred = self._onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
        return {
            value.name: [axis.dim_param or str(axis.dim_value or "") for axis in value.type.tensor_type.shape.dim]
            for value in (*inferred.input, *inferred.value_info, *inferred.output)
            if value.type.tensor_type.HasField("shape")
        }
