"""Our kernel inside sentence-transformers: who follows the switch, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import copy
import functools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed", minversion="6.2")

import torch
from maxsim_reference import OWN, REFERENCE, agree, counted, rows, similarity
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder import evaluation, losses, scoring
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Normalize, Transformer
from sentence_transformers.util import maxsim as bound_early
from sentence_transformers.util import mean_maxsim_pairwise

import rank_plugins.compat.sentence_transformers as compat
from rank_plugins import InputTypeError, RankPluginsError
from rank_plugins.compat.sentence_transformers import use_kernel
from rank_plugins.testing import save_tiny_encoder

pytestmark = pytest.mark.usefixtures("restored")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return made(folder)


def made(folder):
    normalize = Normalize(module_input_name="token_embeddings")
    return MultiVectorEncoder(modules=[Transformer(folder), MultiVectorMask(), normalize], device="cpu")


class TestSwitch:
    def test_callers_follow_however_they_hold_the_function(self, rng, ours_alone):
        """Names bound before, partials, mean_maxsim, scoring functions and the similarity table all reach us."""
        queries, documents = rows(rng, [3, 2], 8), rows(rng, [5, 4], 8)
        early = functools.partial(bound_early, chunk_elements=1000)
        grouped = torch.nn.utils.rnn.pad_sequence(documents, batch_first=True)[:, None]
        calls = [
            lambda: early(queries, documents),
            lambda: similarity.SimilarityFunction.to_similarity_fn("meanmaxsim")(queries, documents),
            lambda: mean_maxsim_pairwise(queries, documents),
            lambda: scoring.colbert_scores(torch.nn.utils.rnn.pad_sequence(queries, batch_first=True), grouped),
        ]
        expected = [call() for call in calls]
        with use_kernel(), pytest.MonkeyPatch.context() as patch:
            seen = []
            for name in OWN:
                patch.setattr(compat, name, counted(getattr(compat, name), seen))
            for call, result in zip(calls, expected, strict=True):
                agree(call(), result)
        assert seen == ["maxsim", "maxsim", "maxsim_pairwise", "maxsim"]
        assert similarity.maxsim is bound_early  # the library compares functions by identity

    def test_uses_nest_and_end_in_any_order(self):
        """The library is itself again after the last of several uses, and undoing twice is no more than once."""
        first = use_kernel()
        with use_kernel() as second:
            first.undo()
            first.undo()
            assert similarity.maxsim.__code__ is not OWN["maxsim"]
            assert repr(second) == "KernelInUse(the whole library, active)"
        assert similarity.maxsim.__code__ == OWN["maxsim"]
        second.undo()
        assert repr(second) == "KernelInUse(the whole library, undone)"

    def test_an_error_inside_undoes_too(self):
        with pytest.raises(KeyError), use_kernel():
            raise KeyError
        assert similarity.maxsim.__code__ == OWN["maxsim"]

    def test_threads(self, rng):
        """Threads that score while others switch get the right scores, and nothing is left behind."""
        queries, documents = rows(rng, [3, 2], 8), rows(rng, [5, 4, 1], 8)
        expected = REFERENCE["maxsim"](queries, documents)
        together = threading.Barrier(16)

        def work(i):
            together.wait()
            for _ in range(20):
                with use_kernel() if i % 2 else contextlib.nullcontext():
                    agree(bound_early(queries, documents), expected)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))

    @pytest.mark.parametrize("name", OWN)
    def test_another_library_is_left_alone(self, name, monkeypatch):
        """A function with other parameters, or one that something wrapped, is an error, and nothing is exchanged."""
        other = "maxsim_pairwise" if name == "maxsim" else "maxsim"
        monkeypatch.setattr(similarity, name, lambda a, b: None)
        with pytest.raises(RankPluginsError, match=rf"expected {name}\(a, b, a_mask.*got {name}\(a, b\).*>=6.2,<7"):
            use_kernel()
        monkeypatch.setattr(
            similarity, name, functools.wraps(REFERENCE[name])(lambda *args: REFERENCE[name](*args, name))
        )
        with pytest.raises(RankPluginsError, match=f"expected a plain function .*{name}.*Nothing was changed"):
            use_kernel()
        monkeypatch.delattr(similarity, name)
        with pytest.raises(RankPluginsError, match="Nothing was changed"):
            use_kernel()
        assert getattr(similarity, other).__code__ == OWN[other]

    @pytest.mark.parametrize("name", ["_fill_empty_document_scores"])
    def test_a_missing_helper_is_noticed(self, name, monkeypatch):
        monkeypatch.delattr(similarity, name)
        with pytest.raises(RankPluginsError, match=name):
            use_kernel()


class TestModel:
    def test_similarity(self, model, ours_alone):
        """A model that resolved its similarity earlier follows; lists as it encodes them, padded too."""
        queries = model.encode_query(["caffeine and sleep", "aspirin"])
        documents = model.encode_document(["caffeine delays sleep", "", "aspirin lowers blood pressure in patients"])
        expected = model.similarity(queries, documents), model.similarity_pairwise(queries, documents[:2])
        assert expected[0].equal(REFERENCE["maxsim"](queries, documents))
        with use_kernel():
            agree(model.similarity(queries, documents), expected[0])
            agree(model.similarity_pairwise(queries, documents[:2]), expected[1])

    def test_one_model_alone(self, model, monkeypatch):
        """Given a model, neither the library nor another model changes; its own name of the similarity counts."""
        other = copy.deepcopy(model)
        texts = ["caffeine and sleep", "aspirin"]
        queries, seen = model.encode_query(texts), []
        expected = REFERENCE["maxsim"](queries, queries)
        for name in OWN:
            monkeypatch.setattr(compat, name, counted(getattr(compat, name), seen))
        first, second = use_kernel(model), use_kernel(model)
        agree(model.similarity(queries, queries), expected)
        assert seen == ["maxsim"]
        other.similarity(queries, queries)
        bound_early(queries, queries)
        assert seen == ["maxsim"]
        model.similarity_fn_name = "meanmaxsim"
        agree(
            model.similarity_pairwise(queries, queries),
            REFERENCE["maxsim_pairwise"](queries, queries, length_normalize=True),
        )
        assert seen == ["maxsim", "maxsim_pairwise"]
        second.undo()
        model.similarity(queries, queries)
        assert len(seen) == 3
        first.undo()
        model.similarity_fn_name = "maxsim"
        agree(model.similarity(queries, queries), expected)
        assert len(seen) == 3
        assert "similarity" not in vars(model)

    def test_a_model_in_use_pickles_and_copies(self, model):
        """Worker processes get it by pickle; the copy scores as itself."""
        queries = model.encode_query(["caffeine and sleep"])
        with use_kernel(model):
            for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301 - our own bytes
                twin.similarity_fn_name = "meanmaxsim"
                agree(twin.similarity(queries, queries), REFERENCE["maxsim"](queries, queries, length_normalize=True))
                agree(model.similarity(queries, queries), REFERENCE["maxsim"](queries, queries))

    def test_what_is_no_model(self):
        with pytest.raises(InputTypeError, match="model: expected a MultiVectorEncoder or None, got str"):
            use_kernel("model")


def test_a_training_step(model, ours_alone):
    """The library's contrastive loss has the same value and gradients with our kernel."""
    values = []
    for around in (contextlib.nullcontext, use_kernel):
        network = copy.deepcopy(model).eval()  # no dropout: both see the same embeddings
        loss = losses.MultiVectorMultipleNegativesRankingLoss(network)
        texts = [["caffeine and sleep", "aspirin"], ["caffeine delays sleep", "aspirin lowers blood pressure"]]
        with around():
            value = loss([network.preprocess(column) for column in texts], labels=None)
        value.backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        values.append((value.detach(), gradients))
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-5)
    assert values[0][1]


QUERIES = {"q1": "caffeine and sleep", "q2": "aspirin and blood pressure"}
CORPUS = {
    "d1": "caffeine delays sleep",
    "d2": "the wind tunnels of the alps",
    "d3": "aspirin lowers blood pressure in patients",
    "d4": "paris is the capital of france",
}
RELEVANT = {"q1": {"d1"}, "q2": {"d3"}}


def evaluators():
    samples = [
        {"query": QUERIES[q], "positive": [CORPUS[d] for d in RELEVANT[q]], "negative": [CORPUS["d2"], CORPUS["d4"]]}
        for q in QUERIES
    ]
    triplets = [list(QUERIES.values()), [CORPUS["d1"], CORPUS["d3"]], [CORPUS["d2"], CORPUS["d4"]]]
    return {
        "reranking": evaluation.MultiVectorRerankingEvaluator(samples, write_csv=False),
        "one by one": evaluation.MultiVectorRerankingEvaluator(samples, write_csv=False, use_batched_encoding=False),
        "retrieval": evaluation.MultiVectorInformationRetrievalEvaluator(QUERIES, CORPUS, RELEVANT, write_csv=False),
        "chunks": evaluation.MultiVectorInformationRetrievalEvaluator(
            QUERIES, CORPUS, RELEVANT, write_csv=False, corpus_chunk_size=2, chunk_elements=100
        ),
        "triplet": evaluation.MultiVectorTripletEvaluator(*triplets, write_csv=False),
    }


@pytest.mark.parametrize("name", list(evaluators()))
def test_evaluators(name, model, monkeypatch, ours_alone):
    """Evaluators made before report the same figures, and our kernel computed them."""
    evaluator, seen = evaluators()[name], []
    expected = evaluator(model)
    for function in OWN:
        monkeypatch.setattr(compat, function, counted(getattr(compat, function), seen))
    with use_kernel():
        assert evaluator(model) == pytest.approx(expected)
    assert seen
