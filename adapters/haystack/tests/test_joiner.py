"""RankPluginsJoiner: by hand, against the host's joiner, and in pipelines."""

from __future__ import annotations

import asyncio
import copy
import warnings
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.components.joiners import DocumentJoiner
from hypothesis import given
from hypothesis import strategies as st

from haystack_integrations.components.joiners.rank_plugins import RankPluginsJoiner
from rank_plugins.errors import InputError, InputTypeError

TYPE = "haystack_integrations.components.joiners.rank_plugins.joiner.RankPluginsJoiner"
DEFAULTS: dict[str, Any] = {"method": "rrf", "weights": None, "top_k": None, "sources": None, "method_kwargs": {}}


def documents(names: str, **fields: Any) -> list[Document]:
    """Return a Document for each letter."""
    return [Document(id=name, content=f"text {name}", **fields) for name in names]


def scored(**scores: float) -> list[Document]:
    """Return Documents of these scores."""
    return [Document(id=name, content=name, score=score) for name, score in scores.items()]


def table(found: dict[str, list[Document]]) -> dict[str, tuple[Any, Any]]:
    """Return {id: (score, ranks)} in the order found."""
    return {one.id: (pytest.approx(one.score), one.meta["ranks"]) for one in found["documents"]}


def test_reciprocal_ranks_by_hand() -> None:
    found = RankPluginsJoiner().run([documents("ab"), documents("bc")])
    assert list(table(found)) == ["b", "a", "c"]
    assert table(found) == {
        "b": (1 / 62 + 1 / 61, [2, 1]),
        "a": (1 / 61, [1, None]),
        "c": (1 / 62, [None, 2]),
    }


def test_weights_and_options_by_hand() -> None:
    joiner = RankPluginsJoiner(weights=[1, 3], method_kwargs={"k": 0}, top_k=2)
    assert table(joiner.run([documents("ab"), documents("cb")])) == {"c": (3, [None, 1]), "b": (2, [2, 2])}
    assert list(table(joiner.run([documents("ab"), documents("cb")], top_k=1))) == ["c"]


def test_sums_of_scores_by_hand() -> None:
    joiner = RankPluginsJoiner(method="wsum", weights=[1, 2], method_kwargs={"norm": "minmax"})
    found = joiner.run([scored(a=9.0, b=5.0, c=1.0), scored(c=0.9, b=0.1)])
    assert table(found) == {"c": (2, [3, 1]), "a": (1, [1, None]), "b": (0.5, [2, 2])}


def test_scores_that_are_missing_are_said() -> None:
    with pytest.raises(ValueError, match="scores"):
        RankPluginsJoiner(method="wsum").run([scored(a=1.0), documents("b")])


def test_a_document_twice_in_one_list_counts_once() -> None:
    """As if it stood only at its best place."""
    joiner = RankPluginsJoiner()
    assert table(joiner.run([documents("aab"), documents("b")])) == table(joiner.run([documents("ab"), documents("b")]))


def test_the_first_source_s_document_is_kept() -> None:
    first = [Document(id="a", content="first", meta={"from": 1}, score=0.1)]
    second = [Document(id="a", content="second", meta={"from": 2}, score=0.9)]
    (found,) = RankPluginsJoiner().run([first, second])["documents"]
    assert (found.content, found.meta) == ("first", {"from": 1, "ranks": [1, 1]})


def test_results_are_copies() -> None:
    lists = [scored(a=1.0, b=0.5), scored(b=2.0)]
    before = copy.deepcopy(lists)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the host warns where a Document is changed
        found = RankPluginsJoiner().run(lists)["documents"]
    found[0].meta["more"] = 1
    assert lists == before
    assert all(type(one.score) is float for one in found)


def test_equal_scores_are_ordered_by_source() -> None:
    joiner = RankPluginsJoiner()
    assert [one.id for one in joiner.run([documents("z"), documents("a"), documents("m")])["documents"]] == [*"zam"]


@pytest.mark.parametrize("lists", [[], [[]], [[], []]])
def test_nothing_in_nothing_out(lists: list[list[Document]]) -> None:
    assert RankPluginsJoiner().run(lists) == {"documents": []}


lists_of_documents = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-8, 8)), max_size=6, unique_by=lambda row: row[0]).map(
        lambda rows: sorted(
            (Document(id=name, content=name, score=score / 4) for name, score in rows),
            key=lambda one: -(one.score or 0),
        )
    ),
    min_size=1,
    max_size=4,
)


@given(lists_of_documents, st.data())
def test_the_host_s_reciprocal_ranks(lists: list[list[Document]], data: st.DataObject) -> None:
    """The preset gives the scores of the host's own joiner, whose order of equal scores is another."""
    weights = data.draw(st.lists(st.integers(1, 9).map(float), min_size=len(lists), max_size=len(lists)))
    theirs = DocumentJoiner("reciprocal_rank_fusion", weights=weights).run(lists)["documents"]
    preset = RankPluginsJoiner(method="haystack-rrf", weights=weights)
    ours = preset.run([_untied(one) for one in lists])["documents"]
    assert {one.id: pytest.approx(one.score) for one in ours} == {one.id: one.score for one in theirs}


def _untied(one: list[Document]) -> list[Document]:
    return [Document(id=document.id, content=document.content) for document in one]


@given(lists_of_documents, st.sampled_from(["rrf", "wsum", "isr", "borda", "mnz"]))
def test_what_holds_for_every_method(lists: list[list[Document]], method: str) -> None:
    """Each Document once, best first, with its rank where it has one; top_k is a prefix."""
    joiner = RankPluginsJoiner(method=method)
    found = joiner.run(lists)["documents"]
    assert sorted(one.id for one in found) == sorted({one.id for part in lists for one in part})
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)  # type: ignore[type-var]
    for one in found:
        assert [rank is not None for rank in one.meta["ranks"]] == [one.id in [d.id for d in part] for part in lists]
    assert joiner.run(lists, top_k=2)["documents"] == found[:2]
    assert asyncio.run(joiner.run_async(lists)) == {"documents": found}


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"method": "rff"}, InputError, "did you mean 'rsf' or 'rrf'"),
        ({"method": 7}, InputTypeError, "method: expected a name, got int"),
        ({"weights": [1, -1]}, InputError, "weights: expected numbers that are not negative"),
        ({"weights": 2}, InputTypeError, "weights: expected a list, got int"),
        ({"weights": [1], "sources": ["a", "b"]}, InputError, "weights: expected 2 of them"),
        ({"top_k": 0}, InputError, "top_k: expected at least 1, got 0"),
        ({"method_kwargs": {"kk": 1}}, InputTypeError, "did you mean 'k'"),
        ({"method_kwargs": {"k": -1}}, InputError, "k: expected more than 0"),
        ({"method_kwargs": {"top": 1}}, InputTypeError, "method_kwargs: expected parameters of the method, got 'top'"),
        ({"method_kwargs": {"method": "sum"}}, InputTypeError, "method_kwargs: .*'method'"),
        ({"sources": ["self"]}, InputError, "sources: expected names that an input can have, got 'self'"),
        ({"method_kwargs": [1]}, InputTypeError, "method_kwargs: expected a dict, got list"),
        ({"sources": []}, InputError, "sources: expected different names, at least one, got none"),
        ({"sources": ["a", "a"]}, InputError, "sources: expected different names"),
        ({"sources": ["top_k"]}, InputError, "got 'top_k'; choose another"),
        ({"sources": ["a.b"]}, InputError, "got 'a.b'; choose another"),
        ({"sources": [7]}, InputTypeError, "sources: expected names, got int 7"),
        ({"sources": "ab"}, InputTypeError, "sources: expected a list, got str"),
    ],
)
def test_init_with_incorrect_input(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        RankPluginsJoiner(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"documents": [[], [], []]}, InputError, r"weights: expected 3 of them \(one per source\), got 2"),
        ({"documents": [documents("a"), ["b"]]}, InputTypeError, r"documents\[1\]\[0\]: expected a Document, got str"),
        ({"documents": documents("a")}, InputTypeError, r"documents\[0\]: expected a list of Documents, got Document"),
        ({"documents": 7}, InputTypeError, "documents: expected lists of Documents, got int"),
        ({"documents": [[], []], "top_k": 0}, InputError, "top_k: expected at least 1, got 0"),
        ({"bm25": []}, InputTypeError, r"bm25: expected documents=\[...\]"),
    ],
)
def test_run_with_incorrect_input(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        RankPluginsJoiner(weights=[1, 2]).run(**arguments)


def test_named_sources() -> None:
    """Each weight belongs to its name, whatever the order of the call; a source that is missing is empty."""
    joiner = RankPluginsJoiner(sources=["b", "a"], weights=[3, 1], method_kwargs={"k": 0})
    assert table(joiner.run(a=documents("xy"), b=documents("y"))) == {"y": (3.5, [1, 2]), "x": (1, [None, 1])}
    assert table(joiner.run(a=documents("x"))) == {"x": (1, [None, 1])}
    assert joiner.run() == {"documents": []}
    with pytest.raises(InputTypeError, match="sources: expected b, a, got c"):
        joiner.run(c=documents("x"))
    with pytest.raises(InputTypeError, match="sources: expected b, a, got documents"):
        joiner.run([documents("x"), documents("y")])


def test_to_dict_and_from_dict() -> None:
    assert RankPluginsJoiner().to_dict() == {"type": TYPE, "init_parameters": DEFAULTS}
    custom = {
        "method": "wsum",
        "weights": [2.0, 1.0],
        "top_k": 5,
        "sources": ["b", "a"],
        "method_kwargs": {"norm": "max"},
    }
    saved = RankPluginsJoiner(**custom).to_dict()  # type: ignore[arg-type]
    assert saved == {"type": TYPE, "init_parameters": custom}
    assert RankPluginsJoiner.from_dict(saved).to_dict() == saved


@component
class Source:
    """Sends Documents; in a coroutine, when those that it waits for have sent theirs."""

    def __init__(self, names: str, after: asyncio.Event | None = None, done: asyncio.Event | None = None) -> None:
        self.names, self.after, self.done = names, after, done

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, list[Document]]:
        return {"documents": documents(self.names)}

    @component.output_types(documents=list[Document])
    async def run_async(self, query: str) -> dict[str, list[Document]]:
        if self.after is not None:
            await self.after.wait()
            await asyncio.sleep(0)
        if self.done is not None:
            self.done.set()
        return {"documents": documents(self.names)}


def pipeline(joiner: RankPluginsJoiner, inputs: list[str]) -> Pipeline:
    """Return two sources and the joiner; in a coroutine the second source is the first to end."""
    event = asyncio.Event()
    made = Pipeline()
    made.add_component("first", Source("xy", after=event))
    made.add_component("second", Source("yz", done=event))
    made.add_component("joiner", joiner)
    for sender, name in zip(("first", "second"), inputs, strict=True):
        made.connect(f"{sender}.documents", f"joiner.{name}")
    return made


DATA = {"first": {"query": "q"}, "second": {"query": "q"}}


def test_in_a_pipeline() -> None:
    found = pipeline(RankPluginsJoiner(weights=[1, 2]), ["documents", "documents"]).run(DATA)["joiner"]
    assert found == RankPluginsJoiner(weights=[1, 2]).run([documents("xy"), documents("yz")])


def test_named_sources_in_an_asynchronous_pipeline() -> None:
    """Weights stay with their source, although the second one is the first to send."""
    joiner = RankPluginsJoiner(sources=["one", "two"], weights=[5, 1])
    expected = RankPluginsJoiner(weights=[5, 1]).run([documents("xy"), documents("yz")])
    made = pipeline(joiner, ["one", "two"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(made.run_async(DATA))["joiner"] == expected
    assert made.run(DATA)["joiner"] == expected


def test_weights_of_an_asynchronous_pipeline_warn() -> None:
    """There they belong to whichever source was first, which the component cannot see; it says so once."""
    made = pipeline(RankPluginsJoiner(weights=[5, 1]), ["documents", "documents"])
    with pytest.warns(UserWarning, match=r"name the inputs with sources="):
        asyncio.run(made.run_async(DATA))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(made.run_async(DATA))


def test_saved_and_loaded() -> None:
    """A pipeline comes back from YAML without an allow-list, its inputs in their order, and gives the same."""
    made = Pipeline()
    made.add_component("joiner", RankPluginsJoiner(sources=["z", "a"], weights=[1, 1]))
    made.add_component("unnamed", RankPluginsJoiner(method="wsum"))
    loaded = Pipeline.loads(made.dumps())
    assert loaded == made
    data: dict[str, Any] = {
        "joiner": {"a": documents("x"), "z": documents("y")},
        "unnamed": {"documents": scored(a=1.0)},
    }
    found = loaded.run(data)
    assert found == made.run(data)
    assert [one.id for one in found["joiner"]["documents"]] == ["y", "x"]
