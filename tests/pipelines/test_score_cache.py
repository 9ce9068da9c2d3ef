"""ScoreCache and CachedReranker: bits, threads, processes, forks, crashes, damage, and nothing scored twice."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError, StoreError, rerankers
from rank_plugins.encoders import load as load_encoder
from rank_plugins.evaluation.rerankers import evaluate_reranker
from rank_plugins.pipelines.cached import CachedReranker
from rank_plugins.pipelines.cascade import Cascade
from rank_plugins.pipelines.score_cache import ScoreCache
from rank_plugins.pipelines.stages import stage
from rank_plugins.rerankers import Ranking, Reranker
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.store import EmbeddingStore
from rank_plugins.testing import DOCUMENTS, QUERY, HashEncoder, RerankerContract

PAIRS = [(f"query {i % 7}", f"document {i}") for i in range(1500)]
SCORES = np.random.default_rng(0).normal(size=len(PAIRS))


class Lengths(Reranker):
    """Scores a document by its length, and remembers what it was asked."""

    fingerprint = "lengths"

    def __init__(self):
        self.asked = []

    def _rank(self, requests, top_k):
        self.asked += [(r.query, list(r.documents), r.ids, r.scores) for r in requests]
        return [
            Ranking.from_scores([len(d) + len(r.query) / 7 if d.strip() else -math.inf for d in r.documents], top_k)
            for r in requests
        ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.sqlite"


class TestContract(RerankerContract):
    """The contract, with a cache that fills as it goes."""

    @pytest.fixture
    def reranker(self, path):
        """Return MaxSim with a cache."""
        with rerankers.load("rank-cached", reranker=MaxSimReranker(HashEncoder(64)), cache=str(path)) as made:
            yield made


class TestContractWhenFull(TestContract):
    """The contract, with a cache that has much of what is asked."""

    @pytest.fixture
    def reranker(self, path):
        """Return MaxSim with a cache that was used."""
        with rerankers.load("rank-cached", reranker=MaxSimReranker(HashEncoder(64)), cache=str(path)) as made:
            made.rerank(QUERY, DOCUMENTS[1:])
            yield made


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=40))
def test_scores_come_back_to_the_bit(tmp_path_factory, scores):
    """Infinities, the smallest numbers and the sign of zero too."""
    with ScoreCache(tmp_path_factory.mktemp("bits") / "scores.sqlite") as cache:
        pairs = [("q", str(i)) for i in range(len(scores))]
        cache.put("m", pairs, scores)
        assert cache.get("m", pairs).tobytes() == np.array(scores).tobytes()


def test_models_queries_and_documents_are_told_apart(path):
    """A score belongs to one of each."""
    with ScoreCache(path) as cache:
        cache.put("m", [("q", "d"), ("d", "q")], [1.0, 2.0])
        cache.put("n", [("q", "d")], [3.0])
        assert cache.get("m", [("q", "d"), ("d", "q"), ("q", "q")])[:2].tolist() == [1.0, 2.0]
        assert np.isnan(cache.get("m", [("q", "q")])).all()
        assert np.isnan(cache.get("unknown", [("q", "d")])).all()
        assert cache.get("n", [("q", "d"), ("q", "d")]).tolist() == [3.0, 3.0]
        assert (cache.hits, cache.misses) == (4, 3)
        told = cache.stats()
    assert told == {"scores": 3, "bytes": path.stat().st_size, "hits": 4, "misses": 3}


def test_more_pairs_than_a_statement_can_have(path):
    """Any number is looked up and kept."""
    with ScoreCache(path) as cache:
        pairs = [("q", f"d{i}") for i in range(2100)]
        cache.put("m", pairs, np.arange(2100.0))
        assert cache.get("m", pairs[::-1]).tolist() == list(range(2099, -1, -1))
        assert len(cache) == 2100


def test_the_first_score_stays(path):
    """Two processes that compute one score agree on one."""
    with ScoreCache(path) as cache:
        cache.put("m", [("q", "d")], [1.0])
        cache.put("m", [("q", "d"), ("q", "e")], [2.0, 2.0])
        assert cache.get("m", [("q", "d"), ("q", "e")]).tolist() == [1.0, 2.0]


def test_it_stays_in_the_file(path):
    """Another object, after the first has closed, finds it; and the first one opens again."""
    with ScoreCache(path) as cache:
        cache.put("m", PAIRS, SCORES)
    with ScoreCache(str(path)) as other:
        assert other.get("m", PAIRS).tobytes() == SCORES.tobytes()
        assert len(cache) == len(PAIRS)
        cache.close()


def test_what_cannot_be_kept_is_refused(path):
    """NaN, another number of scores, and a fingerprint that is none."""
    with ScoreCache(path) as cache:
        with pytest.raises(InputError, match=r"NaN at \[1\]"):
            cache.put("m", PAIRS[:2], [1.0, math.nan])
        with pytest.raises(InputError, match="expected 2"):
            cache.put("m", PAIRS[:2], [1.0])
        with pytest.raises(InputTypeError, match="fingerprint"):
            cache.get(None, PAIRS[:1])
        assert len(cache) == 0


def test_clear_and_prune(path, monkeypatch):
    """The oldest go first, and the file becomes smaller."""
    now = time.time_ns()
    with ScoreCache(path) as cache:
        monkeypatch.setattr(time, "time_ns", lambda: now - 100 * 10**9)
        cache.put("m", PAIRS[:700], SCORES[:700])
        monkeypatch.setattr(time, "time_ns", lambda: now)
        cache.put("m", PAIRS[700:], SCORES[700:])
        assert cache.prune(older_than=200) == 0
        assert cache.prune(max_bytes=cache.stats()["bytes"]) == 0
        assert cache.prune(older_than=50) == 700
        assert np.isnan(cache.get("m", PAIRS[:700])).all()
        assert cache.get("m", PAIRS[700:]).tobytes() == SCORES[700:].tobytes()
        dropped = cache.prune(max_bytes=40_000)
        assert 0 < dropped < 800
        assert len(cache) == 800 - dropped
        assert path.stat().st_size <= 40_000
        cache.clear()
        assert len(cache) == 0
        cache.put("m", PAIRS, SCORES)
        assert cache.get("m", PAIRS).tobytes() == SCORES.tobytes()
        assert cache.prune(older_than=1e300) == 0
        for wrong in ({}, {"older_than": -1}, {"max_bytes": 100}, {"older_than": math.inf}):
            with pytest.raises(InputError):
                cache.prune(**wrong)


def test_prune_ends_where_fingerprints_alone_take_more(path):
    """Models stay, however many; the scores are gone."""
    with ScoreCache(path) as cache:
        for i in range(60):
            cache.put(f"model {i} " * 100, PAIRS[:1], SCORES[:1])
        assert cache.prune(max_bytes=40_000) == 60
        assert len(cache) == 0
        assert cache.stats()["bytes"] > 40_000


@pytest.mark.parametrize("damage", ["no database", "another database", "newer", "zeroed", "changed score", "no folder"])
def test_what_is_no_cache_or_damaged(path, damage):
    """The error says what the file is, and what to do."""
    if damage == "no folder":
        with pytest.raises(StoreError, match="folder"):
            ScoreCache(path.parent / "nowhere" / "scores.sqlite")
        return
    with ScoreCache(path) as cache:
        cache.put("m", PAIRS, SCORES)
    expected = "delete"
    if damage == "no database":
        path.write_bytes(b"not a database at all" * 500)
    elif damage == "zeroed":
        content = path.read_bytes()
        path.write_bytes(content[:8192] + bytes(len(content) - 8192))
    elif damage == "another database":
        path.unlink()
        run_sql(path, "CREATE TABLE mine (x)")
        expected = "another application"
    elif damage == "newer":
        run_sql(path, "PRAGMA user_version = 99")
        expected = "update rank-plugins"
    else:
        run_sql(path, "UPDATE scores SET score = score + 1")
    with pytest.raises(StoreError, match=expected), ScoreCache(path) as cache:
        cache.get("m", PAIRS)


def test_a_damaged_cache_is_deleted_and_used_again(path):
    """As the error says, and by the same object."""
    with ScoreCache(path) as cache:
        cache.put("m", PAIRS, SCORES)
        run_sql(path, "UPDATE scores SET score = score + 1")
        with pytest.raises(StoreError, match="delete"):
            cache.get("m", PAIRS)
        for file in path.parent.iterdir():
            file.unlink()
        cache.put("m", PAIRS, SCORES)
        assert cache.get("m", PAIRS).tobytes() == SCORES.tobytes()


def run_sql(path, statement):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def test_an_empty_file_becomes_a_cache(path):
    """As a temporary file's name is often had."""
    path.touch()
    with ScoreCache(path) as cache:
        cache.put("m", PAIRS, SCORES)
        assert len(cache) == len(PAIRS)


def test_a_writer_that_dies_in_a_transaction_leaves_nothing(path):
    """Its rows are gone, those committed before are there, and others may write at once."""
    with ScoreCache(path) as cache:
        cache.put("m", PAIRS[:100], SCORES[:100])
        script = (
            "import os, sys; from rank_plugins.pipelines.score_file import *; from pathlib import Path\n"
            "with ScoreFile(Path(sys.argv[1])).connection() as connection, transaction(connection):\n"
            "    connection.execute('DELETE FROM scores')\n"
            "    os._exit(7)"
        )
        ended = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
        assert ended.returncode == 7
        cache.put("m", PAIRS, SCORES)
        assert cache.get("m", PAIRS).tobytes() == SCORES.tobytes()


def test_a_writer_that_is_killed_leaves_whole_transactions(path):
    """At any moment: every put is there in full or not at all, and none that had returned is lost."""
    script = (
        "import sys; from rank_plugins.pipelines.score_cache import ScoreCache\n"
        "cache = ScoreCache(sys.argv[1])\n"
        "for n in range(10**6):\n"
        "    cache.put('m', [(str(n), str(i)) for i in range(50)], [n + i / 64 for i in range(50)])\n"
        "    print(n, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        for line in writer.stdout:
            if line.strip() == "20":
                break
        writer.kill()
        last = int(([line, *writer.stdout])[-1])
    with ScoreCache(path) as cache:
        count, rest = divmod(len(cache), 50)
        assert rest == 0
        assert count in (last + 1, last + 2)
        for n in range(count):
            assert cache.get("m", [(str(n), str(i)) for i in range(50)]).tolist() == [n + i / 64 for i in range(50)]


def score(query, document):
    """Return a number that only this pair has."""
    return math.sin(sum((i + 1) * ord(c) for i, c in enumerate(query + "|" + document)))


def hammer(path, worker):
    """Put and get overlapping parts with four threads, each as a cache of its own or a shared one."""
    print("ready", flush=True)
    sys.stdin.readline()
    shared = ScoreCache(path)

    def work(thread):
        cache = shared if thread % 2 else ScoreCache(path)
        rng = np.random.default_rng(worker * 10 + thread)
        for _ in range(6):
            chosen = [PAIRS[i] for i in rng.integers(0, len(PAIRS), 150).tolist()]
            found = cache.get("m", chosen)
            expected = np.array([score(*pair) for pair in chosen])
            known = ~np.isnan(found)
            assert (found[known] == expected[known]).all()
            cache.put("m", chosen, expected)
            assert (cache.get("m", chosen) == expected).all()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    first = worker * 180  # so that together they put everything
    part = PAIRS[first : first + 240]
    shared.put("m", part, [score(*pair) for pair in part])


def test_many_processes_and_threads_use_one_file(path):
    """Eight processes make the file together, read and write it; then it has each score once."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([sys.executable, __file__, str(path), str(i)], **streams) for i in range(8)]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 8
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=120)
    assert [worker.returncode for worker in workers] == [0] * 8
    with ScoreCache(path) as cache:
        assert cache.get("m", PAIRS).tolist() == [score(*pair) for pair in PAIRS]
        assert len(cache) == len(PAIRS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_leaves_both_with_a_cache(path):
    """While threads use it: the child connects anew, and neither waits for a lock that nobody holds."""
    with ScoreCache(path) as cache:
        stop = threading.Event()

        def use():
            while not stop.is_set():
                cache.put("m", PAIRS[:50], SCORES[:50])

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for i in range(5):
            child = os.fork()
            if not child:
                cache.put("child", [(str(i), "d")], [float(i)])
                os._exit(0 if cache.get("child", [(str(i), "d")]).tolist() == [i] else 1)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        stop.set()
        for thread in threads:
            thread.join()
        assert codes == [0] * 5
        assert cache.get("child", [(str(i), "d") for i in range(5)]).tolist() == [0, 1, 2, 3, 4]
        assert cache.get("m", PAIRS[:50]).tobytes() == SCORES[:50].tobytes()


def test_only_what_is_missing_is_scored(path):
    """Over a batch in one call, with its ids and first-stage scores."""
    inner = Lengths()
    with CachedReranker(inner, path) as cached:
        cached.rerank("q", ["a", "bb", "ccc"])
        inner.asked.clear()
        rankings = cached.rerank_batch(
            ["q", "q", "other"],
            [["bb", "new one", "a"], ["a", "ccc"], ["a", ""]],
            ids=[["1", "2", "3"], ["3", "4"], ["3", "5"]],
            scores=[[1, 2, 3], [4, 5], [6, 7]],
        )
        assert [(query, texts, ids, scores.tolist()) for query, texts, ids, scores in inner.asked] == [
            ("q", ["new one"], ["2"], [2.0]),
            ("other", ["a", ""], ["3", "5"], [6.0, 7.0]),
        ]
        expected = Lengths().rerank_batch(["q", "q", "other"], [["bb", "new one", "a"], ["a", "ccc"], ["a", ""]])
        assert [list(one) for one in rankings] == [list(one) for one in expected]
        assert [one.details["cache"] for one in rankings] == [
            {"hits": 2, "misses": 1},
            {"hits": 2, "misses": 0},
            {"hits": 0, "misses": 2},
        ]
        assert "parts" not in rankings[1].details
        assert json.dumps([one.details for one in rankings])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from(DOCUMENTS), min_size=1, max_size=6), min_size=1, max_size=4))
def test_rankings_are_those_without_a_cache(tmp_path_factory, groups):
    """To the bit, ties in the order of the input, whatever was asked before."""
    plain = MaxSimReranker(HashEncoder(48))
    with CachedReranker(plain, tmp_path_factory.mktemp("equal") / "scores.sqlite") as cached:
        for group in groups:
            found, expected = cached.rerank(QUERY, group), plain.rerank(QUERY, group)
            assert found.indices.tolist() == expected.indices.tolist()
            assert found.scores.tobytes() == expected.scores.tobytes()


def test_rankings_of_a_real_model_are_those_without_a_cache(path):
    """Whatever neighbours a document was first scored with."""
    texts = [*DOCUMENTS, "A trial of beta blockers. " * 60, "Wing drag."]
    plain = MaxSimReranker("minilm")
    with CachedReranker(plain, path) as cached:
        for part in (texts[:2], texts[1:5], texts, texts[::-1]):
            found, expected = cached.rerank(QUERY, part), plain.rerank(QUERY, part)
            assert list(found) == list(expected)


def test_embeddings_go_past_the_cache(path):
    """They are scored each time, beside texts that are found."""
    encoder = HashEncoder(16)
    vectors = encoder.encode_documents(["aspirin", "paris"])
    with CachedReranker(MaxSimReranker(encoder), path) as cached:
        expected = cached.rerank("aspirin", ["aspirin", "paris"])
        query = encoder.encode_queries(["aspirin"])[0]
        rankings = cached.rerank_batch(["aspirin", query, query], [["aspirin", "paris"], vectors, vectors])
        assert [list(one) for one in rankings] == [list(expected)] * 3
        assert [one.details["cache"] for one in rankings] == [
            {"hits": 2, "misses": 0},
            {"hits": 0, "misses": 0},
            {"hits": 0, "misses": 0},
        ]
        assert len(cached.cache) == 2


def test_embeddings_alone_need_no_fingerprint(path):
    """It may take a model to tell, and the cache is not asked."""

    class Unloaded(MaxSimReranker):
        @property
        def fingerprint(self):
            raise AssertionError("a model was loaded")

    encoder = HashEncoder(16)
    query, documents = encoder.encode_queries(["a"])[0], encoder.encode_documents(["a", "b"])
    with CachedReranker(Unloaded(encoder), path) as cached:
        ranking = cached.rerank(query, documents, top_k=1)
        assert list(ranking) == list(MaxSimReranker(encoder).rerank(query, documents))[:1]
        assert ranking.details["cache"] == {"hits": 0, "misses": 0}
        with pytest.raises(AssertionError):
            cached.rerank("a", ["a"])


def test_a_cascade_and_an_evaluation_share_a_cache(path):
    """What one has scored, the others find: in stages, in another object over the file, and alone."""
    inner, other = Lengths(), Lengths()
    with ScoreCache(path) as cache, CachedReranker(other, str(path)) as again:
        cached = CachedReranker(inner, cache)
        cascade = Cascade([stage(cached, keep=2), again])
        first = cascade.rerank("q", ["a", "bb", "ccc"])
        assert [texts for _, texts, _, _ in inner.asked] == [["a", "bb", "ccc"]]
        assert other.asked == []
        assert first.details["parts"]["CachedReranker 2"]["cache"] == {"hits": 2, "misses": 0}
        assert list(first) == [(2, 3 + 1 / 7), (1, 2 + 1 / 7), (0, 1 + 1 / 7)]
        evaluate_reranker(cached, {"1": "q"}, {"d": "bb"}, {"1": {"d": 1.0}}, {"1": {"d": 1}})
        assert len(inner.asked) == 1


def test_an_evaluation_is_scored_once(path):
    """The second one finds everything."""
    queries, corpus = {"1": "aspirin pressure", "2": "capital"}, {f"d{i}": text for i, text in enumerate(DOCUMENTS)}
    run = {query: {name: -float(i) for i, name in enumerate(corpus)} for query in queries}
    qrels = {"1": {"d0": 1, "d2": 1}, "2": {"d1": 1}}
    inner = Lengths()
    with ScoreCache(path) as cache:
        evaluations = [evaluate_reranker(CachedReranker(inner, cache), queries, corpus, run, qrels) for _ in range(2)]
        assert len(inner.asked) == 2
        assert evaluations[0].run.to_dict() == evaluations[1].run.to_dict()
        assert (cache.hits, cache.misses) == (12, 12)


@pytest.mark.parametrize("name", ["rank-fusion", "rank-cut", "rank-normalised"])
def test_scores_that_depend_on_neighbours_are_not_cached(path, name):
    """Such rerankers have no fingerprint, and the error says what to do."""
    options = {"rerankers": [Lengths()]} if name == "rank-fusion" else {"reranker": Lengths()}
    made = rerankers.load(name, **options | ({"cut": {"cut": "mass"}} if name == "rank-cut" else {}))
    with pytest.raises(InputError, match="fingerprint"):
        CachedReranker(made, path)
    assert not path.exists()


def test_a_reranker_that_leaves_documents_out_is_not_cached(path):
    """What it has a fingerprint for is no matter."""

    class Lacking(Lengths):
        def _rank(self, requests, top_k):
            return [Ranking([0], [1.0]) for _ in requests]

    with CachedReranker(Lacking(), path) as cached, pytest.raises(InputError, match="all 2 documents"):
        cached.rerank("q", ["a", "b"])


def test_fingerprints_of_maxsim(tmp_path):
    """One for each kind of score, encoder and codec; none before a codec is fitted."""
    encoder, other = HashEncoder(16), HashEncoder(32)
    with EmbeddingStore.open(tmp_path / "half", "a", codec="float16") as half:
        half.add(["1"], texts=["a b"], encoder=encoder)
        known = [
            MaxSimReranker(encoder),
            MaxSimReranker(encoder, score="mean"),
            MaxSimReranker(other),
            MaxSimReranker(encoder, cache="1MB"),
            MaxSimReranker(encoder, store=half),
        ]
        assert len({one.fingerprint for one in known}) == len(known)
        assert MaxSimReranker(HashEncoder(16)).fingerprint == known[0].fingerprint
    with EmbeddingStore.open(tmp_path / "int8", "a") as same:
        assert MaxSimReranker(encoder, store=same).fingerprint == known[3].fingerprint
    with EmbeddingStore.open(tmp_path / "coded", "a", codec="residual4") as coded:
        fresh = MaxSimReranker(encoder, store=coded)
        assert fresh.fingerprint is None
        with (
            CachedReranker(fresh, tmp_path / "scores.sqlite") as cached,
            pytest.raises(InputError, match="fingerprint"),
        ):
            cached.rerank("q", ["a"])
        coded.add([str(i) for i in range(40)], texts=[f"word{i} and word{i + 1}" for i in range(40)], encoder=encoder)
        assert "None" not in fresh.fingerprint


def test_the_embedded_model_has_a_fingerprint():
    """The encoder's own is part of it."""
    assert load_encoder("minilm").fingerprint in MaxSimReranker("minilm").fingerprint


def test_what_it_made_it_closes(path):
    """And not what it was given."""
    with ScoreCache(path) as cache, CachedReranker(Lengths(), cache) as cached:
        cached.rerank("q", ["a"])
        cached.close()
        assert cache.get("lengths", [("q", "a")]).tolist() == [1 + 1 / 7]


if __name__ == "__main__":  # one of the processes of test_many_processes_and_threads_use_one_file
    hammer(sys.argv[1], int(sys.argv[2]))
