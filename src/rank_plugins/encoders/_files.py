"""Where an encoder's files are: a folder, or a name on a model hub; their settings, checks and fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from rank_plugins._extras import importable, require
from rank_plugins.encoders.encoder import Role
from rank_plugins.errors import InputError, MissingExtraError, StoreError

SUMS = "SHA256SUMS"
SETTINGS = "encoder.json"
GRAPHS = ["model.onnx", "onnx/model.onnx"]  # where encoder.json names no other
HUB_FILES = ("*.json", "*.onnx", "*.onnx_data", "onnx/*", "*.bin", SUMS)
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


PIECES_ONLY = ("query_length", "expanded", "expanded_with", "skipped", "skipped_in_queries", "skipped_at_start")
LEAST = {"max_length": 3, "overlap": 0, "tokens_per_batch": 1} | dict.fromkeys(PIECES_ONLY, 0)
FIRST_SETTINGS = {"max_length", "overlap", "normalize", "query_prefix", "document_prefix"}
RUNNING = {"graphs", "tokens_per_batch"}  # how a model is run, not what it gives


class RoleSettings(NamedTuple):
    """What holds for queries, or for documents; see `Settings`."""

    prefix: str
    max_length: int
    expanded: int
    expanded_with: int
    skipped: list[int]
    skipped_at_start: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """What encoder.json holds; each field has a default for folders of other making."""

    max_length: int = 512
    """Tokens of a window, special tokens included."""
    overlap: int = 32
    """Tokens that a window repeats of the one before."""
    normalize: bool = True
    """Scale every token vector to length 1."""
    query_prefix: str = ""
    document_prefix: str = ""
    tokens_per_batch: int = 1
    """Texts run together up to this many tokens, padding included; 1 runs them one by one. More is right only
    for a graph in which a text never changes another's vectors: no quantisation with one scale for all."""
    graphs: dict[str, str] = dataclasses.field(default_factory=dict)
    """The graph file of each engine; "model.onnx" where an engine is not named."""
    pieces: bool = False
    """Cut a long document into texts, each encoded like a document of its own behind the prefix; not into runs of
    tokens of which only the first has the prefix."""
    query_length: int = 0
    """Tokens of a query at most, where queries have another window than documents; 0: `max_length`."""
    expanded: int = 0
    """Tokens that the graph makes of a shorter query; 0: it expands none."""
    expanded_with: int = 0
    """The token that it adds to them."""
    skipped: list[int] = dataclasses.field(default_factory=list)
    """Token ids that get no vector in documents."""
    skipped_in_queries: list[int] = dataclasses.field(default_factory=list)
    skipped_at_start: int = 0
    """Tokens at the start of a piece that get no vector."""

    def role(self, name: Role) -> RoleSettings:
        """Return what holds for texts of this role."""
        if name == "document":
            return RoleSettings(self.document_prefix, self.max_length, 0, 0, self.skipped, self.skipped_at_start)
        length = self.query_length or self.max_length
        skipped = self.skipped_in_queries, self.skipped_at_start
        return RoleSettings(self.query_prefix, length, self.expanded, self.expanded_with, *skipped)

    def graph(self, folder: Path, engine: str) -> Path:
        """Return the file that `engine` loads.

        Raises:
            StoreError: it is not there.

        """
        names = [self.graphs[engine]] if engine in self.graphs else GRAPHS
        for name in names:
            if (folder / name).is_file():
                return folder / name
        raise StoreError(f"{folder}: expected {' or '.join(names)} for {engine}, found none; export the model to ONNX")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a model in a folder or on a hub; no weights are fetched to make it."""

    model: str
    """The folder, or the name on the hub."""
    names: frozenset[str]
    """Paths inside, with slashes."""
    folder: Path | None
    """Where the files are; None if they are on the hub."""

    def json(self, name: str) -> dict[str, Any]:
        """Return the object in a JSON file, {} if there is none.

        Raises:
            InputError: it could not be fetched.
            StoreError: it is damaged.

        """
        return _read_json(self._path(name)) if name in self.names else {}

    def modules(self) -> list[dict[str, Any]]:
        """Return what modules.json lists, [] if there is none.

        Raises:
            InputError: it could not be fetched.
            StoreError: it is damaged.

        """
        if "modules.json" not in self.names:
            return []
        content = _load_json(path := self._path("modules.json"))
        if not isinstance(content, list) or not all(isinstance(module, dict) for module in content):
            raise StoreError(f"{path}: expected a JSON list of objects")
        return content

    def _path(self, name: str) -> Path:
        if self.folder is not None:
            return self.folder / name
        hub = require("huggingface_hub")
        try:
            return Path(hub.hf_hub_download(self.model, name))
        except Exception as error:  # the hub's errors have no common base
            raise InputError(f"model: {name} of {self.model!r} could not be fetched ({error})") from error


def look(model: str | os.PathLike[str]) -> Listing:
    """Return what files a model has, in a folder, on the hub, or without a network in the hub's cache.

    Raises:
        InputError: neither a folder nor the form of a hub name, or not to be had from the hub.
        MissingExtraError: a hub name, and huggingface_hub is not installed.

    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        name = _hub_name(model)
        hub = require("huggingface_hub")
        try:
            return Listing(name, frozenset(hub.list_repo_files(name)), None)
        except Exception as error:
            paths = (
                hub.try_to_load_from_cache(name, file) for file in ("config.json", "modules.json", "tokenizer.json")
            )
            cached = next((Path(path).parent for path in paths if isinstance(path, str)), None)
            if cached is None:
                raise InputError(f"encoder: {name!r} is no folder here and could not be fetched ({error})") from error
            return Listing(name, _names(cached), cached)
    return Listing(str(folder.resolve()), _names(folder), folder)


def find_folder(model: str | os.PathLike[str]) -> Path:
    """Return the folder of an ONNX model; a name that is no folder here is fetched with huggingface_hub.

    Raises:
        InputError: neither a folder nor the form of a hub name, or not to be had from the hub.
        MissingExtraError: a hub name, and huggingface_hub is not installed.

    """
    folder = Path(model).expanduser()
    return folder if folder.is_dir() else fetch(_hub_name(model), allow_patterns=list(HUB_FILES))


def fetch(name: str, **patterns: list[str]) -> Path:
    """Return the folder into which huggingface_hub has put a model's files.

    Raises:
        InputError: they are not to be had.

    """
    hub = require("huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, **patterns))
    except Exception as error:  # the hub's errors have no common base
        raise InputError(f"encoder: {name!r} is no folder here and could not be fetched ({error})") from error


def _hub_name(model: str | os.PathLike[str]) -> str:
    """Return a name that may be asked of a hub; a path that is not there never is."""
    name = os.fspath(model)
    if not _HUB_NAME.fullmatch(name) or Path(name).exists():
        raise InputError(f"model: expected a folder with a model or a hub name 'owner/model', got {name!r}")
    if not importable("huggingface_hub"):
        raise MissingExtraError(
            f"encoder: {name!r} is no folder here, and fetching it needs huggingface_hub;"
            ' pip install "rank-plugins[hub]" or give a folder'
        )
    return name


def _names(folder: Path) -> frozenset[str]:
    """Return the files of a folder and of the folders in it."""
    found = (path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())
    return frozenset(path.relative_to(folder).as_posix() for path in found)


def read_settings(folder: Path) -> Settings:
    """Read encoder.json, or without it what the model's own configuration says.

    Raises:
        StoreError: a file is damaged, or encoder.json holds a key that this version does not know.

    """
    own = _read_json(folder / SETTINGS)
    known = {field.name for field in dataclasses.fields(Settings)}
    if own:
        if not known.issuperset(own):
            unknown = ", ".join(sorted(set(own) - known))
            raise StoreError(f"{folder / SETTINGS}: {unknown} not known; update rank-plugins")
        return _checked(own, folder / SETTINGS)
    lengths = [
        _read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        _read_json(folder / "tokenizer_config.json").get("model_max_length"),
        _read_json(folder / "config.json").get("max_position_embeddings"),
    ]
    usable = [int(length) for length in lengths if isinstance(length, (int, float)) and 8 <= length <= 1 << 20]
    prompts = _read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    document = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), None)
    return Settings(
        max_length=min(usable, default=Settings.max_length),
        query_prefix=prompts.get("query") or "",
        document_prefix=document or "",
    )


def _checked(own: dict[str, Any], path: Path) -> Settings:
    """Return the settings if every value is of its field's kind.

    Raises:
        StoreError: with the first that is not.

    """
    for field in dataclasses.fields(Settings):
        default: Any = _default(field)
        value: Any = own.get(field.name, default)
        least = LEAST.get(field.name) if isinstance(default, int) else None
        if type(value) is not type(default) or (least is not None and value < least):
            wanted = type(default).__name__ + ("" if least is None else f", at least {least}")
            raise StoreError(f"{path}: {field.name}: expected {wanted}, got {value!r}")
    if not all(isinstance(name, str) for name in own.get("graphs", {}).values()):
        raise StoreError(f"{path}: graphs: expected the name of a file for each engine, got {own['graphs']!r}")
    for name in ("skipped", "skipped_in_queries"):
        if not all(type(number) is int for number in own.get(name, [])):
            raise StoreError(f"{path}: {name}: expected token ids, got {own[name]!r}")
    settings = Settings(**own)
    if not settings.pieces and any(getattr(settings, name) for name in PIECES_ONLY):
        raise StoreError(f"{path}: expected {', '.join(PIECES_ONLY)} only with pieces: true; export the model again")
    return settings


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def check_sums(folder: Path) -> None:
    """Compare every file that SHA256SUMS names with its sum; a folder without that file is taken as it is.

    Raises:
        StoreError: a file is missing or has other content.

    """
    for name, expected in _sums(folder).items():
        got = sha256(folder / name)
        if got != expected:
            raise StoreError(
                f"{folder / name}: expected SHA-256 {expected}, got {got}; the file is damaged, install it again"
            )


def fingerprint(folder: Path, settings: Settings, long_documents: str) -> str:
    """Return what decides the vectors as 32 hexadecimal digits: all model files and the settings, no engine."""
    sums = _sums(folder)
    names = set(sums) or {name for name in _names(folder) if "/" not in name or name.startswith("onnx/")}
    names = {name for name in names if name.endswith((".onnx", ".onnx_data", ".bin")) or name == "tokenizer.json"}
    parts = {name: sums.get(name) or sha256(folder / name) for name in names}
    rest: dict[str, Any] = {"long_documents": long_documents}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        # Settings that came later count where they are used: folders from before keep their fingerprint.
        if field.name in FIRST_SETTINGS or (field.name not in RUNNING and value != _default(field)):
            rest[field.name] = value
    return hashlib.sha256(json.dumps([parts, rest], sort_keys=True).encode()).hexdigest()[:32]


def _sums(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {name.lstrip("*"): digest for digest, name in pairs}


def sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error}); install the model again") from error


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: expected JSON ({error})") from error


def _read_json(path: Path) -> dict[str, Any]:
    content = _load_json(path)
    if not isinstance(content, dict):
        raise StoreError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
