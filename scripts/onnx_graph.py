"""Build ONNX graphs by hand over one shared file of external data; `export_minilm.py` uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ALIGNMENT = 64
EXTERNAL_FROM = 1024  # bytes; smaller tensors stay inside the graph, where shape inference can read them


class WeightFile:
    """The external-data file of both graphs: every tensor is stored once, under its name."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.places: dict[str, tuple[int, int]] = {}

    def place(self, name: str, raw: bytes) -> tuple[int, int]:
        """Return (offset, length) of tensor *name*, appending it when it is new."""
        if name not in self.places:
            self.data += bytes(-len(self.data) % ALIGNMENT)
            self.places[name] = (len(self.data), len(raw))
            self.data += raw
        offset, length = self.places[name]
        if self.data[offset : offset + length] != raw:
            raise ValueError(f"tensor {name!r} differs between the two graphs: give the second one another name")
        return offset, length


class Graph:
    """An ONNX graph under construction: `op` adds a node and returns its output's name, `constant` a tensor's."""

    def __init__(self, weights: WeightFile) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add one node with a single output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        """Add a tensor, in the shared file when it is large."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(value, dtype=dtype), name)
        if len(tensor.raw_data) >= EXTERNAL_FROM:
            offset, length = self.weights.place(name, tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, entry in (("location", "weights.bin"), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(entry))
        self.constants[name] = tensor
        return name

    def shape(self, name: str, *values: int) -> str:
        """Add a small int64 vector: a shape, an axis or a bound."""
        return self.constant(name, values, np.int64)

    def save(self, path: Path, output: str, dim: int) -> None:
        """Write the model with *output* as `last_hidden_state`."""
        self.nodes.append(helper.make_node("Identity", [output], ["last_hidden_state"], name="last_hidden_state"))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask")
        ]
        result = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", dim])
        graph = helper.make_graph(self.nodes, "minilm", inputs, [result], list(self.constants.values()))
        domains = sorted({"", *(node.domain for node in self.nodes)})
        opsets = [helper.make_opsetid(domain, 1 if domain else 20) for domain in domains]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="rank-plugins")
        path.write_bytes(model.SerializeToString(deterministic=True))
