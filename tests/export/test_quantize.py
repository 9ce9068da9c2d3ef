"""Quantised graphs: against their own arithmetic in NumPy, and beside onnxruntime's quantize_dynamic."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - after importorskip

from rank_plugins import InputError  # noqa: E402
from rank_plugins.export.folder import write_graphs  # noqa: E402
from rank_plugins.export.quantize import fp16, int8, quantized  # noqa: E402

K, N = 48, 32
RNG = np.random.default_rng(0)
MATRIX = RNG.standard_normal((K, N), np.float32)
TABLE = RNG.standard_normal((40, K), np.float32) * np.linspace(0.01, 100, 40, dtype=np.float32)[:, None]
BIAS = RNG.standard_normal(N, np.float32)


def model(nodes, inputs, outputs, **tensors):
    """Return a model over float32 tensors; inputs and outputs are name -> (type, shape)."""
    values = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in some.items()]
        for some in (inputs, outputs)
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "test", *values, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def product(axes=("batch", "sequence")):
    """Return x @ MATRIX."""
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["y"])]
    inputs, outputs = {"x": (TensorProto.FLOAT, [*axes, K])}, {"y": (TensorProto.FLOAT, [*axes, N])}
    return model(nodes, inputs, outputs, weight=MATRIX)


def opened(one):
    """Open a model, or the file of one, with exact integer arithmetic and nothing fused.

    onnxruntime would round the activations of a float32 product by 8-bit weights, in groups of its own.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    content = str(one) if isinstance(one, os.PathLike) else one.SerializeToString()
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(one, **feeds):
    return opened(one).run(None, feeds)[0]


def rounded(x, axis):
    scale = np.abs(x).max(axis=axis, keepdims=True) / np.float32(127)
    return np.rint(x / np.where(scale > 0, scale, 1)) * scale


def kinds(one):
    return {node.op_type for node in one.graph.node}


@pytest.mark.parametrize("axes", [("rows",), ("batch", "sequence"), ("batch", "heads", "sequence"), (3, 5)])
def test_int8_rounds_rows_and_columns(axes):
    x = np.random.default_rng(1).standard_normal((*(3, 5, 2)[: len(axes)], K), np.float32)
    quantised = int8(product(axes))
    assert "MatMulIntegerToFloat" in kinds(quantised)
    assert "MatMul" not in kinds(quantised)
    expected = rounded(x, -1) @ rounded(MATRIX, 0)
    np.testing.assert_allclose(run(quantised, x=x), expected, atol=1e-4)
    assert np.abs(expected - x @ MATRIX).max() > 1e-3, "rounding shows"


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("integers", [True, False])
def test_gemm(transposed, bias, integers):
    node = helper.make_node("Gemm", ["x", "weight", "bias"][: 2 + bias], ["y"], transB=transposed)
    inputs, outputs = {"x": (TensorProto.FLOAT, ["rows", K])}, {"y": (TensorProto.FLOAT, ["rows", N])}
    weight = np.ascontiguousarray(MATRIX.T) if transposed else MATRIX
    tensors = {"weight": weight, "bias": BIAS} if bias else {"weight": weight}
    quantised = int8(model([node], inputs, outputs, **tensors), integers=integers)
    x = np.random.default_rng(2).standard_normal((7, K), np.float32)
    expected = (rounded(x, 1) if integers else x) @ rounded(MATRIX, 0) + (BIAS if bias else 0)
    np.testing.assert_allclose(run(quantised, x=x), expected, atol=1e-4)
    assert not integers or "Gemm" not in kinds(quantised)


def test_a_gemm_that_scales_is_left_alone():
    node = helper.make_node("Gemm", ["x", "weight"], ["y"], alpha=2.0)
    inputs, outputs = {"x": (TensorProto.FLOAT, ["rows", K])}, {"y": (TensorProto.FLOAT, ["rows", N])}
    assert kinds(int8(model([node], inputs, outputs, weight=MATRIX))) == {"Gemm"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([0.0, 1e-3, 1.0, 1e4]))
def test_no_row_changes_another(seed, others, size):
    rng = np.random.default_rng(seed)
    row = rng.standard_normal((1, 1, K), np.float32)
    beside = rng.standard_normal((1, others, K), np.float32) * np.float32(size)
    alone = SESSION.run(None, {"x": row})[0]
    together = SESSION.run(None, {"x": np.concatenate([beside, row], axis=1)})[0]
    assert together[0, -1].tobytes() == alone[0, 0].tobytes()


def test_a_row_of_zeros_gives_zeros():
    assert not SESSION.run(None, {"x": np.zeros((1, 3, K), np.float32)})[0].any()


def test_products_of_one_tensor_quantise_it_once():
    nodes = [helper.make_node("MatMul", ["x", name], [f"y.{name}"]) for name in ("a", "b", "c")]
    nodes.append(helper.make_node("Sum", [f"y.{name}" for name in ("a", "b", "c")], ["y"]))
    inputs = {"x": (TensorProto.FLOAT, ["batch", "sequence", K])}
    outputs = {"y": (TensorProto.FLOAT, ["batch", "sequence", N])}
    quantised = int8(model(nodes, inputs, outputs, a=MATRIX, b=MATRIX * 2, c=MATRIX + 1))
    assert [node.op_type for node in quantised.graph.node].count("QuantizeLinear") == 1
    x = np.random.default_rng(3).standard_normal((2, 4, K), np.float32)
    expected = rounded(x, -1) @ (rounded(MATRIX, 0) * 3 + rounded(MATRIX + 1, 0))
    np.testing.assert_allclose(run(quantised, x=x), expected, atol=1e-3)


@pytest.mark.parametrize("integers", [True, False])
def test_tables_have_a_scale_for_each_row(integers):
    one = int8(TABLE_MODEL, integers=integers)
    ids = np.arange(40).reshape(2, 20)
    np.testing.assert_allclose(run(one, ids=ids), rounded(TABLE, 1)[ids], rtol=1e-6)
    assert len(one.SerializeToString()) < TABLE.nbytes / 2


TABLE_MODEL = model(
    [helper.make_node("Gather", ["table", "ids"], ["y"])],
    {"ids": (TensorProto.INT64, ["batch", "sequence"])},
    {"y": (TensorProto.FLOAT, ["batch", "sequence", K])},
    table=TABLE,
)
SESSION = opened(int8(product()))


def test_an_outlier_beside_costs_nothing_here_and_much_with_one_scale_for_all(tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, theirs = tmp_path / "source.onnx", tmp_path / "theirs.onnx"
    onnx.save(product(), source)
    quantize_dynamic(source, theirs, weight_type=QuantType.QInt8, per_channel=True)
    x = np.random.default_rng(4).standard_normal((1, 32, K), np.float32)
    x[0, 0] *= 50
    exact = (x @ MATRIX)[0, 1:]
    wrong = [np.abs(run(one, x=x)[0, 1:] - exact).mean() for one in (int8(product()), onnx.load(theirs))]
    assert wrong[0] < wrong[1] / 10


def test_small_heads_stay_float():
    nodes = [helper.make_node("MatMul", ["x", "head"], ["y"])]
    inputs, outputs = {"x": (TensorProto.FLOAT, ["batch", K])}, {"y": (TensorProto.FLOAT, ["batch", 1])}
    one = int8(model(nodes, inputs, outputs, head=MATRIX[:, :1].copy()))
    assert kinds(one) == {"MatMul"}


def test_without_integers_the_operators_are_standard():
    one = int8(product(), integers=False)
    assert {node.domain for node in one.graph.node} == {""}
    onnx.checker.check_model(one)


@pytest.mark.parametrize("source", [product(), TABLE_MODEL], ids=["product", "table"])
def test_fp16_halves_the_file_and_computes_in_float32(source):
    half = fp16(source)
    feeds = {"x": np.ones((1, 2, K), np.float32)} if "x" in {i.name for i in source.graph.input} else {}
    feeds = feeds or {"ids": np.arange(40)[None]}
    got = run(half, **feeds)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, run(source, **feeds), rtol=2e-3, atol=2e-2)
    assert got.tobytes() != run(source, **feeds).tobytes()
    assert len(half.SerializeToString()) < len(source.SerializeToString()) * 0.55
    onnx.checker.check_model(half)


def test_fp16_keeps_what_float16_cannot_hold():
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["y"])]
    inputs, outputs = {"x": (TensorProto.FLOAT, ["rows", K])}, {"y": (TensorProto.FLOAT, ["rows", N])}
    large = model(nodes, inputs, outputs, weight=MATRIX * np.float32(1e5))
    x = np.ones((1, K), np.float32)
    assert run(fp16(large), x=x).tobytes() == run(large, x=x).tobytes()


def test_the_source_is_left_as_it_is():
    source = product()
    before = source.SerializeToString(deterministic=True)
    for quantize in (None, "int8", "fp16"):
        quantized(source, quantize)
        assert source.SerializeToString(deterministic=True) == before


def test_two_graphs_share_one_file_of_weights(tmp_path):
    wide = np.random.default_rng(5).standard_normal((K, 256), np.float32)
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["y"])]
    inputs, outputs = {"x": (TensorProto.FLOAT, ["rows", K])}, {"y": (TensorProto.FLOAT, ["rows", 256])}
    graphs = quantized(model(nodes, inputs, outputs, weight=wide), "int8")
    assert graphs.engines == {"onnxruntime": "int8.onnx", "openvino": "float.onnx"}
    write_graphs(tmp_path, graphs)
    assert (tmp_path / "weights.bin").stat().st_size < wide.size + 4 * 256 + 2 * 64
    x = np.random.default_rng(6).standard_normal((3, K), np.float32)
    for name, expected in (("int8.onnx", rounded(x, 1) @ rounded(wide, 0)), ("float.onnx", x @ rounded(wide, 0))):
        np.testing.assert_allclose(run(tmp_path / name, x=x), expected, atol=1e-3)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="expected None, int8 or fp16, got 'int4'"):
        quantized(product(), "int4")
