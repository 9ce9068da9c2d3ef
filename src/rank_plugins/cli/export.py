"""rank-plugins export: a model as an ONNX folder that needs no torch to run."""

from __future__ import annotations

import argparse
from typing import Any

from rank_plugins import export as exporting
from rank_plugins.cli._output import print_facts

DESCRIPTION = """
Write an encoder or a cross-encoder as an ONNX folder that onnxruntime and OpenVINO run without torch. It is compared
with the original in float32; a model that does not give what the original gives is not written.
"""


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("export", help="write a model as an ONNX folder", description=DESCRIPTION)
    parser.add_argument("model", metavar="MODEL", help="a folder or a name on the hub; its weights are safetensors")
    parser.add_argument(
        "--task", choices=exporting.TASKS, default="auto", help="what the model is for (auto: its files)"
    )
    kinds = [kind for kind in exporting.QUANTIZE if kind]
    parser.add_argument("--quantize", choices=kinds, help="smaller weights (float32)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the folder to write; new, or empty")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export the model and print the parity report."""
    report = exporting.export(options.model, options.out, task=options.task, quantize=options.quantize)
    if options.json:
        print_facts(report.as_dict(), as_json=True)
    else:
        print(report)
    return 0
