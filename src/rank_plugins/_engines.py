"""Engines that run an ONNX graph: onnxruntime and OpenVINO, behind one method."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rank_plugins._arrays import cpu_has
from rank_plugins._extras import importable, require
from rank_plugins._shared import shared
from rank_plugins._threads import usable_cores
from rank_plugins.errors import InputError, StoreError

VECTORS = ("last_hidden_state", "token_embeddings")
OUTPUTS = ("logits", *VECTORS)  # the first of these that a graph has is its result
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "query")


class Engine(Protocol):
    """A loaded graph. `run` may be called from as many threads as wanted; each call uses one core."""

    batches: bool
    """Whether a text's vectors stay the same to the bit when texts run together."""
    expands: bool
    """Whether the graph adds tokens to queries."""

    def run(
        self,
        input_ids: NDArray[np.int64],
        attention_mask: NDArray[np.int64],
        token_type_ids: NDArray[np.int64] | None = None,
        *,
        query: bool = False,
    ) -> NDArray[np.float32]:
        """Return token vectors [batch, sequence, K] or logits [batch, n] for ids, mask and types [batch, sequence].

        `query` says that the texts are queries, to a graph that expands them: to more than `sequence` vectors.
        """
        ...


class OnnxRuntime:
    """onnxruntime on the CPU, one thread per call: texts are spread over threads, not a text's arithmetic."""

    batches = True

    def __init__(self, graph: Path, outputs: tuple[str, ...]) -> None:
        runtime = require("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not (cpu_has("AVX512_VNNI") or cpu_has("AVXVNNI")):
            # onnxruntime's fast kernels would saturate sums of products there; this mode is exact, and slower.
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session: Any = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes, which share no public base
            raise StoreError(f"{graph}: onnxruntime cannot load it ({error})") from error
        self._inputs = _inputs([value.name for value in self._session.get_inputs()], graph)
        self.expands = "query" in self._inputs
        self._output = _output([value.name for value in self._session.get_outputs()], outputs)

    def run(
        self,
        input_ids: NDArray[np.int64],
        attention_mask: NDArray[np.int64],
        token_type_ids: NDArray[np.int64] | None = None,
        *,
        query: bool = False,
    ) -> NDArray[np.float32]:
        """Return token vectors [batch, sequence, K] or logits [batch, n]."""
        feeds = _feeds(self._inputs, input_ids, attention_mask, token_type_ids, query)
        vectors: NDArray[np.float32] = self._session.run([self._output], feeds)[0]
        return vectors


class OpenVino:
    """OpenVINO on the CPU, in bfloat16 where the CPU computes in it; requests are reused between calls."""

    batches = False  # bfloat16 rounds by the shape of a batch

    def __init__(self, graph: Path, outputs: tuple[str, ...]) -> None:
        openvino = require("openvino")
        passes = require("openvino.passes")
        core = openvino.Core()
        # Weights are dequantised once, here. Left in 8 bits they would be expanded at every call, and activations
        # quantised in groups that depend on the neighbours.
        folding = passes.Manager()
        folding.register_pass(passes.ConstantFolding())
        config = {"INFERENCE_NUM_THREADS": usable_cores(), "NUM_STREAMS": usable_cores()}
        try:
            model = core.read_model(str(graph))
            folding.run_passes(model)
            self._model: Any = core.compile_model(model, "CPU", config)
        except Exception as error:  # OpenVINO raises bare RuntimeError
            raise StoreError(f"{graph}: OpenVINO cannot load it ({error})") from error
        self._inputs = _inputs([value.any_name for value in self._model.inputs], graph)
        self.expands = "query" in self._inputs
        self._output = _output([value.any_name for value in self._model.outputs], outputs)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(
        self,
        input_ids: NDArray[np.int64],
        attention_mask: NDArray[np.int64],
        token_type_ids: NDArray[np.int64] | None = None,
        *,
        query: bool = False,
    ) -> NDArray[np.float32]:
        """Return token vectors [batch, sequence, K] or logits [batch, n]."""
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._model.create_infer_request()
        request.infer(_feeds(self._inputs, input_ids, attention_mask, token_type_ids, query))
        vectors = np.array(request.get_tensor(self._output).data, np.float32)  # the request's memory is reused
        self._idle.put(request)
        return vectors


ENGINES: dict[str, Callable[[Path, tuple[str, ...]], Engine]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def choose(engine: str) -> str:
    """Return the engine to use: `engine` itself, or for "auto" the faster one here of those installed.

    On a CPU with AMX bfloat16 in OpenVINO is faster than 8-bit integers in onnxruntime, elsewhere slower (see
    benchmarks/end_to_end.py).

    Raises:
        InputError: the name is unknown.

    """
    if engine == "auto":
        fastest_first = sorted(ENGINES, key=lambda name: name != "openvino") if cpu_has("AMX") else list(ENGINES)
        return next((name for name in fastest_first if importable(name)), "onnxruntime")
    if engine not in ENGINES:
        raise InputError(f"engine: expected one of auto, {', '.join(ENGINES)}, got {engine!r}")
    return engine


def open_graph(engine: str, graph: Path, outputs: tuple[str, ...] = OUTPUTS) -> Engine:
    """Return the loaded graph; encoders of one process that use the same one share it.

    Its result is the first of `outputs` that it has, else its first output.

    Raises:
        MissingExtraError: the engine is not installed.
        StoreError: the graph cannot be loaded.

    """
    return shared((engine, graph.resolve(), outputs), lambda: ENGINES[engine](graph, outputs))


def _inputs(names: list[str], graph: Path) -> list[str]:
    unknown = set(names) - set(INPUTS)
    if unknown or "input_ids" not in names:
        raise StoreError(f"{graph}: expected inputs among {', '.join(INPUTS)}, got {', '.join(names)}; export it again")
    return names


def _output(names: list[str], outputs: tuple[str, ...]) -> str:
    return next((name for name in outputs if name in names), names[0])


def _feeds(
    names: list[str],
    input_ids: NDArray[np.int64],
    attention_mask: NDArray[np.int64],
    token_type_ids: NDArray[np.int64] | None,
    query: bool,
) -> dict[str, NDArray[np.int64]]:
    types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    feeds = dict(zip(INPUTS, (input_ids, attention_mask, types, np.array([query], np.int64)), strict=True))
    return {name: feeds[name] for name in names}
