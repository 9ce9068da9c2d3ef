"""FlagEmbedding's interfaces on our rerankers and kernel, against FlagEmbedding itself with the same weights."""

from __future__ import annotations

import asyncio
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError, InputTypeError
from rank_plugins.compat.flag_embedding import FlagReranker, colbert_score
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import AdapterContract, HashEncoder, save_tiny_cross_encoder

PAIRS = [
    ("caffeine and sleep", "caffeine delays sleep"),
    ("aspirin", "the wind tunnels of the alps"),
    ("caffeine and sleep", "paris is the capital of france"),
    ("aspirin", "aspirin lowers blood pressure"),
    ("caffeine and sleep", "caffeine delays sleep"),
]


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("FlagEmbedding", reason="FlagEmbedding is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    return save_tiny_cross_encoder(tmp_path_factory.mktemp("models") / "tiny")


class TestAgainstFlagEmbedding:
    @pytest.mark.parametrize("options", [{}, {"normalize": True}, {"batch_size": 2, "max_length": 64}], ids=str)
    def test_scores_are_the_same(self, library, folder, options):
        """A folder's scores are its logits, or their sigmoid, in the order of the pairs."""
        expected = library.FlagReranker(folder, use_fp16=False, devices="cpu").compute_score(PAIRS, **options)
        with FlagReranker(folder) as reranker:
            assert reranker.compute_score(PAIRS, **options) == pytest.approx(expected, abs=1e-5)

    def test_a_call_as_its_users_write_it(self, library, folder):
        """Pairs in an array, and the arguments that its pages show."""
        expected = library.FlagReranker(folder, use_fp16=False, devices="cpu").compute_score(np.array(PAIRS))
        reranker = FlagReranker(folder, True, batch_size=4, max_length=64)
        assert reranker.compute_score(np.array(PAIRS)) == pytest.approx(expected, abs=1e-5)

    def test_what_is_cut(self, library, folder):
        """Passages that are too long are cut where the library cuts them."""
        pairs = [(query, f"{passage} " * 20) for query, passage in PAIRS]
        expected = library.FlagReranker(folder, use_fp16=False, devices="cpu", max_length=32).compute_score(pairs)
        with pytest.warns(UserWarning, match="were cut"), FlagReranker(folder, max_length=32) as reranker:
            assert reranker.compute_score(pairs) == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("pair", [PAIRS[0], list(PAIRS[0]), [PAIRS[0]], np.array(PAIRS[0])], ids=str)
    def test_one_pair_is_a_list_of_one(self, library, folder, pair):
        expected = library.FlagReranker(folder, use_fp16=False, devices="cpu").compute_score(pair)
        assert FlagReranker(folder).compute_score(pair) == pytest.approx(expected, abs=1e-5)
        assert len(expected) == 1

    @given(Q=st.integers(1, 9), D=st.integers(1, 20), K=st.sampled_from([1, 7, 64]), seed=st.integers(0, 2**32))
    @settings(max_examples=50, deadline=None)
    def test_colbert_score(self, library, Q, D, K, seed):
        """MeanMaxSim of BGE-M3, which needs nothing of the model."""
        rng = np.random.default_rng(seed)
        query, passage = (rng.standard_normal((n, K), np.float32) for n in (Q, D))
        expected = library.BGEM3FlagModel.colbert_score(None, query, passage)
        found = colbert_score(query, passage)
        assert type(found) is float
        assert found == pytest.approx(float(expected), rel=1e-5, abs=1e-5)


class TestComputeScore:
    @pytest.fixture
    def reranker(self):
        return FlagReranker(MaxSimReranker(HashEncoder()))

    def test_scores_stand_where_their_pairs_do(self, reranker):
        """Pairs of several queries, mixed, score what each scores alone; the numbers are Python's."""
        scores = reranker.compute_score(PAIRS)
        assert scores == pytest.approx([reranker.compute_score(pair)[0] for pair in PAIRS])
        assert scores[0] == scores[4]
        assert json.loads(json.dumps(scores)) == scores

    def test_queries_are_ranked_in_one_call(self, reranker, monkeypatch):
        """One batch goes to the reranker, with each query once."""
        batches, original = [], MaxSimReranker.rerank_batch
        monkeypatch.setattr(
            MaxSimReranker, "rerank_batch", lambda self, *lists: batches.append(lists) or original(self, *lists)
        )
        reranker.compute_score(PAIRS)
        assert [(queries, list(map(len, documents))) for queries, documents in batches] == [
            (["caffeine and sleep", "aspirin"], [3, 2])
        ]

    def test_no_pairs(self):
        """Nothing in, nothing out, and no model is loaded."""
        unloadable = FlagReranker("rank-cross-encoder", model="/no/such/folder")
        assert unloadable.compute_score([]) == []
        assert asyncio.run(unloadable.compute_score_async([])) == []

    def test_normalize(self, reranker):
        """The constructor's choice holds unless a call has its own; sigmoids far out do not overflow."""
        plain = reranker.compute_score(PAIRS)
        squashed = [1 / (1 + math.exp(-score)) for score in plain]
        assert reranker.compute_score(PAIRS, normalize=True) == pytest.approx(squashed)
        normal = FlagReranker(MaxSimReranker(HashEncoder()), normalize=True)
        assert normal.compute_score(PAIRS) == pytest.approx(squashed)
        assert normal.compute_score(PAIRS, normalize=False) == plain
        assert reranker.compute_score([("sleep", ""), ("sleep", "sleep")], normalize=True)[0] == 0.0

    def test_a_passage_without_text(self, reranker):
        assert reranker.compute_score([("sleep", ""), ("sleep", "sleep")]) == [-1e9, pytest.approx(1)]

    @pytest.mark.parametrize(
        ("pairs", "message"),
        [
            ("query", "sentence_pairs: expected pairs"),
            (None, "sentence_pairs: expected pairs"),
            ([("query",)], r"sentence_pairs\[0\]: expected a pair of texts"),
            ([("query", "passage"), "query"], r"sentence_pairs\[1\]: expected a pair"),
            ([("query", 7)], r"sentence_pairs\[0\]: expected a pair"),
            ((1, 2), r"sentence_pairs\[0\]: expected a pair"),
        ],
    )
    def test_what_is_no_pair(self, reranker, pairs, message):
        with pytest.raises(InputTypeError, match=message):
            reranker.compute_score(pairs)

    def test_an_empty_query(self, reranker):
        with pytest.raises(InputError, match="query: expected text"):
            reranker.compute_score([("", "passage")])

    def test_models(self, folder):
        """A name is one of ours, and what looks like a folder or a name on the hub is a cross-encoder's."""
        assert FlagReranker(folder)._reranker._activation == "none"
        assert FlagReranker("BAAI/bge-reranker-base")._reranker._name == "BAAI/bge-reranker-base"
        assert FlagReranker(folder, activation="sigmoid")._reranker._activation == "sigmoid"
        assert FlagReranker("rank-cross-encoder", model=folder)._reranker._activation == "none"
        with pytest.raises(InputError, match="model_name_or_path: .*rank-maxsim.*its folder, or its name on the hub"):
            FlagReranker("bge-reranker")
        with pytest.raises(InputTypeError, match="devices.*its options are.*device"):
            FlagReranker(folder, devices="cpu")

    def test_close(self, monkeypatch):
        """What was made here is closed here."""
        closed = []
        monkeypatch.setattr(MaxSimReranker, "close", lambda self: closed.append(self))
        with FlagReranker("rank-maxsim"), FlagReranker(MaxSimReranker(HashEncoder())):
            pass
        assert len(closed) == 1


class TestContract(AdapterContract):
    """What every adapter promises, where FlagEmbedding's interface has it: scores, which are ranked here."""

    test_top_k_is_a_prefix = None  # FlagEmbedding ranks nothing
    test_top_k_below_one_is_refused = None

    def adapt(self, model, model_kwargs):
        return FlagReranker(model, **(model_kwargs or {}))

    def rank(self, reranker, query, documents, top_k=None):
        return self.ranked(reranker.compute_score([(query, text) for text in documents]))

    async def rank_async(self, reranker, query, documents, top_k=None):
        return self.ranked(await reranker.compute_score_async([(query, text) for text in documents]))

    @staticmethod
    def ranked(scores):
        return sorted(enumerate(scores), key=lambda pair: -pair[1])


class TestColbertScore:
    def test_a_negative_match_stays(self):
        """The best of bad matches is bad, whatever else."""
        assert colbert_score(np.float32([[1, 0]]), np.float32([[-1, 0], [-0.5, 0]])) == -0.5

    def test_half_floats_and_tensors(self):
        """What encode() returns with use_fp16, and tensors of it, score as floats do."""
        torch = pytest.importorskip("torch", reason="torch is not installed")
        rng = np.random.default_rng(0)
        query, passage = (rng.standard_normal((n, 16)).astype(np.float16) for n in (3, 5))
        expected = float((query.astype(np.float64) @ passage.astype(np.float64).T).max(axis=1).mean())
        assert colbert_score(query, passage) == pytest.approx(expected, abs=1e-3)
        tensors = torch.from_numpy(query), torch.from_numpy(passage)
        assert colbert_score(*tensors) == pytest.approx(expected, abs=1e-3)

    def test_sides_without_tokens(self):
        assert colbert_score(np.ones((2, 4), np.float32), np.ones((0, 4), np.float32)) == -1e9
        with pytest.raises(InputError, match="query: expected at least one token"):
            colbert_score(np.ones((0, 4), np.float32), np.ones((2, 4), np.float32))
