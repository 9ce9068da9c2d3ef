"""What the tests of the commands share: the embedded encoder, small corpora, a command here and in a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rank_plugins import encoders
from rank_plugins.cli import main

COMMAND = [sys.executable, "-c", "import sys; from rank_plugins.cli import main; sys.exit(main())"]
EXAMPLES = Path(__file__).parents[2] / "examples" / "data"


def documents(count: int) -> dict[str, str]:
    """Return short documents by id."""
    subjects = ("aspirin", "wind tunnels", "Paris", "the moon", "insulin", "steel")
    return {f"d{i}": f"Note {i} is about {subjects[i % 6]} and its use number {i // 6}." for i in range(count)}


@pytest.fixture(scope="session")
def encoder():
    """Return the embedded encoder."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("tokenizers", reason="needs the extra onnx")
    return encoders.load("minilm")


@pytest.fixture
def corpus(tmp_path):
    """Return what writes documents by id to a file of JSON Lines."""

    def write(texts: dict[str, str], name: str = "corpus.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in texts.items()))
        return str(path)

    return write


@pytest.fixture
def command(capsys):
    """Return what runs a command in this process and gives its status, its output and its errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def start():
    """Return what starts a command as a process, which does not outlive the test."""
    running: list[subprocess.Popen[str]] = []

    def popen(*arguments: object, **options: object) -> subprocess.Popen[str]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*COMMAND, *map(str, arguments)], **(streams | options))
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        with process:  # closes its streams and waits
            pass
