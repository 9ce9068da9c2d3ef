"""Registration: our names are found, every other name stays as it was, and unknown hosts are refused."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rerankers", reason="the host package rerankers is not installed")

import rerankers

import rank_plugins_rerankers
from rank_plugins import rerankers as core
from rank_plugins.errors import InputError, RankPluginsError
from rank_plugins_rerankers import MaxSimRanker, Reranker, register
from rank_plugins_rerankers.host import HostVersionError
from rank_plugins_rerankers.registration import PATCHED, unregister

host: Any = importlib.import_module("rerankers.reranker")
OTHERS = [
    "colbert",
    "flashrank",
    "t5",
    "cross-encoder",
    "gpt-4",
    "upr",
    "pylate",
    "rankgpt",
    "cohere",
    "jina",
    "voyage",
    "mixedbread.ai",
    "text-embeddings-inference",
    "rerank-english-v3.0",
    "jina-colbert-v2",
    "mixedbread-ai/mxbai-rerank-base-v1",
    "ms-marco-MiniLM-L-12-v2",
    "answerdotai/answerai-colbert-small-v1",
    "./models/rank-maxsim-tuned",
    "org/rank-maxsim",
    "rank-maxsim2",
    "Rank-MaxSim",
    "maxsim",
    "",
]
TYPES = [None, "cohere", "colbert", "cross-encoder", "t5", "rankllm", "of-somebody-else"]


class Recorder:
    """Stands in for every class of the host, so that its routing is seen without a download."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.call = (arguments, options)


def routes(capsys: pytest.CaptureFixture[str]) -> dict[Any, Any]:
    """Return what the host makes of every other name: its private answers, the call that it ends in, what it prints."""
    found: dict[Any, Any] = {}
    for name in OTHERS:
        for kind in TYPES:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                private = (host._get_api_provider(name, kind), host._get_model_type(name, kind))
                for lang in ("en", "fr"):
                    defaults = host._get_defaults(name, kind, lang, 1)
                    try:
                        answer = getattr(rerankers.Reranker(name, lang, kind, 1, option=1), "call", None)
                    except KeyError as error:  # the host's own, for a type or language that it does not know
                        answer = repr(error)
                    told = [str(warning.message) for warning in warned]
                    found[name, kind, lang] = (private, defaults, answer, capsys.readouterr(), told)
    return found


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in host.DEPS_MAPPING:
        if name not in core.names():
            monkeypatch.setitem(host.AVAILABLE_RANKERS, name, Recorder)


def test_other_names_are_unchanged(recorders: None, unregistered: None, capsys: pytest.CaptureFixture[str]) -> None:
    """With us and without us, every other name is routed, defaulted, warned of and printed in the same way."""
    tables = [dict(host.DEFAULTS), dict(host.AVAILABLE_RANKERS), dict(host.DEPS_MAPPING)]
    kept = [host._get_model_type, host.Reranker, rerankers.Reranker]
    private = [getattr(host, name) for name in PATCHED]
    before = routes(capsys)
    names = register()
    assert routes(capsys) == before
    assert [host._get_model_type, host.Reranker, rerankers.Reranker] == kept
    for table, old in zip((host.DEFAULTS, host.AVAILABLE_RANKERS, host.DEPS_MAPPING), tables, strict=True):
        assert set(table) - set(old) == set(names)
        assert {name: value for name, value in table.items() if name not in names} == old
    unregister()
    assert tables == [host.DEFAULTS, host.AVAILABLE_RANKERS, host.DEPS_MAPPING]
    assert [getattr(host, name) for name in PATCHED] == private


def test_without_us_the_name_is_not_known(recorders: None, unregistered: None) -> None:
    """The host alone would take the name for a cross-encoder: what registration is there for."""
    assert isinstance(rerankers.Reranker("rank-maxsim", verbose=0), Recorder)


def test_the_factory_is_the_hosts_own() -> None:
    """The drop-in is the function of rerankers, so one imported earlier is reached too."""
    assert Reranker is rerankers.Reranker is host.Reranker
    assert set(rank_plugins_rerankers.__all__) == {"MaxSimRanker", "Reranker", "register"}


@pytest.mark.parametrize("options", [{}, {"model_type": "rank-maxsim"}, {"lang": "en"}, {"verbose": 2}])
def test_the_name_is_found(toy: Any, options: dict[str, Any]) -> None:
    """`Reranker("rank-maxsim")` is ours, also with its own name as the type."""
    made = Reranker("rank-maxsim", encoder=toy, **options)
    assert type(made) is MaxSimRanker
    assert made.verbose == options.get("verbose", 1)


def test_every_name_of_the_table_is_registered() -> None:
    """Whatever `rank_plugins.rerankers` can load, the host can."""
    assert set(core.names()) <= set(register())
    assert all(host.AVAILABLE_RANKERS[name] is MaxSimRanker for name in core.names())


def test_registering_again_changes_nothing() -> None:
    """A second and third call leave the same tables and one layer of functions."""
    first = register()
    tables = [dict(host.DEFAULTS), dict(host.AVAILABLE_RANKERS), dict(host.DEPS_MAPPING)]
    assert register() == register() == first
    assert tables == [host.DEFAULTS, host.AVAILABLE_RANKERS, host.DEPS_MAPPING]
    for name in PATCHED:
        assert not hasattr(getattr(host, name).__wrapped__, "__wrapped__")


def test_importing_twice(monkeypatch: pytest.MonkeyPatch, toy: Any) -> None:
    """A second copy of the package takes the place of the first, without a second layer."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "rank_plugins_rerankers"]:
        monkeypatch.delitem(sys.modules, name)
    again = importlib.import_module("rank_plugins_rerankers")
    try:
        assert again.MaxSimRanker is not MaxSimRanker
        assert type(rerankers.Reranker("rank-maxsim", verbose=0, encoder=toy)) is again.MaxSimRanker
        for name in PATCHED:
            assert not hasattr(getattr(host, name).__wrapped__, "__wrapped__")
    finally:
        register()
    assert type(rerankers.Reranker("rank-maxsim", verbose=0, encoder=toy)) is MaxSimRanker


def test_a_patch_of_somebody_else_survives(unregistered: None, monkeypatch: pytest.MonkeyPatch, toy: Any) -> None:
    """Who wraps the host's functions after us is neither thrown out by `register` nor by `unregister`."""
    import functools

    register()
    inner, seen = host._get_defaults, []

    @functools.wraps(inner)
    def theirs(model_name: str, model_type: Any = None, lang: str = "en", verbose: int = 1) -> Any:
        seen.append(model_name)
        return inner(model_name, model_type, lang, verbose)

    monkeypatch.setattr(host, "_get_defaults", theirs)
    unregister()
    assert host._get_defaults is theirs
    register()
    host._get_defaults("of somebody", "t", "en", 0)
    assert type(rerankers.Reranker("rank-maxsim", verbose=0, encoder=toy)) is MaxSimRanker
    unregister()
    assert host._get_defaults is theirs
    assert seen == ["of somebody"]
    monkeypatch.undo()


@pytest.mark.parametrize("lang", ["en", "de", "zh", "other", "en-GB"])
def test_verbose_0_prints_nothing(toy: Any, capfd: pytest.CaptureFixture[str], lang: str) -> None:
    """No line of ours or of the host's defaults, and no warning, in any language."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = Reranker("rank-maxsim", lang=lang, verbose=0, encoder=toy)
        made.rank("red apple", ["red", "apple", " "])
    assert capfd.readouterr() == ("", "")


def test_verbose_1_prints_the_hosts_line_only(toy: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """At verbose=1 the host says what it loads; we add nothing."""
    Reranker("rank-maxsim", encoder=toy).rank("red", ["red"])
    out, err = capfd.readouterr()
    assert out.startswith("Loading rank-maxsim model rank-maxsim")
    assert (out.count("\n"), err) == (1, "")


def test_another_language_warns(toy: Any) -> None:
    """Another language works, with a warning at the caller's line that says what has an effect."""
    with pytest.warns(UserWarning, match=r"lang='de' has no effect on 'rank-maxsim'.*pass encoder=") as told:
        made = Reranker("rank-maxsim", lang="de", encoder=toy)
    assert told[0].filename == __file__
    assert made.rank("rot", ["rot"]).results_count() == 1


def test_a_wrong_type_beside_our_name(recorders: None) -> None:
    """An explicit type of the host's is the caller's wish; ours beside another name says which names there are."""
    made = Reranker("rank-maxsim", model_type="colbert", verbose=0)
    assert isinstance(made, Recorder)
    assert made.call[0] == ("rank-maxsim",)
    with pytest.raises(InputError, match=r"expected one of rank-maxsim.* got './folder'.*encoder="):
        Reranker("./folder", model_type="rank-maxsim", verbose=0)


MODULE = """
from rank_plugins.rerankers import Ranking, Reranker

class Constant(Reranker):
    def __init__(self, *, value=1.0):
        self.value = {"a": 1}[value] if isinstance(value, str) else value

    def _rank(self, requests, top_k):
        return [Ranking.from_scores([self.value] * len(request.documents), top_k) for request in requests]
"""
THEIRS = ["acme-jina-gpt-t5-colbert", "acme-constant", "colbert", "Cohere", "TransformerRanker"]


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another distribution on the path, whose entry points name a reranker."""
    (tmp_path / "acme_rerankers.py").write_text(MODULE)
    folder = tmp_path / "acme_rerankers-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rerankers\nVersion: 1.0\n")
    lines = "".join(f"{name} = acme_rerankers:Constant\n" for name in THEIRS)
    (folder / "entry_points.txt").write_text(f"[rank_plugins.rerankers]\n{lines}")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    unregister()
    monkeypatch.undo()
    register()


@pytest.mark.parametrize("name", THEIRS[:2])
def test_names_of_other_distributions(third_party: None, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """A reranker that another distribution adds works by name, whatever words of the host's its name holds."""
    assert name in register()
    made = Reranker(name, verbose=0, value=2.5)
    assert type(made) is MaxSimRanker
    assert [(result.doc_id, result.score) for result in made.rank("q", ["a", "b"])] == [(0, 2.5), (1, 2.5)]
    with pytest.raises(RankPluginsError, match=rf"{name}: .*'banana'; its options are: value"):
        Reranker(name, verbose=0, banana=1)
    assert capfd.readouterr() == ("", "")


def test_a_key_error_of_a_constructor(third_party: None) -> None:
    """A KeyError while a reranker is made is an error with its key; the host would have returned None."""
    register()
    with pytest.raises(RankPluginsError, match=r"Reranker\('acme-constant'\): .*failed to look up 'b'"):
        Reranker("acme-constant", verbose=0, value="b")


def test_names_of_the_host_stay_the_hosts(third_party: None) -> None:
    """A name that rerankers has already keeps its meaning; the class still takes it."""
    defaults = dict(host.DEFAULTS["colbert"])
    assert not {"colbert", "Cohere", "TransformerRanker"} & set(register())
    assert host.DEFAULTS["colbert"] == defaults
    assert host.AVAILABLE_RANKERS.get("TransformerRanker") is not MaxSimRanker
    assert MaxSimRanker("colbert", value=3.0).score("q", "d") == 3.0


def other_signature(model_name: str) -> str:
    return model_name


def closed(model_name: str, explicit_model_type: str | None = None) -> str:
    return "TransformerRanker"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AVAILABLE_RANKERS", None, "no dict AVAILABLE_RANKERS"),
        ("DEFAULTS", None, "no dict DEFAULTS"),
        ("DEPS_MAPPING", None, "no dict DEPS_MAPPING"),
        ("DEFAULTS", [], "no dict DEFAULTS"),
        ("_get_model_type", None, "no function _get_model_type"),
        ("_get_defaults", None, "no function _get_defaults"),
        ("_get_api_provider", None, "no function _get_api_provider"),
        ("_get_model_type", other_signature, r"_get_model_type\(model_name: .*in place of \(model_name, explicit"),
        ("_get_defaults", other_signature, "_get_defaults"),
        ("_get_model_type", closed, "_get_model_type does not accept new types"),
        ("Reranker", other_signature, "Reranker"),
    ],
)
def test_a_host_that_is_not_known(
    unregistered: None, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, message: str
) -> None:
    """Missing or different internals are refused with the version found and the range, and nothing is changed."""
    if value is None:
        monkeypatch.delattr(host, name)
    else:
        monkeypatch.setattr(host, name, value)
    before = dict(vars(host))
    with pytest.raises(HostVersionError, match=message) as caught:
        register()
    assert f"expected >=0.10,<0.11, got {rerankers.__version__}" in str(caught.value)
    assert isinstance(caught.value, (RankPluginsError, ImportError))
    assert dict(vars(host)) == before
    monkeypatch.undo()


@pytest.mark.parametrize("version", ["0.11.0", "0.9.1", "1.0", "0.100.0"])
def test_a_version_that_is_not_known(unregistered: None, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """A version outside the range is refused although its internals look right."""
    monkeypatch.setattr(rerankers, "__version__", version)
    with pytest.raises(HostVersionError, match=rf"expected >=0.10,<0.11, got {version} \(another version\)"):
        register()
    monkeypatch.undo()


def fresh(code: str) -> str:
    """Run code in a new interpreter and return what it printed, to both streams."""
    script = "class NoTorch:\n    def find_spec(self, name, path=None, target=None):\n"
    script += "        if name.partition('.')[0] == 'torch':\n            raise ModuleNotFoundError(name, name=name)\n"
    script += f"import sys; sys.meta_path.insert(0, NoTorch())\n{code}"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return ran.stdout + ran.stderr


def test_importing_without_torch() -> None:
    """Where torch cannot be imported everything works, and nothing heavy is loaded by our import."""
    code = """
import rerankers, rank_plugins
before = set(sys.modules)
import rank_plugins_rerankers
new = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not new & {"torch", "onnxruntime", "openvino", "tokenizers", "langchain_core", "transformers"}, new
from rank_plugins_rerankers import Reranker
assert list(Reranker("rank-maxsim", verbose=0).rank("q", [])) == []
new = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not new & {"torch", "onnxruntime"}, new
"""
    assert fresh(code) == ""


def test_a_factory_imported_before_us() -> None:
    """`from rerankers import Reranker` may come before or after our import, and prints nothing at verbose=0."""
    code = """
from rerankers import Reranker as before
import rank_plugins_rerankers
from rerankers import Reranker as after
for factory in (before, after, rank_plugins_rerankers.Reranker):
    assert type(factory("rank-maxsim", lang="de", verbose=0)) is rank_plugins_rerankers.MaxSimRanker
"""
    assert fresh(code) == ""


@pytest.mark.parametrize("change", ["del rerankers.reranker.DEFAULTS", "sys.modules['rerankers.results'] = None"])
def test_importing_beside_an_unknown_host(change: str) -> None:
    """The import itself fails with the message, as an ImportError, where the host has changed."""
    code = f"""
import rerankers.reranker
{change}
try:
    import rank_plugins_rerankers
except ImportError as error:
    print(error)
"""
    assert fresh(code).startswith("rerankers: expected >=0.10,<0.11, got ")


def test_the_module_is_typed() -> None:
    """The marker that lets type checkers read the annotations is beside the module."""
    assert isinstance(rank_plugins_rerankers, types.ModuleType)
    assert (Path(str(rank_plugins_rerankers.__file__)).parent / "py.typed").is_file()
