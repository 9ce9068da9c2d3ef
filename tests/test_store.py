"""EmbeddingStore: what goes in comes out, for every codec, snapshot and setting. tests/store/ has the faults."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rank_plugins import InputError, InputTypeError, StoreError, TokenEmbeddings, maxsim
from rank_plugins.quantize import dequantize, quantize
from rank_plugins.store import EmbeddingStore, TokenReduction
from rank_plugins.store import writer as writer_module
from rank_plugins.testing import HashEncoder

K = 16
FITTED = ("residual1", "residual2", "residual4", "pq")


def documents(seed: int, count: int, dim: int = K, least: int = 0) -> TokenEmbeddings:
    """Return unit vectors, float32, of `count` documents of up to 12 tokens."""
    rng = np.random.default_rng(seed)
    vectors = [rng.standard_normal((int(n), dim)).astype(np.float32) for n in rng.integers(least, 13, count)]
    return TokenEmbeddings.from_list([v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors])


def names(count: int, first: int = 0) -> list[str]:
    return [f"d{i}" for i in range(first, first + count)]


def same(got: TokenEmbeddings, expected: TokenEmbeddings) -> bool:
    """Return whether two collections hold the same bytes."""
    if len(got) != len(expected) or got.dtype != expected.dtype:
        return False
    scales = got.scales, expected.scales
    return all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True)) and (
        scales[0] is None if scales[1] is None else np.array_equal(*scales)
    )


@pytest.mark.parametrize("codec", ["float32", "float16", "bfloat16", "int8", "binary"])
def test_get_returns_what_quantize_makes(tmp_path, codec):
    """In any order, after reopening, for every dtype."""
    embeddings = documents(1, 40)
    with EmbeddingStore.open(tmp_path / "s", "a", codec=codec) as store:
        store.add(names(40), embeddings)
        assert len(store) == 40
        assert list(store) == names(40)
    order = np.random.default_rng(2).permutation(40)
    with EmbeddingStore.open(tmp_path / "s") as store:
        got = store.get([f"d{i}" for i in order])
        assert same(got, quantize(embeddings, codec)[order])
        assert store.codec == codec
        assert store.verify() == []
        assert "d3" in store
        assert "e3" not in store
        assert 3 not in store


@pytest.mark.parametrize("codec", FITTED)
def test_fitted_codecs_keep_what_they_are_fitted_to(tmp_path, codec):
    """A store that is fitted to its first documents scores as its decoded vectors do, also after reopening."""
    embeddings = documents(3, 300, least=1)
    with EmbeddingStore.open(tmp_path, "a", codec=codec, projection=8) as store:
        store.add(names(300), embeddings)
        store.add(names(5, 300), embeddings[:5])
    with EmbeddingStore.open(tmp_path) as store:
        got = store.get(names(305))
        assert got.dim == 8
        assert same(got[300:], got[:5])
        query = store.project(documents(4, 1, least=12)[0])
        assert maxsim(query, got) == pytest.approx(maxsim(query, dequantize(got)), abs=1e-4)
        assert store.verify() == []


def test_get_copies_nothing(tmp_path):
    """Documents point into the mapping of their segment, and outlive the store."""
    embeddings = documents(5, 4, least=1)
    with EmbeddingStore.open(tmp_path, "a", codec="float32") as store:
        store.add(names(4), embeddings)
        first, second = store.get(["d2"])[0], store.get(["d2", "d0"])[0]
    assert np.shares_memory(first, second)
    assert np.array_equal(first, embeddings[2])
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


def test_unknown_ids_are_named(tmp_path):
    """By get and by delete, which then deletes nothing."""
    with EmbeddingStore.open(tmp_path, "a") as store:
        store.add(names(2), documents(6, 2))
        with pytest.raises(InputError, match="'nope'"):
            store.get(["d0", "nope"])
        with pytest.raises(InputError, match="'nope'"):
            store.delete(["d0", "nope"])
        assert list(store) == ["d0", "d1"]


def test_many_ids(tmp_path):
    """More ids than one SQL statement takes, repeated and in any order."""
    embeddings = documents(7, 1500)
    with EmbeddingStore.open(tmp_path, "a") as store:
        store.add(names(1500), embeddings)
        order = np.random.default_rng(8).integers(0, 1500, 2000)
        assert same(store.get([f"d{i}" for i in order]), quantize(embeddings, "int8")[order])
        store.delete(names(1400))
        assert list(store) == names(100, 1400)


def test_a_reader_keeps_its_snapshot(tmp_path):
    """While a writer replaces, deletes, compacts and adds; refresh shows the new state."""
    old, new = documents(9, 10, least=1), documents(10, 10, least=1)
    with EmbeddingStore.open(tmp_path, "a") as writer:
        writer.add(names(10), old)
        with EmbeddingStore.open(tmp_path) as reader:
            writer.add(names(5), new[:5])
            writer.delete(["d9"])
            writer.compact()
            writer.add(["more"], new[5:6])
            assert list(reader) == names(10)
            assert same(reader.get(names(10)), quantize(old, "int8"))
            assert reader.verify() == []
            reader.refresh()
            assert set(reader) == {*names(9), "more"}
            assert same(reader.get(["d1", "more"]), quantize(new, "int8")[[1, 5]])


def test_compact_gives_space_back(tmp_path):
    """All of it, and a segment without a dead row stays where it is."""
    embeddings = documents(11, 50, least=1)
    with EmbeddingStore.open(tmp_path, "a") as store:
        store.add(names(50), embeddings)
        store.delete(names(30))
        dead = store.stats()["dead tokens"]
        assert dead == embeddings.tokens[:30].sum()
        assert store.compact() == dead * store.stats()["bytes per token"]
        assert store.stats()["dead tokens"] == 0
        assert store.compact() == 0
        assert same(store.get(names(20, 30)), quantize(embeddings, "int8")[30:])
        assert store.verify() == []


def test_segments_are_bounded(tmp_path, monkeypatch):
    """A full segment is followed by another; compaction works across them."""
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", 2000)
    monkeypatch.setattr(writer_module, "MOVED_AT_ONCE", 300)
    embeddings = documents(12, 60, least=1)
    with EmbeddingStore.open(tmp_path, "a") as store:
        for i in range(60):
            store.add([f"d{i}"], embeddings[i : i + 1])
        assert store.stats()["segments"] > 2
        store.delete(names(60)[::2])
        store.compact()
        assert same(store.get(names(60)[1::2]), quantize(embeddings, "int8")[1::2])
        assert store.stats()["dead tokens"] == 0
        assert len(list((tmp_path / "segments").iterdir())) == 2 * store.stats()["segments"]


def test_search_is_maxsim_over_everything(tmp_path):
    """The best documents, best first, ties in order of addition, empty documents never."""
    embeddings = documents(13, 200)
    query = documents(14, 1, least=12)[0]
    with EmbeddingStore.open(tmp_path, "a") as store:
        assert store.search(query) == []
        store.add(names(200), embeddings)
        store.add(["again"], embeddings[17:18])
        store.delete(["d5"])
        kept = [name for name in store if name != "d5"]
        scores = maxsim(query, store.get(kept))
        order = np.argsort(-scores, kind="stable")
        assert store.search(query, 7) == [(kept[i], float(scores[i])) for i in order[:7]]
        full = int((store.get(kept).tokens > 0).sum())
        assert len(store.search(query, 1000)) == full
        with pytest.raises(InputError, match="16 dimensions"):
            store.search(np.ones((2, 3), np.float32))


def test_text_is_encoded_and_remembered(tmp_path):
    """The encoder's vectors, its fingerprint, and which text an id had."""
    encoder = HashEncoder(K)
    texts = ["red fish", "", "blue fish\ud800"]
    with EmbeddingStore.open(tmp_path, "a", codec="float32") as store:
        store.add(["a", "b", "c"], texts=texts, encoder=encoder)
        assert same(store.get(["a", "b", "c"]), encoder.encode_documents(texts))
        assert store.fingerprint == encoder.fingerprint
        assert store.changed(["a", "c", "d"], ["red fish", "green fish", "x"]) == [False, True, True]
        assert store.search("red fish", 1, encoder=encoder)[0][0] == "a"
        places, found = store.find(["new", "red fish", "red fish"], ["c", "zz", "c"])
        assert places.tolist() == [1]  # "c" is here with another text, which is outdated
        assert same(found, store.get(["a"]))
        assert store.find(["blue fish\ud800"])[0].tolist() == [0]
        for call in (store.find, lambda texts, ids: store.changed(ids, texts)):
            with pytest.raises(InputError, match="expected 2"):
                call(["x"], ["a", "b"])
            with pytest.raises(InputError, match="surrogate"):
                call(["x"], ["\ud800"])
        with pytest.raises(InputTypeError, match="encoder="):
            store.search("red fish")


def test_another_encoder_is_refused(tmp_path):
    """By fingerprint, by dimension, and where the store was given vectors of an unknown one."""
    with EmbeddingStore.open(tmp_path / "a", "a") as store:
        store.add(["a"], texts=["x"], encoder=HashEncoder(K))
        with pytest.raises(InputError, match="fingerprint"):
            store.add(["b"], texts=["y"], encoder=HashEncoder(8))
        with pytest.raises(InputError, match="fingerprint"):
            store.search("x", encoder=HashEncoder(8))
        with pytest.raises(InputError, match="16 dimensions"):
            store.add(["b"], documents(1, 1, dim=8))
        assert list(store) == ["a"]
    with EmbeddingStore.open(tmp_path / "b", "a") as store:
        store.add(["a"], documents(1, 1))
        with pytest.raises(InputError, match="not known"):
            store.add(["b"], texts=["y"], encoder=HashEncoder(K))


def test_bad_arguments(tmp_path):
    """Each is refused with what was expected, and nothing is added."""
    with EmbeddingStore.open(tmp_path, "a") as store:
        one = documents(1, 1)
        for call, error, message in [
            (lambda: store.add("ab", one), InputTypeError, "list of str"),
            (lambda: store.add([1], one), InputTypeError, r"ids\[0\]"),
            (lambda: store.add(["a\0"], one), InputError, "NUL"),
            (lambda: store.add(["\ud800"], one), InputError, "surrogate"),
            (lambda: store.add(["a", "a"], documents(1, 2)), InputError, "'a' 2 times"),
            (lambda: store.add(["a", "b"], one), InputError, "expected 2"),
            (lambda: store.add(["a"]), InputTypeError, "embeddings, or texts"),
            (lambda: store.add(["a"], texts=["x"]), InputTypeError, "embeddings, or texts"),
            (lambda: store.add(["a"], one, encoder=HashEncoder(K)), InputTypeError, "embeddings, or texts"),
            (lambda: store.add(["a"], np.ones((1, 2))), InputTypeError, "TokenEmbeddings"),
            (lambda: store.search(np.ones((2, K), np.float32), 0), InputError, "top_k"),
        ]:
            with pytest.raises(error, match=message):
                call()
        assert len(store) == 0
    for options, message in [
        ({"codec": "int7"}, "residual2"),
        ({"projection": 0}, "projection"),
        ({"codec": "float16"}, "expected 'int8'"),
        ({"projection": 4}, "expected None"),
        ({"reduction": TokenReduction(pool=2)}, "reduction"),
        ({"mode": "w"}, "mode"),
    ]:
        with pytest.raises(InputError, match=message):
            EmbeddingStore.open(tmp_path, **options)


def test_settings_of_an_empty_store(tmp_path):
    """Are not final before the first documents; a projection keeps less than the encoder has."""
    EmbeddingStore.open(tmp_path, "a", codec="pq").close()
    with EmbeddingStore.open(tmp_path, "a", codec="float32", projection=K) as store:
        with pytest.raises(InputError, match="less than the encoder's 16"):
            store.add(["a"], documents(1, 1))
        assert len(store) == 0
    with EmbeddingStore.open(tmp_path, "a", codec="int8", projection=K - 1) as store:
        store.add(names(20), documents(1, 20))
    with pytest.raises(InputError, match="expected 15"):
        EmbeddingStore.open(tmp_path, "a", projection=3)


def test_a_fitted_store_is_the_mould_of_others(tmp_path):
    """Copied while it is empty, it gives the copies its codebook and projection, so their rows are the same."""
    embeddings = documents(16, 60, least=1)
    with EmbeddingStore.open(tmp_path / "mould", "a", codec="residual2", projection=8) as store:
        store.fit(embeddings)
        with pytest.raises(InputError, match="expected 8"):
            EmbeddingStore.open(tmp_path / "mould", codec="residual2", projection=4)
    rows = []
    for name in ("a", "b"):
        shutil.copytree(tmp_path / "mould", tmp_path / name)
        with EmbeddingStore.open(tmp_path / name, "a", codec="residual2", projection=8) as store:
            store.add(["x"], embeddings[5:6] if name == "a" else embeddings[6:7])
            store.add(["y"], embeddings[:1])
            rows.append(store.get(["y"]))
    assert same(*rows)


def test_a_folder_that_is_no_store(tmp_path):
    """Nothing is made or changed in it."""
    with pytest.raises(StoreError, match="mode 'a'"):
        EmbeddingStore.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="other files"):
        EmbeddingStore.open(tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_reading_only(tmp_path):
    """A store that is open for reading, or closed, says so."""
    EmbeddingStore.open(tmp_path, "a").close()
    with EmbeddingStore.open(tmp_path) as store:
        for change in (lambda: store.add(["a"], documents(1, 1)), lambda: store.delete(["a"]), store.compact):
            with pytest.raises(StoreError, match="mode 'a'"):
                change()
        assert len(store) == 0
        assert list(store.get([])) == []
    with pytest.raises(StoreError, match="closed"):
        store.get(["a"])


def test_stats_are_json(tmp_path):
    """And say which engines made the rows."""
    with EmbeddingStore.open(tmp_path, "a", reduction=TokenReduction(skip=("punctuation",))) as store:
        first, second = HashEncoder(K), HashEncoder(K)
        first.engine, second.engine = "one", "two"
        first.document_tokens = second.document_tokens = lambda texts: [text.split() for text in texts]
        store.add(["a"], texts=["x y"], encoder=first)
        store.add(["b"], texts=["z"], encoder=second)
        stats = json.loads(json.dumps(store.stats()))
        assert stats["engines"] == {"one": 2, "two": 1}
        assert stats["documents"] == 2
        assert stats["tokens"] == 3
        assert stats["reduction"] == {"pool": 1, "skip": ["punctuation"]}
        assert stats["bytes per token"] == K + 4
        assert stats["bytes"] > 3 * (K + 4)


def test_reduction_is_applied_to_text(tmp_path):
    """Tokens of the skip-list are not kept; an encoder without their text is refused."""
    encoder = HashEncoder(K)
    with EmbeddingStore.open(tmp_path, "a", codec="float32", reduction=TokenReduction(skip=("stop_words",))) as store:
        with pytest.raises(InputTypeError, match="document_tokens"):
            store.add(["a"], texts=["the fish"], encoder=encoder)
        encoder.document_tokens = lambda texts: [text.split() for text in texts]
        store.add(["a"], texts=["the fish"], encoder=encoder)
        assert np.array_equal(store.get(["a"])[0], encoder.encode_documents(["the fish"])[0][1:])


def _child(store, queue):
    queue.put((list(store), store.get(["d1"]).tokens.tolist(), _refusal(store)))


def _refusal(store):
    try:
        store.add(["z"], documents(1, 1))
    except StoreError as error:
        return str(error)
    return "added"


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_fork(tmp_path):
    """A forked process reads on a connection of its own and may not write; the parent's lock ends with the parent."""
    context = multiprocessing.get_context("fork")
    embeddings = documents(15, 3, least=1)
    with EmbeddingStore.open(tmp_path, "a") as store:
        store.add(names(3), embeddings)
        queue = context.SimpleQueue()
        child = context.Process(target=_child, args=(store, queue))
        child.start()
        assert queue.get() == (names(3), [embeddings.tokens[1]], queue_text(store))
        child.join()
        assert child.exitcode == 0
        store.add(["e"], embeddings[:1])
        assert len(store) == 4


def queue_text(store):
    return f"{store.path}: opened for writing before a fork; open the store in the new process"


class Store(RuleBasedStateMachine):
    """Random adds, replacements, deletions, compactions and reopenings against a dict."""

    @initialize(codec=st.sampled_from(["float16", "int8", "binary"]))
    def start(self, codec):
        self.folder = Path(tempfile.mkdtemp())
        self.codec = codec
        self.model: dict[str, TokenEmbeddings] = {}
        self.store = EmbeddingStore.open(self.folder, "a", codec=codec)

    @rule(ids=st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True), seed=st.integers(0, 1000))
    def add(self, ids, seed):
        embeddings = documents(seed, len(ids))
        self.store.add(ids, embeddings)
        kept = quantize(embeddings, self.codec)
        for i, name in enumerate(ids):
            self.model.pop(name, None)
            self.model[name] = kept[i : i + 1]

    @rule(ids=st.sets(st.sampled_from("abcdefgh")))
    def delete(self, ids):
        known = sorted(ids & set(self.model))
        self.store.delete(known)
        for name in known:
            del self.model[name]

    @rule()
    def compact(self):
        self.store.compact()
        assert self.store.stats()["dead tokens"] == 0

    @rule()
    def reopen(self):
        self.store.close()
        assert not list(self.folder.glob("*-wal"))  # the last connection tidies up
        self.store = EmbeddingStore.open(self.folder, "a", verify=True)

    @invariant()
    def is_the_model(self):
        assert list(self.store) == list(self.model)
        assert len(self.store) == len(self.model)
        for name, expected in self.model.items():
            assert same(self.store.get([name]), expected)

    def teardown(self):
        if hasattr(self, "store"):
            assert self.store.verify() == []
            self.store.close()
            shutil.rmtree(self.folder)


TestModel = Store.TestCase
TestModel.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
