"""The folder of an exported model: written beside its place, moved there when it is whole and right."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rank_plugins._extras import require
from rank_plugins._transformers import tokenizer_definition
from rank_plugins.encoders._files import SUMS, sha256
from rank_plugins.errors import InputError
from rank_plugins.export.quantize import Graphs

T = TypeVar("T")
WEIGHTS = "weights.bin"
ALIGNMENT = 64
OUTSIDE = 1024  # bytes; smaller tensors stay inside the graph, where shape inference can read them
LARGEST_GRAPH = 1_900_000_000  # bytes; a protobuf message ends at 2 GiB


def publish(out: str | os.PathLike[str], write: Callable[[Path], T]) -> T:
    """Call write(temporary folder beside `out`), add SHA256SUMS, and move the folder to `out`.

    Whatever `write` raises (a failed parity report above all) leaves nothing behind.

    Returns:
        what `write` returns.

    Raises:
        InputError: `out` exists and is not an empty folder, or cannot be made.

    """
    place = Path(out).expanduser().resolve()
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise InputError(f"out: expected a folder that is new or empty, got {os.fspath(out)!r}; give another one")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent)
    except OSError as error:
        raise InputError(f"out: {os.fspath(out)!r} cannot be made ({error}); give another folder") from error
    with beside as work:
        folder = Path(work, "folder")
        folder.mkdir()
        found = write(folder)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        sums = "".join(f"{sha256(folder / name)}  {name}\n" for name in names)
        (folder / SUMS).write_text(sums, encoding="utf-8")
        if place.exists():
            place.rmdir()
        folder.rename(place)
    return found


def write_graphs(folder: Path, graphs: Graphs) -> None:
    """Write the graphs; weights that two graphs share, or that one file cannot hold, go to weights.bin.

    Weights that have moved there are no longer in the models afterwards.
    """
    shared = len(graphs.files) > 1 or any(_size(model) > LARGEST_GRAPH for model in graphs.files.values())
    places: dict[str, tuple[int, int]] = {}
    if shared:
        with (folder / WEIGHTS).open("wb") as file:
            for model in graphs.files.values():
                for tensor in model.graph.initializer:
                    _place(tensor, file, places)
    for name, model in graphs.files.items():
        (folder / name).write_bytes(model.SerializeToString(deterministic=True))


def _size(model: Any) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _place(tensor: Any, file: Any, places: dict[str, tuple[int, int]]) -> None:
    """Move a tensor's bytes to the file, once for all tensors of its name."""
    external = require("onnx").TensorProto.EXTERNAL
    if len(tensor.raw_data) < OUTSIDE:
        return
    if tensor.name not in places:
        file.write(bytes(-file.tell() % ALIGNMENT))
        places[tensor.name] = (file.tell(), len(tensor.raw_data))
        file.write(tensor.raw_data)
    offset, length = places[tensor.name]
    tensor.ClearField("raw_data")
    tensor.data_location = external
    for key, entry in (("location", WEIGHTS), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(entry))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as indented JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Write tokenizer.json of a transformers tokenizer, without truncation and padding.

    Raises:
        InputError: the tokenizer has no fast form, or no vocabulary.

    """
    definition = tokenizer_definition(tokenizer, f"model {tokenizer.name_or_path!r}")
    (folder / "tokenizer.json").write_text(definition + "\n", encoding="utf-8")


def folder_bytes(folder: Path) -> int:
    """Return how large the graphs and their weights are together."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".onnx", ".bin"))
