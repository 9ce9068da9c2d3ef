"""rank-plugins info: what is installed here and what will compute."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import Any

import rank_plugins
from rank_plugins import cross_encoders, encoders, rerankers, simd
from rank_plugins._arrays import level_that_answers
from rank_plugins._extras import DISTRIBUTION, extras
from rank_plugins._maxsim import KERNEL_OF
from rank_plugins._threads import VARIABLE, thread_count
from rank_plugins.cli._output import print_facts


def add(commands: Any) -> None:
    """Add this command to the parser's subcommands."""
    parser = commands.add_parser("info", help="version, instruction set, threads, extras, adapters, engines of models")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="name, folder or hub name: which engine serves it")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the facts, or those of the models that are named, as aligned lines or as JSON."""
    facts = dict(map(_model, options.models)) or collect()
    print_facts(facts, as_json=options.json)
    return 0


def collect() -> dict[str, Any]:
    """Return the facts that `run` prints."""
    return {
        "version": rank_plugins.__version__,
        "python": f"{platform.python_version()} {platform.system()} {platform.machine()}",
        "instruction set": simd.active(),
        "because": simd.reason(),
        "supported": list(simd.supported()),
        "kernels": {dtype: level_that_answers(simd.active(), kernel) for dtype, kernel in KERNEL_OF.items()},
        "threads": thread_count(None),
        "threads set by": VARIABLE,
        **{f"extra {name}": {add: _version(add) for add in adds} for name, adds in extras().items()},
        "rerankers": rerankers.names(),
        "encoders": encoders.names(),
        **dict(map(_model, encoders.names())),
        "adapters": _adapters(),
    }


def _model(model: str) -> tuple[str, dict[str, Any]]:
    """Return what kind of model it is, which engine serves it, and why; it is not loaded."""
    is_encoder = model in encoders.names() or not cross_encoders.is_cross_encoder(model)
    choice = encoders.explain(model) if is_encoder else cross_encoders.explain(model)
    said = {"engine": choice.engine, "because": choice.because, "installed": choice.installed}
    return f"{'encoder' if is_encoder else 'cross-encoder'} {model}", said


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _adapters() -> dict[str, str]:
    """Return the installed distributions that build on this one, and their versions."""
    return {
        distribution.metadata["Name"]: distribution.version
        for distribution in metadata.distributions()
        if any(line.split("[")[0].split(">")[0].strip() == DISTRIBUTION for line in distribution.requires or [])
        and distribution.metadata["Name"] != DISTRIBUTION
    }
